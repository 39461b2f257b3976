// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"ferrite/conductor"
	"ferrite/internal/udpbatch"
)

// SyncConfig says what the power sync bench compares.
type SyncConfig struct {
	BMCs    int
	Rounds  int
	Window  int64    // readings under way at a time
	Against []string // "echo", "ipmipower"
	Self    string   // the ferrite binary, for the processes beside
	Say     func(format string, args ...any)
}

// ipmipowerBatch is how many hosts one ipmipower takes: it opens a descriptor for each.
const ipmipowerBatch = 5000

// Sync reads the power of a whole simulated fleet through a whole conductor, round by round, alternately with the raw
// UDP echo and ipmipower.
func Sync(ctx context.Context, cfg SyncConfig) (*Report, error) {
	if cfg.Window == 0 {
		cfg.Window = 512
	}
	if cfg.Say == nil {
		cfg.Say = func(string, ...any) {}
	}
	r := newReport("sync", cfg.BMCs, cfg.Rounds)
	port, err := freeUDP()
	if err != nil {
		return nil, err
	}
	stop, err := beside(ctx, cfg.Self, "sim", "--bmcs", strconv.Itoa(cfg.BMCs), "--listen", fmt.Sprintf("0.0.0.0:%d", port), "--address-base", syncBase.String())
	if err != nil {
		return nil, err
	}
	defer stop()
	c, done, err := seeded(ctx, cfg, port)
	if err != nil {
		return nil, err
	}
	defer done()
	ours := &Row{Name: "ferrite, whole conductor, kept sessions"}
	cfg.Say("opening %d sessions", cfg.BMCs)
	first, err := measure(cfg.BMCs, func() error { return settle(ctx, c, cfg) })
	if err != nil {
		return nil, err
	}
	r.Results = append(r.Results, ours, &Row{Name: "ferrite, first round: handshakes", Rate: SpreadOf([]float64{first.rate}), CPU: SpreadOf([]float64{first.cpu})})
	rivals, end, err := rivals(ctx, cfg, port)
	if err != nil {
		return nil, err
	}
	defer end()
	if err := syncRounds(ctx, cfg, c, ours, rivals); err != nil {
		return nil, err
	}
	for _, v := range rivals {
		v.row.Rate, v.row.CPU = SpreadOf(v.rates), SpreadOf(v.row.cpu)
		r.Results = append(r.Results, v.row)
		if v.every > 1 {
			r.compare(v.row, ours) // how many times more the tools cost
		} else {
			r.compare(ours, v.row) // how far from the limit
		}
	}
	return r, nil
}

var syncBase = netip.AddrFrom4([4]byte{127, 1, 0, 1})

type sample struct{ rate, cpu, allocs float64 }

// measure runs f and tells nodes/s, CPU us per node of this process, and allocations per node.
func measure(n int, f func() error) (sample, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, start := cpuTime(syscall.RUSAGE_SELF), time.Now()
	err := f()
	took, used := time.Since(start), cpuTime(syscall.RUSAGE_SELF)-cpu
	runtime.ReadMemStats(&after)
	return sample{
		rate: float64(n) / took.Seconds(), cpu: float64(used.Nanoseconds()) / 1e3 / float64(n),
		allocs: float64(after.Mallocs-before.Mallocs) / float64(n),
	}, err
}

func cpuTime(who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// rival is one contender beside ferrite.
type rival struct {
	row   *Row
	rates []float64
	round func() (sample, error)
	every int // takes part in every n-th round: slow ones less often
}

// syncRounds runs all contenders alternately.
func syncRounds(ctx context.Context, cfg SyncConfig, c *conductor.Conductor, ours *Row, rivals []*rival) error {
	var rates, allocs []float64
	before := c.SweepFigures()
	for i := range cfg.Rounds {
		cfg.Say("round %d of %d", i+1, cfg.Rounds)
		s, err := measure(cfg.BMCs, func() error {
			// The conductor's own sweep (once an hour here) may be asking a few at this moment.
			if asked := c.Round(ctx, cfg.Window); asked < cfg.BMCs-cfg.BMCs/100 {
				return fmt.Errorf("a round asked %d BMCs, wanted %d", asked, cfg.BMCs)
			}
			return ctx.Err()
		})
		if err != nil {
			return err
		}
		rates, ours.cpu, allocs = append(rates, s.rate), append(ours.cpu, s.cpu), append(allocs, s.allocs)
		for _, v := range rivals {
			if i%v.every != 0 {
				continue
			}
			s, err := v.round()
			if err != nil {
				return fmt.Errorf("%s: %w", v.row.Name, err)
			}
			v.rates, v.row.cpu = append(v.rates, s.rate), append(v.row.cpu, s.cpu)
		}
	}
	after := c.SweepFigures()
	if lost := after.Failures - before.Failures; lost > 0 {
		return fmt.Errorf("%d readings were not answered: the figures would be wrong", lost)
	}
	runtime.GC()
	ours.Rate, ours.CPU, ours.RSS = SpreadOf(rates), SpreadOf(ours.cpu), rssAnon()
	a, commits := SpreadOf(allocs).Median, after.Transactions-before.Transactions
	ours.Allocs, ours.Commits = &a, &commits
	return nil
}

// seeded starts a conductor in this process that owns all simulated BMCs.
func seeded(ctx context.Context, cfg SyncConfig, port int) (*conductor.Conductor, func(), error) {
	dir, err := os.MkdirTemp("", "ferrite-bench")
	if err != nil {
		return nil, nil, err
	}
	cc := conductor.Defaults()
	cc.Name, cc.DataDir, cc.APIListen, cc.NATSListen = "bench", dir, "127.0.0.1:0", ""
	cc.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	cc.SyncInterval = time.Hour // rounds are run by hand
	cc.ServeOn = 0
	cc.IPMI.Handshakes = 0
	c, err := conductor.Start(ctx, cc)
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, nil, err
	}
	done := func() {
		down, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		_ = c.Shutdown(down)
		_ = os.RemoveAll(dir)
	}
	cfg.Say("storing %d nodes", cfg.BMCs)
	base := number(syncBase)
	err = c.Seed(ctx, cfg.BMCs, func(i int) (string, map[string]any) {
		return fmt.Sprintf("n%06d", i), map[string]any{
			"ipmi_address": address(base + uint32(i)).String(), "ipmi_port": float64(port), //nolint:gosec // small
			"ipmi_username": "admin", "ipmi_password": "password",
		}
	})
	if err != nil {
		done()
		return nil, nil, err
	}
	return c, done, nil
}

// settle sweeps until every BMC answers: the first round opens the sessions.
func settle(ctx context.Context, c *conductor.Conductor, cfg SyncConfig) error {
	for end := time.Now().Add(3 * time.Minute); c.Activated() < cfg.BMCs; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) || ctx.Err() != nil {
			return fmt.Errorf("%d of %d nodes came up", c.Activated(), cfg.BMCs)
		}
	}
	for try := range 5 {
		before := c.SweepFigures()
		c.Round(ctx, 512)
		after := c.SweepFigures()
		if after.Failures == before.Failures && after.Matches-before.Matches == uint64(cfg.BMCs) { //nolint:gosec // a count
			return nil
		}
		cfg.Say("warming up, round %d: %d answers, %d failures", try+1, after.Matches-before.Matches, after.Failures-before.Failures)
	}
	return errors.New("the fleet never settled: BMCs kept failing; look at the simulator")
}

// rivals starts what ferrite is compared with.
func rivals(ctx context.Context, cfg SyncConfig, port int) ([]*rival, func(), error) {
	var out []*rival
	var ends []func()
	end := func() {
		for _, f := range ends {
			f()
		}
	}
	if slices.Contains(cfg.Against, "echo") {
		echo, err := freeUDP()
		if err != nil {
			return nil, end, err
		}
		stop, err := beside(ctx, cfg.Self, "bench", "echo-server", "--listen", fmt.Sprintf("0.0.0.0:%d", echo))
		if err != nil {
			return nil, end, err
		}
		ends = append(ends, stop)
		sock, err := udpbatch.Listen("0.0.0.0:0", udpbatch.Options{Buffer: 16 << 20})
		if err != nil {
			return nil, end, err
		}
		ends = append(ends, func() { _ = sock.Close() })
		out = append(out, &rival{row: &Row{Name: "raw UDP echo, same crypto and batching"}, every: 1, round: func() (sample, error) {
			return measure(cfg.BMCs, func() error {
				_, err := echoRound(sock, syncBase, uint16(echo), cfg.BMCs, cfg.Window) //nolint:gosec // a port
				return err
			})
		}})
	}
	if slices.Contains(cfg.Against, "ipmipower") {
		path, err := exec.LookPath("ipmipower")
		if err != nil {
			return nil, end, fmt.Errorf("%w; install it: apt-get install freeipmi-tools", err)
		}
		hosts := min(cfg.BMCs, ipmipowerBatch)
		out = append(out, &rival{row: &Row{Name: "ipmipower --stat", Note: fmt.Sprintf("session per poll, %d hosts in one process", hosts)}, every: 2, round: func() (sample, error) {
			return ipmipower(ctx, path, port, hosts)
		}})
	}
	return out, end, nil
}

// ipmipower asks hosts BMCs in one process; CPU is that process's.
func ipmipower(ctx context.Context, path string, port, hosts int) (sample, error) {
	names := make([]string, hosts)
	for i := range names {
		names[i] = fmt.Sprintf("%s:%d", address(number(syncBase)+uint32(i)), port) //nolint:gosec // small
	}
	c := exec.CommandContext(ctx, path, "-D", "LAN_2_0", "-I", "17", "-u", "admin", "-p", "password", "--stat", "-C", "-h", strings.Join(names, ","))
	start := time.Now()
	out, err := c.CombinedOutput()
	took := time.Since(start)
	if err != nil {
		return sample{}, fmt.Errorf("%w: %.300s", err, out)
	}
	if good := folded(string(out)); good != hosts || !strings.Contains(string(out), "off") {
		return sample{}, fmt.Errorf("ipmipower got %d of %d answers: %.300s", good, hosts, out)
	}
	used := c.ProcessState.UserTime() + c.ProcessState.SystemTime()
	return sample{rate: float64(hosts) / took.Seconds(), cpu: float64(used.Nanoseconds()) / 1e3 / float64(hosts)}, nil
}

// folded counts the hosts of the first consolidated block of output, like "127.1.0.[1-255],127.1.1.7". Without
// consolidation ipmipower loses lines when thousands come at once.
func folded(out string) int {
	n := 0
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "127.") {
			continue
		}
		depth, part := 0, ""
		for _, c := range line + "," {
			switch {
			case c == ',' && depth == 0:
				n += ranges(part)
				part = ""
				continue
			case c == '[':
				depth++
			case c == ']':
				depth--
			}
			part += string(c)
		}
	}
	return n
}

// ranges counts one name with at most one bracket: "127.1.0.[1-3,7]" is 4.
func ranges(part string) int {
	_, in, ok := strings.Cut(part, "[")
	if !ok {
		if part == "" {
			return 0
		}
		return 1
	}
	in, _, _ = strings.Cut(in, "]")
	n := 0
	for r := range strings.SplitSeq(in, ",") {
		a, b, two := strings.Cut(r, "-")
		low, err := strconv.Atoi(a)
		high := low
		if two && err == nil {
			high, err = strconv.Atoi(b)
		}
		if err == nil {
			n += high - low + 1
		}
	}
	return n
}

// beside runs this binary once more; it is ready when it has printed a line.
func beside(ctx context.Context, self string, args ...string) (stop func(), err error) {
	c := exec.CommandContext(ctx, self, args...)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	stop = func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		stop()
		return nil, fmt.Errorf("%s %s did not start: %w", self, strings.Join(args, " "), err)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return stop, nil
}

func freeUDP() (int, error) {
	c, err := net.ListenPacket("udp4", "0.0.0.0:0")
	if err != nil {
		return 0, err
	}
	defer c.Close() //nolint:errcheck // only asked for its number
	return c.LocalAddr().(*net.UDPAddr).Port, nil
}

func number(a netip.Addr) uint32 {
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

func address(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

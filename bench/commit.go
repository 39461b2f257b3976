// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"ferrite/node"
	"ferrite/persistence"
)

// CommitConfig says how the log is measured.
type CommitConfig struct {
	Rounds  int
	Writers int
	Voters  []int
	For     time.Duration // each turn
	Calls   int           // of the hop, each turn
	Dir     string        // for its data, on the disk to measure
	Self    string
	Progress
}

// quorum is the members of one log, in this process, over loopback TCP.
type quorum struct {
	row *Row
	mu  sync.Mutex // guards at
	at  map[string]string
	all []*persistence.Raft
	rev map[int]node.Rev // of each writer's node
}

func (g *quorum) address(name string) (string, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at, ok := g.at[name]
	return at, ok
}

// live are the members that have begun.
func (g *quorum) live() (out []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for name := range g.at {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func (g *quorum) close() {
	for i := len(g.all) - 1; i >= 0; i-- {
		_ = g.all[i].Close()
	}
}

// begin opens voters members of one log and waits until all vote.
func (g *quorum) begin(ctx context.Context, dir string, voters int) error {
	key := make([]byte, persistence.KeySize)
	for i := range voters {
		name := fmt.Sprintf("c%d", i+1)
		cfg := persistence.Config{Dir: filepath.Join(dir, fmt.Sprintf("%d-%s", voters, name)), Name: name, Key: key, Logger: slog.New(slog.DiscardHandler)}
		if voters > 1 {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			g.mu.Lock()
			g.at[name] = ln.Addr().String()
			g.mu.Unlock()
			cfg.Net = &persistence.Net{Listener: ln, Address: g.address, Live: g.live, Bootstrap: i == 0, Patience: 2 * time.Second} // all share two cores
		}
		s, err := persistence.Open(cfg)
		if err != nil {
			return fmt.Errorf("a log of %d: %w", voters, err)
		}
		g.all = append(g.all, s)
	}
	if voters == 1 {
		return nil
	}
	if err := await(ctx, time.Minute, func() bool { return len(g.all[0].Voters()) == voters }); err != nil {
		return fmt.Errorf("a log of %d has %d voters: %w", voters, len(g.all[0].Voters()), err)
	}
	return nil
}

// leader is the member that writes go to without a forward.
func (g *quorum) leader() *persistence.Raft {
	for _, s := range g.all {
		if _, _, yes := s.Role(); yes {
			return s
		}
	}
	return g.all[0]
}

// follower is one whose writes are forwarded; nil = there is none.
func (g *quorum) follower() *persistence.Raft {
	for _, s := range g.all {
		if _, _, yes := s.Role(); !yes {
			return s
		}
	}
	return nil
}

// bigNode is a node whose record takes about 3 KB.
func bigNode(i int) *node.Node {
	id := fmt.Sprintf("11111111-0000-4000-8000-%012d", i)
	info := driverInfo(i, 623)
	info["deploy_kernel"], info["deploy_ramdisk"] = "file:///images/kernel", "file:///images/ramdisk"
	return &node.Node{
		UUID: id, Name: fmt.Sprintf("rack%d-u%d", i/40, i%40), Driver: "ipmi", ResourceClass: "baremetal", DriverInfo: info,
		Properties:   map[string]any{"cpus": float64(64), "memory_mb": float64(262144), "local_gb": float64(960), "cpu_arch": "x86_64", "capabilities": "boot_mode:uefi"},
		InstanceInfo: map[string]any{"image_source": "http://images/ubuntu.qcow2", "image_checksum": strings.Repeat("ab", 32), "configdrive": strings.Repeat("c", 900)},
		Extra:        map[string]any{"note": strings.Repeat("x", 900)},
		Interfaces: map[string]string{
			"bios": "no-bios", "boot": "ipxe", "console": "no-console", "deploy": "direct", "inspect": "no-inspect", "management": "ipmitool",
			"network": "noop", "power": "ipmitool", "raid": "no-raid", "rescue": "no-rescue", "storage": "noop", "vendor": "ipmitool",
		},
		PowerState: node.PowerOn, ProvisionState: node.Active, Traits: []string{"CUSTOM_A", "CUSTOM_B"},
	}
}

// write has writers write their nodes through a member for a while, each change with one event of 3 KB.
func (g *quorum) write(ctx context.Context, s *persistence.Raft, writers int, d time.Duration, row *Row) error {
	var mu sync.Mutex
	var times []float64
	var failed error
	body := []byte(`{"payload":"` + strings.Repeat("p", 3000) + `"}`)
	cpu, start := cpuTime(), time.Now()
	end := start.Add(d)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			n, s := bigNode(w), s
			mu.Lock()
			rev := g.rev[w]
			mu.Unlock()
			var mine []float64
			var err error
			for err == nil && time.Now().Before(end) && ctx.Err() == nil {
				k := persistence.Key{Kind: persistence.KindNode, ID: n.UUID}
				t := time.Now()
				var next node.Rev
				next, err = s.Commit(ctx, persistence.Tx{
					If:     []persistence.Cond{{Key: k, Rev: rev}},
					Put:    []persistence.Put{{Key: k, Value: n, Uniq: []string{"name/" + n.Name}}},
					Events: []persistence.Event{{Subject: "ironic_versioned_notifications.info.baremetal.node.power_set.end", Node: n.UUID, Body: body}},
				})
				if errors.Is(err, persistence.ErrNoQuorum) { // nothing is written; an election shows in the figures
					err = nil
					time.Sleep(20 * time.Millisecond)
					s = g.leader()
					continue
				}
				rev = next
				mine = append(mine, float64(time.Since(t).Microseconds())/1e3)
			}
			mu.Lock()
			defer mu.Unlock()
			g.rev[w] = rev
			times = append(times, mine...)
			if err != nil {
				failed = err
			}
		})
	}
	wg.Wait()
	took := time.Since(start).Seconds()
	if failed != nil {
		return failed
	}
	slices.Sort(times)
	row.add("commits_per_s", float64(len(times))/took)
	row.add("commit_p50_ms", percentile(times, 50))
	row.add("commit_p99_ms", percentile(times, 99))
	row.add("cpu_us_per_commit", float64((cpuTime()-cpu).Microseconds())/float64(len(times)))
	return nil
}

// Commit measures commits per second of a node of 3 KB with one event, by the number of voters, and what a call to another
// conductor costs.
func Commit(ctx context.Context, cfg CommitConfig) (*Report, error) {
	r := newReport("commit", 0, cfg.Rounds)
	dir, err := os.MkdirTemp(cfg.Dir, "commit")
	if err != nil {
		return nil, err
	}
	type turn struct {
		g       *quorum
		row     *Row
		writers int
		via     func() *persistence.Raft
	}
	var all []turn
	for _, voters := range cfg.Voters {
		g := &quorum{at: map[string]string{}, rev: map[int]node.Rev{}}
		defer g.close()
		cfg.say("starting a log of %d", voters)
		if err := g.begin(ctx, dir, voters); err != nil {
			return nil, err
		}
		g.row = r.row(fmt.Sprintf("ferrite, voters: %d, writers: %d, at the leader", voters, cfg.Writers), "")
		all = append(all, turn{g, g.row, cfg.Writers, g.leader})
		all = append(all, turn{g, r.row(fmt.Sprintf("ferrite, voters: %d, writers: 1, at the leader", voters), ""), 1, g.leader})
		if voters > 1 {
			all = append(all, turn{g, r.row(fmt.Sprintf("ferrite, voters: %d, writers: %d, at a follower", voters, cfg.Writers), "forwarded to the leader"), cfg.Writers, g.follower})
		}
	}
	disk := r.row("append of 4 KB to a file with fdatasync", "what the disk does; one writer")
	hop, err := newHop(ctx, cfg, r)
	if err != nil {
		return nil, err
	}
	defer hop.close()
	cfg.say("%d rounds, %s each turn", cfg.Rounds, cfg.For)
	for i := range cfg.Rounds {
		for k, t := range all {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			runtime.GC()
			s := t.via()
			if s == nil {
				return nil, fmt.Errorf("%s: the log has no such member now", t.row.Name)
			}
			if err := t.g.write(ctx, s, t.writers, cfg.For, t.row); err != nil {
				return nil, fmt.Errorf("%s: %w", t.row.Name, err)
			}
			cfg.step(i*(len(all)+2)+k+1, cfg.Rounds*(len(all)+2))
		}
		if err := appends(dir, disk, cfg.For/4); err != nil {
			return nil, err
		}
		if err := hop.round(cfg.Calls); err != nil {
			return nil, err
		}
		cfg.step((i+1)*(len(all)+2), cfg.Rounds*(len(all)+2))
	}
	r.sum()
	for _, t := range all {
		if t.row != all[0].row && t.writers == cfg.Writers {
			r.compare(t.row, all[0].row, "commits_per_s")
		}
	}
	for _, t := range all {
		if t.writers == 1 {
			r.compare(t.row, disk, "commit_p50_ms")
		} else {
			r.compare(t.row, disk, "commits_per_s")
		}
	}
	r.compare(hop.far, hop.near, "call_p50_ms")
	r.Notes = append(r.Notes, "All members of all logs are in one process and write to one disk; a log of several speaks over loopback TCP. So the CPU of a commit is that of all members together.")
	return r, nil
}

// appends measures the disk alone.
func appends(dir string, row *Row, d time.Duration) error {
	f, err := os.Create(filepath.Join(dir, "appends")) //nolint:gosec // in the folder above
	if err != nil {
		return err
	}
	defer f.Close() // what is in it does not matter
	var times []float64
	block := make([]byte, 4096)
	start := time.Now()
	for time.Since(start) < d {
		t := time.Now()
		if _, err := f.Write(block); err != nil {
			return err
		}
		if err := datasync(f); err != nil {
			return err
		}
		times = append(times, float64(time.Since(t).Microseconds())/1e3)
	}
	row.add("commits_per_s", float64(len(times))/time.Since(start).Seconds())
	slices.Sort(times)
	row.add("commit_p50_ms", percentile(times, 50))
	row.add("commit_p99_ms", percentile(times, 99))
	return nil
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"ferrite/bmc/ipmi"
)

// SyncConfig says what the power sync bench compares.
type SyncConfig struct {
	BMCs     int
	Rounds   int
	Window   int64         // readings under way at a time
	Against  []string      // some of Contenders
	Dead     []float64     // shares of dead BMCs to measure freshness with; none = freshness is not measured
	Interval time.Duration // of the power sync while freshness is measured
	Paced    bool          // with ipmi.rate, ipmi.subnet_rate and ipmi.handshake_rate as they are by default
	Sizes    []int         // fleets of Growth
	Dir      string        // for the workers' data
	Self     string        // the ferrite binary, for the workers
	Progress
}

// Contenders are what Sync can be compared with: the raw limit, our own engine on the socket of systems without batches, and
// the tools of today.
func Contenders() []string { return []string{"echo", "portable", "ipmipower", "ipmitool"} }

// Names of the contenders.
const (
	portEngine = "ferrite, engine alone, kept sessions, portable socket"

	keptWhole  = "ferrite, whole conductor, kept sessions"
	keptEngine = "ferrite, engine alone, kept sessions"
	eachWhole  = "ferrite, whole conductor, a session per poll"
	eachEngine = "ferrite, engine alone, a session per poll"
	firstRound = "ferrite, first round: handshakes"
	echoName   = "raw UDP echo, same crypto and batching"
	powerName  = "ipmipower --stat"
	toolName   = "ipmitool power status"
)

// slots of a simulated BMC: two contenders keep a session each, and two open one a round, which lives a minute if its end is lost.
const slots = 32

// Sync reads the power of a whole simulated fleet, round by round: through a whole conductor and through the engine alone, with
// sessions that are kept and with one for each reading, alternately with the raw UDP echo and the tools of today.
func Sync(ctx context.Context, cfg SyncConfig) (*Report, error) {
	r := newReport("sync", cfg.BMCs, cfg.Rounds, tools(cfg.Against)...)
	r.Notes = append(r.Notes, cfg.pacing()+" The simulator and the echo server share the cores, in processes of their own; CPU and memory are those of the contender's process alone.")
	w := &crew{ctx: ctx, self: cfg.Self, dir: cfg.Dir}
	defer w.goHome()
	port, err := freeUDP()
	if err != nil {
		return nil, err
	}
	cfg.say("starting %d BMCs", cfg.BMCs)
	if _, err := w.hire(setup{Kind: "sim", BMCs: cfg.BMCs, Port: port, Sessions: slots}); err != nil {
		return nil, err
	}
	all, err := ours(w, cfg, r, port)
	if err != nil {
		return nil, err
	}
	more, err := rivals(ctx, w, cfg, r, port)
	if err != nil {
		return nil, err
	}
	cfg.say("%d rounds of %d contenders", cfg.Rounds, len(all)+len(more))
	if err := turns(append(all, more...), cfg.Rounds, cfg.Progress); err != nil {
		return nil, err
	}
	for _, h := range w.all {
		if h.row == nil {
			continue
		}
		m, err := h.ask(request{Do: "grown"})
		if err != nil {
			return nil, err
		}
		h.row.RSS = &m.RSS
		h.row.set("bytes_per_node", float64(m.RSS)/float64(cfg.BMCs))
	}
	w.goHome()
	if len(cfg.Dead) > 0 {
		if err := freshness(ctx, cfg, r); err != nil {
			return nil, err
		}
	}
	r.sum()
	ratios(r)
	return r, nil
}

// pacing says in the result whether rounds were held back.
func (c SyncConfig) pacing() string {
	if c.Paced {
		d := ipmi.Defaults()
		return fmt.Sprintf("Pacing on: %g readings/s in all, %g in a /24, %g logins/s. Rates are those, not what Ferrite can do; CPU is what it takes.", d.Rate, d.SubnetRate, d.Handshakes)
	}
	return fmt.Sprintf("Pacing off (no ipmi.rate, ipmi.subnet_rate or ipmi.handshake_rate): rounds go as fast as %d readings under way allow.", c.Window)
}

// least is how many readings a contender makes in its turn; who is paced makes one round.
func (c SyncConfig) least() int {
	if c.Paced {
		return 1
	}
	return 20_000
}

// ours starts the contenders of ours.
func ours(w *crew, cfg SyncConfig, r *Report, port int) ([]contender, error) {
	var all []contender
	for _, x := range []struct {
		name, kind string
		perPoll    bool
	}{{keptWhole, "conductor", false}, {keptEngine, "engine", false}, {eachWhole, "conductor", true}, {eachEngine, "engine", true}} {
		cfg.say("starting %s", x.name)
		h, err := w.hire(setup{Kind: x.kind, BMCs: cfg.BMCs, Port: port, PerPoll: x.perPoll, Paced: cfg.Paced})
		if err != nil {
			return nil, err
		}
		h.row = r.row(x.name, "")
		do := "round"
		if x.kind == "conductor" {
			do = "settle"
		}
		first, err := h.ask(request{Do: do, N: 1, Window: cfg.Window})
		if err != nil {
			return nil, err
		}
		if x.name == keptWhole {
			r.row(firstRound, "once").set(figRate, first.Sample.Rate).set(figCPU, first.Sample.CPU)
		}
		all = append(all, byWorker(h.row, h, cfg.BMCs, cfg.Window, cfg.least()))
	}
	return all, nil
}

func tools(against []string) (out []string) {
	for _, name := range against {
		if name != "echo" && name != "portable" {
			out = append(out, name)
		}
	}
	return out
}

// rivals starts what ferrite is compared with.
func rivals(ctx context.Context, w *crew, cfg SyncConfig, r *Report, port int) ([]contender, error) {
	var all []contender
	if slices.Contains(cfg.Against, "echo") {
		c, err := echoing(w, r.row(echoName, ""), cfg.BMCs, cfg.Window)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	if slices.Contains(cfg.Against, "portable") {
		cfg.say("starting %s", portEngine)
		h, err := w.hire(setup{Kind: "engine", BMCs: cfg.BMCs, Port: port, Portable: true, Paced: cfg.Paced})
		if err != nil {
			return nil, err
		}
		h.row = r.row(portEngine, "a system call for each datagram")
		if _, err := h.ask(request{Do: "round", N: 1, Window: cfg.Window}); err != nil {
			return nil, err
		}
		all = append(all, byWorker(h.row, h, cfg.BMCs, cfg.Window, cfg.least()))
	}
	if slices.Contains(cfg.Against, "ipmipower") {
		path, err := tool("ipmipower")
		if err != nil {
			return nil, err
		}
		hosts := min(cfg.BMCs, ipmipowerBatch)
		row := r.row(powerName, fmt.Sprintf("a session per poll, %d hosts in one process", hosts))
		all = append(all, contender{row, 2, func() (sample, error) { return ipmipower(ctx, path, port, hosts) }})
	}
	if slices.Contains(cfg.Against, "ipmitool") {
		path, err := tool("ipmitool")
		if err != nil {
			return nil, err
		}
		hosts := min(cfg.BMCs, ipmitoolSample)
		row := r.row(toolName, fmt.Sprintf("a session and a process per poll, %d of the BMCs, %d processes at a time", hosts, ipmitoolWorkers))
		all = append(all, contender{row, 3, func() (sample, error) { return ipmitool(ctx, path, port, hosts) }})
	}
	return all, nil
}

// echoing starts both sides of the raw echo.
func echoing(w *crew, row *Row, bmcs int, window int64) (contender, error) {
	port, err := freeUDP()
	if err != nil {
		return contender{}, err
	}
	if _, err := w.hire(setup{Kind: "echo-server", Port: port}); err != nil {
		return contender{}, err
	}
	h, err := w.hire(setup{Kind: "echo", BMCs: bmcs, Port: port})
	return byWorker(row, h, bmcs, window, 20_000), err
}

// ratios are ours to the limit, the tools' to ours.
func ratios(r *Report) {
	for _, a := range []string{keptEngine, keptWhole, eachEngine, eachWhole, portEngine} {
		if x, echo := r.find(a), r.find(echoName); x != nil && echo != nil {
			r.compare(x, echo, figCPU)
		}
	}
	for _, tool := range []string{powerName, toolName} {
		for _, b := range []string{keptWhole, eachWhole} {
			if x := r.find(tool); x != nil {
				r.compare(x, r.find(b), figCPU)
				r.compare(r.find(b), x, figRate)
			}
		}
	}
	if x := r.find(portEngine); x != nil {
		r.compare(x, r.find(keptEngine), figCPU)
	}
	r.compare(r.find(eachWhole), r.find(keptWhole), figCPU)
}

// percentile of sorted figures.
func percentile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, min(len(sorted), int(math.Ceil(p/100*float64(len(sorted)))))-1)]
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
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

// contender is one of those that take turns.
type contender struct {
	row   *Row
	every int // takes part in every n-th round: slow ones less often
	round func() (sample, error)
}

// byWorker is a contender that is a worker; small fleets are asked several times a round, so that a clock tick does not show.
func byWorker(row *Row, h *helper, bmcs int, window int64, least int) contender {
	times := max(1, least/bmcs)
	return contender{row, 1, func() (sample, error) {
		a, err := h.ask(request{Do: "round", N: times, Window: window})
		if h.commits {
			row.add("commits_per_round", float64(a.Writes)/float64(times))
		}
		return a.Sample, err
	}}
}

// turns lets all contenders take their turns.
func turns(all []contender, rounds int, p Progress) error {
	for i := range rounds {
		for k, c := range all {
			if i%c.every != 0 {
				continue
			}
			s, err := c.round()
			if err != nil {
				return fmt.Errorf("%s: %w", c.row.Name, err)
			}
			c.row.add(figRate, s.Rate)
			c.row.add(figCPU, s.CPU)
			if s.Allocs > 0 || c.row.rounds["allocs"] != nil {
				c.row.add("allocs", s.Allocs)
			}
			p.step(i*len(all)+k+1, rounds*len(all))
		}
	}
	p.step(1, 1)
	for _, c := range all {
		if v := c.row.rounds["allocs"]; v != nil {
			a := SpreadOf(v).Median
			c.row.Allocs = &a
			delete(c.row.rounds, "allocs")
		}
	}
	return nil
}

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

// What Growth needs: of each node of each fleet (a conductor, an engine and an echo), and of each simulated BMC.
const (
	growthNode = 15_000
	growthBMC  = 5_000
	growthMore = 1 << 30 // for everything else
)

// growthFits are the sizes that memory allows, smallest first, and why others are left out ("" = none is).
func growthFits(sizes []int, available int64) (fit []int, why string) {
	need := func(s []int) (bytes int64) {
		for _, n := range s {
			bytes += int64(n) * growthNode
		}
		return bytes + int64(slices.Max(s))*growthBMC + growthMore
	}
	for fit = slices.Sorted(slices.Values(sizes)); len(fit) > 1 && need(fit) > available; {
		n := fit[len(fit)-1]
		why += fmt.Sprintf("%d BMCs are left out: with them it needs %.1f GB of memory, and %.1f GB are available. ", n, float64(need(fit))/1e9, float64(available)/1e9)
		fit = fit[:len(fit)-1]
	}
	return fit, strings.TrimSpace(why)
}

// Growth measures what a node costs in fleets of several sizes. All fleets are there at once and take turns, so that the hour
// of the day is the same for all.
func Growth(ctx context.Context, cfg SyncConfig) (*Report, error) {
	sizes, why := cfg.Sizes, ""
	if kb, ok := proc("/proc/meminfo", "MemAvailable:"); ok {
		sizes, why = growthFits(sizes, kb<<10)
	}
	largest := slices.Max(sizes)
	r := newReport("growth", largest, cfg.Rounds)
	if why != "" {
		cfg.say("%s", why)
		r.Notes = append(r.Notes, why)
	}
	w := &crew{ctx: ctx, self: cfg.Self, dir: cfg.Dir}
	defer w.goHome()
	port, err := freeUDP()
	if err != nil {
		return nil, err
	}
	cfg.say("starting %d BMCs", largest)
	if _, err := w.hire(setup{Kind: "sim", BMCs: largest, Port: port, Sessions: slots}); err != nil {
		return nil, err
	}
	type fleet struct{ whole, engine, echo *Row }
	var all []contender
	var fleets []fleet
	for _, n := range sizes {
		x := fleet{r.row(fmt.Sprintf("%s, %d", keptWhole, n), ""), r.row(fmt.Sprintf("%s, %d", keptEngine, n), ""), r.row(fmt.Sprintf("%s, %d", echoName, n), "")}
		for _, p := range []struct {
			row      *Row
			kind, do string
		}{{x.whole, "conductor", "settle"}, {x.engine, "engine", "round"}} {
			cfg.say("starting %s", p.row.Name)
			h, err := w.hire(setup{Kind: p.kind, BMCs: n, Port: port})
			if err != nil {
				return nil, err
			}
			h.row = p.row
			if _, err := h.ask(request{Do: p.do, N: 1, Window: cfg.Window}); err != nil {
				return nil, err
			}
			all = append(all, byWorker(p.row, h, n, cfg.Window, largest))
		}
		echo, err := echoing(w, x.echo, n, cfg.Window)
		if err != nil {
			return nil, err
		}
		x.whole.Nodes, x.engine.Nodes, x.echo.Nodes = n, n, n
		all, fleets = append(all, echo), append(fleets, x)
	}
	cfg.say("%d rounds of %d fleets", cfg.Rounds, len(sizes))
	if err := turns(all, cfg.Rounds, cfg.Progress); err != nil {
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
		h.row.set("bytes_per_node", float64(m.RSS)/float64(h.row.Nodes))
	}
	r.sum()
	for _, x := range fleets {
		r.compare(x.whole, fleets[0].whole, figCPU)
		r.compare(x.engine, fleets[0].engine, figCPU)
		r.compare(x.whole, x.echo, figCPU)
		r.compare(x.engine, x.echo, figCPU)
	}
	rate := Chart{Name: "rate", Title: "Power readings per second against fleet size", X: "BMCs", Y: "readings/s", LogX: true}
	cpu := Chart{Name: "cpu", Title: "CPU per reading against fleet size", X: "BMCs", Y: "us of CPU", LogX: true}
	memory := Chart{Name: "memory", Title: "Anonymous memory per node against fleet size", X: "BMCs", Y: "KB per node", LogX: true}
	for i, name := range []string{"whole conductor", "engine alone", "raw echo"} {
		a, b, c := Curve{Name: name}, Curve{Name: name}, Curve{Name: name}
		for _, x := range fleets {
			row := []*Row{x.whole, x.engine, x.echo}[i]
			a.X, a.Y = append(a.X, float64(row.Nodes)), append(a.Y, row.Rate.Median)
			b.X, b.Y = append(b.X, float64(row.Nodes)), append(b.Y, row.CPU.Median)
			if m, ok := row.figure("bytes_per_node"); ok {
				c.X, c.Y = append(c.X, float64(row.Nodes)), append(c.Y, m.Median/1e3)
			}
		}
		rate.Curves, cpu.Curves = append(rate.Curves, a), append(cpu.Curves, b)
		if len(c.X) > 0 {
			memory.Curves = append(memory.Curves, c)
		}
	}
	r.Charts = []Chart{rate, cpu, memory}
	if all := r.growth(); len(all) > 0 {
		most := slices.MaxFunc(all, func(a, b grown) int { return cmp.Compare(a.times, b.times) })
		r.Notes = append(r.Notes, fmt.Sprintf("By the medians of the whole conductor no size costs more than %.2f x the CPU of the smallest one for a reading; wanted: %.2f x at most.", max(1, most.times), 1+Limit))
	}
	return r, nil
}

// freshness lets conductors with living and with dead BMCs sweep side by side, and looks how long ago each living node's power
// was confirmed.
func freshness(ctx context.Context, cfg SyncConfig, r *Report) error {
	w := &crew{ctx: ctx, self: cfg.Self, dir: cfg.Dir}
	defer w.goHome()
	type fleet struct {
		row  *Row
		h    *helper
		ages []float64
	}
	var fleets []*fleet
	shares := append([]float64{0}, slices.DeleteFunc(slices.Clone(cfg.Dead), func(v float64) bool { return v == 0 })...)
	for _, dead := range shares {
		port, err := freeUDP()
		if err != nil {
			return err
		}
		if _, err := w.hire(setup{Kind: "sim", BMCs: cfg.BMCs, Port: port, Sessions: slots, Dead: dead}); err != nil {
			return err
		}
		name := fmt.Sprintf("ferrite, sweep every %s, %g %% of the BMCs dead", cfg.Interval, dead*100)
		cfg.say("starting %s", name)
		h, err := w.hire(setup{Kind: "conductor", BMCs: cfg.BMCs, Port: port, Interval: cfg.Interval, Paced: cfg.Paced})
		if err != nil {
			return err
		}
		fleets = append(fleets, &fleet{row: r.row(name, "age of the living nodes' power state"), h: h})
	}
	const warm, looks = 3, 40 // intervals until it is settled; looks at it afterwards, over four intervals
	cfg.say("sweeping for %s", (warm+4)*cfg.Interval)
	if err := pause(ctx, warm*cfg.Interval); err != nil {
		return err
	}
	before := make([]float64, len(fleets))
	for i := range looks + 1 {
		for k, x := range fleets {
			if i == 0 || i == looks {
				a, err := x.h.ask(request{Do: "cpu"})
				if err != nil {
					return err
				}
				if i == 0 {
					before[k] = a.Sample.CPU
				} else {
					x.row.set("cpu_percent", (a.Sample.CPU-before[k])/(4*cfg.Interval.Seconds())/1e4)
				}
			}
			a, err := x.h.ask(request{Do: "ages"})
			if err != nil {
				return err
			}
			slices.Sort(a.Values)
			x.ages = append(x.ages, a.Values...)
			if len(a.Values) == 0 {
				return fmt.Errorf("%s: no node was confirmed", x.row.Name)
			}
			x.row.add("age_p50_s", percentile(a.Values, 50))
			x.row.add("age_p99_s", percentile(a.Values, 99))
			x.row.add("age_max_s", a.Values[len(a.Values)-1])
		}
		cfg.step(i+1, looks+1)
		if err := pause(ctx, 4*cfg.Interval/looks); err != nil {
			return err
		}
	}
	chart := Chart{Name: "freshness", Title: fmt.Sprintf("How long ago the living nodes' power was confirmed; a sweep every %s", cfg.Interval), X: "seconds", Y: "share of the nodes", Share: true}
	for i, x := range fleets {
		if i > 0 {
			r.compare(x.row, fleets[0].row, "age_p99_s")
		}
		slices.Sort(x.ages)
		c := Curve{Name: fmt.Sprintf("%g %% dead", shares[i]*100)}
		for p := range 101 {
			c.X, c.Y = append(c.X, percentile(x.ages, float64(p))), append(c.Y, float64(p)/100)
		}
		chart.Curves = append(chart.Curves, c)
	}
	r.Charts = append(r.Charts, chart)
	return nil
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

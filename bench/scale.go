// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"ferrite/bmc/ipmi"
)

// Costs are what the benches have measured, of one machine.
type Costs struct {
	ReadingCPU   float64 // us of a reading in a kept session
	EachCPU      float64 // us of a reading with a session of its own
	ShakeCPU     float64 // us of the first reading, with its handshake
	CommitCPU    float64 // us of a commit, of all voters together
	Commits      float64 // a second, three voters, 64 writers
	OwnedBytes   float64 // of memory a node that a conductor looks after, beside its copy of the record
	CopyBytes    float64 // of memory a node of the cell, in each of its conductors
	Detect       float64 // s until a loss is noticed
	From         []string
	Missing      []string // what no kept result tells, and is assumed
	Cores        float64
	EventsPerSec float64 // that a publisher hands to NATS
}

// Demand is what a fleet asks for.
type Demand struct {
	Interval   time.Duration // of the power sync
	Writes     float64       // commits a node and day
	Wave       float64       // share of the nodes that are commanded in one wave
	WaveFor    time.Duration
	WaveWrites float64 // commits of each of them
	WriteBytes float64 // of a commit in the log, with its event
}

// What a reading sends and gets: a command and its answer, and in a session of its own besides that Open Session, RAKP 1 and 3,
// and Close Session with theirs.
const (
	keptPackets = 2
	eachPackets = 10
)

// keeps reports whether sessions live from one reading to the next.
func (d Demand) keeps() bool { return d.Interval <= ipmi.Defaults().SessionIdle }

// Plan is how the fleet is cut: each cell is a log with conductors of its own.
type Plan struct {
	Nodes      int
	Cell       int     // nodes of a cell
	Conductors int     // of a cell
	Memory     float64 // bytes that a conductor may have
	Shakes     float64 // a second that the conductors of a cell allow themselves together (ipmi.handshake_rate)
	Rate       float64 // readings a second that they allow themselves together (ipmi.rate)
	Load       float64 // share of a resource that may be used in the worst hour, so that there is room for a loss
}

// DefaultDemand is a fleet of a cloud: each node is changed ten times a day, and once in a while a tenth of it is commanded at once.
func DefaultDemand() Demand {
	return Demand{Interval: 45 * time.Second, Writes: 40, Wave: 0.10, WaveFor: 10 * time.Minute, WaveWrites: 4, WriteBytes: 7000}
}

// DefaultPlan is cells of 50,000 nodes with three conductors of 16 GB.
func DefaultPlan() Plan {
	return Plan{Nodes: 1_000_000, Cell: 50_000, Conductors: 3, Memory: 16e9, Shakes: ipmi.Defaults().Handshakes, Rate: ipmi.Defaults().Rate, Load: 0.5}
}

// Measured reads the costs from the newest kept results of a folder.
func Measured(dir string) (Costs, error) {
	c := Costs{Cores: 2}
	load := func(what string) *Report {
		names, _ := keptFiles(dir, what, AnySize, "") // none is no error: what it would tell is assumed
		var best *Report
		for _, name := range names {
			if r, err := Load(name); err == nil && (best == nil || r.BMCs > best.BMCs || r.BMCs == best.BMCs && r.Date > best.Date) {
				best = r
			}
		}
		if best != nil {
			c.From = append(c.From, best.base())
		}
		return best
	}
	take := func(r *Report, row, figure string, into *float64, otherwise float64) {
		if r != nil {
			for _, x := range r.Results {
				if s, ok := x.figure(figure); ok && strings.HasPrefix(x.Name, row) {
					*into = s.Median
					return
				}
			}
		}
		*into = otherwise
		c.Missing = append(c.Missing, fmt.Sprintf("%s (%s): %g", row, figure, otherwise))
	}
	sync, commit, takeover := load("sync"), load("commit"), load("takeover")
	if sync == nil && commit == nil {
		return c, fmt.Errorf("%s has no kept results of \"sync\" and \"commit\": make them with --out %s", dir, dir)
	}
	var whole, together float64
	take(sync, keptWhole, figCPU, &c.ReadingCPU, 8)
	take(sync, eachWhole, figCPU, &c.EachCPU, 40)
	take(sync, firstRound, figCPU, &c.ShakeCPU, 40)
	take(sync, keptWhole, "bytes_per_node", &whole, 12_000)
	take(commit, us+", voters: 3, writers: 64, at the leader", "commits_per_s", &c.Commits, 4000)
	take(commit, us+", voters: 3, writers: 64, at the leader", "cpu_us_per_commit", &c.CommitCPU, 300)
	take(takeover, followerDies, "detected_s", &c.Detect, 1.2)
	take(takeover, followerDies, "bytes_per_node", &together, whole*0.7)
	// One conductor alone: copy + owned = whole. One of three: copy + owned/3 = together.
	c.OwnedBytes = max(0, (whole-together)*members/(members-1))
	c.CopyBytes = max(0, whole-c.OwnedBytes)
	c.EventsPerSec = 50_000
	c.Missing = append(c.Missing, "notifications that a publisher hands to NATS each second: 50,000")
	return c, nil
}

// End is where one resource ends.
type End struct {
	Resource string
	Used     float64 // share of it in a cell of the plan, in the worst minute
	Cell     int     // nodes of a cell at which the plan's Load is reached
	Why      string
}

// Ends works out how far each resource of a cell reaches. All but the gossip's are of one cell: cells do not know of each
// other, so the number of cells, and with it of nodes, is bounded by none of them.
func Ends(c Costs, d Demand, p Plan) []End {
	cell, per := float64(p.Cell), float64(p.Conductors)
	steady := cell * d.Writes / 86400
	wave := cell * d.Wave * d.WaveWrites / d.WaveFor.Seconds()
	writes := steady + wave
	owners := max(1, per-1) // one is lost
	all := cell / d.Interval.Seconds()
	readings := all / owners
	each, packets, allowed := c.ReadingCPU, float64(keptPackets)*readings, p.Rate
	lost := cell / per / d.Interval.Seconds()
	logins, login, why := "logins after a loss", lost/p.Shakes, fmt.Sprintf("%.0f of %.0f/s of all together (ipmi.handshake_rate): a lost conductor's BMCs are logged in to by their first reading, and those are spread over an interval", lost, p.Shakes)
	if !d.keeps() {
		each, packets = c.EachCPU, eachPackets*readings
		logins, login, why = "logins", all/p.Shakes, fmt.Sprintf("one for each reading, since no session lives that long: %.0f of %.0f/s (ipmi.handshake_rate)", all, p.Shakes)
	}
	cpu := (readings*each + writes*c.CommitCPU/per) / 1e6 / c.Cores
	rows := []struct {
		name string
		used float64
		why  string
	}{
		{"CPU of a conductor", cpu, fmt.Sprintf("%.0f readings/s and %.0f commits/s while one conductor is lost, on %.0f cores", readings, writes, c.Cores)},
		{"memory of a conductor", (cell*c.CopyBytes + cell/owners*c.OwnedBytes) / p.Memory, fmt.Sprintf("each holds a copy of every node of the cell (%.1f KB) and its share of sessions and actors (%.1f KB each), of %.0f GB", c.CopyBytes/1e3, c.OwnedBytes/1e3, p.Memory/1e9)},
		{"commits of the log", writes / c.Commits, fmt.Sprintf("%.0f of %.0f commits/s: one log a cell", writes, c.Commits)},
		{"notifications to NATS", writes / c.EventsPerSec, "one publisher a cell, one event a commit"},
		{logins, login, why},
		{"readings that a cell allows itself", all / allowed, fmt.Sprintf("%.0f of %.0f readings/s (ipmi.rate)", all, allowed)},
		{"packets of a conductor", packets / 200_000, fmt.Sprintf("%.0f packets/s of about 200,000 that two cores move", packets)},
		{"the log's disk", writes * d.WriteBytes / 200e6, fmt.Sprintf("%.1f MB/s of 200", writes*d.WriteBytes/1e6)},
	}
	var out []End
	for _, x := range rows {
		at := math.MaxInt32
		if x.used > 0 {
			at = int(min(math.MaxInt32, cell*p.Load/x.used)) // all are in proportion to the cell's nodes
		}
		out = append(out, End{x.name, x.used, at, x.why})
	}
	slices.SortFunc(out, func(a, b End) int { return a.Cell - b.Cell })
	return out
}

// Scale is the model as a page: what each resource comes to, and what happens in cells of several sizes.
func Scale(c Costs, d Demand, p Plan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Costs from %s: a reading %.1f us of CPU (%.0f us with a session of its own, at intervals above %s), a login %.0f us, a commit %.0f us (all voters), %.0f commits/s; %.1f KB a node in each conductor of its cell and %.1f KB more in its owner.\n\n",
		strings.Join(c.From, ", "), c.ReadingCPU, c.EachCPU, ipmi.Defaults().SessionIdle, c.ShakeCPU, c.CommitCPU, c.Commits, c.CopyBytes/1e3, c.OwnedBytes/1e3)
	if len(c.Missing) > 0 {
		fmt.Fprintf(&b, "Assumed, not measured: %s.\n\n", strings.Join(c.Missing, "; "))
	}
	fmt.Fprintf(&b, "Demand: each power read every %s; %g commits a node and day; waves in which %.0f %% of the nodes take %g commits each within %s. Plan: %d nodes in cells of %d with %d conductors each: %d cells, %d conductors.\n\n",
		d.Interval, d.Writes, d.Wave*100, d.WaveWrites, d.WaveFor, p.Nodes, p.Cell, p.Conductors, cells(p.Nodes, p.Cell), cells(p.Nodes, p.Cell)*p.Conductors)
	fmt.Fprintf(&b, "| resource | used in a cell of %d | ends at a cell of (%.0f %% used) | |\n|---|---|---|---|\n", p.Cell, p.Load*100)
	for _, e := range Ends(c, d, p) {
		at := short(float64(e.Cell/1000*1000)) + " nodes"
		if e.Cell > 50_000_000 {
			at = "no end in sight"
		}
		fmt.Fprintf(&b, "| %s | %s %% | %s | %s |\n", e.Resource, digits(e.Used*100), at, e.Why)
	}
	fmt.Fprintf(&b, "\nA simulated day of one cell: changes at random, a wave at eight, the loss of a conductor in the middle of it. A reading is late when it is made more than a tenth of an interval after it was due.\n\n")
	fmt.Fprintf(&b, "| nodes of a cell | cells for %s | commits a day | busiest second | longest wait for the log, s | seconds at the log's limit | each power is read every, s | readings late | logged in again after, s |\n|---|---|---|---|---|---|---|---|---|\n", short(float64(p.Nodes)))
	for _, size := range []int{10_000, 50_000, 100_000, 250_000, 1_000_000} {
		q := p
		q.Cell = size
		x := Simulate(c, d, q, 1)
		fmt.Fprintf(&b, "| %d | %d | %d | %.0f | %.2f | %d | %.1f | %s %% | %.1f |\n", size, cells(p.Nodes, size), x.Commits, x.PeakRate, x.LongestWait, x.BusySeconds, x.Every, digits(100*float64(x.ReadingsLate)/float64(max(1, x.Readings))), x.LoginsTook)
	}
	return b.String()
}

func cells(nodes, cell int) int { return (nodes + cell - 1) / cell }

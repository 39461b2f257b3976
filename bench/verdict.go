// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"slices"
	"strings"
)

// Limit is how much worse a ratio or a figure may become.
const Limit = 0.20

// Standing is what a regression check makes of something.
type Standing string

// What there is. BestHolds: the median is worse than it may be, but one round was as good as what was kept.
const (
	Holds     Standing = "holds"
	BestHolds Standing = "holds by its best round"
	Fails     Standing = "**fails**"
	Told      Standing = "for information"
)

// Verdict is one ratio or figure now and as it was kept.
type Verdict struct {
	What      string
	Kept, Now Spread
	Wanted    string // like "<= 1.24"; "" = nothing is wanted of it
	Standing  Standing
}

// Worse tells by how much, like "+12 %"; less than nothing is better. "" = there is no telling, of what was 0.
func (v Verdict) Worse() string {
	if v.Kept.Median <= 0 || v.Now.Median <= 0 {
		return ""
	}
	worse := v.Now.Median/v.Kept.Median - 1
	if strings.HasPrefix(v.Wanted, ">") {
		worse = v.Kept.Median/v.Now.Median - 1
	}
	return fmt.Sprintf("%+.0f %%", worse*100)
}

// Comparison is what came of Compare.
type Comparison struct {
	Kept     string // file that was compared with
	Verdicts []Verdict
	Missing  []string // kept, and not measured by this run: it was made with less
}

// Failed are the names of what fails; judged is of how many.
func (c Comparison) Failed() (names []string, judged int) {
	for _, v := range c.Verdicts {
		if v.Standing != Told {
			judged++
		}
		if v.Standing == Fails {
			names = append(names, v.What)
		}
	}
	return names, judged
}

// Markdown is the comparison as a table.
func (c Comparison) Markdown() string {
	var b strings.Builder
	if len(c.Missing) > 0 {
		fmt.Fprintf(&b, "Not measured by this run: %d of what %s has (%s ...).\n\n", len(c.Missing), c.Kept, c.Missing[0])
	}
	fmt.Fprintf(&b, "| against %s | kept | now | worse by | wanted | verdict |\n|---|---|---|---|---|---|\n", c.Kept)
	for _, v := range c.Verdicts {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", v.What, digits(v.Kept.Median), digits(v.Now.Median), v.Worse(), v.Wanted, v.Standing)
	}
	return b.String()
}

// Compare holds a report against the newest kept report of the same bench, size and set in a folder; ErrNothingKept if there is
// none. Three kinds of things are judged:
//
//   - ratios to somebody else (the raw echo, the tools, the disk): rates and CPU of two moments cannot be compared themselves. A
//     ratio with ours on both sides is told only: it becomes "worse" when the other side becomes better.
//   - figures that the hour of the day does not change, by themselves: memory, allocations, commits, and the seconds of a takeover,
//     which timers make.
//   - what the run alone tells: that the cost of a node does not grow with the fleet.
//
// What is judged fails when its median is worse than it may be and its best round is worse than the kept median: one bad round on
// a busy machine is no regression.
func (r *Report) Compare(dir string) (Comparison, error) {
	names, err := keptFiles(dir, r.Bench, r.BMCs, r.Set)
	if err != nil {
		return Comparison{}, err
	}
	out := Comparison{Kept: names[len(names)-1]} // they begin with the day
	old, err := Load(out.Kept)
	if err != nil {
		return out, err
	}
	out.ratios(r, old)
	out.figures(r, old)
	if len(out.Verdicts) == 0 {
		return out, fmt.Errorf("%s has nothing that this run has: give both the same --against", out.Kept)
	}
	out.flat(r, old)
	return out, nil
}

// ratios are the first kind.
func (c *Comparison) ratios(r, old *Report) {
	for _, k := range old.Ratios {
		what := fmt.Sprintf("%s : %s (%s)", k.A, k.B, k.Figure)
		i := slices.IndexFunc(r.Ratios, func(q Ratio) bool { return k.A == q.A && k.B == q.B && k.Figure == q.Figure })
		if k.Median <= 0 {
			continue
		}
		if i < 0 || r.Ratios[i].Median <= 0 {
			c.Missing = append(c.Missing, what)
			continue
		}
		q := r.Ratios[i]
		v := Verdict{What: what, Kept: Spread{k.Median, k.Min, k.Max}, Now: Spread{q.Median, q.Min, q.Max}, Standing: Told}
		if !strings.HasPrefix(k.A, us) || !strings.HasPrefix(k.B, us) {
			v = atMost(v, k.Median*(1+Limit))
			if !smaller(q) {
				v = atLeast(v, k.Median/(1+Limit))
			}
		}
		c.Verdicts = append(c.Verdicts, v)
	}
}

// atMost judges what is the better the smaller it is.
func atMost(v Verdict, most float64) Verdict {
	v.Wanted, v.Standing = "<= "+digits(most), Holds
	if v.Now.Median > most {
		if v.Standing = Fails; v.Now.Min <= v.Kept.Median {
			v.Standing = BestHolds
		}
	}
	return v
}

// atLeast judges what is the better the greater it is.
func atLeast(v Verdict, least float64) Verdict {
	v.Wanted, v.Standing = ">= "+digits(least), Holds
	if v.Now.Median < least {
		if v.Standing = Fails; v.Now.Max >= v.Kept.Median {
			v.Standing = BestHolds
		}
	}
	return v
}

// smaller reports whether a smaller ratio is better: our cost above the line, or our rate below it.
func smaller(q Ratio) bool {
	ours := strings.HasPrefix(q.A, us)
	return ours != strings.Contains(q.Figure, "_per_s")
}

// figAllocs is a figure that a row has a field for.
const figAllocs = "allocs_per_node"

// absolute are the figures of ours that are judged by themselves: at most (1 + share) of what was kept, and more on top.
var absolute = []struct {
	figure string
	share  float64
	more   float64
	whole  bool // more is of the whole process, not of a node: small fleets carry what a process needs anyway
}{
	{"bytes_per_node", Limit, 4e6, true},
	{figAllocs, Limit, 0.05, false},
	{"commits_per_round", 0, 0, false}, // 0 stays 0
	{"reads_failed", 0, 0, false},
	{"detected_s", Limit, 0.5, false},
	{"write_p99_s", Limit, 0.5, false},
	{"active_s", Limit, 0.5, false},
	{"read_gap_s", Limit, 0.5, false},
	{"open_intents_s", Limit, 0.5, false},
	{"consoles_s", Limit, 0.5, false},
}

// figures are the second kind.
func (c *Comparison) figures(r, old *Report) {
	for _, k := range old.Results {
		if !strings.HasPrefix(k.Name, us) {
			continue
		}
		for _, f := range absolute {
			kept, is := k.figure(f.figure)
			if !is {
				continue
			}
			v := Verdict{What: k.Name + ": " + f.figure, Kept: kept}
			x := r.find(k.Name)
			if x == nil {
				c.Missing = append(c.Missing, v.What)
				continue
			}
			if v.Now, is = x.figure(f.figure); !is {
				c.Missing = append(c.Missing, v.What)
				continue
			}
			more := f.more
			if f.whole {
				more /= float64(max(1, r.nodes(x)))
			}
			c.Verdicts = append(c.Verdicts, atMost(v, kept.Median*(1+f.share)+more))
		}
	}
}

// leastFlat is the size of the smallest fleet whose costs are held against those of larger ones: rounds of less take too little time.
const leastFlat = 1000

// flat is the third kind: in fleets of several sizes, no size costs more than the smallest one and Limit of that, by the medians
// of the whole conductor.
func (c *Comparison) flat(r, old *Report) {
	now, kept := r.growth(), map[string]float64{}
	for _, x := range old.growth() {
		kept[x.name] = x.times
	}
	for _, x := range now {
		v := Verdict{What: x.name, Kept: spreadOfOne(kept[x.name]), Now: spreadOfOne(x.times), Wanted: "<= " + digits(1+Limit), Standing: Holds}
		if x.times > 1+Limit {
			v.Standing = Fails
		}
		c.Verdicts = append(c.Verdicts, v)
	}
}

func spreadOfOne(v float64) Spread { return Spread{v, v, v} }

// grown is what a size costs, as times of what the smallest one costs.
type grown struct {
	name  string
	times float64
}

// growth is what each size but the smallest costs; none of other benches, and of fleets too small to tell.
func (r *Report) growth() (out []grown) {
	var first *Row
	for _, x := range r.Results {
		if r.Bench != "growth" || !strings.HasPrefix(x.Name, keptWhole) || x.CPU == nil || x.CPU.Median <= 0 || x.Nodes < leastFlat {
			continue
		}
		if first == nil {
			first = x
			continue
		}
		out = append(out, grown{fmt.Sprintf("flat: a node of %d against one of %d (medians of %s)", x.Nodes, first.Nodes, figCPU), x.CPU.Median / first.CPU.Median})
	}
	return out
}

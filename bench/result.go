// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Spread is the median, least and greatest of several rounds.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// SpreadOf sums several figures up.
func SpreadOf(v []float64) Spread {
	if len(v) == 0 {
		return Spread{}
	}
	s := slices.Clone(v)
	slices.Sort(s)
	m := s[len(s)/2]
	if len(s)%2 == 0 {
		m = (m + s[len(s)/2-1]) / 2
	}
	return Spread{Median: m, Min: s[0], Max: s[len(s)-1]}
}

// Figures every power sync row has; other figures have names of their own, with their unit at the end.
const (
	figRate = "nodes_per_s"
	figCPU  = "cpu_us_per_node"
)

// Row is what one contender did. What was not measured is null.
type Row struct {
	Name    string            `json:"name"`
	Rate    *Spread           `json:"nodes_per_s"`
	CPU     *Spread           `json:"cpu_us_per_node"`
	RSS     *int64            `json:"rss_anon_bytes"`
	Allocs  *float64          `json:"allocs_per_node"`
	Nodes   int               `json:"nodes,omitempty"` // where it is not the report's number of BMCs
	Figures map[string]Spread `json:"figures,omitempty"`
	Note    string            `json:"note,omitempty"`

	rounds map[string][]float64 // what was measured, by figure and round
}

// add notes one round's figure.
func (x *Row) add(figure string, v float64) {
	if x.rounds == nil {
		x.rounds = map[string][]float64{}
	}
	x.rounds[figure] = append(x.rounds[figure], v)
}

// set is add of a figure that there is once.
func (x *Row) set(figure string, v float64) *Row {
	x.add(figure, v)
	return x
}

// sum makes the spreads of what was measured.
func (x *Row) sum() {
	for figure, v := range x.rounds {
		s := SpreadOf(v)
		switch figure {
		case figRate:
			x.Rate = &s
		case figCPU:
			x.CPU = &s
		default:
			if x.Figures == nil {
				x.Figures = map[string]Spread{}
			}
			x.Figures[figure] = s
		}
	}
}

// figure finds one by name.
func (x *Row) figure(name string) (Spread, bool) {
	switch {
	case name == figRate && x.Rate != nil:
		return *x.Rate, true
	case name == figCPU && x.CPU != nil:
		return *x.CPU, true
	case name == figAllocs && x.Allocs != nil:
		return Spread{*x.Allocs, *x.Allocs, *x.Allocs}, true
	}
	s, ok := x.Figures[name]
	return s, ok
}

// Ratio compares a figure of two contenders, round by round: a's divided by b's.
type Ratio struct {
	A      string  `json:"a"`
	B      string  `json:"b"`
	Figure string  `json:"figure"`
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// Curve is a line of a plot.
type Curve struct {
	Name   string    `json:"name"`
	X      []float64 `json:"x"`
	Y      []float64 `json:"y"`
	Colour int       `json:"colour,omitempty"` // curves of one kind have one; 0 = one of its own
	Dashed bool      `json:"dashed,omitempty"`
}

// Chart is a plot that goes with a report.
type Chart struct {
	Name   string  `json:"name"` // end of the file's name
	Title  string  `json:"title"`
	X      string  `json:"x"`
	Y      string  `json:"y"`
	LogX   bool    `json:"log_x,omitempty"`
	Share  bool    `json:"share,omitempty"` // Y goes from 0 to 1
	Steps  bool    `json:"steps,omitempty"` // what was reached stays reached until the next point; X is time, and begins shortly before anything happens
	Curves []Curve `json:"curves"`
}

// Report is one run.
type Report struct {
	Bench    string            `json:"bench"`
	BMCs     int               `json:"bmcs"`
	Rounds   int               `json:"rounds"`
	Set      string            `json:"set,omitempty"` // Quick, or "" = of full length
	Machine  string            `json:"machine"`
	Versions map[string]string `json:"versions"`
	Command  string            `json:"command"`
	Date     string            `json:"date"`
	Load     string            `json:"load"` // load average as it began: other work makes figures worse
	Results  []*Row            `json:"results"`
	Ratios   []Ratio           `json:"ratios"`
	Charts   []Chart           `json:"charts,omitempty"`
	Notes    []string          `json:"notes,omitempty"`
}

// row adds a contender.
func (r *Report) row(name, note string) *Row {
	x := &Row{Name: name, Note: note}
	r.Results = append(r.Results, x)
	return x
}

// nodes is how many a contender had.
func (r *Report) nodes(x *Row) int {
	if x.Nodes > 0 {
		return x.Nodes
	}
	return r.BMCs
}

// find is a contender by name.
func (r *Report) find(name string) *Row {
	for _, x := range r.Results {
		if x.Name == name {
			return x
		}
	}
	return nil
}

// compare adds the ratio of a's to b's figure, round by round; who did not take part in every round is compared by medians.
func (r *Report) compare(a, b *Row, figure string) {
	va, vb := a.rounds[figure], b.rounds[figure]
	if len(va) == 0 || len(vb) == 0 {
		return
	}
	var v []float64
	if len(va) == len(vb) {
		for i := range va {
			v = append(v, va[i]/vb[i])
		}
	} else {
		sa, sb := SpreadOf(va), SpreadOf(vb)
		v = []float64{sa.Min / sb.Median, sa.Median / sb.Median, sa.Max / sb.Median}
	}
	s := SpreadOf(v)
	r.Ratios = append(r.Ratios, Ratio{A: a.Name, B: b.Name, Figure: figure, Median: s.Median, Min: s.Min, Max: s.Max})
}

// sum makes all spreads.
func (r *Report) sum() {
	for _, x := range r.Results {
		x.sum()
	}
}

// Markdown is the report as tables.
func (r *Report) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s", r.Bench)
	if r.BMCs > 0 {
		fmt.Fprintf(&b, ", %d BMCs", r.BMCs)
	}
	fmt.Fprintf(&b, ", %d rounds\n\n%s; %s; load %s as it began; %s. Made by `%s`.\n\n", r.Rounds, r.Machine, r.versions(), r.Load, r.Date, r.Command)
	for _, rows := range r.tables() {
		table(&b, rows)
	}
	if len(r.Ratios) > 0 {
		fmt.Fprintf(&b, "| ratio | figure | median | min-max |\n|---|---|---|---|\n")
		for _, q := range r.Ratios {
			fmt.Fprintf(&b, "| %s : %s | %s | %s | %s-%s |\n", q.A, q.B, q.Figure, digits(q.Median), digits(q.Min), digits(q.Max))
		}
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "\n%s\n", n)
	}
	return b.String()
}

// figures are the names of what a row has.
func (x *Row) figures() (out []string) {
	for _, name := range []string{figRate, figCPU} {
		if _, ok := x.figure(name); ok {
			out = append(out, name)
		}
	}
	return append(out, slices.Sorted(maps.Keys(x.Figures))...)
}

// tables puts rows that have a figure in common into one table.
func (r *Report) tables() (out [][]*Row) {
next:
	for _, x := range r.Results {
		for i, rows := range out {
			for _, y := range rows {
				if slices.ContainsFunc(x.figures(), func(f string) bool { return slices.Contains(y.figures(), f) }) {
					out[i] = append(out[i], x)
					continue next
				}
			}
		}
		out = append(out, []*Row{x})
	}
	return out
}

// table has a column for each figure that any row has.
func table(b *strings.Builder, rows []*Row) {
	var columns []string
	for _, x := range rows {
		for _, f := range x.figures() {
			if !slices.Contains(columns, f) {
				columns = append(columns, f)
			}
		}
	}
	rss := slices.ContainsFunc(rows, func(x *Row) bool { return x.RSS != nil })
	allocs := slices.ContainsFunc(rows, func(x *Row) bool { return x.Allocs != nil })
	notes := slices.ContainsFunc(rows, func(x *Row) bool { return x.Note != "" })
	head := append([]string{""}, columns...)
	for _, more := range []struct {
		is   bool
		name string
	}{{rss, "rss_anon_mb"}, {allocs, "allocs_per_node"}, {notes, ""}} {
		if more.is {
			head = append(head, more.name)
		}
	}
	fmt.Fprintf(b, "| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat("---|", len(head)))
	for _, x := range rows {
		cells := []string{x.Name}
		for _, c := range columns {
			s, ok := x.figure(c)
			cells = append(cells, cell(s, ok))
		}
		if rss {
			cells = append(cells, "")
			if x.RSS != nil {
				cells[len(cells)-1] = digits(float64(*x.RSS) / 1e6)
			}
		}
		if allocs {
			cells = append(cells, "")
			if x.Allocs != nil {
				cells[len(cells)-1] = fmt.Sprintf("%.3f", *x.Allocs)
			}
		}
		if notes {
			cells = append(cells, x.Note)
		}
		fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
	}
	fmt.Fprintln(b)
}

func cell(s Spread, ok bool) string {
	switch {
	case !ok:
		return ""
	case s.Min == s.Max:
		return digits(s.Median)
	default:
		return fmt.Sprintf("%s (%s-%s)", digits(s.Median), digits(s.Min), digits(s.Max))
	}
}

// digits writes three significant ones.
func digits(v float64) string {
	switch {
	case v >= 100 || v == 0 || v <= -100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	default:
		return fmt.Sprintf("%.3g", v)
	}
}

// Quick is the Set of short runs, which show that a bench works and little else.
const Quick = "quick"

// base is a report's file name without its end: the day, the bench, the number of BMCs if it has one, and its set.
func (r *Report) base() string {
	name := r.Date[:10] + "-" + r.Bench
	if r.BMCs > 0 {
		name += fmt.Sprintf("-%d", r.BMCs)
	}
	if r.Set != "" {
		name += "-" + r.Set
	}
	return name
}

// Save writes JSON, Markdown, a file for benchstat, and plots into a folder; it returns the Markdown file's name. What is
// saved beside ("worse", say) has a name of its own, writes over no kept result, and is compared with by nobody.
func (r *Report) Save(dir, beside string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // results are for everybody
		return "", err
	}
	base := filepath.Join(dir, r.base())
	if beside != "" {
		base += "-" + beside
	}
	doc, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return "", err
	}
	for end, text := range map[string][]byte{".json": append(doc, '\n'), ".md": []byte(r.Markdown()), ".benchstat.txt": []byte(r.Benchstat())} {
		if err := os.WriteFile(base+end, text, 0o644); err != nil { //nolint:gosec // as above
			return "", err
		}
	}
	for _, c := range r.Charts {
		if err := c.Draw(base); err != nil {
			return "", err
		}
	}
	return base + ".md", nil
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sample of a report whose ratio is ours : theirs.
func report(day string, ours, theirs []float64) *Report {
	r := &Report{Bench: "sync", BMCs: 10, Rounds: len(ours), Machine: "m", Date: day + "T10:00:00Z"}
	a, b := r.row("ferrite", ""), r.row("other", "")
	for i := range ours {
		a.set(figCPU, ours[i]).set(figRate, 1e6/ours[i])
		b.set(figCPU, theirs[i]).set(figRate, 1e6/theirs[i])
	}
	r.sum()
	r.compare(a, b, figCPU)
	r.compare(a, b, figRate)
	r.compare(b, a, figCPU)
	return r
}

func TestMedianAndPercentile(t *testing.T) {
	if s := SpreadOf([]float64{4, 1, 3, 2}); s != (Spread{2.5, 1, 4}) {
		t.Errorf("spread %+v", s)
	}
	v := make([]float64, 100)
	for i := range v {
		v[i] = float64(i + 1)
	}
	for p, want := range map[float64]float64{0: 1, 1: 1, 50: 50, 99: 99, 100: 100} {
		if got := percentile(v, p); got != want {
			t.Errorf("p%g is %g, wanted %g", p, got, want)
		}
	}
	if percentile(nil, 99) != 0 || percentile([]float64{7}, 99) != 7 {
		t.Error("percentile of few")
	}
}

func TestShapeOfTheJSON(t *testing.T) {
	dir := t.TempDir()
	r := report("2026-01-02", []float64{1, 2, 3}, []float64{2, 4, 6})
	rss, allocs := int64(5), 0.0
	r.Results[0].RSS, r.Results[0].Allocs = &rss, &allocs
	name, err := r.Save(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(strings.TrimSuffix(name, ".md") + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Bench, Machine string
		BMCs, Rounds   int
		Results        []map[string]any
		Ratios         []map[string]any
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Bench != "sync" || doc.BMCs != 10 || doc.Rounds != 3 || doc.Machine != "m" || len(doc.Results) != 2 || len(doc.Ratios) != 3 {
		t.Errorf("%s", b)
	}
	for _, key := range []string{"name", "nodes_per_s", "cpu_us_per_node", "rss_anon_bytes", "allocs_per_node"} {
		if _, ok := doc.Results[0][key]; !ok {
			t.Errorf("results without %s", key)
		}
	}
	if got := fmt.Sprint(doc.Results[0]["cpu_us_per_node"]); got != "map[max:3 median:2 min:1]" {
		t.Errorf("cpu_us_per_node is %s", got)
	}
	if q := doc.Ratios[0]; q["a"] != "ferrite" || q["b"] != "other" || q["figure"] != figCPU || q["median"] != 0.5 || q["min"] != 0.5 || q["max"] != 0.5 {
		t.Errorf("ratio %v", q)
	}
	text, _ := os.ReadFile(name)
	if !strings.Contains(string(text), "| ferrite | 500000 (333333-1000000) | 2.00 (1.00-3.00) |") {
		t.Errorf("table:\n%s", text)
	}
	lines, _ := os.ReadFile(strings.TrimSuffix(name, ".md") + ".benchstat.txt")
	if !strings.Contains(string(lines), "BenchmarkSync/ferrite/nodes=10 1 3 cpu_us/node 333333.3333333333 nodes/s\n") || strings.Count(string(lines), "Benchmark") != 6 {
		t.Errorf("benchstat:\n%s", lines)
	}
}

// What would have hidden a regression, or made one of an improvement.
func TestRegressionIsJudgedByWhatCounts(t *testing.T) {
	type figures struct{ kept, each, echo, bytes, allocs, commits, portable float64 }
	usual := figures{kept: 8, each: 40, echo: 8, bytes: 2200, allocs: 0.002, portable: 9}
	const bmcs = 50_000
	measured := func(day string, f figures) *Report {
		r := &Report{Bench: "sync", BMCs: bmcs, Rounds: 3, Date: day + "T10:00:00Z"}
		whole, each, echo, port := r.row(keptWhole, ""), r.row(eachWhole, ""), r.row(echoName, ""), r.row(portEngine, "")
		for range 3 {
			whole.add(figCPU, f.kept)
			each.add(figCPU, f.each)
			echo.add(figCPU, f.echo)
			port.add(figCPU, f.portable)
			whole.add("commits_per_round", f.commits)
		}
		whole.set("bytes_per_node", f.bytes)
		whole.Allocs = &f.allocs
		r.sum()
		r.compare(whole, echo, figCPU)
		r.compare(each, whole, figCPU)
		r.compare(port, whole, figCPU)
		return r
	}
	dir := t.TempDir()
	if _, err := measured("2026-01-01", usual).Save(dir, ""); err != nil {
		t.Fatal(err)
	}
	for what, x := range map[string]struct {
		change func(*figures)
		fails  string // "" = nothing does
	}{
		"the same":                           {func(*figures) {}, ""},
		"a machine that is half as fast":     {func(f *figures) { f.kept, f.each, f.echo, f.portable = 2*f.kept, 2*f.each, 2*f.echo, 2*f.portable }, ""},
		"kept sessions are 40 % cheaper":     {func(f *figures) { f.kept *= 0.6 }, ""},
		"a session per poll costs more":      {func(f *figures) { f.each *= 2 }, ""}, // ours : ours; the raw echo judges it in a whole run
		"kept sessions cost 30 % more":       {func(f *figures) { f.kept *= 1.3 }, keptWhole + " : " + echoName},
		"10 KB of memory a node":             {func(f *figures) { f.bytes = 10_000 }, keptWhole + ": bytes_per_node"},
		"what a process needs, more or less": {func(f *figures) { f.bytes += 4e6 / bmcs }, ""},
		"an allocation each tenth reading":   {func(f *figures) { f.allocs += 0.1 }, keptWhole + ": allocs_per_node"},
		"an allocation each 30th reading":    {func(f *figures) { f.allocs += 0.03 }, ""},
		"a commit in each round":             {func(f *figures) { f.commits = 1 }, keptWhole + ": commits_per_round"},
	} {
		f := usual
		x.change(&f)
		to, err := measured("2026-01-02", f).Compare(dir)
		if err != nil {
			t.Fatal(err)
		}
		bad, judged := to.Failed()
		if judged != 4 || len(to.Missing) != 0 || (x.fails == "") != (len(bad) == 0) || len(bad) > 1 || len(bad) == 1 && !strings.HasPrefix(bad[0], x.fails) {
			t.Errorf("%s: %v of %d fail, wanted %q\n%s", what, bad, judged, x.fails, to.Markdown())
		}
	}
}

// A large fleet's node must not cost more than a small one's, whatever was kept.
func TestGrowthMustBeFlat(t *testing.T) {
	grow := func(day string, cpu map[int]float64) *Report {
		r := &Report{Bench: "growth", BMCs: 100_000, Date: day + "T10:00:00Z"}
		for _, n := range []int{100, 1000, 10_000, 100_000} {
			x := r.row(fmt.Sprintf("%s, %d", keptWhole, n), "").set(figCPU, cpu[n]).set("bytes_per_node", 9000)
			x.Nodes = n
		}
		r.sum()
		return r
	}
	dir := t.TempDir()
	if _, err := grow("2026-01-01", map[int]float64{100: 3, 1000: 9, 10_000: 9, 100_000: 12}).Save(dir, ""); err != nil { // not flat itself
		t.Fatal(err)
	}
	for largest, fails := range map[float64]int{7: 0, 10.7: 0, 10.9: 1, 12: 1} {
		to, err := grow("2026-01-02", map[int]float64{100: 3, 1000: 9, 10_000: 9, 100_000: largest}).Compare(dir)
		bad, judged := to.Failed()
		if err != nil || len(bad) != fails || judged != 6 {
			t.Errorf("the largest at %g us: %v of %d fail (%v), wanted %d\n%s", largest, bad, judged, err, fails, to.Markdown())
		}
	}
}

func TestRegressionIsByRatio(t *testing.T) {
	dir := t.TempDir()
	if _, err := report("2026-01-03", []float64{1}, []float64{2}).Compare(dir); !errors.Is(err, ErrNothingKept) {
		t.Errorf("nothing kept: %v", err)
	}
	for day, ours := range map[string]float64{"2026-01-01": 9, "2026-01-02": 1} { // the last one counts
		if _, err := report(day, []float64{ours, ours, ours}, []float64{2, 2, 2}).Save(dir, ""); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range []struct {
		name         string
		ours, theirs []float64
		fails        int
	}{
		{"the same on a machine that is half as fast", []float64{2, 2, 2}, []float64{4, 4, 4}, 0},
		{"15 % worse", []float64{1.15, 1.15, 1.15}, []float64{2, 2, 2}, 0},
		{"30 % worse in each figure and both ways", []float64{1.3, 1.3, 1.3}, []float64{2, 2, 2}, 3},
		{"30 % worse, but one round was as good", []float64{1, 1.3, 1.3}, []float64{2, 2, 2}, 0},
		{"better", []float64{0.5, 0.5, 0.5}, []float64{2, 2, 2}, 0},
	} {
		to, err := report("2026-01-03", x.ours, x.theirs).Compare(dir)
		all := to.Verdicts
		if err != nil || !strings.Contains(to.Kept, "2026-01-02") || len(all) != 3 || len(to.Missing) != 0 {
			t.Fatalf("%s: %+v %v", x.name, to, err)
		}
		bad, _ := to.Failed()
		n := len(bad)
		if n != x.fails {
			t.Errorf("%s: %d ratios fail, wanted %d: %+v", x.name, n, x.fails, all)
		}
	}
}

func TestChartsAreDrawn(t *testing.T) {
	base := filepath.Join(t.TempDir(), "x")
	c := Chart{Name: "rate", Title: "Rate", X: "BMCs", Y: "per s", LogX: true, Curves: []Curve{
		{Name: "a", X: []float64{1000, 50_000}, Y: []float64{1, 2}}, {Name: "nothing"},
	}}
	if err := c.Draw(base); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(base + "-rate.png")
	if err != nil {
		t.Fatal(err)
	}
	if img, err := png.Decode(bytes.NewReader(b)); err != nil || img.Bounds().Dx() < 500 {
		t.Errorf("png: %v", err)
	}
	if b, err = os.ReadFile(base + "-rate.svg"); err != nil || !bytes.Contains(b, []byte("50k")) || !bytes.Contains(b, []byte("</svg>")) {
		t.Errorf("svg without its ticks: %v", err)
	}
}

// A time line's axis begins shortly before anything happens and ends after the last thing; nothing before it is lost.
func TestTimeLinesHaveTheirEnds(t *testing.T) {
	c := Chart{Name: "takeover", LogX: true, Share: true, Steps: true, Curves: []Curve{
		{Name: "noticed", X: []float64{1.2, 1.2}, Y: []float64{0, 1}},
		{Name: "in a sweep", X: []float64{0.02, 0.04, 1.3}, Y: []float64{0, 0, 1}},
		{Name: "ended", X: []float64{0, 12, 12.5}, Y: []float64{0, 0.5, 1}},
	}}
	from, to, most := c.ends()
	if from >= 1.2 || from < 1 || to <= 12.5 || to > 20 || most != 1 {
		t.Errorf("the axis goes from %g to %g, up to %g", from, to, most)
	}
	if xy := c.points(c.Curves[1], from); len(xy) != 3 || xy[0].X != from || xy[2].X != 1.3 {
		t.Errorf("points %v", xy)
	}
	p, err := c.plot()
	if err != nil {
		t.Fatal(err)
	}
	if p.Y.Min != 0 || p.Y.Max > 1.05 || p.X.Max != to {
		t.Errorf("axes %g-%g, %g-%g", p.X.Min, p.X.Max, p.Y.Min, p.Y.Max)
	}
	var labels []string
	for _, tick := range c.ticks() {
		labels = append(labels, tick.Label)
	}
	if got := strings.Join(labels, " "); got != "1.2 1.5 2 3 4 6 8 10 12 15" {
		t.Errorf("ticks %s", got)
	}
	empty := Chart{Name: "empty", LogX: true, Share: true, Steps: true, Curves: []Curve{{Name: "nothing"}}}
	if err := empty.Draw(filepath.Join(t.TempDir(), "x")); err != nil {
		t.Error(err)
	}
}

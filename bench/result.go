// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
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
	return Spread{Median: s[len(s)/2], Min: s[0], Max: s[len(s)-1]}
}

// Row is what one contender did.
type Row struct {
	Name    string   `json:"name"`
	Rate    Spread   `json:"nodes_per_s"`
	CPU     Spread   `json:"cpu_us_per_node"`
	RSS     int64    `json:"rss_anon_bytes,omitempty"`
	Allocs  *float64 `json:"allocs_per_node,omitempty"`
	Commits *uint64  `json:"commits,omitempty"`
	Note    string   `json:"note,omitempty"`
	cpu     []float64
}

// Ratio compares a figure of two contenders, round by round.
type Ratio struct {
	A      string  `json:"a"`
	B      string  `json:"b"`
	Figure string  `json:"figure"`
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// Report is one run.
type Report struct {
	Bench   string  `json:"bench"`
	BMCs    int     `json:"bmcs"`
	Rounds  int     `json:"rounds"`
	Machine string  `json:"machine"`
	Command string  `json:"command"`
	Date    string  `json:"date"`
	Results []*Row  `json:"results"`
	Ratios  []Ratio `json:"ratios"`
}

// compare adds the ratio of a's to b's CPU per node, round by round.
func (r *Report) compare(a, b *Row) {
	var v []float64
	for i := range min(len(a.cpu), len(b.cpu)) {
		v = append(v, a.cpu[i]/b.cpu[i])
	}
	if len(v) == 0 && len(a.cpu) > 0 && len(b.cpu) > 0 {
		v = []float64{a.CPU.Median / b.CPU.Median}
	}
	s := SpreadOf(v)
	r.Ratios = append(r.Ratios, Ratio{A: a.Name, B: b.Name, Figure: "cpu_us_per_node", Median: s.Median, Min: s.Min, Max: s.Max})
}

// Markdown is the report as a table.
func (r *Report) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s, %d BMCs, %d rounds\n\n%s, %s. Made by `%s`.\n\n", r.Bench, r.BMCs, r.Rounds, r.Machine, r.Date, r.Command)
	fmt.Fprintf(&b, "| | nodes/s (median, min-max) | CPU us/node (median, min-max) | anonymous RSS | allocations/node | commits | |\n|---|---|---|---|---|---|---|\n")
	for _, x := range r.Results {
		rss, allocs, commits := "", "", ""
		if x.RSS > 0 {
			rss = fmt.Sprintf("%.1f MB", float64(x.RSS)/1e6)
		}
		if x.Allocs != nil {
			allocs = fmt.Sprintf("%.3f", *x.Allocs)
		}
		if x.Commits != nil {
			commits = fmt.Sprint(*x.Commits)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", x.Name, spread(x.Rate), spread(x.CPU), rss, allocs, commits, x.Note)
	}
	if len(r.Ratios) > 0 {
		fmt.Fprintf(&b, "\n| ratio | median | min-max |\n|---|---|---|\n")
		for _, q := range r.Ratios {
			fmt.Fprintf(&b, "| %s : %s (%s) | %.2f | %.2f-%.2f |\n", q.A, q.B, q.Figure, q.Median, q.Min, q.Max)
		}
	}
	return b.String()
}

func spread(s Spread) string {
	digits := 0
	if s.Median < 100 {
		digits = 1
	}
	f := func(v float64) string { return fmt.Sprintf("%.*f", digits, v) }
	return fmt.Sprintf("%s (%s-%s)", f(s.Median), f(s.Min), f(s.Max))
}

// Save writes JSON and Markdown below a folder and returns the Markdown file's name.
func (r *Report) Save(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // results are for everybody
		return "", err
	}
	base := filepath.Join(dir, fmt.Sprintf("%s-%s-%d", r.Date[:10], r.Bench, r.BMCs))
	doc, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(base+".json", append(doc, '\n'), 0o644); err != nil { //nolint:gosec // as above
		return "", err
	}
	return base + ".md", os.WriteFile(base+".md", []byte(r.Markdown()), 0o644) //nolint:gosec // as above
}

// machine says what the figures were measured on.
func machine() string {
	model := ""
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
				model = ", " + strings.TrimSpace(v)
				break
			}
		}
	}
	return fmt.Sprintf("%d cores%s, %s/%s, %s", runtime.NumCPU(), model, runtime.GOOS, runtime.GOARCH, runtime.Version())
}

func newReport(name string, bmcs, rounds int) *Report {
	return &Report{Bench: name, BMCs: bmcs, Rounds: rounds, Machine: machine(), Date: time.Now().UTC().Format(time.RFC3339), Command: strings.Join(append([]string{filepath.Base(os.Args[0])}, os.Args[1:]...), " ")}
}

// rssAnon is this process's anonymous resident memory in bytes (Linux; 0 elsewhere).
func rssAnon() int64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			var kb int64
			if _, err := fmt.Sscan(rest, &kb); err == nil {
				return kb << 10
			}
		}
	}
	return 0
}

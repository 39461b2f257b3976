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

// Benchstat is what was measured, a line a round, as golang.org/x/perf/cmd/benchstat reads it. Times are in ns.
func (r *Report) Benchstat() string {
	var b strings.Builder
	fmt.Fprintf(&b, "machine: %s\n", r.Machine)
	for _, x := range r.Results {
		n := 0
		for _, v := range x.rounds {
			n = max(n, len(v))
		}
		nodes := x.Nodes
		if nodes == 0 {
			nodes = r.BMCs
		}
		name := fmt.Sprintf("Benchmark%s/%s/nodes=%d", strings.ToUpper(r.Bench[:1])+r.Bench[1:], plain(x.Name), nodes)
		for i := range n {
			line := fmt.Sprintf("%s 1", name)
			for _, figure := range slices.Sorted(maps.Keys(x.rounds)) {
				if v := x.rounds[figure]; i < len(v) {
					line += fmt.Sprintf(" %g %s", v[i], unit(figure))
				}
			}
			fmt.Fprintln(&b, line)
		}
	}
	return b.String()
}

// plain makes a name that benchstat takes for one word.
func plain(name string) string {
	return strings.Join(strings.FieldsFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9')
	}), "_")
}

// unit writes nodes_per_s as nodes/s.
func unit(figure string) string { return strings.ReplaceAll(figure, "_per_", "/") }

// Limit is how much worse a ratio may become.
const Limit = 0.20

// Verdict is one ratio now and as it was kept.
type Verdict struct {
	Ratio
	Kept  Ratio
	Worse float64 // 0.3 = by 30 %; negative = better
	Fails bool
}

// Compare holds a report's ratios against the newest kept report of the same bench and size in a folder. A ratio fails when
// its median is more than Limit worse, and even its best round is worse than the kept median: one bad round on a busy machine
// is no regression. Only ratios are compared: figures of two moments are not.
func (r *Report) Compare(dir string) (kept string, out []Verdict, err error) {
	old, kept, err := newest(dir, r)
	if err != nil {
		return "", nil, err
	}
	for _, q := range r.Ratios {
		for _, k := range old.Ratios {
			if k.A == q.A && k.B == q.B && k.Figure == q.Figure && k.Median > 0 && q.Median > 0 {
				out = append(out, judge(q, k))
			}
		}
	}
	if len(out) == 0 {
		return kept, nil, fmt.Errorf("%s has no ratio that this run has: give both the same --against", kept)
	}
	return kept, out, nil
}

func judge(now, kept Ratio) Verdict {
	v := Verdict{Ratio: now, Kept: kept}
	if smaller(now) {
		v.Worse = now.Median/kept.Median - 1
		v.Fails = v.Worse > Limit && now.Min > kept.Median
	} else {
		v.Worse = kept.Median/now.Median - 1
		v.Fails = v.Worse > Limit && now.Max < kept.Median
	}
	return v
}

// smaller reports whether a smaller ratio is better: our cost above the line, or our rate below it.
func smaller(q Ratio) bool {
	ours := strings.HasPrefix(q.A, us)
	return ours != strings.Contains(q.Figure, "_per_s")
}

// us begins the names of our own contenders.
const us = "ferrite"

// newest finds the last kept report of the same bench and size.
func newest(dir string, like *Report) (*Report, string, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*"+like.base()[10:]+".json"))
	if err != nil || len(names) == 0 {
		return nil, "", fmt.Errorf("%s has no kept result *%s.json to compare with: make one with --out %s", dir, like.base()[10:], dir)
	}
	slices.Sort(names) // they begin with the day
	name := names[len(names)-1]
	old, err := Load(name)
	return old, name, err
}

// Load reads a kept report.
func Load(name string) (*Report, error) {
	b, err := os.ReadFile(name) //nolint:gosec // the user names it
	if err != nil {
		return nil, err
	}
	r := &Report{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%s is no kept result: %w", name, err)
	}
	return r, nil
}

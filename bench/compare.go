// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
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
		name := fmt.Sprintf("Benchmark%s/%s/nodes=%d", strings.ToUpper(r.Bench[:1])+r.Bench[1:], plain(x.Name), r.nodes(x))
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

// us begins the names of our own contenders.
const us = "ferrite"

// ErrNothingKept is that a folder has nothing to compare with.
var ErrNothingKept = errors.New("no kept result")

// AnySize is a number of BMCs that is not known before the run.
const AnySize = -1

// Kept reports, before a run, whether a folder has a result that it can be compared with: of any bench if its name is "".
// The error is ErrNothingKept if it has none; no folder is another one.
func Kept(dir, bench string, bmcs int, set string) error {
	_, err := keptFiles(dir, bench, bmcs, set)
	return err
}

// keptFiles are the JSON files of a bench, size and set, the oldest first. What was saved beside is none of them.
func keptFiles(dir, bench string, bmcs int, set string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("folder of kept results: %w", err)
	}
	tail, pattern := "", "[a-z]+(-[0-9]+)?"
	if bench != "" {
		tail, pattern = "-"+bench, regexp.QuoteMeta(bench)
		switch {
		case bmcs == AnySize:
			pattern, tail = pattern+"(-[0-9]+)?", tail+"*"
		case bmcs > 0:
			pattern, tail = pattern+fmt.Sprintf("-%d", bmcs), tail+fmt.Sprintf("-%d", bmcs)
		}
	}
	if set != "" {
		pattern, tail = pattern+"-"+regexp.QuoteMeta(set), tail+"-"+set
	}
	is := regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}-` + pattern + `\.json$`)
	var out []string
	for _, e := range entries { // sorted by name
		if is.MatchString(e.Name()) {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w *%s.json in %s to compare with: make one with --out %s, without --compare", ErrNothingKept, tail, dir, dir)
	}
	return out, nil
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

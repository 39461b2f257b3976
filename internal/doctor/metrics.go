// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bufio"
	"cmp"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Series is one line of a page of Prometheus metrics.
type Series struct {
	Name   string
	Labels map[string]string
	Value  float64
}

// Metrics is such a page.
type Metrics []Series

// ReadMetrics reads the text format. Lines that are none are passed over.
func ReadMetrics(r io.Reader) (Metrics, error) {
	var out Metrics
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		if line := strings.TrimSpace(s.Text()); line != "" && line[0] != '#' {
			if one, ok := readSeries(line); ok {
				out = append(out, one)
			}
		}
	}
	return out, s.Err()
}

func readSeries(line string) (s Series, ok bool) {
	s.Labels = map[string]string{}
	end := strings.IndexAny(line, "{ ")
	if end <= 0 {
		return s, false
	}
	s.Name, line = line[:end], line[end:]
	if line[0] == '{' {
		line = line[1:]
		for line != "" && line[0] != '}' {
			name, rest, found := strings.Cut(line, "=")
			value, err := strconv.QuotedPrefix(rest)
			if !found || err != nil {
				return s, false
			}
			if s.Labels[strings.TrimLeft(name, ", ")], err = strconv.Unquote(value); err != nil {
				return s, false
			}
			line = strings.TrimPrefix(rest[len(value):], ",")
		}
		line = strings.TrimPrefix(line, "}")
	}
	fields := strings.Fields(line)
	if len(fields) == 0 {
		return s, false
	}
	v, err := strconv.ParseFloat(fields[0], 64)
	s.Value = v
	return s, err == nil
}

// matches reports whether a series has these labels, given as name, value, name, value.
func (s Series) matches(name string, labels []string) bool {
	if s.Name != name {
		return false
	}
	for i := 0; i+1 < len(labels); i += 2 {
		if s.Labels[labels[i]] != labels[i+1] {
			return false
		}
	}
	return true
}

// Value is the sum of the series of that name with these labels (name, value, ...); ok = there is any.
func (m Metrics) Value(name string, labels ...string) (sum float64, ok bool) {
	for _, s := range m {
		if s.matches(name, labels) {
			sum, ok = sum+s.Value, true
		}
	}
	return sum, ok
}

// Count is Value as a number, 0 when there is none.
func (m Metrics) Count(name string, labels ...string) int {
	v, _ := m.Value(name, labels...)
	return int(v)
}

// Label is a label of the first series of that name.
func (m Metrics) Label(name, label string) string {
	for _, s := range m {
		if s.Name == name {
			return s.Labels[label]
		}
	}
	return ""
}

// Quantile is the bound below which that share of a histogram's values is, over all series with these labels; ok = it has
// any value. +Inf is beyond the last bound.
func (m Metrics) Quantile(q float64, name string, labels ...string) (bound float64, ok bool) {
	sums := map[float64]float64{}
	for _, s := range m {
		if s.matches(name+"_bucket", labels) {
			if le, err := strconv.ParseFloat(s.Labels["le"], 64); err == nil {
				sums[le] += s.Value
			}
		}
	}
	all := sums[math.Inf(1)]
	if all == 0 {
		return 0, false
	}
	type bucket struct{ le, n float64 }
	var sorted []bucket
	for le, n := range sums {
		sorted = append(sorted, bucket{le, n})
	}
	slices.SortFunc(sorted, func(a, b bucket) int { return cmp.Compare(a.le, b.le) })
	for _, b := range sorted {
		if b.n >= q*all {
			return b.le, true
		}
	}
	return math.Inf(1), true
}

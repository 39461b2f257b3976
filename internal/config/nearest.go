// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strings"
)

// name is the option's key.
func (o Option) name() string { return o.Key }

// nearest suggests the option whose form (key, environment variable) is most like a wrong one; "" = none is like it.
func nearest(wrong string, form func(Option) string) string {
	best, least := "", len(strings.TrimPrefix(wrong, "FERRITE_"))/2+1
	for _, o := range Options {
		name := form(o)
		if d := distance(wrong, name); d < least {
			best, least = name, d
		}
		// Ironic writes a group apart from its keys, so it is easily joined by the wrong sign.
		if d := distance(wrong, strings.ReplaceAll(name, ".", "_")); d < least {
			best, least = name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance is Levenshtein's: how many letters must be put in, left out or changed.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

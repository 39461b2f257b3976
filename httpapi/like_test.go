// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import "testing"

func TestLike(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"row 1", "Hall B, ROW 1", true},
		{"Row 1", "row 2", false},
		{"", "x", true},
		{"a%c", "xxAbbbCyy", true},
		{"a%c", "cba", false},
		{"%", "x", true},
		{"r_w", "the row", true},
		{"r_w", "rw", false},
		{"r_w", "r\u00f6w", true},
		{"_____", "four", false},
		{"____", "four", true},
		{"a_%_d", "abcd", true},
		{"a_%_d", "abd", false},
		{".*", "abc", false},
		{"\\", "a\\b", true},
	} {
		if got := like(c.pattern)(c.text); got != c.want {
			t.Errorf("%q like %%%s%%: %v, wanted %v", c.text, c.pattern, got, c.want)
		}
	}
}

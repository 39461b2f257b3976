// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"regexp"
	"testing"

	"pgregory.net/rapid"
)

// TestLongNumber: the quick look says what a plain one would, wherever the digits lie.
func TestLongNumber(t *testing.T) {
	plain := regexp.MustCompile(`[0-9]{16}`)
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.StringMatching(`([a-z"]{0,9}[0-9]{0,3}|[0-9]{14,18}){0,9}`).Draw(t, "data")
		if got, want := longNumber([]byte(data)), plain.MatchString(data); got != want {
			t.Fatalf("longNumber(%q) = %v, wanted %v", data, got, want)
		}
	})
}

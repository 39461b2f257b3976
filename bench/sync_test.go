// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"slices"
	"strings"
	"testing"
)

// Growth leaves out the largest fleets that memory does not allow, says why, and never all of them.
func TestGrowthFitsIntoMemory(t *testing.T) {
	sizes := []int{1000, 100_000, 50_000}
	for _, x := range []struct {
		gb   int64
		want []int
		why  []string
	}{
		{100, []int{1000, 50_000, 100_000}, nil},
		{3, []int{1000, 50_000}, []string{"100000 BMCs are left out: with them it needs 3.8 GB of memory, and 3.0 GB are available."}},
		{1, []int{1000}, []string{"100000 BMCs are left out", "50000 BMCs are left out: with them it needs 2.1 GB"}},
		{0, []int{1000}, []string{"100000 BMCs", "50000 BMCs"}},
	} {
		fit, why := growthFits(sizes, x.gb*1e9)
		if !slices.Equal(fit, x.want) || (why == "") != (x.why == nil) {
			t.Errorf("with %d GB: %v, %q: wanted %v", x.gb, fit, why, x.want)
		}
		for _, text := range x.why {
			if !strings.Contains(why, text) {
				t.Errorf("with %d GB it says %q: wanted %q", x.gb, why, text)
			}
		}
	}
	if sizes[1] != 100_000 {
		t.Error("the caller's sizes were changed")
	}
}

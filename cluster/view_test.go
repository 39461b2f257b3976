// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

func members(names ...string) (out []Member) {
	for i, n := range names {
		out = append(out, Member{Name: n, Incarnation: uint64(i + 1)})
	}
	return out
}

func key(i int) string { return fmt.Sprintf("10.%d.%d.%d:623", i>>16&255, i>>8&255, i&255) }

func TestSharesAreEven(t *testing.T) {
	const keys = 50_000
	for _, n := range []int{2, 3, 5, 9} {
		var names []string
		for i := range n {
			names = append(names, fmt.Sprintf("conductor-%d", i+1))
		}
		v := NewView(1, members(names...))
		count := map[string]int{}
		for i := range keys {
			m, _ := v.Owner(key(i), "")
			count[m.Name]++
		}
		for name, got := range count {
			if want := keys / n; got < want*95/100 || got > want*105/100 {
				t.Errorf("of %d members %s owns %d keys, wanted %d +- 5 %%", n, name, got, want)
			}
		}
	}
}

// A member that goes moves its own keys only, and gets the same ones when it is back.
func TestOnlyTheSharesOfWhoGoesMove(t *testing.T) {
	all := NewView(1, members("c1", "c2", "c3", "c4"))
	less := NewView(2, members("c1", "c3", "c4"))
	moved := 0
	for i := range 10_000 {
		a, _ := all.Owner(key(i), "")
		b, _ := less.Owner(key(i), "")
		if a.Name != "c2" && a.Name != b.Name {
			t.Fatalf("key %d moved from %s to %s although %s stayed", i, a.Name, b.Name, a.Name)
		}
		if a.Name == "c2" {
			moved++
		}
	}
	if moved == 0 {
		t.Error("c2 owned nothing")
	}
}

func TestGroupsAndDraining(t *testing.T) {
	ms := members("c1", "c2", "c3", "c4")
	ms[2].Group, ms[3].Group = "hall-b", "hall-b"
	ms[1].Draining, ms[3].Draining = true, true
	v := NewView(1, ms)
	for i := range 100 {
		if m, ok := v.Owner(key(i), ""); !ok || m.Name != "c1" {
			t.Fatalf("no group: %v, %v; wanted c1, the only one that does not drain", m.Name, ok)
		}
		if m, ok := v.Owner(key(i), "hall-b"); !ok || m.Name != "c3" {
			t.Fatalf("hall-b: %v, %v; wanted c3", m.Name, ok)
		}
		if m, ok := v.Owner(key(i), "hall-c"); ok {
			t.Fatalf("a group without members is owned by %s", m.Name)
		}
	}
	if !v.Lives("c2", 2) || v.Lives("c2", 3) || v.Lives("c9", 1) {
		t.Error("c2 lives with incarnation 2 only, c9 not at all")
	}
}

// Two members that know the same members name the same owner, in whatever order they heard of them.
func TestTheOrderOfHearingDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,8}`), 1, 12, rapid.ID[string]).Draw(t, "names")
		ms := members(names...)
		other := rapid.Permutation(ms).Draw(t, "order")
		k := rapid.String().Draw(t, "key")
		a, _ := NewView(1, ms).Owner(k, "")
		b, _ := NewView(2, other).Owner(k, "")
		if a != b {
			t.Fatalf("%s and %s own %q", a.Name, b.Name, k)
		}
	})
}

func BenchmarkOwner(b *testing.B) {
	v := NewView(1, members("c1", "c2", "c3", "c4", "c5"))
	b.ReportAllocs()
	for i := range b.N {
		v.Owner("10.1.2.3:623", [2]string{"", "x"}[i&1])
	}
}

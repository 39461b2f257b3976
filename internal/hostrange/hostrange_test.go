// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package hostrange

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestExpand(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"n1", "n1"},
		{"n[1-3]", "n1 n2 n3"},
		{"n[08-11]", "n08 n09 n10 n11"},
		{"n[8-11]", "n8 n9 n10 n11"},
		{"node[1,3,5-7]", "node1 node3 node5 node6 node7"},
		{"a[01-02],b3", "a01 a02 b3"},
		{"r[01-02]n[1-2]x", "r01n1x r01n2x r02n1x r02n2x"},
		{" a , b ", "a b"},
		{"a[1-2],a[2-3]", "a1 a2 a3"},
		{"[1-2]", "1 2"},
		{"n[98-102]", "n98 n99 n100 n101 n102"},
		{"6f6e0a52-8f6b-4f36-b9bd-6a4c8f1d2c3a", "6f6e0a52-8f6b-4f36-b9bd-6a4c8f1d2c3a"},
	} {
		got, err := Expand(c.in, 1000)
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, %v; wanted %s", c.in, got, err, c.want)
		}
	}
}

func TestExpandRefuses(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", "found nothing"},
		{"a,,b", "found nothing at character 3"},
		{"a[1-3", "wanted ]"},
		{"a1-3]", "no partner"},
		{"a[[1]]", "no partner"},
		{"a[]", "wanted a number"},
		{"a[x]", "wanted a number"},
		{"a[1-]", "wanted a number"},
		{"a[1--3]", "wanted a number"},
		{"a[+1]", "wanted a number"},
		{"a[3-1]", "backwards"},
		{"a[1-09]", "unlike width"},
		{"a[001-9]", "unlike width"},
		{"a b", "blank"},
		{"a[1-9999999999999999999]", "up to 18 digits"},
		{"a[1-101]", "more than 100 names"},
		{"a[1-60],b[1-60]", "more than 100 names"},
		{"a[1-999999999999999999][1-999999999999999999][1-999999999999999999]", "more than 100 names"},
		{strings.Repeat("[1-2]", 64), "more than 100 names"},
	} {
		if got, err := Expand(c.in, 100); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, %v; wanted an error with %q", c.in, got, err, c.want)
		}
	}
	if got, err := Expand("a[1-100]", 100); err != nil || len(got) != 100 {
		t.Errorf("as many as the limit: %d, %v", len(got), err)
	}
}

func TestFold(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"a", "a"},
		{"n3 n1 n2", "n[1-3]"},
		{"n1 n3 n5 n6", "n[1,3,5-6]"},
		{"n08 n09 n10", "n[08-10]"},
		{"n9 n10 n11", "n[9-11]"},
		{"n9 n09 n10", "n[9-10,09]"},
		{"r01n1 r01n2 r02n1 r02n2", "r[01-02]n[1-2]"},
		{"r01n1 r01n2 r02n1", "r01n[1-2],r02n1"},
		{"b a n1 n1", "a,b,n1"},
		{"r10 r2 x", "r[2,10],x"},
	} {
		if got := Fold(strings.Fields(c.in)); got != c.want {
			t.Errorf("%s: %s, wanted %s", c.in, got, c.want)
		}
	}
}

func TestFoldAWholeHall(t *testing.T) {
	var names []string
	for r := range 1000 {
		for n := range 50 {
			names = append(names, fmt.Sprintf("r%04dn%d", r+1, n+1))
		}
	}
	if got := Fold(names); got != "r[0001-1000]n[1-50]" {
		t.Errorf("folded to %s", clip(got))
	}
}

// TestFoldKeepsTheSet folds any set of names and expands it again.
func TestFoldKeepsTheSet(t *testing.T) {
	name := rapid.OneOf(
		rapid.StringMatching(`(r|n|x-)?[0-9]{1,3}((n|\.)[0-9]{1,2})?`),
		rapid.StringMatching(`[a-c0-2._~-]{1,6}`),
		rapid.StringMatching(`n[0-9]{17,20}`),
	)
	rapid.Check(t, func(t *rapid.T) { same(t, rapid.SliceOfN(name, 1, 60).Draw(t, "names")) })
}

type failer interface {
	Fatalf(format string, args ...any)
}

func same(t failer, names []string) {
	folded := Fold(names)
	got, err := Expand(folded, len(names))
	if err != nil {
		t.Fatalf("%q folds to %q, which does not expand: %v", names, folded, err)
	}
	got, want := unique(got), unique(names)
	if !slices.Equal(got, want) {
		t.Fatalf("%q folds to %q, which is %q", want, folded, got)
	}
}

// FuzzExpand holds that whatever is typed is refused or stays below the limit, and that what it stands for folds.
func FuzzExpand(f *testing.F) {
	for _, s := range []string{"r[01-40]n[1-9]", "node[1,3,5-9]", "a[01-10],b3", "[", "a[9-1]", "[0-0][00-01]", "a[1-2]]", "n[1-999999999999999999]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		const limit = 500
		got, err := Expand(s, limit)
		if err != nil {
			return
		}
		if len(got) == 0 || len(got) > limit {
			t.Fatalf("%q stands for %d names", s, len(got))
		}
		same(t, got)
	})
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"strings"
	"testing"

	"github.com/hashicorp/memberlist"
)

func TestWordsComeBackAsSaid(t *testing.T) {
	x := Member{Name: "c1", Incarnation: 1<<63 + 1, Group: "rack 7", Draining: true, Cut: true, Expect: 3, API: "http://h:6385", Raft: "h:6386", Remote: "h:6387", NATS: "h:6222", Version: "0.1", Cluster: "ab"}
	b, err := encode(x)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decode(b, "c1"); err != nil || got != x {
		t.Errorf("%v\n got %+v\nwant %+v", err, got, x)
	}
	for _, meta := range []string{"", "{}", "null", "[]", `{"n":"c2"}`, `{"n":"c1","i":-1}`, `{"n":"c1"}x`} {
		if got, err := decode([]byte(meta), "c1"); err == nil {
			t.Errorf("%s was taken for %+v", meta, got)
		}
	}
	x.API = strings.Repeat("x", memberlist.MetaMaxSize)
	if b, err := encode(x); err == nil {
		t.Errorf("%d bytes would go by gossip", len(b))
	}
}

// FuzzWords: whatever a member says of itself, it is left out or has the name that gossip knows it by, and a view with it
// finds an owner among those that may own.
func FuzzWords(f *testing.F) {
	b, _ := encode(Member{Name: "c1", Incarnation: 7, Group: "g", API: "http://h:6385", Raft: "h:6386"})
	f.Add(b, "c1", "g")
	for _, s := range []string{"", "null", `{"n":"c1","d":true}`, `{"n":"c1","e":-1,"j":true}`, `{"n":"c1","i":18446744073709551616}`, `{"N":"c1","n":"\ud800"}`} {
		f.Add([]byte(s), "c1", "")
	}
	f.Fuzz(func(t *testing.T, meta []byte, name, group string) {
		x, err := decode(meta, name)
		if err != nil {
			return
		}
		if x.Name != name {
			t.Fatalf("%q says it is %q", name, x.Name)
		}
		if again, err := encode(x); err == nil {
			if y, err := decode(again, name); err != nil || y != x {
				t.Errorf("%+v comes back as %+v, %v", x, y, err)
			}
		}
		other := Member{Name: name + "'", Group: group}
		owner, ok := NewView(1, []Member{x, other}).Owner("10.0.0.1", group)
		if !ok || owner.Group != group || owner != other && (x.Draining || x.Joining || x.Cordoned) {
			t.Errorf("of %+v and %+v the owner is %+v, %v", x, other, owner, ok)
		}
	})
}

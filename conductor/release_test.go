// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"strings"
	"testing"
	"time"

	"ferrite/node"
)

// TestAnyConductorReleases: an operation that never ends is taken from its living owner by whichever conductor is asked, and
// the node goes back to where it belongs.
func TestAnyConductorReleases(t *testing.T) { // S6, S13
	cs := several(t, 2, func(_ int, c *Config) { c.Fake.PowerDelay, c.Policy.Valid = "100000", 200*time.Millisecond })
	c1, c2 := cs[0], cs[1]
	agree(t, c1, c2)
	if code, text := ask(t, c1, "POST", "/v1/nodes", `{"name":"n","driver":"fake-hardware"}`); code != 201 {
		t.Fatalf("%d %s", code, text)
	}
	find := func(c *Conductor) (found *node.Node) {
		if _, err := c.store.ReadIndex(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.store.Nodes(nil, func(n *node.Node) bool { found = n; return true })
		return found
	}
	for round := range 2 { // once through the owner, once through the other
		if code, text := ask(t, c1, "PUT", "/v1/nodes/n/states/power", `{"target":"power on"}`); code != 202 {
			t.Fatalf("%d %s", code, text)
		}
		before := find(c1)
		if before.Intent == nil {
			t.Fatal("the operation has ended")
		}
		through := map[bool]*Conductor{true: c1, false: c2}[(before.Owner.Name == "c1") == (round == 0)]
		if code, text := ask(t, through, "POST", "/v1/x/nodes/n/release", `{"force":true}`); code != 200 || !strings.Contains(text, before.Intent.ID) || !strings.Contains(text, before.Owner.Name) {
			t.Fatalf("released through %s: %d %s", through.cfg.Name, code, text)
		}
		n := find(c2)
		if n.Intent != nil || n.Owner.Name != through.cfg.Name || n.Owner.Epoch != before.Owner.Epoch+1 || !strings.Contains(n.LastError, "released by force") || n.PowerState == node.PowerOn {
			t.Errorf("after the release through %s: %+v, before %+v", through.cfg.Name, n, before.Owner)
		}
		until(t, "the node has one actor again", func() bool { return owned(c1, c2) == 1 })
	}
}

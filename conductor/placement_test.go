// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"maps"
	"testing"

	"ferrite/cluster"
	"ferrite/node"
	"ferrite/persistence"
)

func TestPlacement(t *testing.T) { // S3, S15
	bmc := func(uuid, address string) *node.Node {
		return &node.Node{UUID: uuid, Interfaces: map[string]string{"power": "ipmitool"}, DriverInfo: map[string]any{"ipmi_address": address}}
	}
	one := alone("c1", "hall-a", 7)
	if n := bmc("a", "192.0.2.1"); one.mine(n) {
		t.Error("a node of another group is mine")
	}
	n := bmc("a", "192.0.2.1")
	if n.ConductorGroup = "hall-a"; !one.mine(n) || one.owner(n) != "c1" {
		t.Error("a node of the group of the only conductor is not its own")
	}
	many := &placement{self: "c1"}
	many.view.Store(cluster.NewView(1, []cluster.Member{{Name: "c1"}, {Name: "c2"}, {Name: "c3"}}))
	owners := map[string]bool{}
	for i := range 50 {
		a := bmc(string(rune('A'+i)), "192.0.2.9")
		owners[many.owner(a)] = true
	}
	if len(owners) != 1 {
		t.Errorf("nodes behind one BMC are owned by %v", owners)
	}
	clear(owners)
	for i := range 50 {
		owners[many.owner(&node.Node{UUID: string(rune('A' + i))})] = true
	}
	if len(owners) != 3 {
		t.Errorf("nodes without a BMC are owned by %v, wanted all three", owners)
	}
}

// An operation stays with its owner while that lives and hears the log's leader, whoever should own the node (S4, S7).
func TestOperationsStayWithTheirOwner(t *testing.T) {
	p := &placement{self: "c1"}
	see := func(c2 cluster.Member) {
		c2.Name = "c2"
		p.view.Store(cluster.NewView(1, []cluster.Member{{Name: "c1", Incarnation: 1}, c2}))
	}
	see(cluster.Member{Incarnation: 2})
	n := &node.Node{}
	for i := 0; p.owner(n) != "c1"; i++ { // one that c1 should own
		n.UUID = string(rune('A' + i))
	}
	n.Owner = node.Owner{Name: "c2", Incarnation: 2}
	n.Intent = &node.Intent{ID: "op", Owner: n.Owner}
	for what, row := range map[string]struct {
		c2   cluster.Member
		want string
	}{
		"alive":              {cluster.Member{Incarnation: 2}, "c2"},
		"draining":           {cluster.Member{Incarnation: 2, Draining: true}, "c2"},
		"another process":    {cluster.Member{Incarnation: 3}, "c1"},
		"without the leader": {cluster.Member{Incarnation: 2, Cut: true}, "c1"},
	} {
		see(row.c2)
		if got := p.owner(n); got != row.want {
			t.Errorf("%s: the operation is %s's, wanted %s", what, got, row.want)
		}
	}
	n.Intent = nil
	see(cluster.Member{Incarnation: 2})
	if got := p.owner(n); got != "c1" {
		t.Errorf("an idle node is %s's", got)
	}
}

// A cordoned member keeps exactly what it had, whoever wrote it last and whoever comes and goes meanwhile, and gets nothing new.
func TestACordonedMemberKeepsWhatItHas(t *testing.T) {
	p := &placement{self: "c1"}
	seq := uint64(0)
	see := func(ms ...cluster.Member) {
		seq++
		p.view.Store(cluster.NewView(seq, ms))
	}
	c1, c2, c3, c4 := cluster.Member{Name: "c1"}, cluster.Member{Name: "c2"}, cluster.Member{Name: "c3"}, cluster.Member{Name: "c4"}
	var nodes []*node.Node
	for i := range 60 { // their last writer is somebody else: they moved while they were idle
		nodes = append(nodes, &node.Node{UUID: string(rune('A' + i)), Created: node.Rev(i + 1), Owner: node.Owner{Name: []string{"c1", "c2", "c3"}[i%3]}})
	}
	has := func(name string) map[string]bool {
		out := map[string]bool{}
		for _, n := range nodes {
			if p.owner(n) == name {
				out[n.UUID] = true
			}
		}
		return out
	}
	cordon := func(m *cluster.Member) {
		m.Kept = p.view.Load().Hold(m.Name, 60)
		m.Cordoned = true
	}
	see(c1, c2, c3)
	had := has("c2")
	cordon(&c2)
	same := func(when string) {
		t.Helper()
		if got := has("c2"); !maps.Equal(got, had) {
			t.Errorf("%s: it has %d nodes, wanted the %d that it had: %v, %v", when, len(got), len(had), got, had)
		}
	}
	see(c1, c2, c3)
	same("cordoned")
	see(c1, c2)
	same("another one died")
	see(c1, c2, c3, c4)
	same("another one joined")
	third := has("c3")
	cordon(&c3)
	see(c1, c2, c3, c4)
	same("another one is cordoned too")
	if got := has("c3"); !maps.Equal(got, third) {
		t.Errorf("the second one has %d nodes, wanted %d", len(got), len(third))
	}
	for i := range 60 {
		for _, created := range []node.Rev{0, 61} {
			if to := p.owner(&node.Node{UUID: string(rune('A' + i)), Created: created, Owner: node.Owner{Name: "c2"}}); to != "c1" && to != "c4" {
				t.Fatalf("a new node goes to %s", to)
			}
		}
	}
	c2.Draining = true
	see(c1, c2, c3, c4)
	if got := has("c2"); len(got) != 0 {
		t.Errorf("it drains and has %d nodes", len(got))
	}
}

// Who has lost contact to the log, and has it again, has an old View for a moment: it takes no operation of a conductor that it does
// not know (S4, S7).
func TestAnOldViewTakesNoOperation(t *testing.T) {
	p := &placement{self: "c1"}
	p.view.Store(cluster.NewView(1, []cluster.Member{{Name: "c1", Incarnation: 1}}))
	n := &node.Node{UUID: "a"}
	under := func(name string, incarnation uint64) *node.Node {
		x := n.Clone()
		x.Owner = node.Owner{Name: name, Incarnation: incarnation}
		x.Intent = &node.Intent{ID: "op", Owner: x.Owner}
		return x
	}
	for _, old := range []bool{false, true} {
		p.old.Store(old)
		if !p.mine(n) || !p.mine(under("c1", 1)) || !p.mine(under("c1", 7)) {
			t.Errorf("old %v: an idle node, or an operation of this name, is not wanted", old)
		}
		if got := p.mine(under("c2", 2)); got == old {
			t.Errorf("old %v: an operation of another one is wanted: %v", old, got)
		}
	}
}

// Who is dead is shown so at once, while the View that places nodes is still the one before (S7).
func TestTheListOfConductorsTellsOfNow(t *testing.T) {
	s := persistence.NewMemory(persistence.MemoryOptions{})
	defer s.Close()
	for _, name := range []string{"c1", "c2"} {
		if err := register(t.Context(), s, member{Hostname: name}); err != nil {
			t.Fatal(err)
		}
	}
	p := alone("c2", "", 2)
	both := cluster.NewView(1, []cluster.Member{{Name: "c1", Incarnation: 1}, {Name: "c2", Incarnation: 2}})
	p.view.Store(both)
	for want, known := range map[bool]*cluster.View{true: both, false: cluster.NewView(2, both.Members[1:])} {
		p.known.Store(known)
		alive := map[string]bool{}
		for _, x := range (&members{store: s, place: p}).Conductors() {
			alive[x.Hostname] = x.Alive
		}
		if !maps.Equal(alive, map[string]bool{"c1": want, "c2": true}) {
			t.Errorf("alive are %v, wanted c1 %v and c2 true", alive, want)
		}
	}
}

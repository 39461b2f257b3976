// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"testing"

	"ferrite/cluster"
	"ferrite/node"
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
	see(cluster.Member{Incarnation: 2, Cordoned: true})
	if got := p.owner(n); got != "c2" {
		t.Errorf("a cordoned conductor keeps what its name is on, found %s", got)
	}
}

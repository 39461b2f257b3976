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
	many := placement{cluster.NewView(1, []cluster.Member{{Name: "c1"}, {Name: "c2"}, {Name: "c3"}}), "c1"}
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

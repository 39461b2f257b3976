// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package inventory_test

import (
	"fmt"

	"ferrite/inventory"
	"ferrite/node"
)

// A port of an active node keeps its address, unless the node is in maintenance.
func ExampleStep() {
	n := &node.Node{UUID: "web1", ProvisionState: node.Active}
	p := inventory.Defaults()
	p.UUID, p.Address = "eth0", "52:54:00:CF:2D:31"
	d, err := inventory.Step(node.Env{}, n, nil, inventory.CreatePort{Port: p})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(d.Port.Address)

	want := *d.Port
	want.Address = "52:54:00:00:00:01"
	_, err = inventory.Step(node.Env{}, n, d.Port, inventory.UpdatePort{Want: &want, Changed: []string{"address"}})
	fmt.Println(err)

	// Output:
	// 52:54:00:cf:2d:31
	// Cannot update address of port eth0: node web1 is in state "active" with instance ""; wanted a node without instance, or maintenance.
}

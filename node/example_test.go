// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"fmt"
	"time"

	"ferrite/node"
)

// A machine is switched on: the first decision records what is about to happen and asks for it; once the BMC has done
// it, the second records that it has happened.
func ExampleStep() {
	env := node.Env{
		Now:    time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC),
		Self:   node.Owner{Name: "conductor-1", Incarnation: 7},
		ID:     "5b0c9e1a-0000-4000-8000-000000000001",
		Policy: node.DefaultPolicy(),
		Facts:  node.Facts{PowerTargets: []node.PowerState{node.PowerOn, node.PowerOff}},
	}
	n := &node.Node{UUID: "web1", ProvisionState: node.Available, PowerState: node.PowerOff}

	d, err := node.Step(env, n, node.SetPower{Target: node.PowerOn})
	if err != nil {
		fmt.Println(err)
		return
	}
	e := d.Effects[0] // to be run once d is committed
	fmt.Printf("%s is %q, wanted %q, reserved by %s\n", d.Node.UUID, d.Node.PowerState, d.Node.TargetPowerState, d.Node.Reservation())
	fmt.Printf("effect: %s, %q\n", e.Kind, e.Act)

	_, err = node.Step(env, d.Node, node.SetPower{Target: node.PowerOff})
	fmt.Println("meanwhile:", err)

	d, err = node.Step(env, d.Node, node.Done{Op: e.Op, Phase: e.Phase, State: node.PowerOn})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s is %q, reserved by %q\n", d.Node.UUID, d.Node.PowerState, d.Node.Reservation())
	fmt.Printf("tell: %s.%s.%s\n", d.Notices[0].Object, d.Notices[0].Action, d.Notices[0].Status)

	// Output:
	// web1 is "power off", wanted "power on", reserved by conductor-1
	// effect: drive power, "power on"
	// meanwhile: Node web1 is locked by host conductor-1, please retry after the current operation is completed. It runs "set power" (phase "on") for the conductor or an anonymous client, since 2026-01-01T12:00:00Z.
	// web1 is "power on", reserved by ""
	// tell: node.power_set.end
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"ferrite/node"
)

func TestTraitsAddedByTwoClientsAreBothKept(t *testing.T) {
	n := &node.Node{UUID: "n1", Driver: "fake-hardware", ProvisionState: node.Available, Traits: []string{"CUSTOM_B"}}
	env := node.Env{Self: node.Owner{Name: "c1", Incarnation: 1}, ID: "op", Policy: node.DefaultPolicy()}
	for _, m := range []node.SetTraits{{Add: "CUSTOM_C"}, {Add: "CUSTOM_A"}, {Add: "CUSTOM_A"}, {Remove: "CUSTOM_B"}} {
		d, err := node.Step(env, n, m)
		if err != nil {
			t.Fatal(err)
		}
		n = d.Node
	}
	if got := fmt.Sprint(n.Traits); got != "[CUSTOM_A CUSTOM_C]" {
		t.Errorf("traits %s", got)
	}
	full := n.Clone()
	full.Traits = nil
	for i := range node.MaxTraits {
		full.Traits = append(full.Traits, fmt.Sprintf("CUSTOM_%02d", i))
	}
	before := slices.Clone(full.Traits)
	if _, err := node.Step(env, full, node.SetTraits{Add: "CUSTOM_X"}); err == nil || !slices.Equal(before, full.Traits) {
		t.Errorf("trait 51 was taken, or the input changed: %v", err)
	}
}

// TestTraitChangesAreToldAndKeepTheLock: what changes nothing is told too; what cannot be done is told as an error.
func TestTraitChangesAreToldAndKeepTheLock(t *testing.T) { // N1, S8
	n := &node.Node{UUID: "n1", Driver: "fake-hardware", ProvisionState: node.Available, Traits: []string{"CUSTOM_B"}}
	locked := n.Clone()
	locked.Intent = &node.Intent{Verb: "set power", Owner: node.Owner{Name: "c1"}}
	env := node.Env{Self: node.Owner{Name: "c1", Incarnation: 1}, ID: "op", Policy: node.DefaultPolicy()}
	for _, c := range []struct {
		n    *node.Node
		m    node.SetTraits
		kind node.Kind
		told node.Status
		want string // traits that the last notice shows
	}{
		{n, node.SetTraits{Add: "CUSTOM_B"}, "", node.End, "[CUSTOM_B]"},
		{n, node.SetTraits{Remove: "CUSTOM_B"}, "", node.End, "[]"},
		{n, node.SetTraits{Remove: "CUSTOM_C"}, node.NotFound, node.Failure, "[CUSTOM_B]"},
		{locked, node.SetTraits{Remove: "CUSTOM_C"}, node.Locked, node.Failure, "[CUSTOM_B]"},
		{locked, node.SetTraits{Traits: []string{"CUSTOM_D"}}, node.Locked, node.Failure, "[CUSTOM_D]"},
	} {
		d, err := node.Step(env, c.n, c.m)
		var e *node.Error
		if errors.As(err, &e); err == nil && c.kind != "" || err != nil && e.Kind != c.kind {
			t.Errorf("%+v: %v, wanted %q", c.m, err, c.kind)
		}
		if len(d.Notices) != 2 || d.Notices[0].Status != node.Start || d.Notices[1].Status != c.told || fmt.Sprint(d.Notices[1].Node.Traits) != c.want {
			t.Errorf("%+v: told %+v", c.m, d.Notices)
		}
	}
}

// A one-time boot device over a forced persistent one lasts for one power on (spec ipmi-driver.md section 4).
func TestPowerOnUsesUpAOneTimeBootDevice(t *testing.T) {
	n := &node.Node{UUID: "n1", ProvisionState: node.Active, PowerState: node.PowerOff, DriverInternalInfo: map[string]any{
		"persistent_boot_device": "disk", "is_next_boot_persistent": false,
	}}
	env := node.Env{Self: node.Owner{Name: "c1", Incarnation: 1}, ID: "op", Policy: node.DefaultPolicy(), Facts: node.Facts{PowerTargets: []node.PowerState{node.PowerOn}}}
	d, err := node.Step(env, n, node.SetPower{Target: node.PowerOn})
	if err != nil {
		t.Fatal(err)
	}
	if _, still := d.Node.DriverInternalInfo["is_next_boot_persistent"]; !still {
		t.Error("the key went before the machine was on")
	}
	d, err = node.Step(env, d.Node, node.Done{Op: "op", Phase: "on", State: node.PowerOn})
	if err != nil {
		t.Fatal(err)
	}
	if _, still := d.Node.DriverInternalInfo["is_next_boot_persistent"]; still || d.Node.DriverInternalInfo["persistent_boot_device"] != "disk" {
		t.Errorf("after power on: %v", d.Node.DriverInternalInfo)
	}
}

// A node that no conductor serves is refused: nobody could ever end its operations.
func TestAGroupThatNobodyServesIsRefused(t *testing.T) {
	env := node.Env{Self: node.Owner{Name: "c1", Incarnation: 1}, ID: "op", Policy: node.DefaultPolicy()}
	env.Policy.Groups = []string{""}
	var e *node.Error
	_, err := node.Step(env, nil, node.CreateNode{Node: &node.Node{UUID: "n1", Driver: "ipmi", ConductorGroup: "Nowhere"}})
	if !errors.As(err, &e) || e.Kind != node.NoHost {
		t.Errorf("create: %v", err)
	}
	d, err := node.Step(env, nil, node.CreateNode{Node: &node.Node{UUID: "n1", Driver: "ipmi"}})
	if err != nil {
		t.Fatal(err)
	}
	want := d.Node.Clone()
	want.ConductorGroup = "nowhere"
	_, err = node.Step(env, d.Node, node.UpdateNode{Base: d.Node.Outer, Want: want, Changed: []string{"conductor_group"}})
	if !errors.As(err, &e) || e.Kind != node.NoHost {
		t.Errorf("patch: %v", err)
	}
}

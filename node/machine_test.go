// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"strings"
	"testing"
	"time"
)

func TestRaidIsAWishThatIsStored(t *testing.T) {
	env := Env{Now: time.Date(2026, 5, 1, 9, 0, 0, 0, time.UTC), Self: Owner{Name: "c1"}, Policy: DefaultPolicy()}
	wish := map[string]any{"logical_disks": []any{map[string]any{"raid_level": "1", "size_gb": 100.0}}}
	n := &Node{UUID: "n1", Driver: "fake-hardware", ProvisionState: Active, Interfaces: map[string]string{"raid": "fake"}}
	d, err := Step(env, n, SetRaidConfig{Config: wish})
	if err != nil || d.Node.TargetRaidConfig["logical_disks"] == nil || d.Node.Outer != 1 || len(d.Notices)+len(d.Effects)+len(d.History) != 0 {
		t.Errorf("%v, %+v; wanted it stored and nothing else", err, d)
	}
	if d, err = Step(env, d.Node, SetRaidConfig{Config: map[string]any{}}); err != nil || len(d.Node.TargetRaidConfig) != 0 {
		t.Errorf("%v, %+v; wanted it taken back", err, d.Node)
	}
	n.Interfaces = map[string]string{"raid": "no-raid"}
	if d, err = Step(env, n, SetRaidConfig{Config: wish}); kindOf(err) != NotFound || d.Node != nil {
		t.Errorf("no-raid: %v, %+v; wanted not found", err, d)
	}
}

// TestWhatNoDriverCanSetFailsAfterwards: the request is taken, the node says why nothing came of it.
func TestWhatNoDriverCanSetFailsAfterwards(t *testing.T) {
	env := Env{Now: time.Date(2026, 5, 1, 9, 0, 0, 0, time.UTC), Self: Owner{Name: "c1"}, Policy: DefaultPolicy()}
	for _, c := range []struct {
		m    Msg
		want string
	}{
		{SetBootMode{"uefi"}, "Failed to change boot mode to 'uefi: Driver ipmi does not support set_boot_mode (disabled or not implemented)."},
		{SetSecureBoot{true}, "Failed to change secure_boot state to 'True': Driver ipmi does not support set_secure_boot_state (disabled or not implemented)."},
	} {
		n := &Node{UUID: "n1", Driver: "ipmi", ProvisionState: Active}
		d, err := Step(env, n, c.m)
		if err != nil || d.Node.LastError != c.want || d.Node.BootMode != "" || d.Node.SecureBoot != nil || len(d.History) != 1 || d.History[0].Severity != "ERROR" || len(d.Effects) != 0 {
			t.Errorf("%s: %v, %+v", c.m.MsgName(), err, d)
		}
	}
}

// TestMachineSettingsKeepTheLock: all three are changes and wait for an operation to end. // S8
func TestMachineSettingsKeepTheLock(t *testing.T) {
	n := &Node{UUID: "n1", Driver: "ipmi", ProvisionState: Active, Interfaces: map[string]string{"raid": "fake"}, Intent: &Intent{Verb: "set power", Owner: Owner{Name: "c1"}}}
	for _, m := range []Msg{SetRaidConfig{}, SetBootMode{"bios"}, SetSecureBoot{}} {
		if d, err := Step(Env{}, n, m); kindOf(err) != Locked || d.Node != nil || !strings.Contains(err.Error(), "c1") {
			t.Errorf("%s on a locked node: %v, %+v", m.MsgName(), err, d.Node)
		}
	}
}

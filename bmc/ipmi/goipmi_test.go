// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"context"
	"testing"

	"github.com/bougou/go-ipmi/pkg/client"
	"github.com/bougou/go-ipmi/pkg/types"

	"ferrite/bmc"
	"ferrite/bmc/bmctest"
	"ferrite/node"
)

// go-ipmi's client shares no code with the engine's sessions nor with the simulator: all three must tell the same story.
func TestGoIPMISeesWhatTheEngineDoes(t *testing.T) {
	f := fleet(t, nil)
	e := engine(t, patient())
	for _, suite := range []types.CipherSuiteID{types.CipherSuiteID3, types.CipherSuiteID17} {
		a := f.Addr(1)
		n := &node.Node{UUID: "n1", DriverInfo: map[string]any{
			"ipmi_address": a.Addr().String(), "ipmi_port": int(a.Port()), "ipmi_username": "admin", "ipmi_password": "password", "ipmi_cipher_suite": int(suite),
		}}
		c, err := client.NewClient(a.Addr().String(), int(a.Port()), "admin", "password")
		if err != nil {
			t.Fatal(err)
		}
		c.WithCipherSuiteID(suite)
		ctx := context.Background()
		if err := c.Connect(ctx); err != nil {
			t.Fatalf("suite %d: go-ipmi cannot connect: %v", suite, err)
		}
		for _, act := range []bmc.Action{bmc.On, bmc.Off, bmc.On, bmc.SoftOff} {
			if err := e.Driver().Power.SetPower(ctx, n, act, &bmctest.Permit{}); err != nil {
				t.Fatal(err)
			}
			theirs, err := c.GetChassisStatus(ctx)
			if err != nil {
				t.Fatal(err)
			}
			ours, err := e.Driver().Power.PowerState(ctx, n)
			if err != nil || (ours == node.PowerOn) != theirs.PowerIsOn || f.BMC(1).Power() != theirs.PowerIsOn {
				t.Errorf("suite %d, after %q: we read %q (%v), go-ipmi on=%v, the machine on=%v", suite, act, ours, err, theirs.PowerIsOn, f.BMC(1).Power())
			}
		}
		id, err := c.GetDeviceID(ctx)
		if err != nil || id.ManufacturerID != 343 {
			t.Errorf("go-ipmi reads manufacturer %+v, %v", id, err)
		}
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"errors"
	"testing"

	"ferrite/bmc"
	"ferrite/bmc/bmctest"
	"ferrite/node"
)

func TestActions(t *testing.T) {
	f, e := fleet(t, nil), engine(t, patient())
	p := e.Driver().Power
	n := at(f.Addr(0))
	want := ""
	for _, c := range []struct {
		act  bmc.Action
		sent string
	}{{bmc.On, "000201"}, {bmc.Reset, " 000203"}, {bmc.NMI, " 000204"}, {bmc.SoftOff, " 000205"}, {bmc.Off, " 000200"}} {
		if err := p.SetPower(t.Context(), n, c.act, bmctest.Permit{}); err != nil {
			t.Errorf("%s: %v", c.act, err)
		}
		if want += c.sent; executed(f.BMC(0)) != want {
			t.Errorf("after %s the BMC has executed %s: wanted %s", c.act, executed(f.BMC(0)), want)
		}
	}
	var refused *node.Error
	if err := p.SetPower(t.Context(), n, "explode", bmctest.Permit{}); !errors.As(err, &refused) || refused.Kind != node.Invalid {
		t.Errorf("an unknown action gave %v: wanted invalid", err)
	}
}

func TestRefusedCommand(t *testing.T) {
	f, e := fleet(t, nil), engine(t, patient())
	f.BMC(0).SetRefusePower(true)
	for _, a := range []bmc.Action{bmc.On, bmc.Reset} {
		err := e.Driver().Power.SetPower(t.Context(), at(f.Addr(0)), a, bmctest.Permit{})
		var failed *bmc.Error
		if !errors.As(err, &failed) || failed.Unknown || failed.Auth || failed.Command != controls[a].name {
			t.Errorf("a refused %s gave %#v: wanted a known failure of %q", a, err, controls[a].name)
		}
	}
}

func TestUserLevelMayLookButNotAct(t *testing.T) {
	f, e := fleet(t, nil), engine(t, patient())
	d := e.Driver()
	n := at(f.Addr(0), "ipmi_priv_level", "USER")
	if s, err := d.Power.PowerState(t.Context(), n); s != node.PowerOff || err != nil {
		t.Errorf("power state as user is %q, %v", s, err)
	}
	err := d.Power.SetPower(t.Context(), n, bmc.On, bmctest.Permit{})
	var failed *bmc.Error
	if !errors.As(err, &failed) || !failed.Auth || failed.Unknown || f.BMC(0).Power() {
		t.Errorf("power on as user gave %v, machine on: %v: wanted a refusal for want of privilege", err, f.BMC(0).Power())
	}
	if s, err := d.Power.PowerState(t.Context(), n); s != node.PowerOff || err != nil { // the login itself is good
		t.Errorf("power state afterwards is %q, %v", s, err)
	}
}

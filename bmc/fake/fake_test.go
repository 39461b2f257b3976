// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"ferrite/bmc"
	"ferrite/node"
)

type permit struct{ err error }

func (p permit) OK(context.Context) error { return p.err }
func (p permit) Live() bool               { return true }

func TestPowerIsTheRecord(t *testing.T) {
	d := New(Config{})
	for _, want := range []node.PowerState{node.PowerUnknown, node.PowerOn, node.PowerOff} {
		if got, err := d.Power.PowerState(context.Background(), &node.Node{PowerState: want}); got != want || err != nil {
			t.Errorf("%q, %v, wanted %q", got, err, want)
		}
	}
	if !d.Caps.Recorded {
		t.Error("the power of fake-hardware is the recorded one")
	}
}

func TestCommandsAskTheirPermit(t *testing.T) { // S10
	d := New(Config{Delays: map[string]string{"power": "60", "management": "60"}})
	lost := permit{bmc.ErrPermit}
	if err := d.Power.SetPower(context.Background(), &node.Node{}, bmc.On, lost); !errors.Is(err, bmc.ErrPermit) {
		t.Errorf("power without a permit: %v", err)
	}
	if err := d.Boot.SetBootDevice(context.Background(), &node.Node{}, "pxe", false, lost); !errors.Is(err, bmc.ErrPermit) {
		t.Errorf("boot device without a permit: %v", err)
	}
}

func TestDelayEndsWithItsContext(t *testing.T) {
	d := New(Config{Delays: map[string]string{"deploy": "3600"}})
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := d.Steps.RunStep(ctx, &node.Node{}, node.StepSpec{Interface: "deploy", Step: "deploy"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestRefusals(t *testing.T) {
	d := New(Config{})
	for name, err := range map[string]error{
		"Invalid boot device disk":     d.Boot.SetBootDevice(context.Background(), &node.Node{}, "disk", false, permit{}),
		"does not support this":        d.Steps.RunStep(context.Background(), &node.Node{}, node.StepSpec{Interface: "raid", Step: "create_configuration"}),
		"fake.power_delay is \"x\"":    Config{Delays: map[string]string{"power": "x"}}.Validate(),
		"fake.deploy_delay is \"3,1\"": Config{Delays: map[string]string{"deploy": "3,1"}}.Validate(),
	} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("wanted %q, got %v", name, err)
		}
	}
	if err := (Config{Delays: map[string]string{"power": "1,2", "boot": "0", "rescue": ""}}).Validate(); err != nil {
		t.Error(err)
	}
}

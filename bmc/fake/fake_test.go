// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package fake_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"ferrite/bmc"
	"ferrite/bmc/bmctest"
	"ferrite/bmc/fake"
	"ferrite/node"
)

func TestConformance(t *testing.T) {
	bmctest.Run(t, func(*testing.T) bmctest.Harness {
		return bmctest.Harness{Driver: fake.New(fake.Config{}), Node: &node.Node{UUID: "1be26c0b-03f2-4d2e-ae87-c02d7f33c123", Driver: "fake-hardware"}}
	})
}

func TestBootDeviceIsPXE(t *testing.T) {
	d := fake.New(fake.Config{})
	n := &node.Node{UUID: "n"}
	err := d.Boot.SetBootDevice(t.Context(), n, "disk", true, bmctest.Permit{})
	if err == nil || err.Error() != "Invalid boot device disk specified." {
		t.Errorf("set disk gave %v", err)
	}
	if err := d.Boot.SetBootDevice(t.Context(), n, "pxe", true, bmctest.Permit{}); err != nil {
		t.Errorf("set pxe: %v", err)
	}
	if b, err := d.Boot.BootDevice(t.Context(), n); b != (bmc.BootDevice{Device: "pxe", Known: true}) || err != nil {
		t.Errorf("boot device is %+v, %v: wanted pxe, not persistent", b, err)
	}
	if d.Identity != nil {
		t.Error("fake has vendor detection: wanted none")
	}
	var refused *node.Error
	if err := d.Power.SetPower(t.Context(), n, bmc.NMI, bmctest.Permit{}); !errors.As(err, &refused) || refused.Kind != node.Unsupported {
		t.Errorf("NMI gave %v: wanted unsupported", err)
	}
}

func TestDelays(t *testing.T) {
	for _, c := range []struct {
		text     string
		min, max time.Duration
	}{{"", 0, 0}, {"0", 0, 0}, {"3", 3 * time.Second, 3 * time.Second}, {"2,9", 2 * time.Second, 9 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			d := fake.New(fake.Config{PowerDelay: c.text})
			total, low := time.Duration(0), 0
			const n = 300
			for range n {
				before := time.Now()
				if err := d.Power.SetPower(context.Background(), &node.Node{}, bmc.On, bmctest.Permit{}); err != nil {
					t.Fatal(err)
				}
				took := time.Since(before)
				if took < c.min || took > c.max || took%time.Second != 0 {
					t.Fatalf("delay %q took %s: wanted whole seconds from %s to %s", c.text, took, c.min, c.max)
				}
				total += took
				if took < (c.min+c.max)/2 {
					low++
				}
			}
			if c.min != c.max && low < n/2 {
				t.Errorf("of %d delays %d were in the lower half: wanted most (the peak is at the low end)", n, low)
			}
		})
	}
	for _, bad := range []string{"x", "-1", "5,2", "1.5", "1,2,3"} {
		if err := (fake.Config{BiosDelay: bad}).Validate(); err == nil {
			t.Errorf("delay %q was accepted", bad)
		}
	}
}

func TestDelayEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := fake.New(fake.Config{DeployDelay: "100"})
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		before := time.Now()
		err := d.Steps.RunStep(ctx, &node.Node{}, node.StepSpec{Interface: "deploy", Step: "deploy"})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(before) != 5*time.Second {
			t.Errorf("gave %v after %s: wanted deadline exceeded after 5s", err, time.Since(before))
		}
	})
}

func TestPollGivesTheRecordedState(t *testing.T) {
	d := fake.New(fake.Config{})
	for _, want := range []node.PowerState{node.PowerOn, node.PowerOff, node.PowerUnknown} {
		h, err := d.Poller.Prepare(&node.Node{PowerState: want})
		if err != nil {
			t.Fatal(err)
		}
		var got sink
		h.Poll(&got)
		if got.n != 1 || got.state != want {
			t.Errorf("poll gave %q %d times: wanted %q once", got.state, got.n, want)
		}
		h.Close()
	}
}

type sink struct {
	n     int
	state node.PowerState
}

func (s *sink) PowerPolled(state node.PowerState, _ error) { s.n++; s.state = state }

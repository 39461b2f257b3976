// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bmctest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"ferrite/bmc"
	"ferrite/node"
)

// patience is how long something may take that is not expected to take long.
const patience = 20 * time.Second

// Harness is one driver under test with one machine, which is off at first.
type Harness struct {
	Driver *bmc.Driver
	Node   *node.Node // of a machine that answers
	Bad    *node.Node // driver_info that cannot work; nil when the driver accepts everything

	// On and SetOn look at the machine and switch it behind the driver's back; nil when there is no machine (Recorded).
	On    func() bool
	SetOn func(bool)
	// Mutations counts the mutating commands that have reached the machine; nil when there is no machine.
	Mutations func() int
	// Devices are the boot devices that the machine knows; nil = all of the driver's.
	Devices []string
	// Silence makes the machine deaf; nil when it cannot be.
	Silence func()
}

// Permit is a permit for tests.
type Permit struct {
	Refuse error // what OK returns
	Dead   bool  // Live returns false
}

// OK is check (1) of S10.
func (p Permit) OK(context.Context) error { return p.Refuse }

// Live is check (2) of S10.
func (p Permit) Live() bool { return !p.Dead }

// sink keeps the answers of polls.
type sink chan answer

type answer struct {
	state node.PowerState
	err   error
}

// PowerPolled takes an answer in.
func (s sink) PowerPolled(state node.PowerState, err error) { s <- answer{state, err} }

func (s sink) next(t *testing.T) answer {
	t.Helper()
	select {
	case a := <-s:
		return a
	case <-time.After(patience):
		t.Fatal("a poll was never answered")
		return answer{}
	}
}

// Run holds a driver against the contract of package bmc.
func Run(t *testing.T, start func(t *testing.T) Harness) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Harness)
	}{
		{"power state", powerState},
		{"power actions", powerActions},
		{"no permit, no command", permits},
		{"boot device", bootDevice},
		{"validation", validation},
		{"polls", polls},
		{"closed handle", closedHandle},
		{"shared handles", sharedHandles},
		{"cancelled context", cancelled},
		{"vendor", vendor},
		{"steps", runSteps},
		{"sensors", sensors},
		{"BMC commands", manages},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, start(t)) })
	}
}

func powerState(t *testing.T, h Harness) {
	if h.On == nil {
		for _, want := range []node.PowerState{node.PowerOn, node.PowerOff, node.PowerUnknown} {
			n := h.Node.Clone()
			n.PowerState = want
			if got, err := h.Driver.Power.PowerState(t.Context(), n); got != want || err != nil {
				t.Errorf("power state is %q, %v: wanted the recorded %q", got, err, want)
			}
		}
		return
	}
	for _, on := range []bool{false, true, false} {
		h.SetOn(on)
		want := word(on)
		if got, err := h.Driver.Power.PowerState(t.Context(), h.Node); got != want || err != nil {
			t.Errorf("power state is %q, %v: wanted %q", got, err, want)
		}
	}
}

func word(on bool) node.PowerState {
	if on {
		return node.PowerOn
	}
	return node.PowerOff
}

func powerActions(t *testing.T, h Harness) {
	for _, step := range []struct {
		act bmc.Action
		on  bool
	}{{bmc.On, true}, {bmc.On, true}, {bmc.Off, false}, {bmc.On, true}, {bmc.SoftOff, false}} {
		if err := h.Driver.Power.SetPower(t.Context(), h.Node, step.act, Permit{}); err != nil {
			t.Fatalf("%s: %v", step.act, err)
		}
		if h.On == nil {
			continue
		}
		until := time.Now().Add(patience)
		for h.On() != step.on && time.Now().Before(until) {
			time.Sleep(time.Millisecond)
		}
		if h.On() != step.on {
			t.Fatalf("after %s the machine's power is %v: wanted %v", step.act, h.On(), step.on)
		}
	}
}

// permits: a mutating command without a good permit never reaches the machine (S10).
func permits(t *testing.T, h Harness) {
	lost := errors.New("another owner")
	before := 0
	if h.Mutations != nil {
		before = h.Mutations()
	}
	for name, p := range map[string]bmc.Permit{
		"refused": Permit{Refuse: errors.Join(bmc.ErrPermit, lost)}, "expired": Permit{Dead: true}, "none": nil,
	} {
		for _, a := range []bmc.Action{bmc.On, bmc.Off, bmc.SoftOff, bmc.Reset} {
			if err := h.Driver.Power.SetPower(t.Context(), h.Node, a, p); !errors.Is(err, bmc.ErrPermit) {
				t.Errorf("%s with permit %s gave %v: wanted ErrPermit", a, name, err)
			}
		}
		if h.Driver.Boot != nil {
			if err := h.Driver.Boot.SetBootDevice(t.Context(), h.Node, "pxe", false, p); !errors.Is(err, bmc.ErrPermit) {
				t.Errorf("boot device with permit %s gave %v: wanted ErrPermit", name, err)
			}
		}
	}
	if h.Mutations != nil && h.Mutations() != before {
		t.Errorf("%d mutating commands reached the machine: wanted none", h.Mutations()-before)
	}
}

func bootDevice(t *testing.T, h Harness) {
	b := h.Driver.Boot
	if b == nil {
		return
	}
	if !slices.Equal(b.BootDevices(h.Node), h.Driver.Caps.BootDevices) {
		t.Errorf("boot devices are %v, capabilities say %v", b.BootDevices(h.Node), h.Driver.Caps.BootDevices)
	}
	devices := h.Devices
	if devices == nil {
		devices = b.BootDevices(h.Node)
	}
	for _, device := range devices {
		if err := b.SetBootDevice(t.Context(), h.Node, device, false, Permit{}); err != nil {
			t.Errorf("set %s: %v", device, err)
			continue
		}
		got, err := b.BootDevice(t.Context(), h.Node)
		if want := (bmc.BootDevice{Device: device, Known: true}); got != want || err != nil {
			t.Errorf("after set %s it is %+v, %v: wanted %+v", device, got, err, want)
		}
	}
	err := b.SetBootDevice(t.Context(), h.Node, "floppy", false, Permit{})
	var refused *node.Error
	if !errors.As(err, &refused) || refused.Kind != node.Invalid || refused.Text != "Invalid boot device floppy specified." {
		t.Errorf("set floppy gave %v: wanted invalid, \"Invalid boot device floppy specified.\"", err)
	}
}

func validation(t *testing.T, h Harness) {
	v := h.Driver.Validate
	if err := errors.Join(v.ValidatePower(h.Node), v.ValidateManagement(h.Node)); err != nil {
		t.Errorf("a good node was refused: %v", err)
	}
	if h.Bad == nil {
		return
	}
	_, stateErr := h.Driver.Power.PowerState(t.Context(), h.Bad)
	_, prepareErr := h.Driver.Poller.Prepare(h.Bad)
	for name, err := range map[string]error{
		"ValidatePower": v.ValidatePower(h.Bad), "ValidateManagement": v.ValidateManagement(h.Bad), "PowerState": stateErr,
		"SetPower": h.Driver.Power.SetPower(t.Context(), h.Bad, bmc.On, Permit{}), "Prepare": prepareErr,
	} {
		var refused *node.Error
		if !errors.As(err, &refused) || refused.Kind != node.Invalid {
			t.Errorf("%s of a bad node gave %v: wanted *node.Error of kind invalid", name, err)
		}
	}
}

// polls: every Poll is answered exactly once, and with a reading that began after it was asked for.
func polls(t *testing.T, h Harness) {
	handle, err := h.Driver.Poller.Prepare(h.Node)
	if err != nil {
		t.Fatal(err)
	}
	defer handle.Close()
	const n = 20
	s := make(sink, 2*n)
	for range n {
		handle.Poll(s)
	}
	for range n {
		if a := s.next(t); a.err != nil {
			t.Errorf("a poll failed: %v", a.err)
		}
	}
	if h.On != nil {
		for _, on := range []bool{true, false, true} {
			h.SetOn(on)
			handle.Poll(s)
			if a := s.next(t); a.state != word(on) || a.err != nil {
				t.Errorf("poll says %q, %v: wanted %q", a.state, a.err, word(on))
			}
		}
	}
	if h.Silence != nil {
		h.Silence()
		handle.Poll(s)
		a := s.next(t)
		var failed *bmc.Error
		if !errors.As(a.err, &failed) || failed.Command != "power status" {
			t.Errorf("poll of a silent machine gave %v: wanted *bmc.Error of power status", a.err)
		}
	}
	select {
	case a := <-s:
		t.Errorf("a poll was answered twice: %+v", a)
	default:
	}
}

func closedHandle(t *testing.T, h Harness) {
	handle, err := h.Driver.Poller.Prepare(h.Node)
	if err != nil {
		t.Fatal(err)
	}
	s := make(sink, 4)
	handle.Poll(s)
	handle.Close()
	handle.Close() // harmless
	s.next(t)
	handle.Poll(s)
	if a := s.next(t); a.err == nil && !h.Driver.Caps.Recorded {
		t.Error("a poll on a closed handle gave no error")
	}
}

// sharedHandles: nodes behind one BMC have a place each, and closing one leaves the other alone.
func sharedHandles(t *testing.T, h Harness) {
	one, err := h.Driver.Poller.Prepare(h.Node)
	if err != nil {
		t.Fatal(err)
	}
	two, err := h.Driver.Poller.Prepare(h.Node)
	if err != nil {
		t.Fatal(err)
	}
	s := make(sink, 4)
	one.Poll(s)
	two.Poll(s)
	for range 2 {
		if a := s.next(t); a.err != nil {
			t.Errorf("a poll failed: %v", a.err)
		}
	}
	one.Close()
	two.Poll(s)
	if a := s.next(t); a.err != nil {
		t.Errorf("a poll failed after the other handle was closed: %v", a.err)
	}
	two.Close()
}

func cancelled(t *testing.T, h Harness) {
	before := 0
	if h.Mutations != nil {
		before = h.Mutations()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Driver.Power.PowerState(ctx, h.Node); !errors.Is(err, context.Canceled) && !h.Driver.Caps.Recorded {
		t.Errorf("power state under a cancelled context gave %v", err)
	}
	if err := h.Driver.Power.SetPower(ctx, h.Node, bmc.On, Permit{}); !errors.Is(err, context.Canceled) {
		t.Errorf("power on under a cancelled context gave %v", err)
	}
	if h.Mutations != nil && h.Mutations() != before {
		t.Error("a command reached the machine although its context was cancelled before")
	}
}

func vendor(t *testing.T, h Harness) {
	if h.Driver.Identity == nil {
		return
	}
	if v, err := h.Driver.Identity.Vendor(t.Context(), h.Node); v != strings.ToLower(v) || err != nil {
		t.Errorf("the vendor is %q, %v: wanted a name in lower case, or none", v, err)
	}
}

func runSteps(t *testing.T, h Harness) {
	r := h.Driver.Steps
	if r == nil {
		if len(h.Driver.Caps.CleanSteps) > 0 {
			t.Error("the driver has clean steps, but nothing to run them")
		}
		return
	}
	for _, s := range h.Driver.Caps.CleanSteps {
		if err := r.RunStep(t.Context(), h.Node, s); err != nil {
			t.Errorf("clean step %s.%s: %v", s.Interface, s.Step, err)
		}
	}
	err := r.RunStep(t.Context(), h.Node, node.StepSpec{Interface: "power", Step: "no_such_step"})
	var refused *node.Error
	if !errors.As(err, &refused) || refused.Kind != node.Unsupported {
		t.Errorf("an unknown step gave %v: wanted *node.Error of kind unsupported", err)
	}
}

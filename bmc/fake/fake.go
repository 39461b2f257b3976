// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"ferrite/bmc"
	"ferrite/node"
)

// Config is the delays by interface kind ("power", "boot", "deploy" ...), as text; a missing one is none.
type Config struct{ Delays map[string]string }

// Validate names the delay that cannot be.
func (c Config) Validate() error {
	for kind, text := range c.Delays {
		if _, _, err := span(text); err != nil {
			return fmt.Errorf("fake.%s_delay is %q: wanted \"N\" seconds, or \"A,B\" with B not below A", kind, text)
		}
	}
	return nil
}

// span reads "N" or "A,B" in seconds.
func span(text string) (a, b float64, err error) {
	first, second, two := strings.Cut(text, ",")
	if strings.TrimSpace(text) == "" {
		return 0, 0, nil
	}
	if a, err = strconv.ParseFloat(strings.TrimSpace(first), 64); err != nil {
		return 0, 0, err
	}
	b = a
	if two {
		if b, err = strconv.ParseFloat(strings.TrimSpace(second), 64); err != nil {
			return 0, 0, err
		}
	}
	if a < 0 || b < a {
		return 0, 0, fmt.Errorf("wanted 0 <= A <= B")
	}
	return a, b, nil
}

type driver struct{ cfg Config }

var (
	_ bmc.Power      = driver{}
	_ bmc.Boot       = driver{}
	_ bmc.Validator  = driver{}
	_ bmc.StepRunner = driver{}
)

// New is the driver.
func New(cfg Config) *bmc.Driver {
	d := driver{cfg}
	return &bmc.Driver{
		Name: "fake-hardware", Validate: d, Power: d, Boot: d, Steps: d,
		Caps: bmc.Capabilities{
			PowerTargets: []node.PowerState{node.PowerOn, node.PowerOff, node.Rebooting, node.SoftRebooting, node.SoftPowerOff},
			PowerSync:    true, Recorded: true, BootDevices: []string{"pxe"},
			CleanSteps: []node.StepSpec{{Interface: "vendor", Step: "log_passthrough", Priority: 1}},
		},
		Properties: map[string]string{
			"B1": "B1 description. Required.", "B2": "B2 description. Required.",
		},
	}
}

// wait takes the delay of an interface kind: whole seconds where it is random (spec fake-driver.md, Delays).
func (d driver) wait(ctx context.Context, kind string) error {
	a, b, err := span(d.cfg.Delays[kind])
	if err != nil || b == 0 {
		return err
	}
	seconds := a
	if b > a { // triangular with its peak at a
		seconds = math.Floor(b - (b-a)*math.Sqrt(1-rand.Float64())) //nolint:gosec // a delay, no secret
		seconds = max(a, seconds)
	}
	t := time.NewTimer(time.Duration(seconds * float64(time.Second)))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// PowerState is what the record says; null stays null.
func (d driver) PowerState(_ context.Context, n *node.Node) (node.PowerState, error) {
	return n.PowerState, nil
}

// SetPower takes the power delay; the rules record the result.
func (d driver) SetPower(ctx context.Context, n *node.Node, a bmc.Action, p bmc.Permit) error {
	if a == bmc.NMI {
		return &node.Error{Op: "SetPower", Node: n.UUID, Kind: node.Unsupported, Text: "Driver fake-hardware does not support inject_nmi (disabled or not implemented)."}
	}
	if err := allowed(ctx, p); err != nil {
		return err
	}
	return d.wait(ctx, "power")
}

// allowed asks a permit as a real BMC's driver does (S10).
func allowed(ctx context.Context, p bmc.Permit) error {
	if err := p.OK(ctx); err != nil {
		return err
	}
	if !p.Live() {
		return bmc.ErrPermit
	}
	return nil
}

// ValidatePower passes: no driver_info key is needed.
func (d driver) ValidatePower(*node.Node) error { return nil }

// ValidateManagement passes likewise.
func (d driver) ValidateManagement(*node.Node) error { return nil }

// BootDevices is pxe alone.
func (d driver) BootDevices(*node.Node) []string { return []string{"pxe"} }

// BootDevice is always pxe, for one time.
func (d driver) BootDevice(ctx context.Context, _ *node.Node) (bmc.BootDevice, error) {
	return bmc.BootDevice{Device: "pxe", Known: true}, d.wait(ctx, "management")
}

// SetBootDevice takes pxe and forgets it.
func (d driver) SetBootDevice(ctx context.Context, n *node.Node, device string, _ bool, p bmc.Permit) error {
	if device != "pxe" {
		return &node.Error{Op: "SetBootDevice", Node: n.UUID, Kind: node.Invalid, Text: fmt.Sprintf("Invalid boot device %s specified.", device)}
	}
	if err := allowed(ctx, p); err != nil {
		return err
	}
	return d.wait(ctx, "management")
}

// steps are those that the fake interfaces know (spec fake-driver.md, Steps): interface.step.
var steps = []string{
	"deploy.deploy", "deploy.tear_down", "deploy.take_over", "vendor.log_passthrough", "firmware.update",
	"bios.apply_configuration", "bios.factory_reset", "inspect.inspect_hardware", "rescue.rescue", "rescue.unrescue",
}

// RunStep takes the interface's delay; a step that fake-hardware lacks is refused.
func (d driver) RunStep(ctx context.Context, n *node.Node, s node.StepSpec) error {
	if !slices.Contains(steps, s.Interface+"."+s.Step) {
		return &node.Error{Op: "RunStep", Node: n.UUID, Kind: node.Unsupported, Text: fmt.Sprintf("node does not support this clean step: %s.%s", s.Interface, s.Step)}
	}
	return d.wait(ctx, s.Interface)
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"context"
	"fmt"
	"log/slog"

	"ferrite/bmc"
	"ferrite/node"
)

// Config holds the options of Ironic's group [fake]; "" is no delay. See Delay for the form.
type Config struct {
	Logger          *slog.Logger
	PowerDelay      string
	BootDelay       string
	DeployDelay     string
	VendorDelay     string
	ManagementDelay string
	InspectDelay    string
	RaidDelay       string
	BiosDelay       string
	StorageDelay    string
	RescueDelay     string
	FirmwareDelay   string
	ConsoleDelay    string // ours
}

// delays are the options by the interface that they belong to.
func (c Config) delays() map[string]string {
	return map[string]string{
		"power": c.PowerDelay, "boot": c.BootDelay, "deploy": c.DeployDelay, "vendor": c.VendorDelay,
		"management": c.ManagementDelay, "inspect": c.InspectDelay, "raid": c.RaidDelay, "bios": c.BiosDelay,
		"storage": c.StorageDelay, "rescue": c.RescueDelay, "firmware": c.FirmwareDelay,
		"console": c.ConsoleDelay,
	}
}

// Validate names the option whose text is no delay.
func (c Config) Validate() error {
	for kind, text := range c.delays() {
		if _, err := parse(text); err != nil {
			return fmt.Errorf("fake.%s_delay: %w", kind, err)
		}
	}
	return nil
}

// New makes the driver. Options that Validate refuses count as no delay.
func New(cfg Config) *bmc.Driver {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	f := &driver{log: cfg.Logger, delays: map[string]span{}}
	for kind, text := range cfg.delays() {
		f.delays[kind], _ = parse(text)
	}
	return &bmc.Driver{
		Name: "fake-hardware",
		Caps: bmc.Capabilities{
			PowerTargets: []node.PowerState{node.PowerOn, node.PowerOff, node.Rebooting, node.SoftRebooting, node.SoftPowerOff},
			PowerSync:    true, Recorded: true, BootDevices: devices,
			CleanSteps: []node.StepSpec{{Interface: "vendor", Step: "log_passthrough", Priority: 1}},
		},
		Validate: f, Power: f, Boot: f, Console: f, Poller: f, Steps: f, Sensors: f,
		Properties: map[string]string{"B1": "B1 description. Required.", "B2": "B2 description. Required."},
	}
}

// driver implements what package bmc asks for (spec fake-driver.md).
type driver struct {
	log    *slog.Logger
	delays map[string]span
}

var (
	_ bmc.Power      = (*driver)(nil)
	_ bmc.Validator  = (*driver)(nil)
	_ bmc.Boot       = (*driver)(nil)
	_ bmc.Console    = (*driver)(nil)
	_ bmc.Poller     = (*driver)(nil)
	_ bmc.StepRunner = (*driver)(nil)
	_ bmc.Sensors    = (*driver)(nil)
)

var devices = []string{"pxe"}

// ValidatePower accepts everything.
func (*driver) ValidatePower(*node.Node) error { return nil }

// ValidateManagement accepts everything.
func (*driver) ValidateManagement(*node.Node) error { return nil }

// PowerState is the recorded one; unknown stays unknown until somebody sets it.
func (f *driver) PowerState(ctx context.Context, n *node.Node) (node.PowerState, error) {
	return n.PowerState, f.wait(ctx, "power")
}

// SetPower takes every action that has a fake: the rules record the outcome. NMI has none.
func (f *driver) SetPower(ctx context.Context, n *node.Node, a bmc.Action, p bmc.Permit) error {
	if a == bmc.NMI {
		return &node.Error{Op: "SetPower", Node: n.UUID, Kind: node.Unsupported, Text: "Driver fake-hardware does not support inject_nmi (disabled or not implemented)."}
	}
	if err := permitted(ctx, p); err != nil {
		return err
	}
	return f.wait(ctx, "power")
}

// BootDevice is always pxe, once.
func (*driver) BootDevice(context.Context, *node.Node) (bmc.BootDevice, error) {
	return bmc.BootDevice{Device: "pxe", Known: true}, nil
}

// SetBootDevice accepts pxe and forgets persistent.
func (f *driver) SetBootDevice(ctx context.Context, n *node.Node, device string, _ bool, p bmc.Permit) error {
	if device != "pxe" {
		return &node.Error{Op: "SetBootDevice", Node: n.UUID, Kind: node.Invalid, Text: fmt.Sprintf("Invalid boot device %s specified.", device)}
	}
	if err := permitted(ctx, p); err != nil {
		return err
	}
	return f.wait(ctx, "management")
}

// BootDevices is pxe alone.
func (*driver) BootDevices(*node.Node) []string { return devices }

// Sensors has none to read.
func (f *driver) Sensors(ctx context.Context, _ *node.Node) ([]bmc.Sensor, error) {
	return nil, f.wait(ctx, "management")
}

// permitted makes both checks of S10, as a driver with hardware would.
func permitted(ctx context.Context, p bmc.Permit) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if p == nil {
		return fmt.Errorf("%w: none was given", bmc.ErrPermit)
	}
	if err := p.OK(ctx); err != nil {
		return err
	}
	if !p.Live() {
		return bmc.ErrPermit
	}
	return nil
}

// steps are the steps of the fake interfaces; each takes its interface's delay. Unlisted ones are unknown.
var steps = map[string]map[string]bool{
	"deploy": {"deploy": true, "take_over": true, "tear_down": true, "prepare": true, "clean_up": true}, "vendor": {"log_passthrough": true},
	"bios":     {"apply_configuration": true, "factory_reset": true, "cache_bios_settings": true},
	"firmware": {"update": true}, "inspect": {"inspect_hardware": true}, "rescue": {"rescue": true, "unrescue": true},
}

// RunStep waits the interface's delay.
func (f *driver) RunStep(ctx context.Context, n *node.Node, s node.StepSpec) error {
	if !steps[s.Interface][s.Step] {
		return &node.Error{Op: "RunStep", Node: n.UUID, Kind: node.Unsupported, Text: fmt.Sprintf("node does not support this step: %s.%s", s.Interface, s.Step)}
	}
	if s.Step == "log_passthrough" {
		f.log.Debug("fake vendor step", "node", n.UUID, "args", s.Args)
	}
	return f.wait(ctx, s.Interface)
}

// Prepare remembers the recorded state: Poll answers with it.
func (*driver) Prepare(n *node.Node) (bmc.Handle, error) { return handle(n.PowerState), nil }

// handle is a node's power as it was recorded when the handle was made.
type handle node.PowerState

// Poll answers at once.
func (h handle) Poll(s bmc.Sink) { s.PowerPolled(node.PowerState(h), nil) }

// Close has nothing to give back.
func (handle) Close() {}

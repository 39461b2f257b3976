// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"context"
	"net/netip"

	"ferrite/bmc"
	"ferrite/node"
)

// Driver is the hardware type "ipmi" on this engine.
func (e *Engine) Driver() *bmc.Driver {
	d := driver{e}
	return &bmc.Driver{
		Name: "ipmi",
		Caps: bmc.Capabilities{
			PowerTargets: []node.PowerState{node.PowerOn, node.PowerOff, node.Rebooting, node.SoftRebooting, node.SoftPowerOff},
			PowerSync:    true, BootDevices: bootDevices,
		},
		Validate: d, Power: d, Boot: d, Identity: d, Poller: poller{e}, NewLogin: newLogin, Properties: properties,
		Sensors: d, Events: d, Manager: d,
	}
}

// newLogin compares user, password, key and privilege level of two versions of a node.
func newLogin(n, changed *node.Node) bool {
	a, err := parseInfo(n)
	b, berr := parseInfo(changed)
	if err != nil || berr != nil || b.why != nil || a.String() != b.String() {
		return false
	}
	x, y := a.who.Value(), b.who.Value()
	x.quirks, y.quirks = 0, 0
	return x != y
}

// driver is the engine in the words of package bmc.
type driver struct{ e *Engine }

var (
	_ bmc.Power     = driver{}
	_ bmc.Validator = driver{}
	_ bmc.Boot      = driver{}
	_ bmc.Identity  = driver{}
)

// controls maps an action to the chassis control value (IPMI v2.0, table 28-4) and to Ironic's word for the command.
var controls = map[bmc.Action]struct {
	value byte
	name  string
}{
	bmc.Off: {0, "power off"}, bmc.On: {1, "power on"}, bmc.Reset: {3, "power reset"}, bmc.NMI: {4, "power diag"}, bmc.SoftOff: {5, "power soft"},
}

// ValidatePower checks driver_info with the form of the address.
func (d driver) ValidatePower(n *node.Node) error {
	if err := checkAddress(n); err != nil {
		return err
	}
	return d.ValidateManagement(n)
}

// ValidateManagement checks driver_info.
func (driver) ValidateManagement(n *node.Node) error {
	_, err := parseInfo(n)
	return err
}

// key finds the node's BMC. Errors of driver_info are *node.Error; what cannot be commanded here is *bmc.Error.
func (d driver) key(ctx context.Context, n *node.Node, name string) (recordKey, error) {
	t, err := d.e.target(n)
	if err != nil {
		return recordKey{}, err
	}
	if t.why != nil {
		return recordKey{}, &bmc.Error{Command: name, Address: t.String(), Err: t.why}
	}
	if !t.addr.IsValid() {
		a, err := d.e.names.wait(ctx, t.host)
		if err != nil {
			return recordKey{}, &bmc.Error{Command: name, Address: t.String(), Err: err}
		}
		t.addr = netip.AddrPortFrom(a, t.port)
	}
	return recordKey{t.addr, t.who}, nil
}

// send runs a raw command as one call.
func (d driver) send(ctx context.Context, n *node.Node, name string, c *call, r Raw) ([]byte, error) {
	k, err := d.key(ctx, n, name)
	if err != nil {
		return nil, err
	}
	c.step, c.known = step{r.NetFn, r.Cmd, r.Data}, n.Refused
	return d.e.do(ctx, name, k, c)
}

// PowerState asks the BMC.
func (d driver) PowerState(ctx context.Context, n *node.Node) (node.PowerState, error) {
	data, err := d.send(ctx, n, powerStatus, &call{insist: bmc.Insists(ctx)}, Raw{netChassis, cmdChassisStatus, nil})
	switch {
	case err != nil:
		return node.PowerUnknown, err
	case len(data) == 0:
		return node.PowerError, nil
	case data[0]&1 == 1:
		return node.PowerOn, nil
	default:
		return node.PowerOff, nil
	}
}

// SetPower sends one chassis control command; before power on and reset the boot device is set once more for BMCs that
// forget it (ipmi_force_boot_device).
func (d driver) SetPower(ctx context.Context, n *node.Node, a bmc.Action, p bmc.Permit) error {
	ctl, ok := controls[a]
	if !ok {
		return invalid(n, "Power action %q is not known: wanted on, off, soft off, reset or nmi.", a)
	}
	var before []Raw
	if a == bmc.On || a == bmc.Reset {
		var err error
		if before, err = reapply(n, d.e.cfg); err != nil {
			return err
		}
	}
	if err := d.boot(ctx, n, "chassis bootdev", before, p); err != nil {
		return err
	}
	_, err := d.send(ctx, n, ctl.name, &call{priv: privOperator, mutating: true, once: a.Class() == node.Once, permit: p},
		Raw{netChassis, cmdChassisControl, []byte{ctl.value}})
	return err
}

// BootDevice tells the stored device where the BMC forgets it, else asks the BMC.
func (d driver) BootDevice(ctx context.Context, n *node.Node) (bmc.BootDevice, error) {
	if err := d.ValidateManagement(n); err != nil {
		return bmc.BootDevice{}, err
	}
	if b, ok := stored(n); ok {
		return b, nil
	}
	data, err := d.send(ctx, n, "chassis bootparam get 5", &call{priv: privOperator}, Raw{netChassis, cmdGetBootOptions, []byte{0x05, 0, 0}})
	if err != nil {
		return bmc.BootDevice{}, err
	}
	return parseBoot(data), nil
}

// SetBootDevice sends the commands of BootPlan; what it wants stored must have been stored before (PlanBoot).
func (d driver) SetBootDevice(ctx context.Context, n *node.Node, device string, persistent bool, p bmc.Permit) error {
	plan, err := BootPlan(n, device, persistent, d.e.cfg)
	if err != nil {
		return err
	}
	return d.boot(ctx, n, "chassis bootdev "+device, plan.Commands, p)
}

// boot sends the commands that set a boot device, each as a call of its own: Set Boot Options changes something, so that
// MinCommandInterval lies between two of them, and between the last one and what follows (BMC.md section 6, point 2).
func (d driver) boot(ctx context.Context, n *node.Node, name string, commands []Raw, p bmc.Permit) error {
	for _, raw := range commands {
		if _, err := d.send(ctx, n, name, &call{priv: privOperator, mutating: true, permit: p}, raw); err != nil {
			return err
		}
	}
	return nil
}

// PlanBoot is what must be stored in driver_internal_info before SetBootDevice; nil = nothing. It talks to nobody.
func (d driver) PlanBoot(n *node.Node, device string, persistent bool) (map[string]any, error) {
	plan, err := BootPlan(n, device, persistent, d.e.cfg)
	return plan.Internal, err
}

// BootDevices are all five of Ironic's.
func (driver) BootDevices(*node.Node) []string { return bootDevices }

// Vendor is the manufacturer that the BMC names.
func (d driver) Vendor(ctx context.Context, n *node.Node) (string, error) {
	data, err := d.send(ctx, n, "mc info", &call{}, Raw{netApp, cmdDeviceID, nil})
	if err != nil {
		return "", err
	}
	return vendor(data), nil
}

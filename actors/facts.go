// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"errors"

	"ferrite/bmc"
	"ferrite/node"
)

// driver is what serves an interface kind of a node; nil = nothing of ours does.
func (f *Fleet) driver(n *node.Node, kind string) *bmc.Driver {
	return f.cfg.Drivers[n.Interfaces[kind]]
}

// BootPlanner is a Boot that keeps something in driver_internal_info when a boot device is set (force_boot_device).
type BootPlanner interface {
	PlanBoot(n *node.Node, device string, persistent bool) (internal map[string]any, err error)
}

// facts asks the node's drivers, without IO, what the rules need to know for this message.
func (f *Fleet) facts(n *node.Node, m node.Msg) node.Facts {
	var x node.Facts
	if d := f.driver(n, "power"); d != nil {
		x.PowerTargets, x.PowerSync = d.Caps.PowerTargets, d.Caps.PowerSync
		if d.Validate != nil {
			x.PowerInvalid = text(d.Validate.ValidatePower(n))
		}
	} else {
		x.PowerInvalid = "power interface \"" + n.Interfaces["power"] + "\" is not built yet"
	}
	// vendor.log_passthrough is the fake vendor interface's step; ipmi has none (its own steps are manual).
	if d := f.cfg.Drivers[n.Interfaces["vendor"]]; d != nil {
		x.CleanSteps = d.Caps.CleanSteps
	}
	d := f.driver(n, "management")
	if d == nil {
		x.ManagementInvalid = "management interface \"" + n.Interfaces["management"] + "\" is not built yet"
		return x
	}
	if d.Validate != nil {
		x.ManagementInvalid = text(d.Validate.ValidateManagement(n))
	}
	if d.Boot != nil {
		x.BootDevices = d.Boot.BootDevices(n)
	}
	if b, ok := m.(node.SetBootDevice); ok {
		if p, ok := d.Boot.(BootPlanner); ok && x.ManagementInvalid == "" {
			internal, err := p.PlanBoot(n, b.Device, b.Persistent)
			x.BootInternal, x.BootInvalid = internal, text(err)
		}
	}
	return x
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Validate says of each interface whether it could work (GET validate). It never talks to a BMC.
func (f *Fleet) Validate(n *node.Node) map[string]node.Validity {
	x := f.facts(n, node.SetPower{})
	out := map[string]node.Validity{}
	for _, kind := range node.InterfaceKinds {
		if kind == "vendor" {
			continue
		}
		out[kind] = f.validity(n, kind, x)
	}
	return out
}

func (f *Fleet) validity(n *node.Node, kind string, x node.Facts) node.Validity {
	name := n.Interfaces[kind]
	bad := func(reason string) node.Validity { return node.Validity{OK: reason == "", Reason: reason} }
	switch {
	case kind == "power":
		return bad(x.PowerInvalid)
	case kind == "management":
		return bad(x.ManagementInvalid)
	case kind == "boot" && n.Interfaces["deploy"] == "fake": // fake deploy boots nothing
		return node.Validity{OK: true}
	case name == "fake", name == "noop":
		return node.Validity{OK: true}
	case len(name) > 3 && name[:3] == "no-":
		return bad("Driver " + n.Driver + " does not support " + kind + " (disabled or not implemented).")
	default:
		return bad(kind + " interface \"" + name + "\" is not built yet")
	}
}

// errNoHandle is what a node without usable driver_info answers to a reading.
var errNoHandle = errors.New("driver_info cannot be used: see validate")

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"context"
	"fmt"
	"slices"

	"ferrite/bmc"
	"ferrite/node"
)

// noop is management interface "noop": for machines whose boot device nobody can set (spec ipmi-driver.md section 5).
type noop struct{}

// Noop is the driver of management interface "noop". It bears no hardware type's name and has no power.
func Noop() *bmc.Driver {
	return &bmc.Driver{Validate: noop{}, Boot: noop{}, Caps: bmc.Capabilities{BootDevices: noop{}.BootDevices(nil)}}
}

// ValidatePower refuses: noop has no power.
func (noop) ValidatePower(n *node.Node) error {
	return &node.Error{Op: "ValidatePower", Node: n.UUID, Kind: node.Unsupported, Text: "interface noop has no power"}
}

// ValidateManagement passes: nothing is needed.
func (noop) ValidateManagement(*node.Node) error { return nil }

// BootDevices are taken by name alone.
func (noop) BootDevices(*node.Node) []string { return []string{"pxe", "disk"} }

// BootDevice is always pxe, for good.
func (noop) BootDevice(context.Context, *node.Node) (bmc.BootDevice, error) {
	return bmc.BootDevice{Device: "pxe", Persistent: true, Known: true}, nil
}

// SetBootDevice checks the name and does nothing.
func (d noop) SetBootDevice(_ context.Context, n *node.Node, device string, _ bool, _ bmc.Permit) error {
	if !slices.Contains(d.BootDevices(n), device) {
		return &node.Error{Op: "SetBootDevice", Node: n.UUID, Kind: node.Invalid, Text: fmt.Sprintf("Invalid boot device %s specified.", device)}
	}
	return nil
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import "slices"

// InterfaceKinds are the kinds of driver interface, in the order of their names on the wire.
var InterfaceKinds = []string{
	"bios", "boot", "console", "deploy", "firmware", "inspect", "management", "network", "power", "raid", "rescue",
	"storage", "vendor",
}

// HardwareType is what one driver name stands for: which interfaces it supports, best first (spec flows.md section 4).
type HardwareType struct {
	Name       string
	Interfaces map[string][]string // kind -> supported names; the first enabled one is the default
	AnyEnabled bool                // accepts whatever the conductor has enabled (fake-hardware)
}

// HardwareTypes are the hardware types that can be enabled. Until provisioning is built, an ipmi node may use deploy
// interface "fake" (beyond Ironic's list) and has it as default.
var HardwareTypes = []HardwareType{
	{Name: "ipmi", Interfaces: map[string][]string{
		"bios": {"no-bios"}, "boot": {"ipxe", "pxe", "http-ipxe", "http", "fake"}, "console": {"no-console", "fake"},
		"deploy":   {"fake", "direct", "autodetect", "ramdisk", "ansible", "anaconda", "bootc", "custom-agent"},
		"firmware": {"no-firmware"}, "inspect": {"no-inspect", "agent"}, "management": {"ipmitool", "noop"},
		"network": {"noop", "flat", "neutron"}, "power": {"ipmitool"}, "raid": {"no-raid", "agent"},
		"rescue": {"no-rescue", "agent"}, "storage": {"noop", "cinder", "external"}, "vendor": {"ipmitool", "no-vendor"},
	}},
	{Name: "fake-hardware", AnyEnabled: true, Interfaces: map[string][]string{
		"bios": {"fake", "no-bios"}, "boot": {"fake", "ipxe", "pxe"}, "console": {"fake", "no-console"},
		"deploy": {"fake", "direct", "autodetect", "ramdisk"}, "firmware": {"fake", "no-firmware"},
		"inspect": {"fake", "no-inspect", "agent"}, "management": {"fake", "noop"}, "network": {"noop", "flat", "neutron"},
		"power": {"fake"}, "raid": {"fake", "no-raid", "agent"}, "rescue": {"fake", "no-rescue", "agent"},
		"storage": {"noop", "fake"}, "vendor": {"fake", "no-vendor"},
	}},
}

// EnabledInterfaces are enabled by default, by kind (Ironic's [DEFAULT]enabled_*_interfaces).
func EnabledInterfaces() map[string][]string {
	return map[string][]string{
		"bios": {"no-bios", "fake"}, "boot": {"ipxe", "pxe", "http-ipxe", "http", "fake"},
		"console": {"no-console", "fake"}, "deploy": {"fake", "direct", "autodetect", "ramdisk"},
		"firmware": {"no-firmware", "fake"}, "inspect": {"no-inspect", "agent", "fake"},
		"management": {"ipmitool", "noop", "fake"}, "network": {"noop", "flat"}, "power": {"ipmitool", "fake"},
		"raid": {"no-raid", "agent", "fake"}, "rescue": {"no-rescue", "agent", "fake"}, "storage": {"noop", "cinder", "fake"},
		"vendor": {"ipmitool", "no-vendor", "fake"},
	}
}

// FindHardware returns the hardware type of that name.
func FindHardware(name string) (HardwareType, bool) {
	for _, h := range HardwareTypes {
		if h.Name == name {
			return h, true
		}
	}
	return HardwareType{}, false
}

// Supported lists the interfaces of a kind that a node of this hardware type may use, best first.
func (h HardwareType) Supported(kind string, enabled map[string][]string) []string {
	var out []string
	for _, name := range h.Interfaces[kind] {
		if slices.Contains(enabled[kind], name) {
			out = append(out, name)
		}
	}
	if h.AnyEnabled {
		for _, name := range enabled[kind] {
			if !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// Default is the interface that a node gets when it names none: the configured default where the type supports it, else
// the first supported one; "" = none.
func (h HardwareType) Default(kind string, enabled map[string][]string, configured map[string]string) string {
	s := h.Supported(kind, enabled)
	if c := configured[kind]; c != "" && slices.Contains(s, c) {
		return c
	}
	if len(s) == 0 {
		return ""
	}
	return s[0]
}

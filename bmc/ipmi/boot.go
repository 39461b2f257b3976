// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"encoding/json"
	"slices"
	"strings"

	"ferrite/bmc"
	"ferrite/node"
)

const (
	modeUEFI = "uefi"
	modeBIOS = "bios"
)

// Keys of driver_internal_info for BMCs that forget the boot device (ipmi_force_boot_device).
const (
	keyPersistent = "persistent_boot_device"
	keyNext       = "is_next_boot_persistent"
)

// bootDevices are the devices that can be asked for, in Ironic's order.
var bootDevices = []string{"pxe", "disk", "cdrom", "bios", "safe"}

// deviceBits is byte 2 of boot option 5 (IPMI v2.0, table 28-14).
var deviceBits = map[string]byte{"pxe": 0x04, "disk": 0x08, "safe": 0x0c, "cdrom": 0x14, "bios": 0x18}

// deviceNames maps the selector in bits 5:2 back; others are shown as null.
var deviceNames = map[byte]string{1: "pxe", 2: "disk", 3: "safe", 5: "cdrom", 6: "bios"}

// Raw is one IPMI request.
type Raw struct {
	NetFn, Cmd byte
	Data       []byte
}

// Plan is what setting a boot device takes (spec ipmi-driver.md section 4).
type Plan struct {
	Commands []Raw
	// Internal is driver_internal_info as it must be stored before the commands are sent; nil = unchanged.
	Internal map[string]any
}

// BootPlan decides how a node's boot device is set. It talks to nobody.
func BootPlan(n *node.Node, device string, persistent bool, cfg Config) (Plan, error) {
	if !slices.Contains(bootDevices, device) {
		return Plan{}, invalid(n, "Invalid boot device %s specified.", device)
	}
	mode, err := bootMode(n, cfg.DefaultBootMode)
	if err != nil {
		return Plan{}, err
	}
	var p Plan
	if lenient(n.DriverInfo["ipmi_force_boot_device"]) {
		if persistent {
			p.Internal = node.With(node.Without(n.DriverInternalInfo, keyNext), keyPersistent, device)
		} else {
			p.Internal = node.With(n.DriverInternalInfo, keyNext, false)
		}
		persistent = false // such a BMC always gets a setting for one boot
	}
	p.Commands = bootCommands(n, device, persistent, mode, cfg)
	return p, nil
}

func bootCommands(n *node.Node, device string, persistent bool, mode string, cfg Config) []Raw {
	var out []Raw
	keep := cfg.DisableBootTimeout
	if v := n.DriverInfo["ipmi_disable_boot_timeout"]; v != nil {
		keep = lenient(v)
	}
	if keep { // else the BMC drops the flags after 60 s
		out = append(out, Raw{netChassis, cmdSetBootOptions, []byte{0x03, 0x08}})
	}
	flags, dev := byte(0x80), deviceBits[device]
	if persistent {
		flags |= 0x40
	}
	if mode == modeUEFI {
		flags |= 0x20
		if v, _ := n.Properties["vendor"].(string); strings.EqualFold(v, "supermicro") && device == "disk" {
			dev = 0x24 // their firmware wants the selector of "remote disk" to boot UEFI from disk
		}
	}
	return append(out, Raw{netChassis, cmdSetBootOptions, []byte{0x05, flags, dev, 0, 0, 0}})
}

// reapply are the commands that must go out before power on for BMCs that forget; nil = none.
func reapply(n *node.Node, cfg Config) ([]Raw, error) {
	if !lenient(n.DriverInfo["ipmi_force_boot_device"]) {
		return nil, nil
	}
	device, _ := n.DriverInternalInfo[keyPersistent].(string)
	if next, ok := n.DriverInternalInfo[keyNext].(bool); device == "" || ok && !next {
		return nil, nil
	}
	mode, err := bootMode(n, cfg.DefaultBootMode)
	if err != nil {
		return nil, err
	}
	return bootCommands(n, device, false, mode, cfg), nil
}

// stored is the boot device that the record knows better than the BMC.
func stored(n *node.Node) (bmc.BootDevice, bool) {
	device, _ := n.DriverInternalInfo[keyPersistent].(string)
	next, ok := n.DriverInternalInfo[keyNext].(bool)
	if !lenient(n.DriverInfo["ipmi_force_boot_device"]) || device == "" || ok && !next {
		return bmc.BootDevice{}, false
	}
	return bmc.BootDevice{Device: device, Persistent: true, Known: true}, true
}

// parseBoot reads the answer to Get Boot Options 5: parameter version, parameter, then its data. Of an answer that is
// cut short or about another parameter nothing is known.
func parseBoot(data []byte) bmc.BootDevice {
	if len(data) < 4 || data[1]&0x7f != 5 {
		return bmc.BootDevice{}
	}
	return bmc.BootDevice{Device: deviceNames[data[3]>>2&0x0f], Persistent: data[2]&0x40 != 0, Known: true}
}

// bootMode is the mode that a boot device is set for: the first of the places of spec ipmi-driver.md section 4 that
// names one.
func bootMode(n *node.Node, fallback string) (string, error) {
	instance, hardware := capabilities(n.InstanceInfo["capabilities"]), capabilities(n.Properties["capabilities"])
	mode := fallback
	text := func(v any) string { s, _ := v.(string); return s }
	for _, m := range []string{
		map[bool]string{true: modeUEFI}[strings.EqualFold(instance["secure_boot"], "true")],
		instance["boot_mode"], text(n.InstanceInfo["deploy_boot_mode"]), hardware["boot_mode"],
		text(n.DriverInternalInfo["deploy_boot_mode"]),
	} {
		if m != "" {
			mode = strings.ToLower(m)
			break
		}
	}
	if h := strings.ToLower(hardware["boot_mode"]); h != "" && h != mode {
		return "", invalid(n, "Boot mode %s violates node properties/capabilities, which say %s.", mode, h)
	}
	return mode, nil
}

// capabilities reads "a:1,b:2", the same as a JSON text, or an object.
func capabilities(v any) map[string]string {
	out := map[string]string{}
	if s, ok := v.(string); ok {
		var m map[string]any
		if json.Unmarshal([]byte(s), &m) != nil {
			for pair := range strings.SplitSeq(s, ",") {
				if k, val, ok := strings.Cut(pair, ":"); ok {
					out[strings.TrimSpace(k)] = strings.TrimSpace(val)
				}
			}
			return out
		}
		v = m
	}
	m, _ := v.(map[string]any)
	for k, x := range m {
		s, _ := str(x)
		out[k] = s
	}
	return out
}

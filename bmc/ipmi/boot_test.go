// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"encoding/hex"
	"errors"
	"maps"
	"strings"
	"testing"

	"ferrite/bmc"
	"ferrite/bmc/bmctest"
	"ferrite/node"
	"ferrite/sim"
)

// raws writes commands as hexadecimal text: netfn command data.
func raws(list []Raw) string {
	var out []string
	for _, r := range list {
		out = append(out, hex.EncodeToString(append([]byte{r.NetFn, r.Cmd}, r.Data...)))
	}
	return strings.Join(out, " ")
}

func TestBootPlan(t *testing.T) {
	const keep = "00080308 "
	bios := map[string]any{"capabilities": "boot_mode:bios"}
	for _, c := range []struct {
		name       string
		n          node.Node
		device     string
		persistent bool
		want       string // commands
		internal   map[string]any
	}{
		{name: "uefi, once", device: "pxe", want: keep + "000805a004000000"},
		{name: "uefi, persistent", device: "pxe", persistent: true, want: keep + "000805e004000000"},
		{name: "disk", device: "disk", want: keep + "000805a008000000"},
		{name: "safe", device: "safe", want: keep + "000805a00c000000"},
		{name: "cdrom", device: "cdrom", want: keep + "000805a014000000"},
		{name: "bios", device: "bios", want: keep + "000805a018000000"},
		{name: "supermicro, uefi", n: node.Node{Properties: map[string]any{"vendor": "SuperMicro"}}, device: "disk", want: keep + "000805a024000000"},
		{name: "supermicro, bios", n: node.Node{Properties: map[string]any{"vendor": "supermicro", "capabilities": "boot_mode:bios"}}, device: "disk", want: keep + "0008058008000000"},
		{name: "supermicro, pxe", n: node.Node{Properties: map[string]any{"vendor": "supermicro"}}, device: "pxe", want: keep + "000805a004000000"},
		{name: "legacy, once", n: node.Node{Properties: bios}, device: "pxe", want: keep + "0008058004000000"},
		{name: "legacy, persistent", n: node.Node{Properties: bios}, device: "cdrom", persistent: true, want: keep + "000805c014000000"},
		{name: "flags may time out", n: node.Node{DriverInfo: map[string]any{"ipmi_disable_boot_timeout": "False"}}, device: "pxe", want: "000805a004000000"},
		{name: "flags may not time out", n: node.Node{DriverInfo: map[string]any{"ipmi_disable_boot_timeout": true}}, device: "pxe", want: keep + "000805a004000000"},
		{
			name: "forced, persistent", n: node.Node{DriverInfo: map[string]any{"ipmi_force_boot_device": "true"}, DriverInternalInfo: map[string]any{"is_next_boot_persistent": false, "x": 1}},
			device: "disk", persistent: true, want: keep + "000805a008000000", internal: map[string]any{"persistent_boot_device": "disk", "x": 1},
		},
		{
			name: "forced, once", n: node.Node{DriverInfo: map[string]any{"ipmi_force_boot_device": true}, DriverInternalInfo: map[string]any{"persistent_boot_device": "disk"}},
			device: "pxe", want: keep + "000805a004000000", internal: map[string]any{"persistent_boot_device": "disk", "is_next_boot_persistent": false},
		},
	} {
		p, err := BootPlan(&c.n, c.device, c.persistent, Defaults())
		if err != nil || raws(p.Commands) != c.want {
			t.Errorf("%s: sends %s, %v: wanted %s", c.name, raws(p.Commands), err, c.want)
		}
		if !maps.Equal(p.Internal, c.internal) || (p.Internal == nil) != (c.internal == nil) {
			t.Errorf("%s: stores %v: wanted %v", c.name, p.Internal, c.internal)
		}
	}
	cfg := Defaults()
	cfg.DisableBootTimeout, cfg.DefaultBootMode = false, "bios"
	if p, err := BootPlan(&node.Node{}, "pxe", false, cfg); raws(p.Commands) != "0008058004000000" {
		t.Errorf("with other options: sends %s, %v", raws(p.Commands), err)
	}
}

func TestBootMode(t *testing.T) {
	for _, c := range []struct {
		name string
		n    node.Node
		want string // "" = refused
	}{
		{"default", node.Node{}, "uefi"},
		{"secure boot", node.Node{InstanceInfo: map[string]any{"capabilities": `{"secure_boot": "true", "boot_mode": "bios"}`}}, "uefi"},
		{"no secure boot", node.Node{InstanceInfo: map[string]any{"capabilities": map[string]any{"secure_boot": "false", "boot_mode": "bios"}}}, "bios"},
		{"instance", node.Node{InstanceInfo: map[string]any{"capabilities": map[string]any{"boot_mode": "bios"}, "deploy_boot_mode": "uefi"}}, "bios"},
		{"deploy", node.Node{InstanceInfo: map[string]any{"deploy_boot_mode": "bios"}}, "bios"},
		{"hardware", node.Node{Properties: map[string]any{"capabilities": "cpu_vt:true,boot_mode:bios"}, DriverInternalInfo: map[string]any{"deploy_boot_mode": "uefi"}}, "bios"},
		{"internal", node.Node{DriverInternalInfo: map[string]any{"deploy_boot_mode": "bios"}}, "bios"},
		{"contradiction", node.Node{InstanceInfo: map[string]any{"deploy_boot_mode": "uefi"}, Properties: map[string]any{"capabilities": "boot_mode:bios"}}, ""},
	} {
		mode, err := bootMode(&c.n, "uefi")
		if mode != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s: mode %q, %v: wanted %q", c.name, mode, err, c.want)
		}
		if err != nil && !strings.Contains(err.Error(), "violates node properties/capabilities") {
			t.Errorf("%s: refused with %q", c.name, err)
		}
	}
}

func TestParseBoot(t *testing.T) {
	for text, want := range map[string]bmc.BootDevice{
		"0105800400":     {Device: "pxe", Known: true},
		"0105e00800":     {Device: "disk", Persistent: true, Known: true},
		"0105c00c00":     {Device: "safe", Persistent: true, Known: true},
		"01058014000000": {Device: "cdrom", Known: true},
		"01058018000000": {Device: "bios", Known: true},
		"0105a024000000": {Known: true},
		"0105000000":     {Known: true},
		"0105":           {},
	} {
		b, err := hex.DecodeString(text)
		if got := parseBoot(b); got != want || err != nil {
			t.Errorf("%s gives %+v: wanted %+v", text, got, want)
		}
	}
}

// names are the commands that a simulated BMC has executed in class chassis, as netfn command data.
func executed(b *sim.BMC) string {
	var list []Raw
	for _, c := range b.Commands() {
		if c.NetFn == netChassis {
			list = append(list, Raw{c.NetFn, c.Cmd, c.Data})
		}
	}
	return raws(list)
}

func TestForcedBootDeviceIsSetBeforePowerOn(t *testing.T) {
	f, e := fleet(t, nil), engine(t, patient())
	d := e.Driver()
	n := at(f.Addr(0), "ipmi_force_boot_device", "yes")
	planner := d.Boot.(interface {
		PlanBoot(*node.Node, string, bool) (map[string]any, error)
	})
	internal, err := planner.PlanBoot(n, "disk", true)
	if err != nil || internal["persistent_boot_device"] != "disk" {
		t.Fatalf("plan stores %v, %v", internal, err)
	}
	n.DriverInternalInfo = internal
	if b, err := d.Boot.BootDevice(t.Context(), n); b != (bmc.BootDevice{Device: "disk", Persistent: true, Known: true}) || err != nil {
		t.Errorf("boot device is %+v, %v: wanted the stored one", b, err)
	}
	if s := e.Stats(); s.Sent != 0 {
		t.Errorf("%d packets were sent to learn what is stored", s.Sent)
	}
	if err := d.Power.SetPower(t.Context(), n, bmc.On, bmctest.Permit{}); err != nil {
		t.Fatal(err)
	}
	if got, want := executed(f.BMC(0)), "00080308 000805a008000000 000201"; got != want {
		t.Errorf("power on executed %s: wanted %s", got, want)
	}
	if err := d.Power.SetPower(t.Context(), n, bmc.Reset, bmctest.Permit{}); err != nil {
		t.Fatal(err)
	}
	if got, want := executed(f.BMC(0)), "00080308 000805a008000000 000201 00080308 000805a008000000 000203"; got != want {
		t.Errorf("power on and reset executed %s: wanted %s", got, want)
	}
	n = at(f.Addr(1), "ipmi_force_boot_device", "yes")
	n.DriverInternalInfo = map[string]any{"persistent_boot_device": "disk", "is_next_boot_persistent": false}
	if err := d.Power.SetPower(t.Context(), n, bmc.On, bmctest.Permit{}); err != nil {
		t.Fatal(err)
	}
	if got, want := executed(f.BMC(1)), "000201"; got != want {
		t.Errorf("with a device for one boot set, power on executed %s: wanted %s", got, want)
	}
}

func TestPersistentBootDevice(t *testing.T) {
	f, e := fleet(t, nil), engine(t, patient())
	n := at(f.Addr(0))
	if err := e.Driver().Boot.SetBootDevice(t.Context(), n, "cdrom", true, bmctest.Permit{}); err != nil {
		t.Fatal(err)
	}
	if device, persistent := f.BMC(0).BootDevice(); device != "cdrom" || !persistent {
		t.Errorf("the machine boots from %q, persistent %v: wanted cdrom for good", device, persistent)
	}
	err := e.Driver().Boot.SetBootDevice(t.Context(), n, "usb", true, bmctest.Permit{})
	var refused *node.Error
	if !errors.As(err, &refused) || refused.Text != "Invalid boot device usb specified." {
		t.Errorf("set usb gave %v", err)
	}
}

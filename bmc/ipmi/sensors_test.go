// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ferrite/bmc"
	"ferrite/sim"
)

// tool runs a client that others wrote.
func tool(t *testing.T, pkg, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v; install it: apt-get install %s", err, pkg)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	var failed strings.Builder
	cmd.Stderr = &failed
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s%s", name, args, err, out, failed.String())
	}
	return string(out)
}

func ipmitool(t *testing.T, a netip.AddrPort, password string, args ...string) string {
	return tool(t, "ipmitool", "ipmitool", append([]string{"-I", "lanplus", "-H", a.Addr().String(), "-p", fmt.Sprint(a.Port()), "-U", "admin", "-P", password, "-C", "3", "-N", "5", "-R", "5"}, args...)...)
}

// ironic reads the output of `ipmitool -v sdr` as Ironic does: blocks between empty lines, lines with one colon.
func ironic(out string) (names []string, fields map[string]map[string]string) {
	fields = map[string]map[string]string{}
	for block := range strings.SplitSeq(out, "\n\n") {
		one := map[string]string{}
		for line := range strings.Lines(block) {
			if k, v, ok := strings.Cut(line, ":"); ok && !strings.Contains(v, ":") && !strings.Contains(k, "[") { // states are not for it
				one[strings.TrimSpace(k)] = strings.TrimSpace(v)
			}
		}
		if _, ok := one["Sensor Reading"]; ok {
			names = append(names, one["Sensor ID"])
			fields[one["Sensor ID"]] = one
		}
	}
	return names, fields
}

// notAsked are fields for which ipmitool asks the BMC two more questions a sensor; nobody reads them.
var notAsked = []string{"Assertion Events", "Deassertion Events", "Assertions Enabled", "Deassertions Enabled", "Event Status", "Event Enable"}

// same compares our reading of a BMC with ipmitool's.
func same(t *testing.T, got []bmc.Sensor, out string) {
	t.Helper()
	names, want := ironic(out)
	if len(names) == 0 {
		t.Fatalf("ipmitool found no sensor:\n%s", out)
	}
	var ours []string
	for _, s := range got {
		ours = append(ours, s.ID)
		mine := map[string]string{}
		for _, f := range s.Fields {
			mine[f.Name] = strings.TrimSpace(f.Value)
		}
		for k, v := range want[s.ID] {
			if !slices.Contains(notAsked, k) && mine[k] != v {
				t.Errorf("%s: %s is %q, ipmitool says %q", s.ID, k, mine[k], v)
			}
			delete(mine, k)
		}
		for k, v := range mine {
			t.Errorf("%s: %s is %q, ipmitool does not say it", s.ID, k, v)
		}
	}
	if !slices.Equal(ours, names) {
		t.Errorf("sensors %q, ipmitool finds %q", ours, names)
	}
}

// curious are sensors of every kind of number that the specification knows.
func curious() []sim.Sensor {
	var out []sim.Sensor
	add := func(s sim.Sensor) {
		s.Number = byte(len(out) + 1) //nolint:gosec // a handful
		s.Name = fmt.Sprintf("S%d", s.Number)
		s.Reading, s.Entity, s.Inst = 1, 7, 1
		out = append(out, s)
	}
	for linear := range byte(12) {
		add(sim.Sensor{Type: 1, Units: [3]byte{0, 1, 0}, M: 3, B: 5, RExp: -1, Linear: linear, Tol: 2, Raw: 7, Mask: 0x3f, Limits: [6]byte{60, 50, 40, 1, 2, 3}, Hyst: [2]byte{1, 2}, Shown: 7, Usual: [5]byte{10, 20, 5, 70, 1}})
	}
	for _, format := range []byte{0, 0x40, 0x80} {
		for _, raw := range []byte{0, 1, 0x7f, 0x80, 0x81, 0xff} {
			add(sim.Sensor{Type: 2, Units: [3]byte{format, 4, 0}, M: -100, B: -300, BExp: -2, RExp: -3, Tol: 63, Raw: raw, Mask: 0x3f, Limits: [6]byte{raw, 0xff, 0x80, 0x7f, 1, 0}, Hyst: [2]byte{raw, 0x80}, Shown: 7, Usual: [5]byte{raw, raw, raw, raw, raw}})
		}
	}
	for _, exp := range []int{-8, -1, 0, 1, 7} {
		add(sim.Sensor{Type: 3, Units: [3]byte{0, 5, 0}, M: 511, B: -512, RExp: exp, BExp: exp, Raw: 200})
	}
	add(sim.Sensor{Type: 1, Units: [3]byte{0, 1, 0}, Linear: 0x70, M: 4, Raw: 9})
	add(sim.Sensor{Type: 0x0b, Units: [3]byte{1, 0, 0}, M: 1, Raw: 42})
	add(sim.Sensor{Type: 0x0b, Units: [3]byte{2, 6, 22}, M: 1, Raw: 42})
	add(sim.Sensor{Type: 0x0b, Units: [3]byte{4, 6, 24}, M: 1, Raw: 42})
	add(sim.Sensor{Type: 0x0b, Units: [3]byte{1, 6, 24}, M: 1, Raw: 42})
	add(sim.Sensor{Type: 4, Units: [3]byte{0xc0, 18, 0}, M: 1, Raw: 42, Mask: 0x3f, Limits: [6]byte{1, 2, 3, 4, 5, 6}, Hyst: [2]byte{3, 4}, Shown: 7, Usual: [5]byte{1, 2, 3, 4, 5}})
	add(sim.Sensor{Compact: true, Type: 4, Units: [3]byte{0xc0, 18, 0}, Raw: 42, Hyst: [2]byte{3, 4}})
	for bit := range 6 {
		add(sim.Sensor{Type: 1, Units: [3]byte{0, 1, 0}, M: 1, Raw: 9, States: 1 << bit})
	}
	add(sim.Sensor{Type: 1, Units: [3]byte{0, 1, 0}, M: 1, Raw: 9, Lost: true})
	add(sim.Sensor{Type: 1, Units: [3]byte{0, 1, 0}, M: 1, Raw: 9, Off: true})
	add(sim.Sensor{Type: 1, Units: [3]byte{0, 1, 0}, M: 1, Raw: 9, Gone: true})
	out[len(out)-1].Name = "exactly 16 chars"
	return out
}

// kinds are sensor types, units and entities by their number, as many as fit into one machine.
func kinds(from, to int) []sim.Sensor {
	var out []sim.Sensor
	for i := from; i < to; i++ {
		b := byte(i) //nolint:gosec // below 256
		out = append(out, sim.Sensor{Name: fmt.Sprintf("K%d", i), Number: b, Type: b, Reading: 1, Entity: b, Inst: 1, Units: [3]byte{0, b, 0}, M: 1, Raw: b})
	}
	return out
}

// discrete are sensors with every state on.
func discrete() []sim.Sensor {
	var out []sim.Sensor
	for kind := range byte(0x2d) {
		if kind == 0x2a { // session audit: ipmitool 1.8.19 has no words for its states
			continue
		}
		out = append(out, sim.Sensor{Name: fmt.Sprintf("D%d", kind), Compact: true, Number: kind, Type: kind, Reading: 0x6f, Entity: 7, Inst: 1, Units: [3]byte{0xc0}, States: 0x7fff, Raw: kind})
	}
	for reading := byte(2); reading < 0x0d; reading++ {
		out = append(out, sim.Sensor{Name: fmt.Sprintf("G%d", reading), Compact: true, Number: 0x80 + reading, Type: 8, Reading: reading, Entity: 7, Inst: 1, Units: [3]byte{0xc0}, States: 0x7fff})
	}
	return out
}

// TestSensorsAsIpmitool reads machines with every kind of sensor and compares each field with what ipmitool says.
func TestSensorsAsIpmitool(t *testing.T) {
	for name, m := range map[string]struct {
		sensors []sim.Sensor
		chunk   int // most bytes of a record that the BMC gives at once
	}{"standard": {nil, 0}, "small parts": {nil, 8}, "curious": {curious(), 20}, "kinds": {kinds(0, 80), 0}, "more kinds": {kinds(80, 160), 0}, "last kinds": {kinds(160, 256), 0}, "discrete": {discrete(), 0}} {
		t.Run(name, func(t *testing.T) {
			f, e := fleet(t, func(c *sim.Config) { c.BMCs, c.SDRChunk = 1, m.chunk }), engine(t, patient())
			if m.sensors != nil {
				f.BMC(0).SetSensors(m.sensors)
			}
			got, err := e.Driver().Sensors.Sensors(t.Context(), at(f.Addr(0)))
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, ipmitool(t, f.Addr(0), "password", "-v", "sdr"))
		})
	}
}

// TestSensorsAsFreeIPMI compares names and numbers with another reader's.
func TestSensorsAsFreeIPMI(t *testing.T) {
	f, e := fleet(t, nil), engine(t, patient())
	odd := curious()
	f.BMC(0).SetSensors(slices.Concat(sim.StandardSensors(), odd[:11], odd[12:30])) // FreeIPMI 1.6 has another cube root than mathematics
	got, err := e.Driver().Sensors.Sensors(t.Context(), at(f.Addr(0)))
	if err != nil {
		t.Fatal(err)
	}
	out := tool(t, "freeipmi-tools", "ipmi-sensors", "-D", "LAN_2_0", "-h", f.Addr(0).String(), "-u", "admin", "-p", "password", "-I", "17",
		"--sdr-cache-directory="+t.TempDir(), "--quiet-cache", "--no-header-output", "--comma-separated-output", "-W", "discretereading")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != len(got) {
		t.Fatalf("FreeIPMI finds %d sensors: wanted %d\n%s", len(lines), len(got), out)
	}
	numbers := 0
	for i, s := range got {
		want := strings.Split(lines[i], ",") // ID, name, type, reading, units, event
		if want[1] != strings.TrimSpace(s.Name) {
			t.Errorf("%s is called %q by FreeIPMI", s.ID, want[1])
		}
		value, err := strconv.ParseFloat(want[3], 64)
		if err != nil || s.Unit == "" {
			if s.Unit != "" && s.Known {
				t.Errorf("%s reads %v, FreeIPMI says %q", s.ID, s.Value, want[3])
			}
			continue
		}
		if numbers++; math.Abs(value-s.Value) > 0.006 {
			t.Errorf("%s reads %v, FreeIPMI says %v", s.ID, s.Value, value)
		}
	}
	if numbers < 35 {
		t.Errorf("FreeIPMI read %d numbers: wanted more\n%s", numbers, out)
	}
}

// TestNonsenseRecords: a machine with records that make no sense keeps those that do, and harms nobody.
func TestNonsenseRecords(t *testing.T) {
	f, e := fleet(t, nil), engine(t, quick())
	good := sim.StandardSensors()[:2]
	f.BMC(0).SetSensors(good, []byte{0, 0, 0x51, 1, 0}, []byte{0, 0, 0x51, 1, 200}, []byte{0, 0, 0x51, 2, 3, 1, 2, 3}, []byte{0, 0, 0x51, 0x77, 2, 1, 2})
	got, err := e.Driver().Sensors.Sensors(t.Context(), at(f.Addr(0)))
	if err == nil { // the second record is shorter than it says: the walk cannot go on
		t.Errorf("read %+v of a repository that is cut short", got)
	}
	f.BMC(0).SetSensors(good, []byte{0, 0, 0x51, 1, 0}, []byte{0, 0, 0x51, 2, 3, 1, 2, 3}, []byte{0, 0, 0x51, 0x77, 2, 1, 2})
	if got, err = e.Driver().Sensors.Sensors(t.Context(), at(f.Addr(0))); err != nil || len(got) != 2 || got[1].Value != 43 {
		t.Errorf("read %+v, %v: wanted the two good ones", got, err)
	}
	if got, err = e.Driver().Sensors.Sensors(t.Context(), at(f.Addr(1))); err != nil || len(got) != len(sim.StandardSensors()) {
		t.Errorf("the neighbour has %d sensors, %v", len(got), err)
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ferrite/bmc"
	"ferrite/bmc/bmctest"
	"ferrite/node"
)

// openipmi is a BMC that others wrote: OpenIPMI's ipmi_sim with the files of testdata/ipmi_sim.
type openipmi struct {
	addr  netip.AddrPort
	state string // folder of chassis.sh: power, boot, calls
}

// more is put into the LAN section of its configuration.
func startOpenIPMI(t *testing.T, more string) openipmi {
	t.Helper()
	tool, err := exec.LookPath("ipmi_sim")
	if err != nil {
		t.Fatalf("ipmi_sim is missing, the BMC that this test needs: apt-get install -y openipmi (%v)", err)
	}
	console, err := net.Listen("tcp", "127.0.0.1:0") // the machine's serial line
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = console.Close() })
	probe, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddrPort(probe.LocalAddr().String())
	_ = probe.Close()
	dir := t.TempDir()
	put := func(name string, mode os.FileMode, replace ...string) {
		b, err := os.ReadFile(filepath.Join("testdata", "ipmi_sim", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), []byte(strings.NewReplacer(replace...).Replace(string(b))), mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	put("chassis.sh", 0o700)
	put("min.emu", 0o600)
	put("lan.conf", 0o600, "  endlan", more+"\n  endlan", "@DIR@", dir, "@PORT@", fmt.Sprint(addr.Port()), "@CONSOLE@", fmt.Sprint(console.Addr().(*net.TCPAddr).Port))
	o := openipmi{addr: addr, state: filepath.Join(dir, "chassis")}
	for _, d := range []string{o.state, filepath.Join(dir, "state")} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(tool, "-c", filepath.Join(dir, "lan.conf"), "-f", filepath.Join(dir, "min.emu"), "-s", filepath.Join(dir, "state"), "-n")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "BMC_STATE="+o.state)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("ipmi_sim said:\n%s", out.String())
		}
	})
	return o
}

func (o openipmi) read(name string) string {
	b, _ := os.ReadFile(filepath.Join(o.state, name))
	return strings.TrimSpace(string(b))
}

func (o openipmi) on() bool { return o.read("power") == "1" }

func (o openipmi) setOn(t *testing.T, on bool) {
	if err := os.WriteFile(filepath.Join(o.state, "power"), []byte(map[bool]string{true: "1\n", false: "0\n"}[on]), 0o600); err != nil {
		t.Error(err)
	}
}

// calls are the chassis calls that match.
func (o openipmi) calls(match func(string) bool) []string {
	var out []string
	for line := range strings.Lines(o.read("calls")) {
		if line = strings.TrimSpace(line); match(line) {
			out = append(out, line)
		}
	}
	return out
}

// TestOpenIPMI holds the driver against a BMC of other hands. It refuses cipher suite 17, so this is also the test of
// the fallback to suite 3.
func TestOpenIPMI(t *testing.T) {
	startWith := func(t *testing.T, more string, info ...any) (openipmi, *Engine, *node.Node) {
		cfg := quick()
		cfg.Timeouts = []time.Duration{time.Second, time.Second, 2 * time.Second} // it forks a script for each command
		o, e := startOpenIPMI(t, more), engine(t, cfg)
		n := at(o.addr, append([]any{"ipmi_password", "secret", "ipmi_username", "admin"}, info...)...)
		until := time.Now().Add(20 * time.Second)
		for { // until it listens
			_, err := e.Driver().Power.PowerState(t.Context(), n)
			if err == nil {
				return o, e, n
			}
			if time.Now().After(until) {
				t.Fatalf("ipmi_sim does not answer: %v", err)
			}
		}
	}
	start := func(t *testing.T) (openipmi, *Engine, *node.Node) { return startWith(t, "") }
	t.Run("suite", func(t *testing.T) {
		bmctest.Run(t, func(t *testing.T) bmctest.Harness {
			o, e, n := start(t)
			return bmctest.Harness{
				Driver: e.Driver(), Node: n, On: o.on, SetOn: func(on bool) { o.setOn(t, on) },
				Devices: []string{"pxe", "disk", "cdrom", "bios"}, // its chassis script interface has no "safe"
				Mutations: func() int {
					return len(o.calls(func(c string) bool { return strings.Contains(c, " set ") }))
				},
			}
		})
	})
	t.Run("reset and vendor", func(t *testing.T) {
		o, e, n := start(t)
		d := e.Driver()
		if v, err := d.Identity.Vendor(t.Context(), n); v != "montavista software, inc." || err != nil { // number 4753 in min.emu
			t.Errorf("vendor is %q, %v", v, err)
		}
		if err := d.Power.SetPower(t.Context(), n, bmc.Reset, bmctest.Permit{}); err != nil {
			t.Errorf("reset: %v", err)
		}
		if got := o.calls(func(c string) bool { return strings.Contains(c, "set reset") }); len(got) != 1 {
			t.Errorf("the machine was reset %d times (%q): wanted once", len(got), got)
		}
	})
	t.Run("sensors and events", func(t *testing.T) {
		o, e, n := start(t)
		d := e.Driver()
		got, err := d.Sensors.Sensors(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, ipmitool(t, o.addr, "secret", "-v", "sdr"))
		var all []string
		for _, s := range got {
			all = append(all, fmt.Sprintf("%s %v %s %s %q", s.ID, s.Value, s.Unit, s.Status, s.States))
		}
		want := []string{`Inlet Temp (0x5) 21 degrees C ok []`, `Fan1A (0x30) 360 RPM Lower Critical []`, `Status (0x85) 0   ["Presence detected" "Power Supply input lost (AC/DC)"]`}
		if !slices.Equal(all, want) {
			t.Errorf("read %q: wanted %q", all, want)
		}
		events, err := d.Events.Events(t.Context(), n, 0)
		if err != nil || len(events) != 2 || events[0].Sensor != "Inlet Temp (0x5)" || events[0].Text != "Upper Critical - going high" || events[1].Record != 0xe1 || len(events[1].Data) != 13 {
			t.Errorf("the log is %+v, %v: wanted an event of the inlet and one of the maker's", events, err)
		}
		if err := d.Manager.ClearEvents(t.Context(), n, bmctest.Permit{}); err != nil {
			t.Errorf("clear: %v", err)
		}
		if events, err := d.Events.Events(t.Context(), n, 0); err != nil || len(events) != 0 {
			t.Errorf("after that it is %+v, %v: wanted nothing", events, err)
		}
	})
	t.Run("persistent boot device", func(t *testing.T) {
		o, e, n := start(t)
		n.Properties = map[string]any{"capabilities": "boot_mode:bios"}
		if err := e.Driver().Boot.SetBootDevice(t.Context(), n, "pxe", true, bmctest.Permit{}); err != nil {
			t.Fatal(err)
		}
		if got := o.read("boot"); got != "pxe" {
			t.Errorf("the machine boots from %q: wanted pxe", got)
		}
	})
	t.Run("kg", func(t *testing.T) {
		_, e, n := startWith(t, `    bmc_key "0123456789012345"`, "ipmi_hex_kg_key", "30313233343536373839303132333435")
		for _, kg := range []any{"30313233343536373839303132333436", nil} {
			n.DriverInfo["ipmi_hex_kg_key"] = kg
			_, err := e.Driver().Power.PowerState(t.Context(), n)
			if b := new(bmc.Error); !asBMC(err, &b) || !b.Auth || !strings.Contains(err.Error(), "kg") {
				t.Errorf("with key %v it gave %v: wanted a refused login that names the key", kg, err)
			}
		}
	})
	t.Run("wrong password", func(t *testing.T) {
		_, e, n := start(t)
		n.DriverInfo["ipmi_password"] = "wrong"
		_, err := e.Driver().Power.PowerState(t.Context(), n)
		if b := new(bmc.Error); !asBMC(err, &b) || !b.Auth {
			t.Errorf("gave %v: wanted a refused login", err)
		}
	})
	t.Run("operator level of an administrator", func(t *testing.T) {
		o, e, n := start(t)
		n.DriverInfo["ipmi_priv_level"] = "OPERATOR"
		if err := e.Driver().Power.SetPower(t.Context(), n, bmc.On, bmctest.Permit{}); err != nil || !o.on() {
			t.Errorf("power on as operator: %v, machine on: %v", err, o.on())
		}
	})
	t.Run("sessions are closed", func(t *testing.T) {
		// It has few session slots: opening and closing more often than that works only if Close Session does.
		o, _, n := start(t)
		cfg := quick()
		cfg.Timeouts = []time.Duration{time.Second, time.Second, 2 * time.Second} // on a busy machine
		for range 80 {
			e := engine(t, cfg)
			if _, err := e.Driver().Power.PowerState(t.Context(), n); err != nil {
				t.Fatal(err)
			}
			if err := e.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := o.calls(func(c string) bool { return strings.Contains(c, "get power") }); len(got) < 80 {
			t.Errorf("the machine was asked %d times: wanted at least 80", len(got))
		}
	})
}

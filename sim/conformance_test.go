// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, change func(*Config)) *Fleet {
	t.Helper()
	cfg := Defaults()
	cfg.BMCs, cfg.Listen = 4, "0.0.0.0:0"
	if change != nil {
		change(&cfg)
	}
	f, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return f
}

// tool runs a real client; a missing one fails the test with the line that installs it.
func tool(t *testing.T, pkg, name string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v; install it: apt-get install %s", err, pkg)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	return string(out), err
}

func ipmitool(t *testing.T, f *Fleet, i int, suite, password string, args ...string) (string, error) {
	a := f.Addr(i)
	return tool(t, "ipmitool", "ipmitool", append([]string{"-I", "lanplus", "-H", a.Addr().String(), "-p", fmt.Sprint(a.Port()), "-U", "admin", "-P", password, "-C", suite, "-N", "1", "-R", "2"}, args...)...)
}

func TestIpmitool(t *testing.T) {
	for _, suite := range []string{"3", "17"} {
		t.Run("suite "+suite, func(t *testing.T) {
			f := start(t, nil)
			for _, step := range []struct {
				args, want string
				on         bool
			}{
				{"power status", "Chassis Power is off", false},
				{"power on", "Up/On", true},
				{"power status", "Chassis Power is on", true},
				{"power cycle", "Cycle", true},
				{"power reset", "Reset", true},
				{"power soft", "Soft", false},
				{"power cycle", "Failed|Command not supported|Set Chassis Power Control to Cycle failed", false},
				{"power on", "Up/On", true},
				{"power off", "Down/Off", false},
				{"mc info", "Intel", false},
				{"mc guid", "GUID", false},
				{"chassis status", "System Power", false},
				{"chassis bootdev pxe options=persistent,efiboot", "Set Boot Device to pxe", false},
				{"chassis bootparam get 5", "Force PXE", false},
				{"session info active", "", false},
				{"channel authcap 1 4", "", false},
			} {
				out, err := ipmitool(t, f, 1, suite, "password", strings.Fields(step.args)...)
				if !oneOf(out, step.want) {
					t.Errorf("ipmitool %s: %v\n%s", step.args, err, out)
				}
				if got := f.BMC(1).Power(); got != step.on {
					t.Errorf("after %s the machine is on: %v", step.args, got)
				}
			}
			if d, p := f.BMC(1).BootDevice(); d != "pxe" || !p {
				t.Errorf("boot device %q, persistent %v", d, p)
			}
			if n := f.Sessions(); n != 0 {
				t.Errorf("%d sessions left: ipmitool closes its own", n)
			}
		})
	}
}

func oneOf(out, wants string) bool {
	for want := range strings.SplitSeq(wants, "|") {
		if strings.Contains(out, want) {
			return true
		}
	}
	return false
}

// The boot flags that ipmitool sends, byte for byte (parameter 5): our own driver has to send the same.
func TestIpmitoolBootFlags(t *testing.T) {
	f := start(t, nil)
	b := f.BMC(0)
	for _, step := range []struct {
		args, flags, device string
		persistent          bool
	}{
		{"chassis bootdev pxe", "058004000000", "pxe", false},
		{"chassis bootdev pxe options=persistent,efiboot", "05e004000000", "pxe", true},
		{"chassis bootdev disk options=efiboot", "05a008000000", "disk", false},
		{"chassis bootdev safe options=persistent", "05c00c000000", "safe", true},
		{"chassis bootdev cdrom", "058014000000", "cdrom", false},
		{"chassis bootdev bios", "058018000000", "bios", false},
		{"raw 0x00 0x08 0x05 0xe0 0x24 0x00 0x00 0x00", "05e024000000", "disk", true},
		{"chassis bootdev none", "058000000000", "", false},
	} {
		if out, err := ipmitool(t, f, 0, "17", "password", strings.Fields(step.args)...); err != nil {
			t.Errorf("ipmitool %s: %v\n%s", step.args, err, out)
		}
		sent := ""
		for _, c := range b.Commands() {
			if c.Name == "set boot option 5" {
				sent = hex.EncodeToString(c.Data)
			}
		}
		if d, p := b.BootDevice(); sent != step.flags || d != step.device || p != step.persistent {
			t.Errorf("ipmitool %s sent %s: boots from %q, persistent %v; wanted %s, %q, %v", step.args, sent, d, p, step.flags, step.device, step.persistent)
		}
	}
}

func TestIpmitoolWithBadCredentials(t *testing.T) {
	f := start(t, nil)
	if out, err := ipmitool(t, f, 0, "17", "wrong", "power", "on"); err == nil {
		t.Errorf("a wrong password was taken: %s", out)
	}
	if f.BMC(0).Power() || f.Sessions() != 0 {
		t.Errorf("power %v, %d sessions after a wrong password", f.BMC(0).Power(), f.Sessions())
	}
	a := f.Addr(0)
	if out, err := tool(t, "ipmitool", "ipmitool", "-I", "lanplus", "-H", a.Addr().String(), "-p", fmt.Sprint(a.Port()), "-U", "nobody", "-P", "password", "-C", "17", "-N", "1", "-R", "1", "power", "on"); err == nil {
		t.Errorf("an unknown user was taken: %s", out)
	}
	if f.Stats().AuthFailures == 0 {
		t.Error("the unknown user was not counted")
	}
}

func TestIpmipower(t *testing.T) {
	f := start(t, nil)
	for i, suite := range []string{"3", "17"} {
		a := f.Addr(i).String()
		for _, step := range []struct{ flag, want string }{{"--stat", "off"}, {"--on", "ok"}, {"--stat", "on"}, {"--off", "ok"}} {
			out, err := tool(t, "freeipmi-tools", "ipmipower", "-D", "LAN_2_0", "-h", a, "-u", "admin", "-p", "password", "-I", suite, step.flag)
			if err != nil || !strings.Contains(out, step.want) {
				t.Errorf("suite %s, ipmipower %s: %v\n%s", suite, step.flag, err, out)
			}
		}
	}
}

// TestIpmipowerWorkarounds: FreeIPMI's own workarounds are the referee of the personalities that have their names. Without
// them ipmipower is refused; with them, in the session level that it asks for, it is let in.
func TestIpmipowerWorkarounds(t *testing.T) {
	f := start(t, nil)
	for i, fault := range []Fault{Supermicro20, Sun20, Intel20} {
		if err := f.BMC(i).SetFault(fault); err != nil {
			t.Fatal(err)
		}
		run := func(more ...string) string {
			out, _ := tool(t, "freeipmi-tools", "ipmipower", append([]string{
				"-D", "LAN_2_0", "-h", f.Addr(i).String(), "-u", "admin", "-p", "password", "-I", "3", "--stat", "--session-timeout", "3000", "--retransmission-timeout", "1000",
			}, more...)...)
			return out
		}
		if out := run(); strings.Contains(out, ": off") {
			t.Errorf("%s: ipmipower needs no workaround: %s", fault, out)
		}
		if out := run("-W", string(fault)); !strings.Contains(out, ": off") {
			t.Errorf("%s: ipmipower -W %[1]s is refused: %s", fault, out)
		}
	}
}

func TestPings(t *testing.T) { // ipmiping and rmcpping know port 623 alone: a network namespace of our own
	if out, err := exec.Command("unshare", "-rn", "true").CombinedOutput(); err != nil {
		t.Fatalf("ipmiping and rmcpping know port 623 alone, and this machine allows no network namespace for it: %v %s; run the tests as root or: sysctl -w kernel.unprivileged_userns_clone=1", err, out)
	}
	if _, err := exec.LookPath("ipmiping"); err != nil {
		t.Fatalf("%v; install it: apt-get install freeipmi-tools", err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("unshare", "-rn", "sh", "-c", "ip link set lo up; exec \"$0\" -test.run '^TestPingChild$' -test.v", self)
	c.Env = append(os.Environ(), "SIM_PING_CHILD=1")
	got, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(got), "PINGS OK") {
		t.Errorf("%v\n%s", err, got)
	}
}

// TestPingChild runs inside the namespace of TestPings.
func TestPingChild(t *testing.T) {
	if os.Getenv("SIM_PING_CHILD") == "" {
		return
	}
	f := start(t, func(c *Config) { c.Listen = "0.0.0.0:623" })
	for _, name := range []string{"rmcpping", "ipmiping"} {
		out, err := tool(t, "freeipmi-tools", name, "-c", "2", "-t", "1", f.Addr(3).Addr().String())
		if err != nil || !strings.Contains(out, "0.0% packet loss") {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	fmt.Println("PINGS OK")
}

func TestControlAPI(t *testing.T) {
	f := start(t, func(c *Config) { c.Control = "127.0.0.1:0" })
	url := "http://" + f.ControlAddr() + "/bmcs/2"
	put := func(body string) (int, string) {
		q, _ := http.NewRequest("PUT", url, strings.NewReader(body))
		r, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		var b bytes.Buffer
		_, _ = b.ReadFrom(r.Body)
		return r.StatusCode, b.String()
	}
	if code, doc := put("{\"power\":\"on\",\"latency\":\"3ms\",\"refuse_power\":true}"); code != 200 || !f.BMC(2).Power() {
		t.Errorf("%d %s", code, doc)
	}
	for _, bad := range []string{"{\"power\":\"up\"}", "{\"latency\":\"fast\"}", "{\"colour\":1}", "nonsense"} {
		if code, doc := put(bad); code != 400 || !strings.Contains(doc, "wanted") {
			t.Errorf("%s: %d %s", bad, code, doc)
		}
	}
	if out, err := ipmitool(t, f, 2, "17", "password", "power", "off"); err == nil {
		t.Errorf("a refusing BMC obeyed: %s", out)
	}
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var doc bmcDoc
	if err := json.NewDecoder(r.Body).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	last := ""
	for _, c := range doc.Commands {
		if strings.HasPrefix(c.Name, "chassis control") {
			last = fmt.Sprintf("%s %d", c.Name, c.Completion)
		}
	}
	if doc.Power != "on" || last != "chassis control: power off 214" {
		t.Errorf("%+v, last %q", doc, last)
	}
}

func TestDeadOnesAreFixedBySeed(t *testing.T) {
	dead := func(seed int64) string {
		f := start(t, func(c *Config) { c.BMCs, c.Dead, c.Seed = 100, 0.05, seed })
		var d []int
		for i := range 100 {
			if f.BMC(i).dead {
				d = append(d, i)
			}
		}
		return fmt.Sprint(d)
	}
	if a, b := dead(1), dead(1); a != b || len(strings.Fields(a)) != 5 {
		t.Errorf("seed 1 gave %s and %s, wanted 5 alike", a, b)
	}
	if dead(1) == dead(2) {
		t.Error("seeds 1 and 2 gave the same dead BMCs")
	}
}

func TestBadConfigIsNamed(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"127.0.0.0/8": func(c *Config) { c.AddressBase = c.AddressBase.Next(); c.BMCs = 1 << 25 },
		"loopback":    func(c *Config) { c.Control = "0.0.0.0:80" },
		"share":       func(c *Config) { c.Loss = 2 },
		"at least 1":  func(c *Config) { c.BMCs = 0 },
	} {
		cfg := Defaults()
		change(&cfg)
		if f, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("wanted an error with %q, got %v", want, err)
			if f != nil {
				f.Close()
			}
		}
	}
	f := start(t, nil)
	cfg := Defaults()
	cfg.Listen = f.conn.LocalAddr().String()
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), cfg.Listen) {
		t.Errorf("a taken port must be named, got %v", err)
	}
}

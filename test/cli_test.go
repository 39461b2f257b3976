// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const cli = "/usr/bin/baremetal"

// baremetal runs the real CLI of python-ironicclient.
func (s *site) baremetal(args ...string) (string, error) {
	s.t.Helper()
	if _, err := os.Stat(cli); err != nil {
		s.t.Fatalf("%v; install it: apt-get install python3-ironicclient", err)
	}
	c := exec.Command(cli, args...)
	c.Env = append(os.Environ(), "OS_AUTH_TYPE=none", "OS_ENDPOINT="+s.api, "HOME="+s.dir)
	out, err := c.CombinedOutput()
	return string(out), err
}

func (s *site) cli(args ...string) string {
	s.t.Helper()
	out, err := s.baremetal(args...)
	if err != nil {
		s.t.Fatalf("baremetal %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// value reads one field by the CLI.
func (s *site) value(ident, field string) string {
	s.t.Helper()
	return strings.TrimSpace(s.cli("node", "show", ident, "-f", "value", "-c", field))
}

func TestBaremetalCLIOnFakeHardware(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	lifecycle(t, s, "fake-hardware", nil, "pxe")
}

func TestBaremetalCLIOnIPMI(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 2)
	s := newSite(t, "--ipmi-min-command-interval", "0")
	lifecycle(t, s, "ipmi", f.driverInfo(0), "disk")
	if got := fmt.Sprint(f.commands(0)); got != "[power on power off power on]" {
		t.Errorf("the BMC executed %s; wanted on, then off and on of the reboot", got)
	}
}

// lifecycle is a node's whole life by the real CLI.
func lifecycle(t *testing.T, s *site, driver string, info map[string]any, device string) {
	args := []string{"node", "create", "--driver", driver, "--name", "rack1-u1", "-f", "json"}
	for k, v := range info {
		args = append(args, "--driver-info", fmt.Sprintf("%s=%v", k, v))
	}
	var made map[string]any
	if err := json.Unmarshal([]byte(s.cli(args...)), &made); err != nil {
		t.Fatal(err)
	}
	id := made["uuid"].(string)
	h := s.listen()
	if made["provision_state"] != "enroll" {
		t.Errorf("a new node is in %v", made["provision_state"])
	}
	if out := s.cli("node", "show", id, "-f", "json"); strings.Contains(out, "\"password\"") {
		t.Error("the CLI shows a BMC password")
	}
	s.cli("node", "manage", "rack1-u1", "--wait", "30")
	s.cli("node", "provide", "rack1-u1", "--wait", "30")
	s.cli("node", "deploy", "rack1-u1", "--wait", "30")
	if st := s.value(id, "provision_state"); st != "active" {
		t.Fatalf("after deploy: %s", st)
	}
	s.cli("node", "power", "on", "rack1-u1")
	s.await(id, map[string]any{"power_state": "power on", "target_power_state": nil, "reservation": nil})
	s.cli("node", "reboot", "rack1-u1")
	s.await(id, map[string]any{"power_state": "power on", "target_power_state": nil, "reservation": nil})
	s.cli("node", "maintenance", "set", "rack1-u1", "--reason", "a fan")
	if r := s.value(id, "maintenance_reason"); r != "a fan" {
		t.Errorf("maintenance_reason %q", r)
	}
	s.cli("node", "maintenance", "unset", "rack1-u1")
	s.cli("node", "boot", "device", "set", "rack1-u1", device)
	if out := s.cli("node", "boot", "device", "show", "rack1-u1", "-f", "json"); !strings.Contains(out, "\""+device+"\"") {
		t.Errorf("boot device show: %s", out)
	}
	if out := s.cli("node", "validate", "rack1-u1", "-f", "json"); !strings.Contains(out, "power") {
		t.Errorf("validate: %s", out)
	}
	if out := s.cli("node", "list", "--long", "-f", "json"); !strings.Contains(out, id) {
		t.Errorf("list --long lacks the node: %s", out)
	}
	s.cli("port", "create", "--node", id, "52:54:00:12:34:56")
	if out := s.cli("port", "list", "--node", id, "-f", "json"); !strings.Contains(out, "52:54:00:12:34:56") {
		t.Errorf("port list: %s", out)
	}
	s.cli("node", "set", "rack1-u1", "--extra", "rack=7", "--description", "spare")
	s.cli("node", "unset", "rack1-u1", "--extra", "rack")
	s.cli("node", "undeploy", "rack1-u1", "--wait", "30")
	s.cli("node", "history", "list", id, "--long")
	s.cli("node", "add", "trait", id, "CUSTOM_GOLD")
	s.cli("node", "trait", "list", id)
	s.cli("driver", "list")
	s.cli("driver", "property", "list", driver)
	s.cli("conductor", "list")
	s.cli("node", "delete", "rack1-u1")
	if out, err := s.baremetal("node", "show", id); err == nil {
		t.Errorf("the deleted node is still shown: %s", out)
	}
	until(t, "the delete notification", func() bool {
		e := h.events(id)
		return len(e) > 0 && e[len(e)-1] == "node.delete.end"
	})
	pairs(t, h.events(id))
}

// pairs checks that every start is followed by exactly one end or error of its family.
func pairs(t *testing.T, events []string) {
	t.Helper()
	open := map[string]int{}
	for _, e := range events {
		i := strings.LastIndex(e, ".")
		family, status := e[:i], e[i+1:]
		switch status {
		case "start":
			open[family]++
		case "end", "error":
			open[family]--
		}
		if open[family] < 0 || open[family] > 1 {
			t.Errorf("%s out of order in %v", e, events)
		}
	}
	for family, n := range open {
		if n != 0 {
			t.Errorf("%s: %d starts without end in %v", family, n, events)
		}
	}
}

// TestBaremetalCLIOnChassisAndTraits: what hangs on no power and no provisioning.
func TestBaremetalCLIOnChassisAndTraits(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var made map[string]any
	if err := json.Unmarshal([]byte(s.cli("chassis", "create", "--description", "row 3", "--extra", "pdu=7", "-f", "json")), &made); err != nil {
		t.Fatal(err)
	}
	id := made["uuid"].(string)
	s.cli("node", "create", "--driver", "fake-hardware", "--name", "n1", "--chassis-uuid", id)
	s.cli("chassis", "set", id, "--description", "row 4", "--extra", "a=b")
	s.cli("chassis", "unset", id, "--extra", "pdu")
	if out := s.cli("chassis", "show", id, "-f", "json"); !strings.Contains(out, "row 4") || strings.Contains(out, "pdu") || !strings.Contains(out, "\"a\"") {
		t.Errorf("chassis show: %s", out)
	}
	if out := s.cli("chassis", "list", "--long"); !strings.Contains(out, id) {
		t.Errorf("chassis list: %s", out)
	}
	if out := s.cli("node", "list", "--chassis", id); !strings.Contains(out, "n1") {
		t.Errorf("nodes of the chassis: %s", out)
	}
	if out, err := s.baremetal("chassis", "delete", id); err == nil || !strings.Contains(out, "contains nodes") {
		t.Errorf("a chassis with a node was deleted: %v %s", err, out)
	}
	s.cli("node", "add", "trait", "n1", "CUSTOM_A", "CUSTOM_B", "HW_CPU_X86_VMX")
	s.cli("node", "remove", "trait", "n1", "CUSTOM_A")
	if out := s.cli("node", "trait", "list", "n1", "-f", "value"); out != "CUSTOM_B\nHW_CPU_X86_VMX\n" {
		t.Errorf("traits %q", out)
	}
	if out, err := s.baremetal("node", "add", "trait", "n1", "gold"); err == nil || !strings.Contains(out, "invalid") {
		t.Errorf("trait gold was taken: %v %s", err, out)
	}
	s.cli("node", "remove", "trait", "n1", "--all")
	s.cli("node", "unset", "n1", "--chassis-uuid")
	s.cli("chassis", "delete", id)
	if out, err := s.baremetal("chassis", "show", id); err == nil {
		t.Errorf("the deleted chassis is still shown: %s", out)
	}
}

// TestBaremetalTriesA503Again: the real CLI fails on an error with Retry-After before it can try again; so it gets none.
func TestBaremetalTriesA503Again(t *testing.T) {
	t.Parallel()
	s := newSite(t, "--api-max-held-mb", "1")
	args := []string{"--max-retries", "1", "--retry-interval", "1", "node", "create", "--driver", "fake-hardware"}
	for i := range 6 { // more than one address may have held
		args = append(args, "--extra", fmt.Sprintf("x%d=%s", i, strings.Repeat("x", 100_000)))
	}
	out, err := s.baremetal(args...)
	if err == nil || !strings.Contains(out, "Attempt 2 of 2") || !strings.Contains(out, "(HTTP 503)") {
		t.Errorf("baremetal on a 503: %v\n%s", err, out)
	}
	r, err := http.Post(s.api+"/v1/nodes", "application/json", strings.NewReader(`{"driver":"fake-hardware","description":"`+strings.Repeat("x", 600_000)+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" {
		t.Errorf("others get %s with Retry-After %q", r.Status, r.Header.Get("Retry-After"))
	}
}

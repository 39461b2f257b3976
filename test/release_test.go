// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"bytes"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
)

// TestRelease gets a node back whose BMC carries out commands and then says nothing: its operation is ended by force, the
// log says who did it, and the node takes the next one as soon as the BMC answers.
func TestRelease(t *testing.T) { // S13
	t.Parallel()
	f := newFarm(t, 2)
	s := newSite(t, "--ipmi-min-command-interval", "0", "--sync-power-state-interval", "0")
	h := s.listen()
	id := s.enroll("n1", f.driverInfo(0))
	s.enroll("n2", f.driverInfo(1))
	ferrite := func(args ...string) (string, error) {
		c := exec.Command(s.p.cmd.Path, append([]string{"node"}, args...)...)
		c.Env = append(c.Environ(), "FERRITE_API="+s.api)
		var b bytes.Buffer
		c.Stdout, c.Stderr = &b, &b
		err := c.Run()
		return b.String(), err
	}
	if out, err := ferrite("release", "n1", "--force"); err == nil || !strings.Contains(out, "nothing to release") {
		t.Errorf("release of an idle node: %v %s", err, out)
	}
	f.put(0, map[string]any{"latency": "30s"}) // slower than any timeout, alive all the same
	s.power("n1", "power on")
	if got := s.node("n1")["reservation"]; got == nil {
		t.Fatal("no operation is under way")
	}
	if out, err := ferrite("release", "n1"); err == nil || !strings.Contains(out, "would end operation") || !strings.Contains(out, "--force") {
		t.Errorf("release without force: %v %s", err, out)
	}
	if got := s.node("n1")["reservation"]; got == nil {
		t.Error("released without force")
	}
	f.put(0, map[string]any{"latency": "0s"})
	f.put(0, map[string]any{"dead": true})
	out, err := ferrite("release", "n1", "--force")
	if err != nil || !strings.Contains(out, "released") || !strings.Contains(out, "power on") {
		t.Errorf("release by force: %v %s", err, out)
	}
	n := s.node("n1")
	if n["reservation"] != nil || n["target_power_state"] != nil || !strings.Contains(n["last_error"].(string), "released by force") {
		t.Errorf("after the release: reservation %v, target %v, last_error %v", n["reservation"], n["target_power_state"], n["last_error"])
	}
	until(t, "the end of the operation", func() bool { return strings.Contains(strings.Join(h.events(id), " "), "power_set.error") })
	pairs(t, h.events(id))
	f.put(0, map[string]any{"dead": false})
	if out, err := ferrite("power", "on", "n[1-2]", "--wait"); err != nil || !strings.Contains(out, "power on: n[1-2]") {
		t.Errorf("power on afterwards: %v %s", err, out)
	}
	if code, _ := s.call("PATCH", "/v1/nodes/n1", []map[string]any{{"op": "add", "path": "/extra/a", "value": 1}}); code != http.StatusOK {
		t.Errorf("PATCH afterwards: %d", code)
	}
	found := 0
	for line := range strings.Lines(s.p.out.String()) {
		if strings.Contains(line, "audit") && strings.Contains(line, "release") && strings.Contains(line, "released") && strings.Contains(line, id) && strings.Contains(line, "power on") {
			found++
		}
	}
	if found != 1 {
		t.Errorf("%d audit lines of the release, wanted 1", found)
	}
}

// TestReleaseOutlivesKill9: a release whose conductor dies in the middle ends by itself after the restart.
func TestReleaseOutlivesKill9(t *testing.T) { // S13
	t.Parallel()
	f := newFarm(t, 1)
	s := newSite(t, "--ipmi-min-command-interval", "0", "--sync-power-state-interval", "0")
	s.enroll("n1", f.driverInfo(0))
	f.put(0, map[string]any{"latency": "30s"})
	s.power("n1", "power on")
	answer := make(chan error, 1)
	go func() {
		_, _, err := s.try("POST", "/v1/x/nodes/n1/release", map[string]any{"force": true})
		answer <- err
	}()
	until(t, "the claim", func() bool { return strings.Contains(s.p.out.String(), "operation is being released by force") })
	s.p.kill()
	<-answer
	sent := len(f.commands(0))
	s.start()
	n := s.await("n1", map[string]any{"reservation": nil, "target_power_state": nil})
	if e, _ := n["last_error"].(string); !strings.Contains(e, "released by force") || n["power_state"] != "power off" {
		t.Errorf("after the restart: last_error %q, power_state %v", e, n["power_state"])
	}
	if got := f.commands(0); len(got) != sent {
		t.Errorf("commands after the restart: %v", got[sent:])
	}
}

// TestARequestOutlivesKill9: a caller's own id is in the end of what it began, though another process tells it.
func TestARequestOutlivesKill9(t *testing.T) {
	t.Parallel()
	const id = "req-01234567-89ab-cdef-0123-456789abcdef"
	f := newFarm(t, 1)
	s := newSite(t, "--ipmi-min-command-interval", "0", "--sync-power-state-interval", "0")
	s.enroll("n1", f.driverInfo(0))
	f.put(0, map[string]any{"latency": "400ms"})
	q, err := http.NewRequest("PUT", s.api+"/v1/nodes/n1/states/power", strings.NewReader(`{"target":"power on"}`))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("X-OpenStack-Ironic-API-Version", "1.80")
	q.Header.Set("X-Openstack-Request-Id", id)
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	if _ = r.Body.Close(); r.StatusCode != http.StatusAccepted {
		t.Fatal(r.Status)
	}
	s.p.kill()
	f.put(0, map[string]any{"latency": "0s"})
	s.start()
	s.await("n1", map[string]any{"power_state": "power on", "reservation": nil})
	r, err = http.Get(s.api + "/v1/x/notifications?from=oldest")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range []string{"node.power_set.start", "node.power_set.end"} {
		found := 0
		for line := range strings.Lines(string(b)) {
			if strings.Contains(line, event) && strings.Contains(line, `_context_request_id`) && strings.Contains(line, id) {
				found++
			}
		}
		if found != 1 {
			t.Errorf("%d events %s with the caller's id, wanted 1, in %s", found, event, b)
		}
	}
}

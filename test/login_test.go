// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestPasswordRotation changes a BMC's password: too early it is refused and nothing changes, afterwards it is taken.
func TestPasswordRotation(t *testing.T) { // L3
	t.Parallel()
	f := newFarm(t, 1)
	s := newSite(t, "--ipmi-min-command-interval", "0", "--sync-power-state-interval", "1s")
	h := s.listen()
	id := s.enroll("n1", f.driverInfo(0))
	patch := []map[string]any{{"op": "replace", "path": "/driver_info/ipmi_password", "value": "changed-pw"}}
	code, doc := s.call("PATCH", "/v1/nodes/n1", patch)
	if code != http.StatusBadRequest || !strings.Contains(fmt.Sprint(doc), "refuses the new login") {
		t.Errorf("PATCH of a password that the BMC does not know: %d %v", code, doc)
	}
	s.power("n1", "power on")
	s.await("n1", power("power on"))
	f.put(0, map[string]any{"password": "changed-pw"})
	if code, doc := s.call("PATCH", "/v1/nodes/n1", patch); code != http.StatusOK {
		t.Fatalf("PATCH of the password that the BMC has: %d %v", code, doc)
	}
	s.power("n1", "power off")
	s.await("n1", power("power off"))
	until(t, "one session", func() bool { return f.get(0)["sessions"] == 1.0 })
	until(t, "the end of it to be told", func() bool { return open(h.events(id), "node.power_set") == 0 })
	pairs(t, h.events(id))
	s.p.kill()
	s.start()
	again := s.listen() // the first one may come back in the middle of what is told now
	s.power("n1", "power on")
	s.await("n1", power("power on"))
	until(t, "the end of that to be told", func() bool { return open(again.events(id), "node.power_set") == 0 })
	if got := s.node(id)["last_error"]; got != nil {
		t.Errorf("last_error %v", got)
	}
	h.mu.Lock()
	again.mu.Lock()
	all := slices.Concat(h.all, again.all)
	again.mu.Unlock()
	h.mu.Unlock()
	for _, m := range all {
		if strings.Contains(string(m.Data), "changed-pw") {
			t.Errorf("the password is told to the world: %s", m.Data)
		}
	}
	if strings.Contains(s.p.out.String(), "changed-pw") {
		t.Error("the password is in the log")
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// metric reads one number from /metrics.
func (s *site) metric(name string) float64 {
	s.t.Helper()
	r, err := http.Get(s.api + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, line := range strings.Split(string(b), "\n") {
		if strings.HasPrefix(line, name+" ") {
			var v float64
			if _, err := fmt.Sscan(strings.TrimPrefix(line, name+" "), &v); err != nil {
				s.t.Fatalf("%s: %v", line, err)
			}
			return v
		}
	}
	s.t.Fatalf("no metric %s", name)
	return 0
}

// suspended is longer than a permit lasts (S9: 10 s).
const suspended = 15 * time.Second

// TestSuspendedProcess stops the process for longer than a permit lasts, between the permit and the command. When it goes
// on, the old permit must not be used: a new one is committed, and the command leaves once (S9, S10).
func TestSuspendedProcess(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "killpoint")
	f := newFarm(t, 1)
	s := &site{
		t: t, dir: t.TempDir(), bin: killable(t), env: []string{"KILLPOINTS_FILE=" + file}, args: []string{"--ipmi-min-command-interval", "0"},
		api: fmt.Sprintf("http://127.0.0.1:%d", freePort(t, "tcp")), nats: fmt.Sprintf("127.0.0.1:%d", freePort(t, "tcp")),
	}
	s.start()
	s.enroll("n1", f.driverInfo(0))
	if err := os.WriteFile(file, []byte("before-send 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.power("n1", "power on")
	until(t, "the command about to be sent", func() bool { _, err := os.Stat(file + ".reached"); return err == nil })
	s.p.signal(syscall.SIGSTOP)
	time.Sleep(suspended) // the time itself is what is tested
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	s.p.signal(syscall.SIGCONT)
	n := s.await("n1", power("power on"))
	if n["last_error"] != nil {
		t.Errorf("last_error %v", n["last_error"])
	}
	if got := fmt.Sprint(f.commands(0)); got != "[power on]" {
		t.Errorf("commands %s, wanted one power on", got)
	}
	if expired, renewed := s.metric("conductor_permits_expired_total"), s.metric("conductor_permits_renewed_total"); expired+renewed == 0 {
		t.Error("no permit was found expired, and none was renewed: the old one was used") // S9
	}
}

// TestSuspendedInAWait stops the process while it waits for a machine to come on; the operation goes on where it was.
func TestSuspendedInAWait(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 1)
	s := newSite(t, "--ipmi-min-command-interval", "0")
	h := s.listen()
	id := s.enroll("n1", f.driverInfo(0))
	f.put(0, map[string]any{"lose_replies": true}) // carried out, not answered: it is under way
	s.power("n1", "power on")
	until(t, "the command", func() bool { return len(f.commands(0)) > 0 })
	s.p.signal(syscall.SIGSTOP)
	f.put(0, map[string]any{"lose_replies": false})
	time.Sleep(suspended)
	s.p.signal(syscall.SIGCONT)
	s.await("n1", power("power on"))
	until(t, "the end", func() bool { return strings.Contains(strings.Join(h.events(id), " "), "power_set.end") })
	pairs(t, h.events(id))
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"io"
	"net/http"
	"regexp"
	"strconv"
	"syscall"
	"testing"
)

var confirmed = regexp.MustCompile(`(?m)^conductor_power_sync_match_total (\d+)`)

// matches counts the power readings that confirmed a record since the process began.
func (s *site) matches() int {
	s.t.Helper()
	r, err := http.Get(s.api + "/metrics")
	if err != nil {
		return 0
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body)
	if m := confirmed.FindSubmatch(b); m != nil {
		n, _ := strconv.Atoi(string(m[1]))
		return n
	}
	return 0
}

// A conductor that is killed again and again leaves sessions behind, but never fills a BMC's table: one of the usual four
// slots stays free. A command is carried out all the same.
func TestCrashLoopLeavesASlotFree(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 2)
	s := newSite(t, "--sync-power-state-interval", "500ms", "--ipmi-min-command-interval", "0")
	s.enroll("n1", f.driverInfo(0))
	s.enroll("n2", f.driverInfo(1))
	for life := range 7 {
		if life < 2 { // the first ones read all BMCs; later ones wait with that
			until(t, "readings", func() bool { return s.matches() >= 4 })
		}
		if life == 4 { // commands do not wait
			s.power("n1", "power on")
			s.await("n1", map[string]any{"power_state": "power on", "target_power_state": nil})
		}
		if n := f.get(1)["sessions"].(float64); n > 3 || life == 0 && n == 0 {
			t.Fatalf("life %d: the BMC that nobody commands has %v sessions: wanted one slot of four free", life, n)
		}
		if life < 6 {
			s.p.kill()
			s.start()
		}
	}
	s.p.signal(syscall.SIGTERM)
	if code := s.p.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

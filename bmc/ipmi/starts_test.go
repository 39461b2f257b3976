// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ferrite/sim"
)

// However often a process is killed, in no minute more than three of its lives open sessions with a BMC.
func TestCrashLoopIsSlowed(t *testing.T) {
	for _, every := range []time.Duration{time.Second, 5 * time.Second, 20 * time.Second, 40 * time.Second, 70 * time.Second} {
		file := filepath.Join(t.TempDir(), "starts")
		now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
		var opened []time.Time // lives that lasted until they opened sessions
		quiet := 0
		for range 100 {
			s, err := begun(file, now)
			if err != nil {
				t.Fatal(err)
			}
			from := s.from
			if from.IsZero() {
				from = now
			} else {
				quiet++
			}
			if wait := from.Sub(now); wait > startsTime {
				t.Fatalf("a start waits for %s", wait)
			}
			if now = now.Add(every); !from.After(now) {
				opened = append(opened, from)
			}
		}
		const most = 2 // and one that had lived long before: a slot of the usual four stays free
		for i := most; i < len(opened); i++ {
			if gap := opened[i].Sub(opened[i-most]); gap < time.Minute {
				t.Fatalf("a start every %s: %d of them opened sessions within %s", every, most+1, gap)
			}
		}
		if len(opened) < 2 || (every > 35*time.Second) != (quiet == 0) {
			t.Errorf("a start every %s: %d opened sessions, %d began quietly", every, len(opened), quiet)
		}
	}
}

func TestOrderlyEndsDoNotCount(t *testing.T) {
	file := filepath.Join(t.TempDir(), "starts")
	now := time.Now()
	for range 20 {
		s, err := begun(file, now)
		if err != nil || !s.from.IsZero() {
			t.Fatalf("a start after an orderly end waits until %s (%v)", s.from, err)
		}
		if err := s.end(); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Second)
	}
	if b, err := os.ReadFile(file); err != nil || len(b) != 0 {
		t.Errorf("the account holds %q (%v)", b, err)
	}
	if err := os.WriteFile(file, []byte("garbage\n\x00\n"+now.Add(time.Hour).Format(time.RFC3339Nano)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := begun(file, now); err != nil || !s.from.IsZero() {
		t.Errorf("an account of garbage: %v, %v", s.from, err)
	}
}

// An account that cannot be kept stops nothing.
func TestNoAccountOfStarts(t *testing.T) {
	cfg := quick()
	cfg.StartsFile = filepath.Join(t.TempDir(), "no", "such", "folder")
	f, e := fleet(t, nil), engine(t, cfg)
	if err := pollOnce(t, prepare(t, e, at(f.Addr(0)))); err != nil {
		t.Error(err)
	}
}

// The third start after two that did not end properly opens sessions for those alone who wait for a command.
func TestQuietStart(t *testing.T) {
	cfg := quick()
	cfg.StartsFile = filepath.Join(t.TempDir(), "starts")
	var times []string
	for range startsMost {
		times = append(times, time.Now().UTC().Format(time.RFC3339Nano))
	}
	if err := os.WriteFile(cfg.StartsFile, []byte(strings.Join(times, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	f := fleet(t, func(c *sim.Config) { c.BMCs = 20 })
	e := engine(t, cfg)
	c := &counter{want: 20, done: make(chan struct{})}
	for _, h := range handles(t, e, f) {
		h.Poll(c)
	}
	if _, err := e.Driver().Power.PowerState(context.Background(), at(f.Addr(3))); err != nil {
		t.Fatal(err)
	}
	if n := f.Sessions(); n != 1 {
		t.Errorf("%d sessions: wanted that of the command alone", n)
	}
	eventually(t, "the reading of that BMC is answered", func() bool { return c.off.Load() == 1 })
	if s := e.Stats(); s.Handshakes != 1 {
		t.Errorf("%d handshakes: wanted one", s.Handshakes)
	}
}

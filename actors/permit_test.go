// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"sync/atomic"
	"testing"
	"time"
)

// TestAPermitEndsOnEitherClock: what suspends a process or a machine stops at most one of the two, and a permit that its
// operation has outlived ends at once.
func TestAPermitEndsOnEitherClock(t *testing.T) { // S9, S10
	f := &Fleet{}
	f.cfg.Policy.Valid = time.Hour
	for _, c := range []struct {
		name       string
		mono, boot time.Duration // so long ago
		over       bool
		live       bool
	}{
		{"new", 0, 0, false, true},
		{"shortly before its end", 50 * time.Minute, 50 * time.Minute, false, true},
		{"the machine was suspended", time.Minute, 2 * time.Hour, false, false},
		{"the other clock alone", 2 * time.Hour, time.Minute, false, false},
		{"both", 2 * time.Hour, 2 * time.Hour, false, false},
		{"the operation is over", 0, 0, true, false},
	} {
		p := &permit{f: f, over: &atomic.Bool{}, from: stamp{time.Now().Add(-c.mono), boot() - c.boot}}
		p.over.Store(c.over)
		if p.Live() != c.live {
			t.Errorf("%s: live %t, wanted %t", c.name, !c.live, c.live)
		}
	}
	if p := (&permit{f: f, over: &atomic.Bool{}}); p.Live() {
		t.Error("a permit that was never granted is live")
	}
}

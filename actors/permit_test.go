// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"ferrite/bmc"
	"ferrite/node"
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

// An operation of several commands, with a pause between them that is longer than valid, is not begun anew for ever: a permit is
// renewed when the BMC's turn has come. One whose operation has another owner is not.
func TestAnOldPermitIsRenewedWhenItsTurnHasCome(t *testing.T) { // S9, S10
	w := newWorld(t, func(c *Config) { c.Policy.Valid = time.Second })
	id := w.create(nil)
	w.must(id, node.SetProvision{Verb: "manage"})
	w.wait(id, "manageable", func(n *node.Node) bool { return n.ProvisionState == node.Manageable && idle(n) })
	begun := 0
	again, stolen := make(chan error, 1), make(chan error, 1)
	w.m.set(func() {
		w.m.hold = func(p bmc.Permit) {
			if begun++; begun > 1 {
				return
			}
			ends := func() {
				for p.Live() {
					time.Sleep(time.Millisecond)
				}
			}
			var err error
			for range 30 { // a busy machine may stand still for longer than the permit lasts
				ends()
				if err = p.OK(context.Background()); err == nil {
					break
				}
			}
			again <- err
			ends()
			foreign := *p.(*permit).n
			foreign.Owner.Incarnation++
			q := &permit{f: w.f, uuid: id, op: p.(*permit).op, owner: foreign.Owner, over: &atomic.Bool{}, self: p.(*permit).self, n: &foreign}
			stolen <- q.OK(context.Background())
		}
	})
	w.must(id, node.SetPower{Target: node.PowerOn})
	if err := <-again; err != nil {
		t.Errorf("a permit whose operation goes on was not renewed: %v", err)
	}
	if err := <-stolen; !errors.Is(err, bmc.ErrPermit) {
		t.Errorf("a permit whose operation is another owner's gave %v: wanted it refused", err)
	}
	w.wait(id, "power on", func(n *node.Node) bool { return n.PowerState == node.PowerOn && idle(n) })
	if got := w.m.sent(); got != "[on]" || begun != 1 {
		t.Errorf("sent %s, begun %d times: wanted one power on", got, begun)
	}
}

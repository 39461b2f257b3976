// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ferrite/bmc"
	"ferrite/inventory"
	"ferrite/node"
	"ferrite/persistence"
)

// until polls for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	untilLong(t, within, what, ok)
}

// untilLong is for what takes a busy machine long.
func untilLong(t *testing.T, most time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(most); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never came to: %s", what)
		}
	}
}

// once makes a hook that answers the first write of records that fits with a fault.
func once(f persistence.Fault, fits func(persistence.Tx) bool) func(persistence.Tx) persistence.Fault {
	var done atomic.Bool
	return func(tx persistence.Tx) persistence.Fault {
		if len(tx.If) > 0 && (fits == nil || fits(tx)) && done.CompareAndSwap(false, true) {
			return f
		}
		return persistence.Fault{}
	}
}

// written is the node that a transaction writes, nil = none.
func written(tx persistence.Tx) *node.Node {
	for _, p := range tx.Put {
		if n, ok := p.Value.(*node.Node); ok {
			return n
		}
	}
	return nil
}

var lostAnswer = persistence.Fault{Err: persistence.ErrUnknown, Applied: true}

func TestLostAnswersToCreateAndDelete(t *testing.T) { // S13: what was written counts, not what was answered
	w := newWorld(t, nil)
	w.store.SetHook(once(lostAnswer, nil))
	id := "11111111-1111-4111-8111-111111111111"
	if _, err := w.do(id, node.CreateNode{Node: &node.Node{UUID: id, Driver: "ipmi"}}); err == nil {
		t.Error("the requester was told that all is well")
	}
	until(t, "the node is in the sweep", func() bool { return w.f.Sweep().Len() == 1 })
	w.store.SetHook(once(lostAnswer, nil))
	if _, err := w.do(id, node.DeleteNode{}); err == nil {
		t.Error("the requester was told that all is well")
	}
	until(t, "the node is out of the sweep, its actor gone", func() bool { return w.f.Sweep().Len() == 0 && w.f.Stats().Actors == 0 })
}

// A write whose fate was not known may be applied long after the actor has looked for it.
func TestALateIntentIsRun(t *testing.T) { // S3, S13
	t.Run("in the same life", func(t *testing.T) { lateIntent(t, false) })
	t.Run("after a restart", func(t *testing.T) { lateIntent(t, true) })
}

func lateIntent(t *testing.T, restart bool) {
	brief := func(c *Config) { c.Policy.Valid = 50 * time.Millisecond } // what a new life waits for (S11)
	w := newWorld(t, brief)
	id := w.create(nil)
	late := make(chan persistence.Tx, 1)
	hook := once(persistence.Fault{Err: persistence.ErrUnknown}, nil)
	w.store.SetHook(func(tx persistence.Tx) persistence.Fault {
		f := hook(tx)
		if f.Err != nil {
			late <- tx
		}
		return f
	})
	if _, err := w.do(id, node.SetPower{Target: node.PowerOn}); err == nil {
		t.Error("the requester was told that all is well")
	}
	if restart {
		w.end()
		w.start(node.Owner{Name: "c1", Incarnation: 3}, brief) // incarnations are random, not in order (S1)
		until(t, "the actor is there", func() bool { return w.f.Stats().Actors == 1 })
	}
	time.Sleep(2 * retryFirst) // the actor has looked and found nothing
	if _, err := w.store.Commit(context.Background(), <-late); err != nil {
		t.Fatal(err)
	}
	w.wait(id, "power on", func(n *node.Node) bool { return idle(n) && n.PowerState == node.PowerOn })
	if got := w.m.sent(); got != "[on]" {
		t.Errorf("commands %s, wanted [on]", got)
	}
}

func TestSweepFollowsALostUpdate(t *testing.T) { // P3: a stale revision would drop every sample
	w := newWorld(t, nil)
	id := w.create(nil)
	w.must(id, node.SetProvision{Verb: "manage"})
	n := w.wait(id, "manageable", func(n *node.Node) bool { return n.ProvisionState == node.Manageable && idle(n) })
	want := n.Clone()
	want.Description = "x"
	w.store.SetHook(once(lostAnswer, nil))
	if _, err := w.do(id, node.UpdateNode{Base: n.Outer, Want: want, Changed: []string{"description"}}); err == nil {
		t.Error("the requester was told that all is well")
	}
	n, _ = w.store.Node(id)
	until(t, "the sweep knows the record", func() bool {
		w.f.sweep.mu.Lock()
		defer w.f.sweep.mu.Unlock()
		return node.Rev(w.f.sweep.all[id].rev.Load()) == n.Rev
	})
}

func TestWaitersAreAlwaysAnswered(t *testing.T) {
	t.Run("the answer to the outcome's commit is lost", func(t *testing.T) {
		w := newWorld(t, nil)
		id := w.create(nil)
		w.store.SetHook(once(lostAnswer, func(tx persistence.Tx) bool { n := written(tx); return n != nil && n.Intent == nil }))
		w.must(id, node.SetBootDevice{Device: "disk"})
	})
	t.Run("the operation is released by force", func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Policy.Valid = 50 * time.Millisecond })
		id := w.create(nil)
		w.m.set(func() { w.m.gate = make(chan struct{}) })
		got := make(chan error, 1)
		go func() { _, err := w.do(id, node.SetBootDevice{Device: "disk"}); got <- err }()
		w.wait(id, "an operation", func(n *node.Node) bool { return n.Intent != nil })
		w.must(id, node.Release{})
		var e *node.Error
		if err := <-got; !errors.As(err, &e) || e.Kind != node.Internal {
			t.Errorf("wanted an error that says how it ended, got %v", err)
		}
	})
	t.Run("the fleet closes", func(t *testing.T) {
		w := newWorld(t, nil)
		id := w.create(nil)
		w.m.set(func() { w.m.gate = make(chan struct{}) })
		got := make(chan error, 1)
		go func() {
			_, err := w.f.Do(context.Background(), id, node.Meta{}, node.SetBootDevice{Device: "disk"})
			got <- err
		}()
		w.wait(id, "an operation", func(n *node.Node) bool { return n.Intent != nil })
		w.end()
		var e *node.Error
		if err := <-got; !errors.As(err, &e) || e.Kind != node.Unavailable {
			t.Errorf("wanted 503, got %v", err)
		}
		w.f.Close() // twice is once
	})
}

func TestEveryWaitForTheLockEndsIn409(t *testing.T) { // S8
	w := newWorld(t, nil)
	id := w.create(nil)
	w.m.set(func() { w.m.gate = make(chan struct{}) })
	w.must(id, node.SetPower{Target: node.PowerOn})
	for _, m := range []node.Msg{node.GetBootDevice{}, inventory.DeletePort{UUID: "p"}, node.SetTraits{}} {
		_, err := w.do(id, m)
		var e *node.Error
		if !errors.As(err, &e) || e.Kind != node.Locked && e.Kind != node.NotFound {
			t.Errorf("%s: wanted NodeLocked, got %v", m.MsgName(), err)
		}
	}
}

func TestRefusedCreatesLeaveNoActor(t *testing.T) {
	w := newWorld(t, nil)
	for i := range 10 {
		id := fmt.Sprintf("11111111-1111-4111-8111-%012d", i)
		if _, err := w.do(id, node.CreateNode{Node: &node.Node{UUID: id, Driver: "none such"}}); err == nil {
			t.Fatal("it was created")
		}
	}
	until(t, "no actors", func() bool { return w.f.Stats().Actors == 0 })
}

// Whatever meets a deletion is answered, and a node may be made anew under the UUID at once.
func TestDeleteAndCreateMeet(t *testing.T) {
	w := newWorld(t, nil)
	id := w.create(nil)
	var all sync.WaitGroup
	for range 4 {
		for _, m := range []node.Msg{node.DeleteNode{}, node.CreateNode{Node: &node.Node{UUID: id, Driver: "ipmi"}}, node.SetMaintenance{On: true}} {
			all.Go(func() {
				for range 50 {
					_, err := w.do(id, m)
					var e *node.Error
					if errors.As(err, &e) && e.Kind == node.Unavailable {
						t.Errorf("%s: %v", m.MsgName(), err)
						return
					}
				}
			})
		}
	}
	all.Wait()
	_, exists := w.store.Node(id)
	until(t, "the sweep agrees with the store", func() bool { return (w.f.Sweep().Len() == 1) == exists && (w.f.Stats().Actors == 1) == exists })
}

// The claim of a foreign operation whose own answer is lost must not shorten the wait for the old owner's permit.
func TestALostClaimStillWaitsForTheOldPermit(t *testing.T) { // S11
	const valid = 200 * time.Millisecond
	w := newWorld(t, nil)
	id := w.create(nil)
	w.m.set(func() { w.m.gate = make(chan struct{}) })
	w.must(id, node.SetPower{Target: node.PowerOn})
	w.end()
	var claimed, sent time.Time
	w.m.set(func() { w.m.gate, w.m.check = nil, func(*node.Node, bmc.Action) { sent = time.Now() } })
	hook := once(lostAnswer, nil)
	w.store.SetHook(func(tx persistence.Tx) persistence.Fault {
		f := hook(tx)
		if f.Err != nil {
			claimed = time.Now()
		}
		return f
	})
	w.start(node.Owner{Name: "c1", Incarnation: 8}, func(c *Config) { c.Policy.Valid = valid })
	w.wait(id, "power on", idle)
	w.m.set(func() {
		if held := sent.Sub(claimed); held < valid+valid/10 {
			t.Errorf("commanded %s after the claim, wanted at least %s", held, valid+valid/10)
		}
	})
}

// A once effect of an owner that is gone ends with the claim. That owner may only be paused, and its permit good: what is asked
// for next waits as long as a resumed operation would.
func TestWhatFollowsALostResetWaitsForTheOldPermit(t *testing.T) { // S11, S12
	const valid = time.Second
	w := newWorld(t, nil)
	id := w.create(func(n *node.Node) { n.DisablePowerOff = true })
	w.m.set(func() { w.m.gate = make(chan struct{}) })
	w.must(id, node.SetPower{Target: node.Rebooting})
	w.end()
	var sent time.Time
	w.m.set(func() { w.m.gate, w.m.check = nil, func(*node.Node, bmc.Action) { sent = time.Now() } })
	began := time.Now() // before the claim, and so before the wait
	w.start(node.Owner{Name: "c1", Incarnation: 8}, func(c *Config) { c.Policy.Valid = valid })
	w.wait(id, "the end of the reset", idle)
	w.must(id, node.SetPower{Target: node.PowerOn})
	w.wait(id, "power on", idle)
	w.m.set(func() {
		if held := sent.Sub(began); held < valid+valid/10 {
			t.Errorf("commanded %s after the claim, wanted at least %s", held, valid+valid/10)
		}
	})
}

// The wait is in the record: who owns the node next waits too, though the claim was another's, and the mark goes with a write
// after it.
func TestTheNextOwnerWaitsForTheOldPermitToo(t *testing.T) { // S11, S12
	const valid = time.Second
	brief := func(c *Config) { c.Policy.Valid = valid }
	w := newWorld(t, nil)
	id := w.create(func(n *node.Node) { n.DisablePowerOff = true })
	w.m.set(func() { w.m.gate = make(chan struct{}) })
	w.must(id, node.SetPower{Target: node.Rebooting})
	w.end()
	var sent time.Time
	w.m.set(func() { w.m.gate, w.m.check = nil, func(*node.Node, bmc.Action) { sent = time.Now() } })
	w.start(node.Owner{Name: "c2", Incarnation: 8}, brief)
	n := w.wait(id, "the end of the reset", idle)
	if n.Fenced != n.Owner.Epoch || n.Owner.Name != "c2" {
		t.Errorf("the claim is of %+v, the mark names epoch %d", n.Owner, n.Fenced)
	}
	w.end() // before valid is over
	began := time.Now()
	w.start(node.Owner{Name: "c3", Incarnation: 9}, brief)
	w.must(id, node.SetPower{Target: node.PowerOn})
	n = w.wait(id, "power on", idle)
	w.m.set(func() {
		if held := sent.Sub(began); held < valid+valid/10 {
			t.Errorf("commanded %s after the second takeover, wanted at least %s", held, valid+valid/10)
		}
	})
	if n.Fenced != 0 {
		t.Errorf("after the wait the mark still names epoch %d", n.Fenced)
	}
}

// The mark goes with the record: so the record stays until nothing of before can reach the BMC, quarantined or not, and a node
// that is made anew has nothing to wait for.
func TestNoNodeIsDeletedBeforeTheOldPermitHasEnded(t *testing.T) { // S11, S13
	const valid = 2 * time.Second
	for name, broken := range map[string]bool{"healthy": false, "quarantined": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			id := w.create(func(n *node.Node) { n.DisablePowerOff = true })
			w.m.set(func() { w.m.gate = make(chan struct{}) })
			w.must(id, node.SetPower{Target: node.Rebooting})
			w.end()
			w.m.set(func() { w.m.gate = nil })
			began := time.Now() // before the claim, and so before the wait
			w.start(node.Owner{Name: "c2", Incarnation: 8}, func(c *Config) { c.Policy.Valid = valid })
			w.wait(id, "the end of the reset", func(n *node.Node) bool { return n.Intent == nil && n.Fenced != 0 })
			if broken {
				n, _ := w.store.Node(id)
				want := n.Clone()
				want.DriverInfo = map[string]any{"panic": true}
				w.must(id, node.UpdateNode{Base: n.Outer, Want: want, Changed: []string{"driver_info"}})
				_, _ = w.do(id, node.SetPower{Target: node.PowerOn})
				w.wait(id, "quarantine", func(n *node.Node) bool { return n.Quarantined != "" })
			}
			var e *node.Error
			var err error
			for {
				if _, err = w.do(id, node.DeleteNode{}); err == nil {
					break
				}
				if !errors.As(err, &e) || e.Kind != node.Conflict || !strings.Contains(e.Text, "former conductor") {
					t.Fatalf("wanted 409 for a while, got %v", err)
				}
				time.Sleep(10 * time.Millisecond)
			}
			if e == nil {
				t.Error("it was deleted at once")
			}
			if held := time.Since(began); held < valid+valid/10 {
				t.Errorf("deleted %s after the claim, wanted at least %s", held, valid+valid/10)
			}
			w.must(id, node.CreateNode{Node: &node.Node{UUID: id, Driver: "ipmi"}})
		})
	}
}

func TestBrokenRulesTouchOneNodeOnly(t *testing.T) { // S13
	w := newWorld(t, nil)
	id := w.create(func(n *node.Node) { n.DriverInfo = map[string]any{"panic": true} })
	w.store.SetHook(once(persistence.Fault{Err: persistence.ErrNoQuorum}, nil)) // the quarantine itself is not dropped
	var e *node.Error
	if _, err := w.do(id, node.SetPower{Target: node.PowerOn}); !errors.As(err, &e) || e.Kind != node.Internal {
		t.Fatalf("wanted 500, got %v", err)
	}
	w.wait(id, "quarantine", func(n *node.Node) bool { return n.Quarantined != "" })
	if _, err := w.do(id, node.SetPower{Target: node.PowerOn}); !errors.As(err, &e) || e.Kind != node.Quarantined {
		t.Errorf("wanted the quarantine, got %v", err)
	}
	w.must(id, node.Release{})
	if _, err := w.do(id, node.SetPower{Target: node.PowerOn}); !errors.As(err, &e) || e.Kind != node.Internal {
		t.Errorf("wanted 500 anew, got %v", err)
	}
	w.wait(id, "quarantine anew", func(n *node.Node) bool { return n.Quarantined != "" })
	w.must(id, node.DeleteNode{})
}

func TestBrokenRulesAnswerWhoIsQueued(t *testing.T) { // S13
	w := newWorld(t, nil)
	id := w.create(func(n *node.Node) { n.DriverInfo = map[string]any{"panic": true} })
	w.store.SetHook(func(persistence.Tx) persistence.Fault { return persistence.Fault{Delay: 20 * time.Millisecond} })
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			_, _ = w.do(id, inventory.CreatePort{Port: &inventory.Port{UUID: "p", NodeUUID: id, Address: "52:54:00:00:00:01"}})
		})
		all.Go(func() {
			_, err := w.do(id, node.SetMaintenance{On: true})
			var e *node.Error
			if !errors.As(err, &e) || e.Kind != node.Internal && e.Kind != node.Quarantined {
				t.Errorf("wanted 500, got %v", err)
			}
		})
	}
	all.Wait()
}

func TestDrainLetsACommandFinish(t *testing.T) { // S12: a reset that went out is known to have gone out
	w := newWorld(t, nil)
	id := w.create(func(n *node.Node) { n.DisablePowerOff = true })
	gate := make(chan struct{})
	w.m.set(func() { w.m.gate = gate })
	w.must(id, node.SetPower{Target: node.Rebooting})
	until(t, "the command is on its way", func() (yes bool) { w.m.set(func() { yes = w.m.entered == 1 }); return yes })
	drained := make(chan error, 1)
	go func() { drained <- w.f.Drain(context.Background()) }()
	until(t, "draining", func() bool { return w.f.draining.Load() })
	close(gate)
	if err := <-drained; err != nil {
		t.Fatal(err)
	}
	n, _ := w.store.Node(id)
	if n.Intent == nil || n.Intent.Phase != "reset wait" || w.m.sent() != "[reset]" {
		t.Errorf("commands %s, intent %+v, wanted the phase after the reset", w.m.sent(), n.Intent)
	}
}

func TestAnOutcomeThatIsTooBigGoesWithoutItsNotices(t *testing.T) { // S13
	w := newWorld(t, nil)
	id := w.create(nil)
	w.store.SetHook(func(tx persistence.Tx) persistence.Fault {
		if n := written(tx); n != nil && n.Intent == nil && len(tx.Events) > 0 {
			return persistence.Fault{Err: persistence.ErrTooBig}
		}
		return persistence.Fault{}
	})
	w.must(id, node.SetPower{Target: node.PowerOn})
	w.wait(id, "power on", func(n *node.Node) bool { return idle(n) && n.PowerState == node.PowerOn })
}

// A permit that ends while a reset waits for its answer must not send it again.
func TestAnUnansweredResetIsNotRepeated(t *testing.T) { // S12
	w := newWorld(t, nil)
	id := w.create(func(n *node.Node) { n.DisablePowerOff = true })
	w.m.set(func() { w.m.sendErr = &bmc.Error{Command: "power reset", Unknown: true, Err: bmc.ErrPermit} })
	w.must(id, node.SetPower{Target: node.Rebooting})
	w.wait(id, "the end", idle)
	w.m.set(func() {
		if w.m.tries != 1 {
			t.Errorf("the reset was sent %d times", w.m.tries)
		}
	})
}

// Old news of a node that has been deleted since must not leave an actor behind.
func TestOldNewsLeavesNoActor(t *testing.T) {
	w := newWorld(t, nil)
	id := w.create(nil)
	n, _ := w.store.Node(id)
	w.must(id, node.DeleteNode{})
	until(t, "no actor", func() bool { return w.f.Stats().Actors == 0 })
	w.f.follows(id, &changed{n: n})
	until(t, "no actor after old news", func() bool { return w.f.Stats().Actors == 0 && w.f.pid(id) == nil })
}

// Who waits for old permits takes nobody's place: others go on, however many operations were taken over.
func TestWhoWaitsForOldPermitsTakesNoPlace(t *testing.T) { // S11
	w := newWorld(t, nil)
	taken, other := w.create(nil), w.create(nil)
	w.m.set(func() { w.m.gate = make(chan struct{}) })
	w.must(taken, node.SetPower{Target: node.PowerOn})
	w.end()
	w.m.set(func() { w.m.gate = nil })
	w.start(node.Owner{Name: "c1", Incarnation: 8}, func(c *Config) { c.Policy.Valid, c.MaxOperations = time.Hour, 1 })
	w.wait(taken, "the claim", func(n *node.Node) bool { return n.Owner.Incarnation == 8 })
	w.must(other, node.SetPower{Target: node.PowerOn})
	w.wait(other, "power on", idle)
	if n, _ := w.store.Node(taken); n.Intent == nil {
		t.Error("the operation that was taken over did not wait")
	}
}

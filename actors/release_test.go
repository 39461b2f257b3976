// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ferrite/bmc"
	"ferrite/node"
	"ferrite/persistence"
)

// releasing reports whether a release has committed its claim.
func releasing(n *node.Node) bool { return n.Intent != nil && n.Intent.Released != nil }

// brief makes permits short, so that a release does not take 11 s.
func brief(valid time.Duration) func(*Config) {
	return func(c *Config) { c.Policy.Valid = valid }
}

// second runs another conductor, c2, on the world's store. Nodes are c1's by placement.
func (w *world) second(change func(*Config)) *world {
	w.t.Helper()
	o := &world{t: w.t, store: w.store, m: w.m}
	o.start(node.Owner{Name: "c2", Incarnation: 9}, func(c *Config) {
		c.Wanted = func(*node.Node) bool { return false }
		if change != nil {
			change(c)
		}
	})
	w.t.Cleanup(o.end)
	return o
}

// hang makes an operation that never ends: its command stands before the check of its permit until the gate opens.
func (w *world) hang(id string, m node.Msg) (gate chan struct{}) {
	w.t.Helper()
	gate = make(chan struct{})
	var before int
	w.m.set(func() { w.m.gate, before = gate, w.m.entered })
	w.must(id, m)
	until(w.t, "the command is on its way", func() (yes bool) { w.m.set(func() { yes = w.m.entered > before }); return yes })
	return gate
}

// release asks for a release and returns where its answer comes.
func (w *world) release(id string) chan error {
	answer := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_, err := w.f.Do(ctx, id, node.Meta{By: "root", RequestID: "req-1"}, node.Release{})
		answer <- err
	}()
	return answer
}

// freed checks a node whose operation was released by root: free, with an error, and told.
func (w *world) freed(id, verb string) *node.Node {
	w.t.Helper()
	n := w.wait(id, "the end of the operation", idle)
	if !strings.Contains(n.LastError, verb) || !strings.Contains(n.LastError, "released by force by root") || n.TargetPowerState != "" || n.Reservation() != "" {
		w.t.Errorf("after the release: %+v", n)
	}
	ends := 0
	w.store.Scan(persistence.KindHistory, id+"/", func(r persistence.Record) bool {
		if e := r.Value.(*node.Entry); e.Severity == "ERROR" && e.User == "root" && strings.Contains(e.Event, "released by force by root") {
			ends++
		}
		return true
	})
	if ends != 1 {
		w.t.Errorf("%d entries of the history tell of the end, wanted 1", ends)
	}
	return n
}

// TestReleaseOfWhatNeverEnds: the claim is committed first, and from then on the hanging operation gets no permit, renewed
// or not; the node takes the next one.
func TestReleaseOfWhatNeverEnds(t *testing.T) { // S13
	for _, other := range []bool{false, true} {
		t.Run(map[bool]string{false: "of this conductor", true: "of another, living conductor"}[other], func(t *testing.T) {
			const valid = 100 * time.Millisecond
			w := newWorld(t, brief(valid))
			id := w.create(nil)
			gate := w.hang(id, node.SetPower{Target: node.PowerOn})
			before, _ := w.store.Node(id)
			by := w
			if other {
				by = w.second(brief(valid))
			}
			looked := make(chan struct{})
			look := sync.OnceFunc(func() { close(looked) })
			defer look()
			w.store.SetHook(func(tx persistence.Tx) persistence.Fault {
				if n := written(tx); n != nil && n.Intent == nil { // the end waits until we have looked
					<-looked
				}
				return persistence.Fault{}
			})
			answer := by.release(id)
			n := w.wait(id, "the claim", releasing)
			if n.Owner.Epoch != before.Owner.Epoch+1 || n.Owner.Name != by.f.cfg.Self.Name || n.Owner.Incarnation != by.f.cfg.Self.Incarnation || n.Intent.Owner != n.Owner {
				t.Errorf("claimed as %+v after %+v", n.Owner, before.Owner)
			}
			if n.TargetPowerState != node.PowerOn || n.LastError != "" {
				t.Errorf("the operation was ended with its claim: %+v", n)
			}
			close(gate) // the old owner's turn comes while the release waits
			until(t, "the old effect has ended", func() bool { return w.f.Stats().Fenced > 0 && w.f.Stats().Operations <= 1 })
			look()
			if err := <-answer; err != nil {
				t.Fatal(err)
			}
			w.freed(id, "set power")
			if got := w.m.sent(); got != "[]" {
				t.Errorf("commands %s of an operation that was taken away", got)
			}
			if got := strings.Join(w.events(id), " "); strings.Count(got, "power_set.start") != 1 || strings.Count(got, "power_set.error") != 1 {
				t.Errorf("events %s", got)
			}
			if got := by.f.Stats().Released; got != 1 {
				t.Errorf("%d releases counted", got)
			}
			if other {
				until(t, "the other conductor keeps nothing of the node", func() bool { return by.f.Stats().Actors == 0 && by.f.Sweep().Len() == 0 })
			}
			w.must(id, node.SetPower{Target: node.PowerOn}) // by placement it is still c1's (S4)
			if n := w.wait(id, "power on", idle); n.PowerState != node.PowerOn || n.LastError != "" || n.Owner.Name != "c1" {
				t.Errorf("afterwards: %+v", n)
			}
		})
	}
}

// TestReleaseWaitsForPermits: a command that has passed its checks may still be sent while its permit lasts. The operation
// is not ended before, however long the claim's commit took.
func TestReleaseWaitsForPermits(t *testing.T) { // S11, S13
	const valid, slow = 300 * time.Millisecond, 500 * time.Millisecond
	w := newWorld(t, brief(valid))
	id := w.create(nil)
	var mu sync.Mutex
	var claimed, ended time.Time
	held := make(chan bmc.Permit, 1)
	stop := make(chan struct{})
	w.m.set(func() { w.m.hold = func(p bmc.Permit) { held <- p; <-stop } })
	defer close(stop)
	w.must(id, node.SetPower{Target: node.PowerOn})
	permit := <-held // it has passed check (1) of S10; the packet comes later
	var alive atomic.Bool
	w.store.SetHook(func(tx persistence.Tx) persistence.Fault {
		n := written(tx)
		if n == nil {
			return persistence.Fault{}
		}
		mu.Lock()
		defer mu.Unlock()
		if releasing(n) {
			claimed = time.Now().Add(slow) // it returns later than that
			return persistence.Fault{Delay: slow}
		}
		ended = time.Now()
		alive.Store(permit.Live())
		return persistence.Fault{}
	})
	if err := <-w.release(id); err != nil {
		t.Fatal(err)
	}
	w.freed(id, "set power")
	mu.Lock()
	defer mu.Unlock()
	if claimed.IsZero() || alive.Load() {
		t.Errorf("claimed at %v; ended while a command could still be sent: %v", claimed, alive.Load())
	}
	if wait := ended.Sub(claimed); wait < valid+valid/10 {
		t.Errorf("ended %s after the claim's commit had returned, wanted at least %s", wait, valid+valid/10)
	}
	if permit.OK(context.Background()) == nil {
		t.Error("the old permit holds again")
	}
}

// TestReleaseGoesOn: what comes between the claim and the end leaves nothing that must be asked for again.
func TestReleaseGoesOn(t *testing.T) { // S13
	t.Run("after a crash", func(t *testing.T) {
		w := newWorld(t, brief(time.Hour))
		id := w.create(nil)
		w.hang(id, node.SetPower{Target: node.PowerOn})
		answer := w.release(id)
		w.wait(id, "the claim", releasing)
		w.end()
		var e *node.Error
		if err := <-answer; !errors.As(err, &e) || e.Kind != node.Unavailable {
			t.Errorf("told %v", err)
		}
		w.m.set(func() { w.m.gate = nil })
		w.start(node.Owner{Name: "c1", Incarnation: 8}, brief(20*time.Millisecond))
		n := w.freed(id, "set power")
		if n.Owner.Incarnation != 8 || w.m.sent() != "[]" {
			t.Errorf("owner %+v, commands %s", n.Owner, w.m.sent())
		}
	})
	t.Run("when the claim's answer is lost", func(t *testing.T) {
		w := newWorld(t, brief(20*time.Millisecond))
		id := w.create(nil)
		w.hang(id, node.SetPower{Target: node.PowerOn})
		w.store.SetHook(once(lostAnswer, func(tx persistence.Tx) bool { n := written(tx); return n != nil && releasing(n) }))
		if err := <-w.release(id); err == nil {
			t.Error("the requester was told that all is well")
		}
		w.freed(id, "set power")
	})
	t.Run("when the store fails at the end", func(t *testing.T) {
		w := newWorld(t, brief(20*time.Millisecond))
		id := w.create(nil)
		w.hang(id, node.SetPower{Target: node.PowerOn})
		var failed atomic.Int32
		w.store.SetHook(func(tx persistence.Tx) persistence.Fault {
			if n := written(tx); n != nil && n.Intent == nil && failed.Add(1) <= 3 {
				return persistence.Fault{Err: persistence.ErrNoQuorum}
			}
			return persistence.Fault{}
		})
		if err := <-w.release(id); err != nil {
			t.Errorf("told %v, wanted the end", err)
		}
		w.freed(id, "set power")
	})
	t.Run("when the living owner writes meanwhile", func(t *testing.T) {
		w := newWorld(t, brief(20*time.Millisecond))
		id := w.create(nil)
		w.hang(id, node.SetPower{Target: node.PowerOn})
		var conflicts atomic.Int32
		w.store.SetHook(func(tx persistence.Tx) persistence.Fault {
			if n := written(tx); n != nil && releasing(n) && conflicts.Add(1) <= 5 {
				return persistence.Fault{Err: &persistence.Conflict{}}
			}
			return persistence.Fault{}
		})
		if err := <-w.release(id); err != nil {
			t.Errorf("told %v, wanted the end", err)
		}
		w.freed(id, "set power")
	})
	t.Run("when as many operations hang as may run", func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Policy.Valid, c.MaxOperations = 20*time.Millisecond, 1 })
		id := w.create(nil)
		w.hang(id, node.SetPower{Target: node.PowerOn})
		if err := <-w.release(id); err != nil {
			t.Errorf("told %v, wanted the end", err)
		}
		w.freed(id, "set power")
	})
	t.Run("when the driver's own code fails on the node", func(t *testing.T) {
		w := newWorld(t, brief(20*time.Millisecond))
		id := w.create(nil)
		w.hang(id, node.SetPower{Target: node.PowerOn})
		n, _ := w.store.Node(id)
		broken := n.Clone()
		broken.DriverInfo, broken.Quarantined = map[string]any{"panic": true}, "panic"
		key := persistence.Key{Kind: persistence.KindNode, ID: id}
		if _, err := w.store.Commit(context.Background(), persistence.Tx{If: []persistence.Cond{{Key: key, Rev: n.Rev}}, Put: []persistence.Put{{Key: key, Value: broken}}}); err != nil {
			t.Fatal(err)
		}
		if err := <-w.release(id); err != nil {
			t.Errorf("told %v, wanted the end", err)
		}
		if n := w.freed(id, "set power"); n.Quarantined != "" {
			t.Errorf("quarantined: %s", n.Quarantined)
		}
	})
}

// TestAReleasedResetIsNotSentAgain: neither by the release, nor by who finds the release after a crash, nor by its own
// effect when its turn comes at last.
func TestAReleasedResetIsNotSentAgain(t *testing.T) { // S12, S13
	w := newWorld(t, brief(time.Hour))
	id := w.create(func(n *node.Node) { n.DisablePowerOff = true })
	gone, stop := make(chan struct{}), make(chan struct{})
	w.m.set(func() { w.m.check = func(*node.Node, bmc.Action) { close(gone); <-stop } }) // sent; the answer never comes
	w.must(id, node.SetPower{Target: node.Rebooting})
	<-gone
	answer := w.release(id)
	w.wait(id, "the claim", releasing)
	close(stop) // now it does, too late: nobody waits for it
	until(t, "the old effect has ended", func() bool { return w.f.Stats().Operations == 1 })
	w.end()
	<-answer
	w.start(node.Owner{Name: "c1", Incarnation: 8}, brief(20*time.Millisecond))
	n := w.freed(id, "set power")
	if !strings.Contains(n.LastError, "outcome is unknown and it is not sent again") {
		t.Errorf("last_error %q", n.LastError)
	}
	w.m.set(func() {
		if w.m.tries != 1 {
			t.Errorf("the reset was sent %d times", w.m.tries)
		}
	})
	if got := strings.Join(w.events(id), " "); strings.Count(got, "power_set.start") != 1 || strings.Count(got, "power_set.error") != 1 || strings.Contains(got, "power_set.end") {
		t.Errorf("events %s", got)
	}
}

// TestAGuestTouchesNothing: a conductor that is asked to release a node which is not its own, and refuses, does not go on
// with what the living owner has under way (S4).
func TestAGuestTouchesNothing(t *testing.T) { // S4, S13
	w := newWorld(t, nil)
	id := w.create(nil)
	gate := w.hang(id, node.SetPower{Target: node.PowerOn})
	o := w.second(nil)
	var e *node.Error
	if _, err := o.do(id, node.Release{Op: "another"}); !errors.As(err, &e) || e.Kind != node.Conflict {
		t.Errorf("told %v", err)
	}
	until(t, "the guest is gone", func() bool { return o.f.Stats().Actors == 0 && o.f.Sweep().Len() == 0 })
	if n, _ := w.store.Node(id); n.Owner.Name != "c1" || n.Owner.Epoch != 1 {
		t.Errorf("claimed by %+v", n.Owner)
	}
	close(gate)
	if n := w.wait(id, "power on", idle); n.PowerState != node.PowerOn || w.m.sent() != "[on]" {
		t.Errorf("%+v, commands %s", n, w.m.sent())
	}
}

// TestWhoWaitsIsToldOfAReleaseElsewhere: the requester of an operation that another conductor has ended gets an answer.
func TestWhoWaitsIsToldOfAReleaseElsewhere(t *testing.T) { // S13
	w := newWorld(t, brief(20*time.Millisecond))
	id := w.create(nil)
	w.m.set(func() { w.m.gate = make(chan struct{}) })
	got := make(chan error, 1)
	go func() {
		_, err := w.f.Do(context.Background(), id, node.Meta{}, node.SetBootDevice{Device: "disk"})
		got <- err
	}()
	w.wait(id, "an operation", func(n *node.Node) bool { return n.Intent != nil })
	if err := <-w.second(brief(20 * time.Millisecond)).release(id); err != nil {
		t.Fatal(err)
	}
	var e *node.Error
	if err := <-got; !errors.As(err, &e) || e.Kind != node.Unavailable || !strings.Contains(e.Text, "c2") {
		t.Errorf("told %v", err)
	}
}

// TestAReleaseIsLogged says who did it, at its beginning and at its end.
func TestAReleaseIsLogged(t *testing.T) { // S13
	var log lines
	w := newWorld(t, func(c *Config) {
		c.Policy.Valid, c.Logger = 20*time.Millisecond, slog.New(slog.NewTextHandler(&log, nil))
	})
	id := w.create(nil)
	w.hang(id, node.SetPower{Target: node.PowerOn})
	n, _ := w.store.Node(id)
	if err := <-w.release(id); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"operation is being released by force", "operation released by force"} {
		found := 0
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, text) && strings.Contains(line, "by=root") && strings.Contains(line, "op="+n.Intent.ID) && strings.Contains(line, "request_id=req-1") {
				found++
			}
		}
		if found != 1 {
			t.Errorf("%d lines %q in\n%s", found, text, log.String())
		}
	}
}

// lines is a log in memory.
type lines struct {
	mu sync.Mutex // guards b
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.b.Write(p) }

func (l *lines) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

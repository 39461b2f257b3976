// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ferrite/bmc"
	"ferrite/node"
	"ferrite/persistence"
)

// console is a fake console that fails while it is told to.
type console struct {
	fails  atomic.Bool
	starts atomic.Int32
}

func (c *console) StartConsole(ctx context.Context, _ *node.Node, p bmc.Permit) error {
	if err := p.OK(ctx); err != nil {
		return err
	}
	c.starts.Add(1)
	if c.fails.Load() {
		return errors.New("no free port")
	}
	return nil
}

func (c *console) StopConsole(ctx context.Context, _ *node.Node, p bmc.Permit) error {
	return p.OK(ctx)
}

func (c *console) ConsoleInfo(*node.Node) map[string]any { return nil }

func (c *console) drive(cfg *Config) { cfg.Drivers["fake"].Console = c }

func withConsole(n *node.Node) {
	n.Interfaces = map[string]string{"console": "fake"}
}

// A console that its user wants is restored by the next owner, told once with the claim and once with the outcome; one that
// cannot be started stays wanted and is tried again (N4).
func TestConsolesAreRestored(t *testing.T) {
	c := &console{}
	w := newWorld(t, c.drive)
	id := w.create(withConsole)
	w.must(id, node.SetConsole{Enabled: true})
	w.wait(id, "an enabled console", func(n *node.Node) bool { return n.ConsoleEnabled && idle(n) })
	w.end()

	before := len(w.events(id))
	w.start(node.Owner{Name: "c2", Incarnation: 9}, c.drive)
	w.wait(id, "a restored console", func(n *node.Node) bool { return n.Owner.Name == "c2" && n.ConsoleEnabled && idle(n) })
	want := []string{"node.console_restore.start", "node.console_restore.end"}
	if got := w.events(id)[before:]; !slices.Equal(got, want) {
		t.Errorf("the takeover told %v, wanted %v", got, want)
	}
	w.end()

	c.fails.Store(true)
	w.start(node.Owner{Name: "c1", Incarnation: 11}, c.drive)
	n := w.wait(id, "a failed restore", func(n *node.Node) bool { return n.Owner.Name == "c1" && !n.ConsoleEnabled && idle(n) })
	if !n.ConsoleWanted || !strings.Contains(n.LastError, "no free port") {
		t.Errorf("after a failed restore: wanted %v, last_error %q", n.ConsoleWanted, n.LastError)
	}
	if got := w.events(id); got[len(got)-1] != "node.console_restore.error" {
		t.Errorf("told last: %v", got[len(got)-1])
	}
	c.fails.Store(false)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) { // as every half minute
		w.f.Reconcile()
		if n, _ := w.store.Node(id); n.ConsoleEnabled && idle(n) {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the console is not tried again")
		}
	}
	started := c.starts.Load()
	for range 300 { // what is well is left alone
		w.f.Reconcile()
	}
	if _, err := w.do(id, node.RenewPermit{Op: "none"}); err == nil {
		t.Error("a permit without an operation")
	}
	if got := c.starts.Load(); got != started {
		t.Errorf("a console that is there was started %d times more", got-started)
	}
}

// A node that another conductor is to own is let go once nothing of it is under way, and comes back when it is wanted again (S3, S4).
func TestNodesComeAndGo(t *testing.T) {
	var mine atomic.Bool
	mine.Store(true)
	w := newWorld(t, func(c *Config) { c.Wanted = func(*node.Node) bool { return mine.Load() } })
	idleOne, busy := w.create(nil), w.create(nil)
	gate := w.hang(busy, node.SetPower{Target: node.PowerOn})
	mine.Store(false)
	if _, left := w.f.Rebalance(); left != 2 {
		t.Errorf("%d actors were asked to go, wanted 2", left)
	}
	until(t, "the idle one is gone", func() bool { return w.f.Len() == 1 })
	if w.f.pid(idleOne) != nil || w.f.pid(busy) == nil {
		t.Error("the wrong one is gone")
	}
	close(gate)
	w.m.set(func() { w.m.gate = nil })
	n := w.wait(busy, "the end of its operation", idle)
	if n.PowerState != node.PowerOn || n.LastError != "" {
		t.Errorf("the operation under way ended with %q, %q", n.PowerState, n.LastError)
	}
	until(t, "the busy one is gone too", func() bool { return w.f.Len() == 0 && w.f.Sweep().Len() == 0 })
	w.must(idleOne, node.SetMaintenance{On: true}) // asked to serve (S6): it does, and lets go again
	until(t, "a served one is gone", func() bool { return w.f.Len() == 0 })
	mine.Store(true)
	if gained := w.f.Reconcile(); gained != 2 {
		t.Errorf("%d actors were made, wanted 2", gained)
	}
	until(t, "both are swept again", func() bool { return w.f.Sweep().Len() == 2 })
}

// An operation of a former owner is gone on with once the View gives it to us, not before, although the actor is there (S4).
func TestWhatIsAbandonedIsGoneOnWith(t *testing.T) {
	var mine atomic.Bool
	w := newWorld(t, brief(50*time.Millisecond))
	o := w.second(func(c *Config) {
		brief(50 * time.Millisecond)(c)
		c.Wanted = func(*node.Node) bool { return mine.Load() }
	})
	id := w.create(nil)
	gate := w.hang(id, node.SetPower{Target: node.PowerOn})
	defer close(gate)
	w.end() // the process is gone; what it held up never left
	w.m.set(func() { w.m.gate = nil })
	if _, err := o.do(id, node.SetMaintenance{On: true}); err != nil { // one that does not wait for the lock
		t.Logf("while the operation is another's: %v", err)
	}
	if n, _ := w.store.Node(id); n.Intent == nil || n.Intent.Owner.Name != "c1" {
		t.Fatalf("the operation was taken before its time: %+v", n.Intent)
	}
	mine.Store(true)
	o.f.Reconcile()
	n := o.wait(id, "the end of the operation", idle)
	if n.PowerState != node.PowerOn || n.Owner.Name != "c2" {
		t.Errorf("it ended with %q under %s", n.PowerState, n.Owner.Name)
	}
}

// An operation that another conductor took, and left open when it died, begins anew where it was begun first, although that
// actor has been there all the time.
func TestWhatComesBackBeginsAnew(t *testing.T) {
	w := newWorld(t, brief(50*time.Millisecond))
	id := w.create(nil)
	gate := w.hang(id, node.SetPower{Target: node.PowerOn})
	n, _ := w.store.Node(id)
	taken := n.Clone()
	taken.Owner = node.Owner{Name: "c2", Incarnation: 9, Epoch: n.Owner.Epoch + 1}
	taken.Intent.Owner = taken.Owner
	key := persistence.Key{Kind: persistence.KindNode, ID: id}
	if _, err := w.store.Commit(context.Background(), persistence.Tx{If: []persistence.Cond{{Key: key, Rev: n.Rev}}, Put: []persistence.Put{{Key: key, Value: taken}}}); err != nil {
		t.Fatal(err)
	}
	w.m.set(func() { w.m.gate = nil })
	close(gate) // the first try is fenced, and ends without a word
	until(t, "the first try has ended", func() bool { return w.f.Stats().Operations == 0 })
	w.f.Reconcile() // c2 is dead: by placement the node is ours
	if n := w.wait(id, "the end of the operation", idle); n.PowerState != node.PowerOn || n.Owner.Name != "c1" {
		t.Errorf("it ended with %q under %s", n.PowerState, n.Owner.Name)
	}
}

// leave writes an operation of another conductor, which is dead by then, into a node's record.
func (w *world) leave(id string) {
	w.t.Helper()
	n := w.wait(id, "it is there", idle)
	left := n.Clone()
	left.Owner = node.Owner{Name: "c2", Incarnation: 9, Epoch: n.Owner.Epoch + 1}
	left.Intent = &node.Intent{ID: "op", Verb: node.VerbPower, Target: node.PowerOn, Class: node.Repeat, Phase: "on", Owner: left.Owner}
	left.TargetPowerState = node.PowerOn
	key := persistence.Key{Kind: persistence.KindNode, ID: id}
	if _, err := w.store.Commit(context.Background(), persistence.Tx{If: []persistence.Cond{{Key: key, Rev: n.Rev}}, Put: []persistence.Put{{Key: key, Value: left}}}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) goneOnWith(id string) {
	w.t.Helper()
	if n := w.wait(id, "the end of the operation", idle); n.PowerState != node.PowerOn || n.Owner.Name != "c1" {
		w.t.Errorf("it ended with %q under %s", n.PowerState, n.Owner.Name)
	}
}

// What a dead owner wrote last comes after the View that gave its node to us: it is gone on with all the same, and nobody has to
// look at all nodes for that (S3).
func TestTheLastWriteOfADeadOwnerIsGoneOnWith(t *testing.T) {
	w := newWorld(t, brief(50*time.Millisecond))
	id := w.create(nil)
	w.leave(id)
	w.goneOnWith(id)
}

// deafStore is a store whose first watch hears nothing and ends as one does whose time is over.
type deafStore struct {
	persistence.Store
	over    chan struct{}
	watches atomic.Int32
}

func (d *deafStore) Watch(ctx context.Context, from node.Rev) persistence.Watcher {
	if d.watches.Add(1) > 1 {
		return d.Store.Watch(ctx, from)
	}
	return &deafWatcher{d.over}
}

type deafWatcher struct{ over chan struct{} }

func (w *deafWatcher) Next() ([]persistence.Change, error) {
	<-w.over
	return nil, context.DeadlineExceeded
}

func (*deafWatcher) Close() {}

// A change that came while the watch was over, for the full look that is due every half minute, reaches its actor all the same:
// else that would never hear of it (S3).
func TestAChangeBetweenTwoWatchesIsHeard(t *testing.T) {
	deaf := &deafStore{over: make(chan struct{})}
	w := newWorld(t, func(c *Config) {
		brief(50 * time.Millisecond)(c)
		deaf.Store = c.Store
		c.Store = deaf
	})
	until(t, "the first watch", func() bool { return deaf.watches.Load() == 1 })
	id := w.create(nil)
	w.leave(id)
	close(deaf.over)
	w.goneOnWith(id)
}

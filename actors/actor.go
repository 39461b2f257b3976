// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/google/uuid"

	"ferrite/inventory"
	"ferrite/node"
	"ferrite/persistence"
)

// Messages of an actor besides call.
type (
	activate struct{ uuid string }
	// outcome is an effect's Done, or a sample of the sweep (sample: may be dropped when the node is busy).
	outcome struct {
		msg    node.Msg
		sample bool
		tries  int
	}
	// committed is the store's answer to the commit under way.
	committed struct {
		rev node.Rev
		err error
	}
	// expired ends the waiting of a call that met a lock.
	expired struct{ c *call }
	// readDone ends a read of the BMC on behalf of a call.
	readDone struct {
		c     *call
		value any
		err   error
	}
	// again asks to look at the store anew after a write whose fate is not known, and to step o once more if there is one.
	again struct{ o *outcome }
)

// call is one request and its one reply.
type call struct {
	ctx   context.Context
	meta  node.Meta
	msg   node.Msg
	reply chan reply // holds 1
	until time.Time  // when the waiting for a lock ends; zero = has not met one
	timer *time.Timer
	steps int // how often it was stepped again after a conflict (S5)
}

type reply struct {
	value any
	err   error
}

func (c *call) answer(value any, err error) {
	if c.timer != nil {
		c.timer.Stop()
	}
	select {
	case c.reply <- reply{value, err}:
	default:
	}
}

// pending is the decision whose commit is under way.
type pending struct {
	d     node.Decision
	c     *call    // who asked, nil for outcomes
	o     *outcome // what came back, nil for requests
	stamp stamp    // read before proposing (S9)
	gone  bool     // the node is deleted by it
	port  bool     // it writes a port only
}

// nodeActor owns one node. All fields are owned by Receive.
type nodeActor struct {
	f       *Fleet
	uuid    string
	n       *node.Node // as committed; nil = does not exist
	commit  *pending
	queue   []any            // messages behind the commit, in order
	parked  []*call          // requests that wait for the lock
	waiters map[string]*call // by operation id: requests that wait for an outcome
	opened  map[string]stamp // by operation id: clock before the newest commit under it (S9)
	reading *call            // a read of the BMC under the lock
	effect  string           // operation and phase of the effect that was started last, see under
	entry   *entry           // place in the sweep
}

// Receive handles one message; it never blocks.
func (a *nodeActor) Receive(c actor.Context) {
	defer a.recovered(c)
	switch m := c.Message().(type) {
	case *activate:
		a.uuid = m.uuid
		a.activate(c)
	case *committed:
		a.committed(c, m)
	case *call, *outcome, *expired, *readDone, *again:
		if a.commit != nil {
			if o, ok := m.(*outcome); ok && o.sample {
				return // the sweep comes back; the reading may be older than the commit (P3)
			}
			a.queue = append(a.queue, m)
			return
		}
		a.handle(c, m)
	}
}

func (a *nodeActor) handle(c actor.Context, m any) {
	switch m := m.(type) {
	case *call:
		a.request(c, m)
	case *outcome:
		a.outcome(c, m)
	case *again:
		a.lookAgain(c, m.o)
	case *expired:
		a.expired(m.c)
	case *readDone:
		a.readDone(c, m)
	}
}

// activate loads the node and goes on with what a former owner left open (S3).
func (a *nodeActor) activate(c actor.Context) {
	a.reload()
	if a.n == nil {
		return
	}
	a.entry = a.f.sweep.add(a.n, c.Self())
	if a.n.Intent != nil || a.n.TargetPowerState != "" || a.n.ProvisionState.Unstable() {
		a.outcome(c, &outcome{msg: node.Activated{}})
	}
}

// lookAgain settles a write whose fate was not known: the record tells. If it has an operation whose effect was never
// started here, because the answer to its commit was lost, the operation is resumed like one found at a start (S3, S13).
func (a *nodeActor) lookAgain(c actor.Context, o *outcome) {
	a.reload()
	if o != nil {
		a.outcome(c, o)
	}
	if a.commit == nil && a.n != nil && a.n.Intent != nil && a.effect != under(a.n) {
		a.outcome(c, &outcome{msg: node.Activated{}})
	}
}

// under names the operation and phase that a node is in, "" = none.
func under(n *node.Node) string {
	if n.Intent == nil {
		return ""
	}
	return n.Intent.ID + " " + n.Intent.Phase
}

// reload takes the record from the local replica.
func (a *nodeActor) reload() {
	a.n = nil
	if n, ok := a.f.cfg.Store.Node(a.uuid); ok {
		a.n = n
	}
}

// request steps a client's request.
func (a *nodeActor) request(c actor.Context, q *call) {
	if q.ctx.Err() != nil {
		q.answer(nil, &node.Error{Op: q.msg.MsgName(), Node: a.uuid, Kind: node.Unavailable, Text: "the request was given up before its turn came"})
		return
	}
	if a.n == nil {
		a.reload()
	}
	switch m := q.msg.(type) {
	case node.GetBootDevice:
		a.read(c, q)
		return
	case inventory.CreatePort, inventory.UpdatePort, inventory.DeletePort:
		a.portRequest(c, q, m)
		return
	}
	if a.reading != nil && exclusive(q.msg) {
		a.park(c, q, a.busyReading())
		return
	}
	if _, ok := q.msg.(node.Release); ok && a.n != nil && a.n.Intent != nil {
		a.f.cfg.Logger.Warn("operation released by force", "node", a.uuid, "op", a.n.Intent.ID, "verb", a.n.Intent.Verb, "by", q.meta.By)
	}
	d, err := a.step(q.meta, q.msg)
	var e *node.Error
	if errors.As(err, &e) && e.Kind == node.Locked && a.f.cfg.LockRetry > 0 && (q.until.IsZero() || time.Now().Before(q.until)) {
		a.park(c, q, e)
		return
	}
	if err != nil {
		a.refused(d, err)
		q.answer(nil, err)
		return
	}
	if d.Node == nil {
		q.answer(d.Reply, nil)
		return
	}
	a.submit(c, &pending{d: d, c: q})
}

// exclusive reports which requests need the lock (spec conductor-rpc.md, Lock X).
func exclusive(m node.Msg) bool {
	switch m.(type) {
	case node.Release, node.CreateNode, inventory.CreatePort:
		return false
	default:
		return true
	}
}

// park lets a request wait for the lock up to the lock retry time (S8).
func (a *nodeActor) park(c actor.Context, q *call, _ error) {
	if q.until.IsZero() {
		q.until = time.Now().Add(a.f.cfg.LockRetry)
		self, root := c.Self(), a.f.system.Root
		q.timer = time.AfterFunc(a.f.cfg.LockRetry, func() { root.Send(self, &expired{q}) })
		a.f.stats.parked.Add(1)
	}
	a.parked = append(a.parked, q)
}

// expired refuses a request whose waiting is over; it is stepped once more so that the refusal names the operation.
func (a *nodeActor) expired(q *call) {
	for i, p := range a.parked {
		if p != q {
			continue
		}
		a.parked = append(a.parked[:i:i], a.parked[i+1:]...)
		if _, read := q.msg.(node.GetBootDevice); read || a.reading != nil {
			q.answer(nil, a.busyReading())
			return
		}
		d, err := a.step(q.meta, q.msg)
		if err == nil {
			err = &node.Error{Op: q.msg.MsgName(), Node: a.uuid, Kind: node.Locked, Text: fmt.Sprintf("Node %s is locked by host %s, please retry after the current operation is completed.", a.uuid, a.f.cfg.Self.Name)}
		} else {
			a.refused(d, err)
		}
		a.f.stats.lockRefusals.Add(1)
		q.answer(nil, err)
		return
	}
}

// unpark tries the requests that waited for the lock, oldest first, as soon as no operation is open.
func (a *nodeActor) unpark(c actor.Context) {
	for len(a.parked) > 0 && a.commit == nil && a.reading == nil && (a.n == nil || a.n.Intent == nil) {
		q := a.parked[0]
		a.parked = a.parked[1:]
		a.request(c, q)
	}
}

// outcome steps what came back from outside. It is never dropped (S13).
func (a *nodeActor) outcome(c actor.Context, o *outcome) {
	if a.n == nil {
		return // deleted meanwhile: its intent went with it
	}
	if r, ok := o.msg.(renewal); ok {
		a.renew(c, r)
		return
	}
	d, err := a.step(node.Meta{}, o.msg)
	if err != nil {
		a.f.cfg.Logger.Error("an outcome does not fit its node", "node", a.uuid, "msg", o.msg.MsgName(), "error", err)
		return
	}
	if d.Node == nil {
		return
	}
	a.submit(c, &pending{d: d, o: o})
}

// step runs the rules on the node as committed.
func (a *nodeActor) step(meta node.Meta, m node.Msg) (node.Decision, error) {
	env := node.Env{
		Now: a.f.cfg.Clock().UTC(), Self: a.f.cfg.Self, ID: uuid.NewString(), Meta: meta, Policy: a.f.cfg.Policy,
	}
	if a.n != nil {
		env.Facts = a.f.facts(a.n, m)
	}
	d, err := node.Step(env, a.n, m)
	var e *node.Error
	if errors.As(err, &e) && e.Node == "" {
		e.Node = a.uuid
	}
	return d, err
}

// refused commits the start and error notices of a refused API operation, best effort (N1).
func (a *nodeActor) refused(d node.Decision, _ error) {
	if events := a.events(d.Notices); len(events) > 0 {
		a.f.cfg.Store.Submit(persistence.Tx{Events: events}, func(node.Rev, error) {})
	}
}

// recovered quarantines the node whose rules panicked; the process and all other nodes go on (S13).
func (a *nodeActor) recovered(c actor.Context) {
	p := recover()
	if p == nil {
		return
	}
	a.f.stats.quarantined.Add(1)
	a.f.cfg.Logger.Error("the rules failed on a node; it is quarantined", "node", a.uuid, "panic", p, "stack", string(debug.Stack()))
	if q, ok := c.Message().(*call); ok {
		q.answer(nil, &node.Error{Op: q.msg.MsgName(), Node: a.uuid, Kind: node.Internal, Text: fmt.Sprintf("the rules failed on node %s: %v. The node is quarantined; see the conductor's log.", a.uuid, p)})
	}
	if a.n == nil || a.n.Quarantined != "" || a.commit != nil {
		return
	}
	env := node.Env{Now: a.f.cfg.Clock().UTC(), Self: a.f.cfg.Self, ID: uuid.NewString(), Policy: a.f.cfg.Policy}
	if d, err := node.Quarantine(env, a.n, fmt.Sprint(p)); err == nil {
		a.submit(c, &pending{d: d})
	}
}

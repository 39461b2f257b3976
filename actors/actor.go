// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"context"
	"errors"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/google/uuid"

	"ferrite/inventory"
	"ferrite/node"
	"ferrite/persistence"
)

// Messages of an actor besides call.
type (
	activate struct {
		uuid  string
		alone bool // nothing else was sent with it
		guest bool // a release by force was: the node is not ours before that
	}
	// outcome is an effect's Done, a sample of the sweep, or what an actor asks of itself (renewal, panicked).
	outcome struct {
		msg    node.Msg
		sample bool // may be dropped when the node is busy
		held   bool // Drain waits until it is settled
		turn   bool // it has one of the sweep's turns, until it is settled
		bare   bool // its entry was too big: it goes without notices and history
		tries  int  // how often the store did not take it
		reply  any  // what the last try would have answered to those who wait
	}
	// committed is the store's answer to the commit under way.
	committed struct {
		rev node.Rev
		err error
	}
	// changed is a watched change of the record; n nil = deleted.
	changed struct {
		n   *node.Node
		rev node.Rev
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
	ctx    context.Context
	meta   node.Meta
	msg    node.Msg
	reply  chan reply  // holds 1
	timer  *time.Timer // ends the waiting for a lock; nil = has not met one
	late   bool        // has waited for a lock as long as it may
	proven bool        // a new login was tried on the BMC already
	steps  int         // how often it was stepped again after a conflict (S5)
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
	port  bool     // it writes a port only
}

// nodeActor owns one node. All fields are owned by Receive.
type nodeActor struct {
	f       *Fleet
	uuid    string
	n       *node.Node // as committed; nil = does not exist
	commit  *pending
	now     any              // message that is being handled, for recovered
	queue   []any            // messages behind the commit, in order
	parked  []*call          // requests that wait for the lock
	waiters map[string]*call // by operation id: requests that wait for an outcome
	reading *call            // a read of the BMC under the lock
	effect  string           // operation and phase of the effect that was started last, see under
	fence   uint64           // the claim over another owner's operation that is known of (S11)
	quiet   time.Time        // until then a permit of before it may be good
	entry   *entry           // place in the sweep
	gone    bool             // off the map and about to stop: forwards what still comes
	looks   uint8            // reviews since the console was tried last
	tries   uint8            // how often it was
	guest   bool             // here only to release the node by force
	orphan  bool             // a review is on its way for what a dead owner has left, see orphaned
}

// Receive handles one message; it never blocks.
func (a *nodeActor) Receive(c actor.Context) {
	defer a.recovered(c)
	switch m := c.Message().(type) {
	case *activate:
		a.uuid, a.guest = m.uuid, m.guest
		a.activate(c)
		if m.alone {
			a.work(c) // the node may have been deleted since somebody saw it
		}
	case *committed:
		a.committed(c, m)
		a.work(c)
	case *call, *outcome, *changed, *expired, *readDone, *proved, *again, *review, *retold:
		if o, ok := m.(*outcome); ok && o.sample && a.commit != nil {
			a.f.settled(o) // the sweep comes back; the reading may be older than the commit (P3)
			return
		}
		a.enqueue(m)
		a.work(c)
	}
}

// work handles what is queued until a commit is under way; then it sees to what may have been waiting.
func (a *nodeActor) work(c actor.Context) {
	for a.commit == nil && len(a.queue) > 0 {
		next := a.queue[0]
		a.queue = a.queue[1:]
		a.handle(c, next)
		a.resume(c)
		a.unpark(c)
	}
	if len(a.queue) == 0 {
		a.queue = nil
	}
	a.now = nil
	a.leave(c)
	a.retire(c)
}

func (a *nodeActor) handle(c actor.Context, m any) {
	a.now = m
	if a.gone {
		a.forward(m)
		return
	}
	switch m := m.(type) {
	case *call:
		a.request(c, m)
	case *outcome:
		a.outcome(c, m)
	case *again:
		a.reload(c)
		if m.o != nil {
			a.now = m.o
			a.outcome(c, m.o)
		}
	case *changed:
		a.changed(c, m)
	case *review:
		a.reviewed(c)
	case *retold:
		a.retold()
	case *expired:
		a.expired(c, m.c)
	case *readDone:
		a.readDone(m)
	case *proved:
		a.reading = nil
		a.request(c, m.c)
	}
}

// activate loads the node and goes on with what a former owner left open (S3).
func (a *nodeActor) activate(c actor.Context) {
	a.reload(c)
	if !a.guest && a.n != nil && a.f.cfg.Wanted(a.n) && (a.n.Intent != nil || a.n.TargetPowerState != "" || a.n.ProvisionState.Unstable() || a.f.abandoned(a.n)) {
		a.queue = append(a.queue, &outcome{msg: node.Activated{}})
		a.work(c)
	}
}

// request steps a client's request.
func (a *nodeActor) request(c actor.Context, q *call) {
	if q.ctx.Err() != nil {
		q.answer(nil, &node.Error{Op: q.msg.MsgName(), Node: a.uuid, Kind: node.Unavailable, Text: "the request was given up before its turn came"})
		return
	}
	if a.n == nil {
		a.reload(c)
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
		a.wait(c, q, node.Decision{}, a.busyReading())
		return
	}
	d, err := a.step(q.meta, q.msg)
	if isLocked(err) {
		a.wait(c, q, d, err)
		return
	}
	if err != nil {
		a.refused(d)
		q.answer(nil, err)
		return
	}
	if d.Node == nil {
		q.answer(d.Reply, nil)
		return
	}
	if m, ok := q.msg.(node.UpdateNode); ok && a.newLogin(q, d.Node) {
		a.prove(c, q, m, d.Node)
		return
	}
	a.submit(c, &pending{d: d, c: q})
}

// outcome steps what came back from outside. It is never dropped (S13).
func (a *nodeActor) outcome(c actor.Context, o *outcome) {
	switch m := o.msg.(type) {
	case renewal:
		a.renew(c, m)
		return
	case panicked:
		a.quarantine(c, o, m)
		return
	case node.Activated:
		if a.n == nil || a.n.Intent == nil {
			break
		}
		if a.effect == under(a.n) { // an earlier try was committed after all, and its effect runs
			return
		}
	}
	if a.n == nil { // deleted meanwhile: its intent went with it
		a.f.settled(o)
		return
	}
	d, err := a.step(node.Meta{}, o.msg)
	if err != nil {
		a.f.cfg.Logger.Error("an outcome does not fit its node", "node", a.uuid, "msg", o.msg.MsgName(), "error", err)
	}
	if err != nil || d.Node == nil {
		if o.tries > 0 { // its first try may have been committed after all
			a.tell(o.reply)
		}
		a.f.settled(o)
		return
	}
	o.reply = d.Reply
	a.submit(c, &pending{d: d, o: o})
}

// step runs the rules on the node as committed.
func (a *nodeActor) step(meta node.Meta, m node.Msg) (node.Decision, error) {
	env := node.Env{
		Now: a.f.cfg.Clock().UTC(), Self: a.f.cfg.Self, ID: uuid.NewString(), Meta: meta, Policy: a.f.policy(),
	}
	if a.n != nil && a.n.Quarantined == "" && !releases(a.n) { // it may be the driver's own code that fails on this node
		env.Facts = a.f.facts(a.n, m)
	}
	env.Quiet = a.n != nil && a.n.Fenced == a.fence && !time.Now().Before(a.quiet)
	if a.f.cfg.Groups != nil {
		env.Policy.Groups = a.f.cfg.Groups()
	}
	d, err := node.Step(env, a.n, m)
	var e *node.Error
	if errors.As(err, &e) && e.Node == "" {
		e.Node = a.uuid
	}
	return d, err
}

// refused commits the start and error notices of a refused API operation, best effort (N1).
func (a *nodeActor) refused(d node.Decision) {
	if events := a.events(d.Notices); len(events) > 0 {
		a.f.cfg.Store.Submit(persistence.Tx{Events: events}, func(node.Rev, error) {})
	}
}

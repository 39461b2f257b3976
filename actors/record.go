// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"ferrite/node"
)

// take makes a record the actor's own: it is what the sweep compares with from now on.
func (a *nodeActor) take(c actor.Context, n *node.Node) {
	a.n = n
	a.f.withdraw(a.uuid, n)
	if a.fence != n.Fenced {
		if a.fence = n.Fenced; a.fence != 0 { // no permit of before is younger than this moment
			a.quiet = time.Now().Add(a.f.cfg.Policy.Valid + a.f.cfg.Policy.Valid/10)
		}
	}
	if n.Intent != nil && n.Intent.Owner.Incarnation != a.f.cfg.Self.Incarnation {
		a.effect = "" // what was begun here has ended with its permit: should the operation come back, it begins anew
	}
	if a.entry == nil {
		a.entry = a.f.sweep.add(n, c.Self())
		return
	}
	a.f.sweep.update(a.entry, n)
}

// reload takes the record from the local replica, unless the actor knows a newer one already (R3).
func (a *nodeActor) reload(c actor.Context) {
	applied := a.f.cfg.Store.Applied()
	n, ok := a.f.cfg.Store.Node(a.uuid)
	switch {
	case ok && (a.n == nil || n.Rev > a.n.Rev):
		a.take(c, n)
		a.stolen()
	case !ok && a.n != nil && applied >= a.n.Rev:
		a.lost(nil)
	}
}

// changed keeps the actor true to the store whatever became of its own commits: a write whose fate was not known may be
// applied at any later time (S3, S13).
func (a *nodeActor) changed(c actor.Context, m *changed) {
	switch {
	case a.n == nil || m.rev > a.n.Rev:
		a.reload(c)
		a.orphaned(c)
	case m.n != nil && m.n.Rev == a.n.Rev:
		a.n = m.n // what we know already: two copies of a record are one too many
	}
}

// orphanAfter is how long a View may take to know of the owner that a record has come with.
const orphanAfter = time.Second

// orphaned sees to an operation that its owner left open with its last breath: the change came when the View had given us the
// node already, and nothing else would look at it before the next full look (S3).
func (a *nodeActor) orphaned(c actor.Context) {
	if a.orphan || a.n == nil || a.n.Intent == nil || a.guest || !a.f.cfg.Wanted(a.n) || !a.f.abandoned(a.n) {
		return
	}
	a.orphan = true
	self, uuid, f := c.Self(), a.uuid, a.f
	time.AfterFunc(orphanAfter, func() { f.post(uuid, self, &review{}) })
}

// resume runs the operation of a record whose effect was never started here, because the answer to its commit was lost;
// it is treated like one found at a start (S3, S13). So is one of an earlier life of this conductor, whose last write the
// store took only now. An operation of another conductor is not touched (S4).
func (a *nodeActor) resume(c actor.Context) {
	n := a.n
	if a.commit != nil || n == nil || n.Intent == nil || n.Quarantined != "" || a.f.draining.Load() ||
		n.Intent.Owner.Name != a.f.cfg.Self.Name || a.effect == under(n) {
		return
	}
	a.outcome(c, &outcome{msg: node.Activated{}})
}

// under names the operation and phase that a node is in, "" = none.
func under(n *node.Node) string {
	if n.Intent == nil {
		return ""
	}
	return n.Intent.ID + " " + n.Intent.Phase
}

// lost ends all that hangs on a node which does not exist any more. by asked for it, nil = found so.
func (a *nodeActor) lost(by *call) {
	a.n = nil
	a.f.sweep.remove(a.entry)
	a.entry = nil
	a.f.withdraw(a.uuid, nil)
	if by != nil {
		by.answer(nil, nil)
	}
	for _, q := range a.parked {
		if _, create := q.msg.(node.CreateNode); create {
			a.queue = append(a.queue, q)
			continue
		}
		q.answer(nil, a.notFound(q.msg))
	}
	a.parked = nil
	a.tell(a.notFound(node.DeleteNode{}))
}

// tell answers those who waited for an operation that is not open any more: with an error if result is one.
func (a *nodeActor) tell(result any) {
	for op, q := range a.waiters {
		if a.n != nil && a.n.Intent != nil && a.n.Intent.ID == op {
			continue
		}
		delete(a.waiters, op)
		if e, ok := result.(error); ok {
			q.answer(nil, e)
		} else {
			q.answer(result, nil)
		}
	}
}

// retire takes the actor of a node that does not exist off the map and stops it. Whoever sends does so under the map's
// lock: nothing that needs an answer comes after the poison.
func (a *nodeActor) retire(c actor.Context) {
	if a.gone || a.n != nil || a.commit != nil || a.reading != nil {
		return
	}
	if _, ok := a.f.cfg.Store.Node(a.uuid); ok { // a creation whose answer was lost
		a.reload(c)
		a.resume(c)
		return
	}
	a.gone = a.f.forget(a.uuid, c.Self())
}

// forward hands on what reaches an actor that is off the map: a node of this UUID may have been made anew.
func (a *nodeActor) forward(m any) {
	switch m := m.(type) {
	case *call:
		_, create := m.msg.(node.CreateNode)
		if _, ok := a.f.cfg.Store.Node(a.uuid); !ok && !create {
			m.answer(nil, a.notFound(m.msg))
			return
		}
		a.f.deliver(a.uuid, m)
	case *again:
		a.f.settled(m.o)
	case *changed:
		if m.n != nil {
			a.f.follows(a.uuid, m)
		}
	case *outcome:
		if r, ok := m.msg.(renewal); ok {
			r.c.answer(nil, a.notFound(m.msg))
		}
		a.f.settled(m)
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"ferrite/inventory"
	"ferrite/node"
	"ferrite/persistence"
)

// Retry pauses of an outcome that the store did not take.
const (
	retryFirst = 100 * time.Millisecond
	retryMost  = 5 * time.Second
)

// submit hands a decision to the store; the answer comes back as *committed.
func (a *nodeActor) submit(c actor.Context, p *pending) {
	tx := a.tx(p.d)
	if p.o != nil && p.o.bare {
		tx.Put, tx.Events = tx.Put[len(p.d.History):], nil
	}
	p.stamp = now() // S9: read before proposing
	a.propose(c, p, tx)
}

func (a *nodeActor) propose(c actor.Context, p *pending, tx persistence.Tx) {
	if opens(a.n, p.d.Node) {
		killpoint("before-intent", a.uuid)
	}
	a.commit = p
	self, root := c.Self(), a.f.system.Root
	a.f.cfg.Store.Submit(tx, func(rev node.Rev, err error) { root.Send(self, &committed{rev, err}) })
}

// opens reports whether a node has an operation under way that it did not have before.
func opens(before, after *node.Node) bool {
	return before != nil && after != nil && before.Intent == nil && after.Intent != nil
}

// tx is the one log entry of a decision: node, history, notices, and with a deletion all that hangs on the node.
func (a *nodeActor) tx(d node.Decision) persistence.Tx {
	key := persistence.Key{Kind: persistence.KindNode, ID: a.uuid}
	tx := persistence.Tx{Events: a.events(d.Notices)}
	if d.Create {
		tx.If = []persistence.Cond{{Key: key}}
		if r, ok := a.f.cfg.Store.Get(persistence.Key{Kind: persistence.KindTombstone, ID: a.uuid}); ok {
			d.Node.Owner.Epoch += r.Value.(*persistence.Tombstone).Epoch // S15: epochs go on across a deletion
		}
	} else {
		tx.If = []persistence.Cond{{Key: key, Rev: a.n.Rev}}
	}
	for _, h := range d.History {
		id := fmt.Sprintf("%s/%020d-%s", a.uuid, h.CreatedAt.UnixNano(), h.UUID)
		tx.Put = append(tx.Put, persistence.Put{Key: persistence.Key{Kind: persistence.KindHistory, ID: id}, Value: &h})
	}
	if d.Delete {
		tx.Put = nil
		tx.Del = append(tx.Del, key)
		for _, p := range a.f.cfg.Store.PortsOf(a.uuid) {
			tx.Del = append(tx.Del, persistence.Key{Kind: persistence.KindPort, ID: p.UUID})
		}
		tx.DelPrefix = []persistence.Key{{Kind: persistence.KindHistory, ID: a.uuid + "/"}}
		tx.Put = append(tx.Put, persistence.Put{
			Key:   persistence.Key{Kind: persistence.KindTombstone, ID: a.uuid},
			Value: &persistence.Tombstone{Epoch: d.Node.Owner.Epoch, Deleted: a.f.cfg.Clock().UTC()},
		})
		return tx
	}
	tx.Put = append(tx.Put, persistence.Put{Key: key, Value: d.Node, Uniq: uniq(d.Node)})
	return tx
}

// uniq are the keys that no other node may hold.
func uniq(n *node.Node) []string {
	var u []string
	if n.Name != "" {
		u = append(u, "name/"+n.Name)
	}
	if n.InstanceUUID != "" {
		u = append(u, "instance/"+n.InstanceUUID)
	}
	return u
}

// events encodes notices for the outbox; one that cannot be encoded is logged and left out, it must not stop the work.
func (a *nodeActor) events(notices []node.Notice) []persistence.Event {
	var out []persistence.Event
	for _, x := range notices {
		ms, err := a.f.cfg.Encoder.Encode(x)
		if err != nil {
			a.f.cfg.Logger.Error("a notification could not be written", "node", a.uuid, "object", x.Object, "action", x.Action, "error", err)
			continue
		}
		for _, m := range ms {
			out = append(out, persistence.Event{Subject: m.Subject, Node: m.Node, Body: m.Body})
		}
	}
	return out
}

// committed takes the store's answer: the decision is now true, or it is not.
func (a *nodeActor) committed(c actor.Context, m *committed) {
	p := a.commit
	a.commit, a.now = nil, p
	if m.err == nil {
		a.accepted(c, p, m.rev)
	} else {
		a.rejected(c, p, m.err)
	}
	a.resume(c)
	a.unpark(c)
}

// accepted makes the decision the actor's state and runs its effects (R3: from the decision, not from the replica).
func (a *nodeActor) accepted(c actor.Context, p *pending, rev node.Rev) {
	a.f.stats.commits.Add(1)
	if p.port {
		value := p.d.Reply
		if port, ok := value.(*inventory.Port); ok {
			c := *port
			c.Rev = rev
			if c.Created == 0 {
				c.Created = rev
			}
			value = &c
		}
		p.c.answer(value, nil)
		return
	}
	if p.d.Delete {
		a.lost(p.c)
		return
	}
	n := p.d.Node.Clone()
	n.Rev = rev
	if n.Created == 0 {
		n.Created = rev
	}
	if opens(a.n, n) {
		killpoint("after-intent", a.uuid)
	}
	if opens(n, a.n) {
		killpoint("after-result", a.uuid)
	}
	if a.n != nil && n.Owner.Epoch != a.n.Owner.Epoch {
		a.f.stats.claims.Add(1)
	}
	a.telling(a.n, n)
	a.failing(a.n, n)
	a.take(c, n)
	if n.Intent != nil {
		a.f.granted(n, p.stamp)
	}
	for _, e := range p.d.Effects {
		a.effect = under(n)
		if e.Kind != node.None && e.Kind != node.Verify && e.Kind != node.HoldOff {
			e.Hold = max(e.Hold, time.Until(a.quiet)) // S11: also when the answer to the claim itself was lost, or it was not ours
		}
		a.f.run(c.Self(), n, e)
	}
	a.settle(p)
	a.f.settled(p.o)
}

// settle answers the requester, now or when the operation's outcome is committed.
func (a *nodeActor) settle(p *pending) {
	if p.c != nil && p.d.Wait && a.n.Intent != nil {
		if a.waiters == nil {
			a.waiters = map[string]*call{}
		}
		a.waiters[a.n.Intent.ID] = p.c
		a.tell(a.cutShort()) // a release took the place of what others wait for
		return
	}
	if p.c != nil {
		value := p.d.Reply
		if v, ok := value.(*node.Node); ok && v.UUID == a.uuid {
			value = a.n
		}
		p.c.answer(value, nil)
	}
	result := any(a.cutShort())
	if p.o != nil {
		if _, ok := p.o.msg.(node.Done); ok {
			result = p.d.Reply
		}
	}
	a.tell(result)
}

// rejected settles a commit that did not happen (S5, S13).
func (a *nodeActor) rejected(c actor.Context, p *pending, err error) {
	var conflict *persistence.Conflict
	var taken *persistence.NotUnique
	switch {
	case errors.As(err, &conflict):
		a.f.stats.conflicts.Add(1)
		a.reload(c)
		a.stepAgain(c, p)
	case errors.As(err, &taken):
		e := notUnique(a.uuid, p, taken)
		if p.c == nil { // outcomes take no unique keys: nothing that a later try could change
			a.f.cfg.Logger.Error("an outcome met a taken key", "node", a.uuid, "error", err)
			a.f.settled(p.o)
			return
		}
		a.refused(node.Decision{Notices: node.Unstored(p.d.Notices)})
		p.c.answer(nil, e)
	default:
		a.retry(c, p, err)
	}
}

// stepAgain reloads and steps anew after a conflict, three times (S5).
func (a *nodeActor) stepAgain(c actor.Context, p *pending) {
	switch {
	case p.c != nil:
		p.c.steps++
		if p.c.steps > maySteps(p.c.msg) {
			p.c.answer(nil, &node.Error{Op: p.c.msg.MsgName(), Node: a.uuid, Kind: node.Unavailable, Text: "the node kept changing while the request was made: try again"})
			return
		}
		a.request(c, p.c)
	case p.o.sample:
		a.f.settled(p.o)
	default:
		a.outcome(c, p.o)
	}
}

// retry keeps an outcome alive until the store takes it; a request is refused with the reason.
func (a *nodeActor) retry(c actor.Context, p *pending, err error) {
	closed, big := errors.Is(err, persistence.ErrClosed), errors.Is(err, persistence.ErrTooBig)
	switch {
	case p.c != nil:
		kind, text := node.Unavailable, err.Error()
		if big {
			kind = node.Invalid
		}
		if errors.Is(err, persistence.ErrDiskLow) { // whoever asked may be far away
			text = "conductor " + a.f.cfg.Self.Name + ": " + text
		}
		p.c.answer(nil, &node.Error{Op: p.c.msg.MsgName(), Node: a.uuid, Kind: kind, Text: text})
		if !closed && !big {
			a.later(c, retryFirst, nil)
		}
	case closed:
		a.f.settled(p.o)
	case p.o.sample:
		a.f.settled(p.o)
		a.later(c, retryFirst, nil)
	case big && !p.o.bare:
		a.f.cfg.Logger.Error("an outcome is too big for the log with its notifications and history, it goes without them", "node", a.uuid, "msg", p.o.msg.MsgName(), "error", err)
		p.o.bare = true
		a.outcome(c, p.o)
	default:
		pause := min(retryFirst<<min(p.o.tries, 6), retryMost)
		p.o.tries++
		if p.o.tries == 1 {
			a.f.cfg.Logger.Warn("an outcome could not be stored, trying again", "node", a.uuid, "msg", p.o.msg.MsgName(), "error", err)
		}
		a.later(c, pause, p.o)
	}
}

// later makes the actor look at the store anew after a pause, and step o once more if there is one. A fleet that drains
// does not wait for that: the intent is still there after the restart.
func (a *nodeActor) later(c actor.Context, pause time.Duration, o *outcome) {
	self, uuid, f := c.Self(), a.uuid, a.f
	time.AfterFunc(pause, func() {
		if f.ctx.Err() != nil {
			f.settled(o)
			return
		}
		f.report(uuid, self, &again{o}, o)
	})
}

// notUnique words a taken key as Ironic does.
func notUnique(uuid string, p *pending, t *persistence.NotUnique) *node.Error {
	what, value, _ := strings.Cut(t.Uniq, "/")
	text := map[string]string{
		"name":     "A node with name %s already exists.",
		"instance": "Instance %s is already associated with another node.",
		"mac":      "A port with MAC address %s already exists.",
		"portname": "A port with name %s already exists.",
	}[what]
	op := "commit"
	if p.c != nil {
		op = p.c.msg.MsgName()
	}
	return &node.Error{Op: op, Node: uuid, Kind: node.Exists, Text: fmt.Sprintf(text, value)}
}

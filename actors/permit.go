// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"ferrite/bmc"
	"ferrite/node"
)

// stamp is one moment on both clocks of a permit (S9).
type stamp struct {
	mono time.Time
	boot time.Duration
}

func now() stamp { return stamp{time.Now(), boot()} }

// within reports whether less than d has passed since the stamp, on both clocks.
func (s stamp) within(d time.Duration) bool {
	return !s.mono.IsZero() && time.Since(s.mono) < d && boot()-s.boot < d
}

// permit is the right to command one node's BMC under one operation (S9, S10).
type permit struct {
	f     *Fleet
	uuid  string
	op    string
	owner node.Owner
	from  stamp // the clock before the commit that granted it
	over  *atomic.Bool

	self    *actor.PID // of the node, and the record with the operation, to renew it by; nil = it ends for good
	n       *node.Node
	renewed atomic.Pointer[stamp] // in place of from
}

var _ bmc.Permit = (*permit)(nil)

// OK is check (1) of S10: a read index that began after the call, and the record still has this owner and operation. It is
// asked when the BMC's turn has come: a permit that has grown old by then is renewed first (S9). An operation of several
// commands would else run out of its permit between two of them, begin anew, and never end.
func (p *permit) OK(ctx context.Context) error {
	if p.self != nil && !p.over.Load() && !p.granted().within(p.f.cfg.Policy.Valid/2) {
		fresh, err := p.f.permit(ctx, p.self, p.n)
		if err != nil {
			return err
		}
		p.renewed.Store(&fresh.from)
		p.f.stats.renewed.Add(1)
	}
	if _, err := p.f.cfg.Store.ReadIndex(ctx); err != nil {
		return fmt.Errorf("%w: %w", bmc.ErrPermit, err)
	}
	n, ok := p.f.cfg.Store.Node(p.uuid)
	if !ok || n.Intent == nil || n.Intent.ID != p.op || n.Owner != p.owner {
		p.f.stats.fenced.Add(1)
		return fmt.Errorf("%w: node %s is no longer this conductor's under operation %s", bmc.ErrPermit, p.uuid, p.op)
	}
	if !p.Live() {
		p.f.stats.expired.Add(1)
		return fmt.Errorf("%w: its time is over", bmc.ErrPermit)
	}
	return nil
}

// Live is check (2) of S10: the deadline holds on both clocks. It ends before when this process has seen that the operation is
// over or another owner's: a command that was late does not come after one of the next operation.
func (p *permit) Live() bool { return !p.over.Load() && p.granted().within(p.f.cfg.Policy.Valid) }

// granted is the clock before the newest commit that granted it.
func (p *permit) granted() stamp {
	if at := p.renewed.Load(); at != nil {
		return *at
	}
	return p.from
}

// renewal asks the actor for one more commit under an operation.
type renewal struct {
	op    string
	owner node.Owner // under whom it was begun: a claim since then has ended its right
	c     *call
}

// MsgName names the message.
func (renewal) MsgName() string { return "RenewPermit" }

// grant is what the permits of one operation under one owner come from.
type grant struct {
	op    string
	owner node.Owner
	at    stamp        // before the newest commit under it was proposed
	over  *atomic.Bool // shared by all its permits
}

func (g *grant) of(n *node.Node) bool {
	return n != nil && n.Intent != nil && n.Intent.ID == g.op && n.Owner == g.owner
}

// granted remembers when the newest commit under a node's operation was proposed.
func (f *Fleet) granted(n *node.Node, at stamp) {
	fresh := &grant{op: n.Intent.ID, owner: n.Owner, at: at, over: &atomic.Bool{}}
	if g, ok := f.grants.Load(n.UUID); ok && g.(*grant).of(n) {
		fresh.over = g.(*grant).over
	}
	f.grants.Store(n.UUID, fresh)
}

// withdraw ends what was granted on a node, unless its record n (nil = it is gone) still has that operation and owner.
func (f *Fleet) withdraw(uuid string, n *node.Node) {
	if g, ok := f.grants.Load(uuid); ok && !g.(*grant).of(n) {
		g.(*grant).over.Store(true)
		f.grants.Delete(uuid)
	}
}

// permit takes the right to command a node's BMC when its turn has come: free while the operation's newest commit is
// younger than half of valid, else one CAS renews it (S9).
func (f *Fleet) permit(ctx context.Context, self *actor.PID, n *node.Node) (*permit, error) {
	op := n.Intent.ID
	for range 4 {
		if g, ok := f.grants.Load(n.UUID); ok {
			g := g.(*grant)
			if g.of(n) && g.at.within(f.cfg.Policy.Valid/2) {
				return &permit{f: f, uuid: n.UUID, op: op, owner: n.Owner, from: g.at, over: g.over, self: self, n: n}, nil
			}
		}
		if err := f.renewed(ctx, self, n); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: it could not be renewed in time", bmc.ErrPermit)
}

// renewed asks the actor for one more commit and waits for it, but not for ever: the actor of a deleted node has stopped.
func (f *Fleet) renewed(ctx context.Context, self *actor.PID, n *node.Node) error {
	q := &call{ctx: ctx, msg: node.RenewPermit{Op: n.Intent.ID}, reply: make(chan reply, 1)}
	f.system.Root.Send(self, &outcome{msg: renewal{op: n.Intent.ID, owner: n.Owner, c: q}})
	limit := time.NewTimer(f.cfg.Policy.Valid)
	defer limit.Stop()
	select {
	case r := <-q.reply:
		if r.err != nil {
			return fmt.Errorf("%w: %w", bmc.ErrPermit, r.err)
		}
		return nil
	case <-limit.C:
		return fmt.Errorf("%w: it was not renewed within %s", bmc.ErrPermit, f.cfg.Policy.Valid)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// renew commits the operation once more; the answer goes to the effect that waits.
func (a *nodeActor) renew(c actor.Context, r renewal) {
	if a.n == nil {
		r.c.answer(nil, a.notFound(r))
		return
	}
	if a.n.Owner != r.owner { // S13: the operation was taken away and given back
		r.c.answer(nil, &node.Error{Op: r.MsgName(), Node: a.uuid, Kind: node.Conflict, Text: "operation " + r.op + " is another owner's now"})
		return
	}
	d, err := a.step(node.Meta{}, r.c.msg)
	if err != nil {
		r.c.answer(nil, err)
		return
	}
	a.submit(c, &pending{d: d, c: r.c})
}

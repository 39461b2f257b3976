// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"fmt"
	"runtime/debug"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/google/uuid"

	"ferrite/node"
)

// panicked asks an actor to quarantine its node, whose rules have failed so.
type panicked struct{ cause string }

// MsgName names the message.
func (panicked) MsgName() string { return "Panicked" }

// recovered keeps a failure of the rules to the node that they failed on; the process and all other nodes go on (S13).
// Who waits for the message that failed, or for an operation that cannot end now, is answered.
func (a *nodeActor) recovered(c actor.Context) {
	p := recover()
	if p == nil {
		return
	}
	a.f.stats.quarantined.Add(1)
	a.f.cfg.Logger.Error("the rules failed on a node; it is quarantined", "node", a.uuid, "panic", p, "stack", string(debug.Stack()))
	err := &node.Error{Op: "step", Node: a.uuid, Kind: node.Internal, Text: fmt.Sprintf("the rules failed on node %s: %v. The node is quarantined; see the conductor's log.", a.uuid, p)}
	again := false
	switch m := a.now.(type) {
	case *call:
		m.answer(nil, err)
	case *outcome:
		_, again = m.msg.(panicked)
		a.f.settled(m)
	case *pending:
		if m.c != nil {
			m.c.answer(nil, err)
		}
		a.f.settled(m.o)
	}
	for op, q := range a.waiters {
		delete(a.waiters, op)
		q.answer(nil, err)
	}
	if !again {
		a.f.system.Root.Send(c.Self(), &outcome{msg: panicked{fmt.Sprint(p)}})
	}
}

// quarantine commits that the node is out of service; like every outcome until the store has taken it.
func (a *nodeActor) quarantine(c actor.Context, o *outcome, m panicked) {
	if a.n == nil || a.n.Quarantined != "" {
		return
	}
	env := node.Env{Now: a.f.cfg.Clock().UTC(), Self: a.f.cfg.Self, ID: uuid.NewString(), Policy: a.f.policy()}
	d, err := node.Quarantine(env, a.n, m.cause)
	if err != nil {
		a.f.cfg.Logger.Error("a node could not be quarantined", "node", a.uuid, "error", err)
		return
	}
	a.submit(c, &pending{d: d, o: o})
}

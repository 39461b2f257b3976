// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"github.com/asynkron/protoactor-go/actor"

	"ferrite/node"
)

// review asks an actor whether its node is still to be here, and whether what somebody else has left open is to be gone on
// with: the View has changed, or half a minute has passed.
type review struct{}

// Reconcile activates every wanted node that has no actor, and lets every actor go whose node is not wanted any more (S3). It
// returns how many it activated.
func (f *Fleet) Reconcile() int {
	gained, _ := f.Rebalance()
	return gained
}

// Rebalance is Reconcile that also tells how many actors were asked to go. They go once nothing of theirs is under way.
func (f *Fleet) Rebalance() (gained, left int) {
	var missing, asked []string
	f.cfg.Store.Nodes(nil, func(n *node.Node) bool {
		wanted, here := f.cfg.Wanted(n), f.pid(n.UUID) != nil
		switch {
		case wanted && !here:
			missing = append(missing, n.UUID)
		case here && !wanted:
			left++
			asked = append(asked, n.UUID)
		case here && f.abandoned(n):
			asked = append(asked, n.UUID)
		}
		return true
	})
	for _, uuid := range missing {
		f.ensure(uuid)
	}
	for _, uuid := range asked {
		f.mu.RLock()
		if pid := f.pids[uuid]; pid != nil {
			f.system.Root.Send(pid, &review{})
		}
		f.mu.RUnlock()
	}
	return len(missing), left
}

// Len is how many actors there are.
func (f *Fleet) Len() int {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return len(f.pids)
}

// abandoned reports whether a node that is wanted here has an operation of another owner, who by S4 is not alive.
func (f *Fleet) abandoned(n *node.Node) bool {
	return n.Intent != nil && n.Intent.Owner.Incarnation != f.cfg.Self.Incarnation
}

// reviewed goes on with what a former owner left open. What is not wanted leaves: see leave.
func (a *nodeActor) reviewed(c actor.Context) {
	if a.n == nil || a.guest || !a.f.cfg.Wanted(a.n) || !a.f.abandoned(a.n) || a.f.draining.Load() {
		return
	}
	a.outcome(c, &outcome{msg: node.Activated{}})
}

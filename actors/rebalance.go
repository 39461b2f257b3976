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

// abandoned reports whether a node that is wanted here has an operation of another owner, who by S4 is not alive, or lacks the
// console that its user wants (N4).
func (f *Fleet) abandoned(n *node.Node) bool {
	if n.Intent != nil {
		return n.Intent.Owner.Incarnation != f.cfg.Self.Incarnation
	}
	return node.ConsoleLost(n, f.cfg.Self)
}

// reviewed goes on with what a former owner left open. What is not wanted leaves: see leave.
func (a *nodeActor) reviewed(c actor.Context) {
	a.orphan = false
	a.reload(c)
	if a.n == nil || a.guest || !a.f.cfg.Wanted(a.n) || !a.f.abandoned(a.n) || a.f.draining.Load() {
		return
	}
	if a.n.Intent == nil && a.waits() {
		return
	}
	a.outcome(c, &outcome{msg: node.Activated{}})
}

// waits reports whether it is too early to try the node's console once more: after the first failure the next look of
// Reconcile tries, then every second, every fourth ... every 64th.
func (a *nodeActor) waits() bool {
	if a.n.Owner.Incarnation != a.f.cfg.Self.Incarnation {
		a.looks, a.tries = 0, 0
		return false
	}
	if a.looks++; a.looks < 1<<min(a.tries, 6) {
		return true
	}
	a.looks = 0
	a.tries++
	return false
}

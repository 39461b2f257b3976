// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"fmt"

	"github.com/asynkron/protoactor-go/actor"

	"ferrite/node"
)

// A release by force (S13) is carried out by the actor of the conductor that is asked, whoever owns the node:
//
//	1. the claim: owner is this conductor, epoch + 1, and an intent of its own in the place of the operation's. From its
//	   commit on no permit of the former owner can be made or renewed; its next write meets a conflict.
//	2. the wait: valid + 10 % from the return of that commit, on our own monotonic clock (S11). Then no permit is left that
//	   was made before, be it in this process.
//	3. the end: the operation is closed with an error, and the request answered.
//
// The intent of 1 says all that 3 needs. An answer that got lost, a crash, a drain in between: the release goes on at the
// next activation like any operation, and nobody has to ask again.

// releases reports whether a node is being released: nothing of its driver is asked then, which may be what fails.
func releases(n *node.Node) bool { return n != nil && n.Intent != nil && n.Intent.Released != nil }

// releaseTries is how often a release is stepped again after a conflict: its owner lives and may write meanwhile (S5).
const releaseTries = 30

// maySteps is how often a request is stepped again.
func maySteps(m node.Msg) int {
	if _, release := m.(node.Release); release {
		return releaseTries
	}
	return 3
}

// telling logs the two ends of a release, with who wanted it.
func (a *nodeActor) telling(before, after *node.Node) {
	switch {
	case releases(after) && !(releases(before) && before.Intent.ID == after.Intent.ID):
		r := after.Intent.Released
		a.f.cfg.Logger.Warn("operation is being released by force", "node", a.uuid, "op", r.ID, "verb", r.Verb, "phase", r.Phase,
			"owner", r.Owner.Name, "epoch", after.Owner.Epoch, "by", after.Intent.By, "request_id", after.Intent.Request)
	case releases(before) && after.Intent == nil:
		r := before.Intent.Released
		a.f.stats.released.Add(1)
		a.f.cfg.Logger.Warn("operation released by force", "node", a.uuid, "op", r.ID, "verb", r.Verb, "phase", r.Phase, "owner", r.Owner.Name,
			"by", before.Intent.By, "request_id", before.Intent.Request)
	}
}

// cutShort is the answer to those who wait for an operation that something else has ended.
func (a *nodeActor) cutShort() error {
	return &node.Error{Op: "wait", Node: a.uuid, Kind: node.Internal, Text: "the operation was ended before its outcome was known"}
}

// stolen answers those who wait here for an operation that another conductor has taken: nobody else will.
func (a *nodeActor) stolen() {
	n := a.n
	if len(a.waiters) == 0 || n == nil || n.Owner.Name == a.f.cfg.Self.Name && n.Owner.Incarnation == a.f.cfg.Self.Incarnation {
		return
	}
	a.tell(&node.Error{Op: "wait", Node: a.uuid, Kind: node.Unavailable, Text: fmt.Sprintf(
		"the operation was taken from conductor %s by conductor %s: its outcome is not known here, read the node", a.f.cfg.Self.Name, n.Owner.Name)})
}

// leave takes the actor of a node off the map that is another conductor's now, or that this one was only asked to release:
// whoever is to own it goes on with it, and one sweep is enough. What is under way here ends here (S4).
func (a *nodeActor) leave(c actor.Context) {
	if a.n == nil || !a.guest && a.f.cfg.Wanted(a.n) {
		return
	}
	if a.gone || a.n == nil || a.commit != nil || a.reading != nil || len(a.queue) > 0 || len(a.parked) > 0 {
		return
	}
	switch i := a.n.Intent; {
	case i != nil && i.Owner.Incarnation == a.f.cfg.Self.Incarnation && a.n.Quarantined == "": // under way
		return
	case i == nil && a.f.cfg.Wanted(a.n):
		a.guest = false
		return
	}
	if a.gone = a.f.forget(a.uuid, c.Self()); a.gone {
		a.f.sweep.remove(a.entry)
		a.n, a.entry = nil, nil
	}
}

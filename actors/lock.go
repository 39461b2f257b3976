// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"errors"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"ferrite/inventory"
	"ferrite/node"
)

// exclusive reports which requests need the lock (spec conductor-rpc.md, Lock X).
func exclusive(m node.Msg) bool {
	switch m.(type) {
	case node.Release, node.CreateNode, inventory.CreatePort:
		return false
	default:
		return true
	}
}

// isLocked reports whether a refusal is about an operation under way.
func isLocked(err error) bool {
	var e *node.Error
	return errors.As(err, &e) && e.Kind == node.Locked
}

// wait parks a request that met the lock, for the lock retry time in all; after that it is refused with err and with
// the notices of d (S8).
func (a *nodeActor) wait(c actor.Context, q *call, d node.Decision, err error) {
	retry := a.f.live.Load().LockRetry
	if q.late || retry <= 0 || len(a.parked) >= maxParked {
		a.f.stats.lockRefusals.Add(1)
		a.refused(d)
		q.answer(nil, err)
		return
	}
	if q.timer == nil {
		self, root := c.Self(), a.f.system.Root
		q.timer = time.AfterFunc(retry, func() { root.Send(self, &expired{q}) })
		a.f.stats.parked.Add(1)
	}
	a.parked = append(a.parked, q)
}

// expired gives a request whose waiting is over its last chance: it is carried out, or its refusal names the operation
// that is in its way.
func (a *nodeActor) expired(c actor.Context, q *call) {
	q.late = true
	for i, p := range a.parked {
		if p == q {
			a.parked = append(a.parked[:i:i], a.parked[i+1:]...)
			a.request(c, q)
			return
		}
	}
}

// unpark tries the requests that waited for the lock, oldest first, as soon as no operation is open.
func (a *nodeActor) unpark(c actor.Context) {
	for len(a.parked) > 0 && a.commit == nil && a.reading == nil && (a.n == nil || a.n.Intent == nil) {
		q := a.parked[0]
		if a.parked = a.parked[1:]; len(a.parked) == 0 {
			a.parked = nil
		}
		a.now = q
		a.request(c, q)
	}
}

func (a *nodeActor) busyReading() error {
	return &node.Error{Op: "lock", Node: a.uuid, Kind: node.Locked, Text: fmt.Sprintf("Node %s is locked by host %s, please retry after the current operation is completed.", a.uuid, a.f.cfg.Self.Name)}
}

func (a *nodeActor) notFound(m node.Msg) error {
	return &node.Error{Op: m.MsgName(), Node: a.uuid, Kind: node.NotFound, Text: "Node " + a.uuid + " could not be found."}
}

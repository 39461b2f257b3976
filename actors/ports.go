// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"github.com/asynkron/protoactor-go/actor"
	"github.com/google/uuid"

	"ferrite/inventory"
	"ferrite/node"
	"ferrite/persistence"
)

// portRequest steps a request about a port of this node: the node's owner writes what hangs on it (S2). The node's
// revision is a condition, so that a lost owner cannot write a port either.
func (a *nodeActor) portRequest(c actor.Context, q *call, m node.Msg) {
	if a.n == nil {
		q.answer(nil, a.notFound(m))
		return
	}
	if a.reading != nil && exclusive(m) {
		a.wait(c, q, node.Decision{}, a.busyReading())
		return
	}
	var old *inventory.Port
	switch m := m.(type) {
	case inventory.UpdatePort:
		old, _ = a.f.cfg.Store.Port(m.Want.UUID)
	case inventory.DeletePort:
		old, _ = a.f.cfg.Store.Port(m.UUID)
	case inventory.CreatePort:
		old, _ = a.f.cfg.Store.Port(m.Port.UUID)
	}
	env := node.Env{Now: a.f.cfg.Clock().UTC(), Self: a.f.cfg.Self, ID: uuid.NewString(), Meta: q.meta, Policy: a.f.policy()}
	d, err := inventory.Step(env, a.n, old, m)
	if isLocked(err) {
		a.wait(c, q, node.Decision{Notices: d.Notices}, err)
		return
	}
	if err != nil {
		a.refused(node.Decision{Notices: d.Notices})
		q.answer(nil, err)
		return
	}
	if d.Port == nil {
		q.answer(d.Reply, nil)
		return
	}
	a.propose(c, &pending{d: node.Decision{Notices: d.Notices, Reply: d.Reply}, c: q, port: true}, a.portTx(d, old))
}

func (a *nodeActor) portTx(d inventory.Decision, old *inventory.Port) persistence.Tx {
	key := persistence.Key{Kind: persistence.KindPort, ID: d.Port.UUID}
	tx := persistence.Tx{
		If:     []persistence.Cond{{Key: persistence.Key{Kind: persistence.KindNode, ID: a.uuid}, Rev: a.n.Rev}, {Key: key}},
		Events: a.events(d.Notices),
	}
	if !d.Create && old != nil {
		tx.If[1].Rev = old.Rev
	}
	if d.Delete {
		tx.Del = []persistence.Key{key}
		return tx
	}
	u := []string{"mac/" + d.Port.Address}
	if d.Port.Name != "" {
		u = append(u, "portname/"+d.Port.Name)
	}
	tx.Put = []persistence.Put{{Key: key, Value: d.Port, Uniq: u}}
	return tx
}

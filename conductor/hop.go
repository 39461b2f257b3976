// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"ferrite/actors"
	"ferrite/cluster"
	"ferrite/command"
	"ferrite/node"
	"ferrite/persistence"
)

// hop brings a request to its node's owner, wherever that is (S6). In a lone conductor, which has no router, that is itself or
// nobody.
type hop struct {
	fleet  *actors.Fleet
	place  *placement
	store  persistence.Store
	router *cluster.Router
	log    *slog.Logger

	sent, served, refused atomic.Uint64
}

// routeTime is how long a request looks for its owner before the client is told to try again.
const routeTime = 2 * time.Second

// Do is httpapi's Commands: here if the node is ours, else by one call to its owner.
func (h *hop) Do(ctx context.Context, uuid string, meta node.Meta, m node.Msg) (any, error) {
	if _, ok := m.(node.Release); ok { // S13: done by whom it is asked of
		return h.fleet.Do(ctx, uuid, meta, m)
	}
	end := time.Now().Add(routeTime)
	last := ""
	for try := 0; ; try++ {
		n, ok := h.store.Node(uuid)
		if create, is := m.(node.CreateNode); is && !ok {
			n, ok = create.Node, true
		}
		if !ok {
			return h.fleet.Do(ctx, uuid, meta, m) // it words the refusal
		}
		wanted := as(n, m)
		to := h.place.owner(wanted)
		if to == h.place.self {
			return h.fleet.Do(ctx, uuid, meta, m)
		}
		if err := h.place.unserved(m.MsgName(), wanted); err != nil {
			return nil, h.stuck(n, m, err)
		}
		last = "conductor " + to + ", which should own the node, does not take requests"
		if to == "" {
			last = nobody(h.place.view.Load(), wanted.ConductorGroup)
		}
		if peer, ok := h.place.view.Load().Find(to); ok && h.place.answers(peer) { // the View may have changed since, or be about to
			value, err, again := h.call(ctx, peer, command.Request{Node: uuid, Meta: meta, Msg: m, Owner: n.Owner, Serve: try > 0 || to != h.place.owner(n)})
			if !again {
				return value, err
			}
		}
		if time.Now().After(end) {
			break
		}
		select {
		case <-ctx.Done():
			return nil, h.unavailable(m, uuid, "no conductor took the request in time")
		case <-time.After(20 * time.Millisecond):
		}
	}
	h.refused.Add(1)
	return nil, h.unavailable(m, uuid, last+": nothing was done, try again")
}

// stuck is the refusal of a request for a node that nobody looks after. To change its group is the way out, unless an operation is
// under way: that is said.
func (h *hop) stuck(n *node.Node, m node.Msg, refusal error) error {
	if u, ok := m.(node.UpdateNode); ok && n.Intent != nil && u.Want != nil && h.place.serves(u.Want.ConductorGroup) {
		return &node.Error{Op: m.MsgName(), Node: n.UUID, Kind: node.Locked, Text: fmt.Sprintf(
			"Node %s is locked by host %s, which is gone, and no other conductor serves conductor_group %q: start one, or end the operation with \"ferrite node release %s --force\".",
			n.UUID, n.Intent.Owner.Name, n.ConductorGroup, n.UUID)}
	}
	return refusal
}

// as is a node as a request wants it to be: a PATCH of what places a node is checked and made by its new owner (S6).
func as(n *node.Node, m node.Msg) *node.Node {
	u, ok := m.(node.UpdateNode)
	if !ok || n.Intent != nil || u.Want == nil || u.Want.ConductorGroup == n.ConductorGroup && u.Want.Driver == n.Driver && node.Endpoint(u.Want) == node.Endpoint(n) {
		return n
	}
	return u.Want
}

func (h *hop) unavailable(m node.Msg, uuid, text string) error {
	return &node.Error{Op: m.MsgName(), Node: uuid, Kind: node.Unavailable, Text: text}
}

// call asks the owner. again: it certainly did nothing, and another try may succeed.
func (h *hop) call(ctx context.Context, to cluster.Member, q command.Request) (value any, err error, again bool) { //nolint:revive // again is about the error
	b, err := command.EncodeRequest(q)
	if err != nil {
		return nil, &node.Error{Op: q.Msg.MsgName(), Node: q.Node, Kind: node.Internal, Text: err.Error()}, false
	}
	h.sent.Add(1)
	b, err = h.router.Call(ctx, to.Remote, b)
	reads := readsOnly(q.Msg)
	switch {
	case errors.Is(err, cluster.ErrLost) && reads && ctx.Err() == nil:
		return nil, nil, true
	case errors.Is(err, cluster.ErrBusy):
		return nil, h.unavailable(q.Msg, q.Node, "conductor "+to.Name+" has too many requests under way: nothing was done, try again"), false
	case err != nil:
		return nil, h.unavailable(q.Msg, q.Node, "conductor "+to.Name+" went away, or lost the log, before it answered: the outcome of the request is not known, read the node before trying again"), false
	}
	r, err := command.DecodeReply(b)
	if err != nil {
		return nil, &node.Error{Op: q.Msg.MsgName(), Node: q.Node, Kind: node.Internal, Text: err.Error()}, false
	}
	if r.NotOwner {
		return nil, nil, true
	}
	if r.Err != nil {
		return nil, r.Err, false
	}
	return r.Value, nil, false
}

// readsOnly reports whether a message changes nothing, so that it may be sent again when its answer was lost.
func readsOnly(m node.Msg) bool {
	switch m.(type) {
	case node.GetBootDevice, node.GetSensors, node.GetEvents, node.GetConfirmed:
		return true
	default:
		return false
	}
}

// serve answers another conductor's call. A request that waited in a paused process is not run after its client was told
// 503: after a fresh read index the caller has not given up, and the record has the owner that the caller saw (S6).
func (h *hop) serve(ctx context.Context, body []byte) []byte {
	r := h.answer(ctx, body)
	b, err := command.EncodeReply(r)
	if err != nil {
		b, _ = command.EncodeReply(command.Reply{Err: &node.Error{Kind: node.Internal, Text: err.Error()}})
	}
	return b
}

func (h *hop) answer(ctx context.Context, body []byte) command.Reply {
	q, err := command.DecodeRequest(body)
	if err != nil {
		return command.Reply{Err: &node.Error{Kind: node.Internal, Text: err.Error()}}
	}
	h.served.Add(1)
	sure, cancel := context.WithTimeout(ctx, routeTime)
	_, err = h.store.ReadIndex(sure) // R2
	cancel()
	if err != nil {
		return command.Reply{Err: &node.Error{Op: q.Msg.MsgName(), Node: q.Node, Kind: node.Unavailable, Text: "conductor " + h.place.self + ", which owns the node, has no contact to the leader of the log: nothing was done, try again"}}
	}
	if ctx.Err() != nil {
		return command.Reply{NotOwner: true}
	}
	if n, ok := h.store.Node(q.Node); ok {
		switch mine := h.place.mine(n); {
		case n.Owner != q.Owner, !mine && !q.Serve, !mine && n.Intent != nil: // S4: with its living owner
			return command.Reply{NotOwner: true}
		}
	}
	value, err := h.fleet.Do(ctx, q.Node, q.Meta, q.Msg)
	var e *node.Error
	if err != nil && !errors.As(err, &e) {
		e = &node.Error{Op: q.Msg.MsgName(), Node: q.Node, Kind: node.Internal, Text: err.Error()}
	}
	return command.Reply{Value: value, Err: e}
}

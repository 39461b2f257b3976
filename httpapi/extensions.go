// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"slices"
	"sync"
	"time"

	"ferrite/httpapi/wire"
	"ferrite/node"
)

// extended reports whether the client knows our extensions of Ironic's API.
func (r *request) extended() bool {
	return string(r.ctx.Request.Header.Peek(wire.HeaderExtensions)) == "1"
}

// nodeFields are the fields of a node that the request sees: all, or those that it names.
func (r *request) nodeFields(names []string) ([]*wire.Field[node.Node], error) {
	more, names := r.extensions(names)
	fields, err := chosen(wire.Nodes, names, r.minor())
	return slices.Concat(fields, more), err
}

// confirmedWait is how long an answer about nodes waits for their owners to say what they alone know.
const confirmedWait = 500 * time.Millisecond

// confirmedAtOnce bounds the nodes that one owner is asked of in one call: its answer is some 80 bytes a node, 250 with health.
const confirmedAtOnce = 10_000

// hearsay is what conductors have told of the nodes that they look after.
type hearsay struct {
	mu     sync.Mutex // guards the maps while others are asked
	at     map[string]time.Time
	health map[string]*node.Health
}

// here notes what this conductor knows of a node, and reports whether that is anything.
func (k *hearsay) here(v *wire.View, uuid string) bool {
	if v.Confirmed != nil {
		if at := v.Confirmed(uuid); !at.IsZero() {
			k.at[uuid] = at
		}
	}
	if v.Health != nil {
		if h := v.Health(uuid); h != nil {
			k.health[uuid] = h
		}
	}
	return !k.at[uuid].IsZero() || k.health[uuid] != nil
}

// told notes what another one said of the nodes that it was asked of.
func (k *hearsay) told(asked []string, c node.Confirmed) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, uuid := range asked {
		if k.at[uuid] = c.All[uuid]; i == 0 {
			k.at[uuid] = c.At
		}
		if h, ok := c.Health[uuid]; ok {
			k.health[uuid] = &h
		}
	}
}

// askConfirmed has an answer tell what the owners of its nodes know: this conductor, and others by one call to each. Who does
// not answer in time is as good as one who does not know.
func (r *request) askConfirmed(nodes []*node.Node, fields []*wire.Field[node.Node]) {
	wanted, health := false, false
	for _, f := range fields {
		owner, h := wire.OfOwner(f.Name)
		wanted, health = wanted || owner, health || h
	}
	if !wanted || !r.extended() || r.view.Confirmed == nil && r.view.Health == nil {
		return
	}
	known := &hearsay{at: make(map[string]time.Time, len(nodes)), health: map[string]*node.Health{}}
	others := map[string][]string{}
	for _, n := range nodes {
		if known.here(&r.view, n.UUID) {
			continue
		}
		if owner := r.s.cfg.Members.OwnerOf(n); owner != "" && owner != r.s.cfg.Members.Self() {
			others[owner] = append(others[owner], n.UUID)
		}
	}
	if len(others) > 0 {
		r.leave()
		r.askOthers(known, others, health)
	}
	r.view.Confirmed = func(uuid string) time.Time { return known.at[uuid] }
	r.view.Health = func(uuid string) *node.Health { return known.health[uuid] }
}

// askOthers asks each owner of the nodes that it looks after, and waits for all.
func (r *request) askOthers(known *hearsay, others map[string][]string, health bool) {
	ctx, cancel := context.WithTimeout(context.Background(), confirmedWait)
	defer cancel()
	meta := node.Meta{RequestID: r.global, Minor: r.minor(), Rank: r.rank()}
	var wg sync.WaitGroup
	for _, uuids := range others {
		for part := range slices.Chunk(uuids, confirmedAtOnce) {
			wg.Go(func() {
				reply, err := r.s.cfg.Commands.Do(ctx, part[0], meta, node.GetConfirmed{Nodes: part[1:], Health: health})
				if told, ok := reply.(node.Confirmed); ok && err == nil {
					known.told(part, told)
				}
			})
		}
	}
	wg.Wait()
}

// extensions are the fields beyond Ironic's that the request wants, and the other names that it gave.
func (r *request) extensions(names []string) ([]*wire.Field[node.Node], []string) {
	if !r.extended() {
		return nil, names
	}
	return wire.Extensions(names)
}

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

// confirmedWait is how long an answer about nodes waits for their owners to say when their power was confirmed.
const confirmedWait = 500 * time.Millisecond

// confirmedAtOnce bounds the nodes that one owner is asked of in one call: its answer is some 80 bytes a node.
const confirmedAtOnce = 10_000

// askConfirmed has an answer tell what the owners of its nodes know: this conductor, and others by one call to each. Who does
// not answer in time is as good as one who does not know.
func (r *request) askConfirmed(nodes []*node.Node, fields []*wire.Field[node.Node]) {
	local := r.view.Confirmed
	if local == nil || !r.extended() || !slices.ContainsFunc(fields, func(f *wire.Field[node.Node]) bool { return f.Name == wire.PowerConfirmedAt }) {
		return
	}
	known := make(map[string]time.Time, len(nodes))
	others := map[string][]string{}
	for _, n := range nodes {
		if at := local(n.UUID); !at.IsZero() {
			known[n.UUID] = at
		} else if owner := r.s.cfg.Members.OwnerOf(n); owner != "" && owner != r.s.cfg.Members.Self() {
			others[owner] = append(others[owner], n.UUID)
		}
	}
	r.view.Confirmed = func(uuid string) time.Time { return known[uuid] }
	if len(others) == 0 {
		return
	}
	r.leave()
	ctx, cancel := context.WithTimeout(context.Background(), confirmedWait)
	defer cancel()
	meta := node.Meta{RequestID: r.global, Minor: r.minor(), Rank: r.rank()}
	var mu sync.Mutex // guards known
	var wg sync.WaitGroup
	for _, uuids := range others {
		for part := range slices.Chunk(uuids, confirmedAtOnce) {
			wg.Go(func() {
				reply, err := r.s.cfg.Commands.Do(ctx, part[0], meta, node.GetConfirmed{Nodes: part[1:]})
				told, ok := reply.(node.Confirmed)
				if err != nil || !ok {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				known[part[0]] = told.At
				for _, uuid := range part[1:] {
					known[uuid] = told.All[uuid]
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

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"context"
	"errors"
	"strconv"
	"sync"

	"github.com/cespare/xxhash/v2"

	"ferrite/node"
	"ferrite/persistence"
)

// endpoints knows which nodes are behind which BMC (S15). It follows the store, so that a question costs one look-up
// however many nodes there are, and keeps hashes alone: 30 bytes a node. An answer may lag a commit by the time a watcher
// needs.
type endpoints struct {
	store persistence.Store

	mu     sync.RWMutex      // guards below
	where  map[uint64]uint64 // hash of the endpoint by hash of the node's UUID
	nodes  map[uint64]uint32 // nodes by hash of the endpoint
	second int               // nodes beyond the first of their endpoint
}

func newEndpoints(s persistence.Store) *endpoints {
	return &endpoints{store: s, where: map[uint64]uint64{}, nodes: map[uint64]uint32{}}
}

// run follows the store until ctx ends.
func (e *endpoints) run(ctx context.Context) error {
	for {
		from := e.store.Applied()
		e.load()
		err := e.follow(ctx, from)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // its own end
		case !errors.Is(err, persistence.ErrCompacted):
			return err
		}
	}
}

// load reads every node anew.
func (e *endpoints) load() {
	e.mu.Lock()
	defer e.mu.Unlock()
	clear(e.nodes)
	clear(e.where)
	e.second = 0
	e.store.Nodes(nil, func(n *node.Node) bool {
		e.put(n.UUID, node.Endpoint(n))
		return true
	})
}

func (e *endpoints) follow(ctx context.Context, from node.Rev) error {
	w := e.store.Watch(ctx, from)
	defer w.Close()
	for {
		changes, err := w.Next()
		if err != nil {
			return err
		}
		for _, c := range changes {
			if c.Key.Kind != persistence.KindNode {
				continue
			}
			at := ""
			if n, ok := c.Value.(*node.Node); ok {
				at = node.Endpoint(n)
			}
			e.mu.Lock()
			e.put(c.Key.ID, at)
			e.mu.Unlock()
		}
	}
}

// put notes where a node's BMC is, "" = nowhere. mu is held.
func (e *endpoints) put(uuid, at string) {
	id := xxhash.Sum64String(uuid)
	var now uint64
	if at != "" {
		now = xxhash.Sum64String(at)
	}
	old, had := e.where[id]
	if had && at != "" && old == now {
		return
	}
	if had {
		if e.nodes[old]--; e.nodes[old] == 0 {
			delete(e.nodes, old)
		} else {
			e.second--
		}
		delete(e.where, id)
	}
	if at != "" {
		if e.nodes[now]++; e.nodes[now] > 1 {
			e.second++
		}
		e.where[id] = now
	}
}

// warning tells who else is behind the BMC of n, "" = nobody. Only if there is somebody, all nodes are looked at.
func (e *endpoints) warning(n *node.Node) string {
	at := node.Endpoint(n)
	if at == "" {
		return ""
	}
	e.mu.RLock()
	twice := e.nodes[xxhash.Sum64String(at)] > 1
	e.mu.RUnlock()
	if !twice {
		return ""
	}
	first, others := "", 0
	e.store.Nodes(nil, func(o *node.Node) bool {
		if o.UUID != n.UUID && node.Endpoint(o) == at {
			if others++; first == "" {
				first = o.UUID
			}
		}
		return true
	})
	if others == 0 {
		return ""
	}
	text := "Warning: BMC " + at + " is also that of node " + first
	if others > 1 {
		text += " and of " + strconv.Itoa(others-1) + " more"
	}
	return text + ": operations on one drive the other too. Correct driver_info, or delete the node that is one too many."
}

// shared counts the nodes whose BMC another, earlier node has too.
func (e *endpoints) shared() int {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.second
}

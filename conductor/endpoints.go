// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"

	"ferrite/node"
	"ferrite/persistence"
)

// endpoints knows which nodes are behind which BMC (S15). It follows the store, so that a question costs one look-up
// however many nodes there are. An answer may lag a commit by the time a watcher needs.
type endpoints struct {
	store persistence.Store

	mu     sync.RWMutex        // guards below
	nodes  map[string][]string // node UUIDs by endpoint
	where  map[string]string   // endpoint by node UUID
	second int                 // nodes beyond the first of their endpoint
}

func newEndpoints(s persistence.Store) *endpoints {
	return &endpoints{store: s, nodes: map[string][]string{}, where: map[string]string{}}
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
	old := e.where[uuid]
	if old == at {
		return
	}
	if old != "" {
		left := slices.DeleteFunc(e.nodes[old], func(u string) bool { return u == uuid })
		e.nodes[old] = left
		if len(left) == 0 {
			delete(e.nodes, old)
		} else {
			e.second--
		}
		delete(e.where, uuid)
	}
	if at != "" {
		if len(e.nodes[at]) > 0 {
			e.second++
		}
		e.nodes[at] = append(e.nodes[at], uuid)
		e.where[uuid] = at
	}
}

// warning tells who else is behind the BMC of n, "" = nobody.
func (e *endpoints) warning(n *node.Node) string {
	at := node.Endpoint(n)
	if at == "" {
		return ""
	}
	e.mu.RLock()
	others := slices.DeleteFunc(slices.Clone(e.nodes[at]), func(u string) bool { return u == n.UUID })
	e.mu.RUnlock()
	if len(others) == 0 {
		return ""
	}
	text := "Warning: BMC " + at + " is also that of node " + others[0]
	if more := len(others) - 1; more > 0 {
		text += " and of " + strconv.Itoa(more) + " more"
	}
	return text + ": operations on one drive the other too. Correct driver_info, or delete the node that is one too many."
}

// shared counts the nodes whose BMC another, earlier node has too.
func (e *endpoints) shared() int {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.second
}

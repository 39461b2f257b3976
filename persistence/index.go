// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"slices"
	"sort"
	"strings"

	"github.com/google/btree"

	"ferrite/inventory"
	"ferrite/node"
)

// index is the materialised replica: what the log says, decoded. It holds every kind but those on disk only; of these
// it keeps the count. It has no lock: see replica.
type index struct {
	recs    map[Key]*rec
	uniq    map[string]Key
	byID    map[Kind]*btree.BTreeG[*rec]
	nodes   *btree.BTreeG[*node.Node]
	ports   *btree.BTreeG[*inventory.Port]
	portsOf map[string][]*inventory.Port // in order of creation; replaced, never written to
	count   map[Kind]int
	bytes   int // encoded bytes of recs
}

const degree = 16

func newIndex() *index {
	x := &index{
		recs:    make(map[Key]*rec),
		uniq:    make(map[string]Key),
		byID:    make(map[Kind]*btree.BTreeG[*rec]),
		nodes:   btree.NewG(degree, func(a, b *node.Node) bool { return older(a.Created, a.UUID, b.Created, b.UUID) }),
		ports:   btree.NewG(degree, func(a, b *inventory.Port) bool { return older(a.Created, a.UUID, b.Created, b.UUID) }),
		portsOf: make(map[string][]*inventory.Port),
		count:   make(map[Kind]int),
	}
	for k, info := range kinds {
		if !info.disk {
			x.byID[k] = btree.NewG(degree, func(a, b *rec) bool { return a.key.ID < b.key.ID })
		}
	}
	return x
}

// older is the order of creation: records of one entry are ordered by ID.
func older(ac node.Rev, aid string, bc node.Rev, bid string) bool {
	if ac != bc {
		return ac < bc
	}
	return aid < bid
}

// put stores r in place of old (nil = none).
func (x *index) put(old, r *rec) {
	if old != nil {
		x.drop(old)
	}
	for _, u := range r.uniq {
		x.uniq[u] = r.key
	}
	x.count[r.key.Kind]++
	if kinds[r.key.Kind].disk {
		return
	}
	x.bytes += r.size
	x.recs[r.key] = r
	x.byID[r.key.Kind].ReplaceOrInsert(r)
	switch v := r.value.(type) {
	case *node.Node:
		x.nodes.ReplaceOrInsert(v)
	case *inventory.Port:
		x.ports.ReplaceOrInsert(v)
		x.attach(v)
	}
}

// drop removes r with all that points to it.
func (x *index) drop(r *rec) {
	for _, u := range r.uniq {
		if x.uniq[u] == r.key {
			delete(x.uniq, u)
		}
	}
	x.count[r.key.Kind]--
	if kinds[r.key.Kind].disk {
		return
	}
	x.bytes -= r.size
	delete(x.recs, r.key)
	x.byID[r.key.Kind].Delete(r)
	switch v := r.value.(type) {
	case *node.Node:
		x.nodes.Delete(v)
	case *inventory.Port:
		x.ports.Delete(v)
		x.detach(v)
	}
}

func (x *index) attach(p *inventory.Port) {
	list := x.portsOf[p.NodeUUID]
	at := sort.Search(len(list), func(i int) bool { return older(p.Created, p.UUID, list[i].Created, list[i].UUID) })
	x.portsOf[p.NodeUUID] = slices.Insert(slices.Clone(list), at, p)
}

func (x *index) detach(p *inventory.Port) {
	list := slices.DeleteFunc(slices.Clone(x.portsOf[p.NodeUUID]), func(q *inventory.Port) bool { return q.UUID == p.UUID })
	if len(list) == 0 {
		delete(x.portsOf, p.NodeUUID)
		return
	}
	x.portsOf[p.NodeUUID] = list
}

// withPrefix walks records of a kind in memory in ID order.
func withPrefix(t *btree.BTreeG[*rec], prefix string, fn func(*rec) bool) {
	t.AscendGreaterOrEqual(&rec{key: Key{ID: prefix}}, func(r *rec) bool {
		return strings.HasPrefix(r.key.ID, prefix) && fn(r)
	})
}

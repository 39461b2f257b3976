// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import "ferrite/node"

// plan is what an accepted entry does.
type plan struct {
	rev    node.Rev
	gone   []*rec // dels and prefixes
	puts   []planPut
	events []Event
	queue  []queued
	trim   *trim
	cut    int // events that trim takes off the queue
}

type planPut struct {
	old, rec *rec
	data     []byte
}

// plan works out an entry's effects; it changes nothing but the storage of a prefix with very many records.
func (a *applying) plan(rev node.Rev, e *entry) (*plan, error) {
	p := &plan{rev: rev, events: e.events, trim: e.trim}
	for _, k := range e.dels {
		cur, err := a.current(k)
		if err != nil {
			return nil, err
		}
		if cur != nil {
			p.gone = append(p.gone, cur)
		}
	}
	for _, k := range e.prefix {
		if err := a.planPrefix(p, k); err != nil {
			return nil, err
		}
	}
	for _, ep := range e.puts {
		old, err := a.current(ep.key)
		if err != nil {
			return nil, err
		}
		if old != nil && p.deletes(ep.key) {
			old = nil
		}
		c := &rec{key: ep.key, rev: rev, created: rev, born: e.id, last: e.id, uniq: ep.uniq}
		if old != nil {
			c.created, c.born = old.created, old.born
		}
		if err := a.r.fill(c, ep.data, ep.value); err != nil {
			return nil, err
		}
		data := c.encode(ep.data)
		c.size = len(data)
		p.puts = append(p.puts, planPut{old: old, rec: c, data: data})
	}
	for i, v := range e.events {
		size := len(v.Subject) + len(v.Node) + len(v.Body)
		p.queue = append(p.queue, queued{rev: rev, index: uint32(i), at: uint32(e.at / 1e9), size: uint32(size)})
	}
	if p.trim != nil {
		p.cut = a.r.queue.count(p.trim.rev, p.trim.index, maxTrim)
	}
	return p, nil
}

func (p *plan) deletes(k Key) bool {
	for _, g := range p.gone {
		if g.key == k {
			return true
		}
	}
	return false
}

// planPrefix collects the records of a prefix. When they are more than one storage transaction should hold, they are
// deleted at once, in parts: the entry's conditions held and will hold again if we die half-way, so that a second try
// after the restart ends the same.
func (a *applying) planPrefix(p *plan, k Key) error {
	if !kinds[k.Kind].disk {
		if t := a.r.x.byID[k.Kind]; t != nil {
			withPrefix(t, k.ID, func(c *rec) bool {
				if !p.deletes(c.key) {
					p.gone = append(p.gone, c)
				}
				return true
			})
		}
		return nil
	}
	var keys [][]byte
	if err := a.tx.keys(recordKey(k), func(key []byte) { keys = append(keys, append([]byte(nil), key...)) }); err != nil {
		return err
	}
	for _, key := range keys {
		rk, err := parseRecordKey(key)
		if err != nil {
			return err
		}
		if !p.deletes(rk) {
			p.gone = append(p.gone, &rec{key: rk})
		}
	}
	for len(keys) > prefixChunk {
		if err := a.renew(); err != nil {
			return err
		}
		for _, key := range keys[:prefixChunk] {
			if err := a.tx.del(key); err != nil {
				return a.failed(err)
			}
		}
		keys = keys[prefixChunk:]
		if len(keys) <= prefixChunk {
			return a.renew()
		}
	}
	return nil
}

// write puts the effects into the storage transaction.
func (a *applying) write(p *plan) error {
	for _, g := range p.gone {
		if err := a.tx.del(recordKey(g.key)); err != nil {
			return err
		}
	}
	for _, w := range p.puts {
		if err := a.tx.set(recordKey(w.rec.key), w.data); err != nil {
			return err
		}
	}
	for i, q := range p.queue {
		if err := a.tx.set(q.key(), encodeEvent(p.events[i])); err != nil {
			return err
		}
	}
	for _, q := range a.r.queue.first(p.cut) {
		if err := a.tx.del(q.key()); err != nil {
			return err
		}
	}
	return nil
}

// show brings the effects into memory.
func (a *applying) show(p *plan) {
	r := a.r
	r.mu.Lock()
	defer r.mu.Unlock()
	limit := max(minRingBytes, r.x.bytes/8)
	for _, g := range p.gone {
		r.stale(g.key.Kind)
		r.x.drop(g)
		r.ring.add(Change{Rev: p.rev, Key: g.key}, 0, limit)
	}
	for _, w := range p.puts {
		r.stale(w.rec.key.Kind)
		if w.old != nil {
			r.x.drop(w.old)
		}
	}
	for _, w := range p.puts { // after all drops: a unique key may have moved from one to the other
		r.x.put(nil, w.rec)
		r.ring.add(Change{Rev: p.rev, Key: w.rec.key, Value: w.rec.value}, w.rec.size, limit)
	}
	if p.trim != nil && p.cut > 0 {
		r.queue.drop(p.cut)
		if p.trim.dropped {
			r.dropped.Add(uint64(p.cut))
		}
	}
	r.queue.add(p.queue)
}

// stale forgets the shared copy of a tree that is about to change.
func (r *replica) stale(k Kind) {
	switch k {
	case KindNode:
		r.nodeTree = nil
	case KindPort:
		r.portTree = nil
	default:
	}
}

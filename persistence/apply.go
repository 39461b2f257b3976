// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"encoding/binary"
	"errors"
	"fmt"

	"ferrite/node"
)

// logEntry is an entry of the log as it comes to the state machine; nil data only moves applied.
type logEntry struct {
	rev  node.Rev
	data []byte
}

// outcome is what became of an entry.
type outcome struct {
	rev node.Rev
	err error
}

// fullTx is what one storage transaction may hold, in bytes; an entry goes alone if it needs more. prefixChunk is how
// many records of a prefix it may delete.
const (
	fullTx      = 600 << 10
	prefixChunk = 2000
)

// applying is the work on one batch. tx holds the effects of the entries since the last commit, up to and with done.
type applying struct {
	r    *replica
	tx   kvTx
	done node.Rev
}

// apply runs a batch of the log through the state machine: conditions, storage with the applied index in one
// transaction, memory, watchers; then the outcomes are known. It depends on nothing but the log (L4). The entries are
// durable in the log before they come here, so that memory may show them a moment before the storage has them; Applied
// and watchers wait for the storage.
func (r *replica) apply(batch []logEntry) []outcome {
	out := make([]outcome, len(batch))
	a := &applying{r: r, tx: r.store.begin(), done: r.Applied()}
	defer func() { a.tx.discard() }()
	err := r.stopped()
	for i, le := range batch {
		if err != nil {
			out[i].err = err
			continue
		}
		if le.rev <= a.done {
			continue // its effects are here since before the restart
		}
		if le.data != nil {
			var refused error
			refused, err = a.entry(le)
			if err != nil {
				err = fmt.Errorf("log entry %d: %w", le.rev, err)
				r.stop(err)
				out[i].err = err
				continue
			}
			out[i] = outcome{rev: le.rev, err: refused}
		}
		a.done = le.rev
	}
	if cerr := a.flush(); cerr != nil {
		for i := range out {
			out[i] = outcome{err: cerr}
		}
		return out
	}
	r.applied.Store(uint64(a.done))
	r.changed.fire()
	return out
}

// flush makes the storage hold all entries up to done.
func (a *applying) flush() error {
	err := a.tx.set([]byte{keyApplied}, binary.BigEndian.AppendUint64(nil, uint64(a.done)))
	if err == nil {
		err = a.tx.commit()
	}
	if err != nil {
		return a.failed(err)
	}
	return nil
}

func (a *applying) renew() error {
	if err := a.flush(); err != nil {
		return err
	}
	a.tx = a.r.store.begin()
	return nil
}

func (a *applying) failed(err error) error {
	err = fmt.Errorf("the state on disk cannot be written: %w", err)
	a.r.stop(err)
	a.r.onFail(err)
	return err
}

// entry applies one entry. refused is the answer to its proposer; err means that the log cannot be applied any further.
func (a *applying) entry(le logEntry) (refused, err error) {
	r := a.r
	r.commits.Add(1)
	e, err := decodeEntry(le.data)
	if err != nil {
		return nil, err
	}
	if own, ok := r.proposed.LoadAndDelete(e.id); ok {
		for i, p := range own.(*entry).puts {
			e.puts[i].value = p.value
		}
	}
	if taken := a.tx.size(); taken > 0 && taken+e.cost(len(le.data)) > fullTx {
		if err := a.renew(); err != nil {
			return nil, err
		}
	}
	if e.reseal {
		return nil, a.reseal(e)
	}
	refused, err = a.check(e)
	if refused != nil || err != nil {
		r.conflicts.Add(1)
		return refused, err
	}
	p, err := a.plan(le.rev, e)
	if err != nil {
		return nil, err
	}
	if len(e.puts)+len(e.dels)+len(e.prefix)+len(e.events)+len(e.conds) > 0 {
		r.accepted.Add(1)
	}
	if err := a.write(p); err != nil {
		return nil, a.failed(err)
	}
	a.show(p)
	return nil, nil
}

// check holds an entry's conditions and unique keys against the present state.
func (a *applying) check(e *entry) (refused, err error) {
	for _, c := range e.conds {
		cur, err := a.current(c.Key)
		if err != nil {
			return nil, err
		}
		switch {
		case cur == nil && c.Rev != 0:
			return &Conflict{Cur: Record{Key: c.Key}}, nil
		case cur != nil && cur.rev != c.Rev:
			return &Conflict{Cur: cur.record()}, nil
		}
	}
	var claimed map[string]Key
	for _, p := range e.puts {
		for _, u := range p.uniq {
			if k, ok := a.r.x.uniq[u]; ok && k != p.key && !e.touches(k) {
				return &NotUnique{Uniq: u, Holder: k}, nil
			}
			if len(e.puts) == 1 {
				continue
			}
			if k, ok := claimed[u]; ok && k != p.key {
				return &NotUnique{Uniq: u, Holder: k}, nil
			}
			if claimed == nil {
				claimed = make(map[string]Key)
			}
			claimed[u] = p.key
		}
	}
	return nil, nil
}

// touches reports whether the entry deletes or rewrites the record, so that its unique keys are free for others.
func (e *entry) touches(k Key) bool {
	for _, d := range e.dels {
		if d == k {
			return true
		}
	}
	for _, p := range e.puts {
		if p.key == k {
			return true
		}
	}
	for _, p := range e.prefix {
		if p.covers(k) {
			return true
		}
	}
	return false
}

// covers reports whether k is among the records that a prefix deletes.
func (p Key) covers(k Key) bool {
	return p.Kind == k.Kind && len(k.ID) >= len(p.ID) && k.ID[:len(p.ID)] == p.ID
}

// current is the record as the entries before this one left it, decoded; nil = absent.
func (a *applying) current(k Key) (*rec, error) {
	if !kinds[k.Kind].disk {
		return a.r.x.recs[k], nil
	}
	data, err := a.tx.get(recordKey(k))
	if data == nil || err != nil {
		return nil, err
	}
	return a.r.decodeWhole(k, data)
}

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

// wrote looks for the transaction among the records that it put: its id in one of them means that it was applied (L2).
func (r *replica) wrote(e *entry) (node.Rev, bool) {
	for _, p := range e.puts {
		c := r.lookup(p.key)
		if c == nil && kinds[p.key.Kind].disk {
			c = r.fromDisk(p.key)
		}
		switch {
		case c == nil:
		case c.last == e.id:
			return c.rev, true
		case c.born == e.id:
			return c.created, true
		}
	}
	return 0, false
}

// untouched reports whether a condition of the entry on a record that it would have written or deleted still holds:
// then it was not applied.
func (r *replica) untouched(e *entry) bool {
	for _, c := range e.conds {
		if !e.touches(c.Key) {
			continue
		}
		cur, _ := r.Get(c.Key)
		if cur.Rev == c.Rev {
			return true
		}
	}
	return false
}

// prepare turns a transaction into an entry; what is wrong with it is said before anything reaches the log.
func (c *codec) prepare(tx Tx) (*entry, error) {
	e := &entry{conds: tx.If, dels: tx.Del, prefix: tx.DelPrefix, events: tx.Events}
	changes := len(tx.Put) + len(tx.Del) + len(tx.DelPrefix)
	switch {
	case changes > 0 && len(tx.If) == 0:
		return nil, ErrNoCondition
	case changes+len(tx.If)+len(tx.Events) == 0:
		return nil, errors.New("the transaction is empty")
	case changes+len(tx.If)+len(tx.Events) > maxParts:
		return nil, ErrTooBig
	}
	if err := distinct(tx); err != nil {
		return nil, err
	}
	size := 0
	for _, p := range tx.Put {
		if len(p.Uniq) > 0 && kinds[p.Kind].disk {
			return nil, fmt.Errorf("record %d/%s: a record of this kind cannot hold unique keys", p.Kind, p.ID)
		}
		data, err := c.encode(p.Key, p.Value)
		if err != nil {
			return nil, err
		}
		if size += len(data); size > maxEntry {
			return nil, ErrTooBig
		}
		value, err := c.decode(p.Key, data)
		if err != nil {
			return nil, unreadable(err)
		}
		e.puts = append(e.puts, entryPut{key: p.Key, uniq: p.Uniq, data: data, value: value})
	}
	if e.parts() > maxParts {
		return nil, ErrTooBig
	}
	return e, nil
}

// unreadable refuses what every member would end over when it came to it in the log.
func unreadable(err error) error {
	return fmt.Errorf("%w: %w", ErrUnreadable, err)
}

// remember keeps an entry's decoded values until its outcome is known.
func (r *replica) remember(e *entry, done func(node.Rev, error)) func(node.Rev, error) {
	r.proposed.Store(e.id, e)
	return func(rev node.Rev, err error) {
		r.proposed.Delete(e.id)
		done(rev, err)
	}
}

// read decodes an entry whole before it is proposed, as applying it will.
func (c *codec) read(data []byte) (*entry, error) {
	e, err := decodeEntry(data)
	if err != nil {
		return nil, unreadable(err)
	}
	for i, p := range e.puts {
		if e.puts[i].value, err = c.decode(p.key, p.data); err != nil {
			return nil, unreadable(err)
		}
	}
	return e, nil
}

// distinct refuses a transaction that names a record twice, or one without kind or id.
func distinct(tx Tx) error {
	seen := make(map[Key]bool, len(tx.Put)+len(tx.Del))
	add := func(k Key) error {
		if _, ok := kinds[k.Kind]; !ok || k.ID == "" {
			return fmt.Errorf("record %d/%q: no such kind, or no id", k.Kind, k.ID)
		}
		if len(k.ID) > maxID {
			return fmt.Errorf("record %d/%.40q: its id has %d bytes, wanted %d at most", k.Kind, k.ID, len(k.ID), maxID)
		}
		if seen[k] {
			return fmt.Errorf("record %d/%s: the transaction names it twice", k.Kind, k.ID)
		}
		seen[k] = true
		return nil
	}
	for _, p := range tx.Put {
		if err := add(p.Key); err != nil {
			return err
		}
	}
	for _, k := range tx.Del {
		if err := add(k); err != nil {
			return err
		}
	}
	for _, k := range tx.DelPrefix {
		if _, ok := kinds[k.Kind]; !ok || k.ID == "" {
			return fmt.Errorf("prefix %d/%q: no such kind, or no prefix", k.Kind, k.ID)
		}
	}
	return nil
}

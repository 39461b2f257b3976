// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"encoding/binary"
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
// durable in the log before they come here, so that memory, Applied, watchers and the answer need not wait until the
// storage has them as well; who reads the storage does (writeBehind).
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

// flush gives the storage the effects of all entries up to done.
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
	return a.r.cannotWrite(err)
}

// cannotWrite ends the replica: the storage has not taken what the log holds.
func (r *replica) cannotWrite(err error) error {
	err = fmt.Errorf("the state on disk cannot be written: %w", err)
	r.stop(err)
	r.onFail(err)
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

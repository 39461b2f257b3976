// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"strings"
	"sync"
	"time"
)

// behindBytes is how much may wait for the storage, in bytes of keys and values. gather is how long changes wait for more
// when nobody asks for them: a transaction costs two synchronous writes, however much is in it.
const (
	behindBytes = 4 << 20
	gather      = 30 * time.Millisecond
)

// writeBehind is a storage that is written by a goroutine of its own: commit returns when the changes are queued, and
// whatever has queued up becomes one transaction, so that the busier the log is, the less each entry costs.
//
// Nothing is lost by it. What comes here is durable in the log before, and the storage holds, with the index of the last
// entry that it has, a prefix of the log: a start applies the rest again, and the log is cut only behind a snapshot, which
// is a view. A view waits for all that was queued before it. A write that fails ends the replica.
type writeBehind struct {
	kv
	failed func(error)

	mu     sync.Mutex // guards the fields below
	change sync.Cond  // of stored, of room in open, of err
	open   *changes   // gathers
	busy   *changes   // is being written; nil = nothing
	queued uint64     // commits so far
	stored uint64     // of these, in the storage
	err    error

	some   chan struct{} // holds 1: open is not empty
	urgent chan struct{} // holds 1: somebody waits
	ended  chan struct{}
	ending sync.Once
	writer sync.WaitGroup
}

// changes are keys with their new values; nil deletes.
type changes struct {
	values map[string][]byte
	size   int // as kvTx.size
	bytes  int
	upTo   uint64 // of queued
}

func newChanges() *changes { return &changes{values: make(map[string][]byte)} }

func (c *changes) put(key, value []byte, size int) {
	c.values[string(key)] = value
	c.size += size
	c.bytes += len(key) + len(value)
}

// newWriteBehind begins to write into store; failed is told once if that cannot be done.
func newWriteBehind(store kv, failed func(error)) *writeBehind {
	w := &writeBehind{
		kv: store, failed: failed, open: newChanges(),
		some: make(chan struct{}, 1), urgent: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	w.change.L = &w.mu
	w.writer.Go(w.write)
	return w
}

func (w *writeBehind) write() {
	timer := time.NewTimer(gather)
	defer timer.Stop()
	for more := true; more; {
		select {
		case <-w.some:
		case <-w.ended:
			more = false
		}
		timer.Reset(gather)
		select {
		case <-timer.C:
		case <-w.urgent:
		case <-w.ended:
		}
		if !w.next() {
			return
		}
	}
}

// next writes what has gathered; false = that has failed.
func (w *writeBehind) next() bool {
	w.mu.Lock()
	if w.open.upTo == 0 {
		w.mu.Unlock()
		return true
	}
	w.busy, w.open = w.open, newChanges()
	w.change.Broadcast() // there is room again
	w.mu.Unlock()
	err := w.flush(w.busy)
	if err != nil {
		w.failed(err) // before anybody who waits goes on
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
	if err == nil {
		w.stored, w.busy = w.busy.upTo, nil
	}
	w.change.Broadcast()
	return err == nil
}

// flush writes changes in one transaction.
func (w *writeBehind) flush(c *changes) error {
	tx := w.kv.begin()
	defer tx.discard()
	for key, value := range c.values {
		var err error
		if value == nil {
			err = tx.del([]byte(key))
		} else {
			err = tx.set([]byte(key), value)
		}
		if err != nil {
			return err
		}
	}
	return tx.commit()
}

// settle waits until the storage holds all that is queued by now.
func (w *writeBehind) settle() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for want := w.queued; w.stored < want && w.err == nil; {
		hint(w.urgent)
		w.change.Wait()
	}
	return w.err
}

// hint leaves a word for the writer, unless one lies there.
func hint(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// view implements kv.
func (w *writeBehind) view() kvView {
	_ = w.settle() // who failed has stopped the replica
	return w.kv.view()
}

// close implements kv: what is queued is written first.
func (w *writeBehind) close() error {
	w.ending.Do(func() { close(w.ended) })
	w.writer.Wait()
	return w.kv.close()
}

// begin implements kv.
func (w *writeBehind) begin() kvTx { return &behindTx{w: w, own: newChanges()} }

type behindTx struct {
	w   *writeBehind
	own *changes
}

func (t *behindTx) get(key []byte) ([]byte, error) {
	if value, ok := t.own.values[string(key)]; ok {
		return value, nil
	}
	t.w.mu.Lock()
	for _, c := range []*changes{t.w.open, t.w.busy} {
		if c == nil {
			continue
		}
		if value, ok := c.values[string(key)]; ok {
			t.w.mu.Unlock()
			return value, nil
		}
	}
	t.w.mu.Unlock()
	v := t.w.kv.view()
	defer v.close()
	return v.get(key)
}

func (t *behindTx) keys(prefix []byte, fn func(key []byte)) error {
	if err := t.w.settle(); err != nil {
		return err
	}
	v := t.w.kv.view()
	defer v.close()
	err := v.scan(prefix, nil, func(key []byte, _ func() ([]byte, error)) (bool, error) {
		if _, changed := t.own.values[string(key)]; !changed {
			fn(key)
		}
		return true, nil
	})
	for key, value := range t.own.values {
		if value != nil && strings.HasPrefix(key, string(prefix)) {
			fn([]byte(key))
		}
	}
	return err
}

func (t *behindTx) set(key, value []byte) error {
	if value == nil {
		value = []byte{} // nil deletes
	}
	t.own.put(key, value, cost(key, value))
	return nil
}

func (t *behindTx) del(key []byte) error {
	t.own.put(key, nil, cost(key, nil))
	return nil
}

func (t *behindTx) size() int { return t.own.size }

// commit queues the changes, when there is room.
func (t *behindTx) commit() error {
	w := t.w
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.open.upTo > 0 && (w.open.size+t.own.size > fullTx || w.open.bytes > behindBytes) && w.err == nil {
		hint(w.urgent)
		w.change.Wait()
	}
	if w.err != nil {
		return w.err
	}
	if w.open.upTo == 0 {
		w.open = t.own
	} else {
		for key, value := range t.own.values {
			w.open.values[key] = value
		}
		w.open.size += t.own.size
		w.open.bytes += t.own.bytes
	}
	w.queued++
	w.open.upTo = w.queued
	hint(w.some)
	return nil
}

func (t *behindTx) discard() {}

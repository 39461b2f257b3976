// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"ferrite/node"
)

// MemoryOptions are the settings of NewMemory; the zero value is good.
type MemoryOptions struct {
	Name           string           // Role's leader; "" = "memory"
	Clock          func() time.Time // nil = time.Now
	OutboxMaxAge   time.Duration    // 0 = 24 h
	OutboxMaxBytes int64            // 0 = 256 MB
}

// Fault is what a hook does to a transaction: it waits for Delay, then answers Err instead of applying it, or (Applied)
// after applying it, as when the answer is lost.
type Fault struct {
	Delay   time.Duration
	Err     error
	Applied bool
}

// Memory is a Store without a disk: the same state machine, encodings and errors as Raft, for tests and simulation. It
// has no goroutine of its own but while a Submit is under way, so that it may be used inside a synctest bubble; its
// revisions count 1, 2, 3.
type Memory struct {
	*replica
	opts MemoryOptions

	log sync.Mutex // held while an entry is applied

	mem     sync.Mutex // guards the fields below
	hook    func(Tx) Fault
	quorum  bool
	contact time.Time // when the quorum was lost
	pending []*memCall
	running bool
}

var _ Store = (*Memory)(nil)

type memCall struct {
	tx   Tx
	done func(node.Rev, error)
	mu   sync.Mutex // guards the fields below
	took bool       // its outcome is on the way: it cannot be withdrawn any more
	gone bool       // withdrawn
}

// NewMemory returns an empty store.
func NewMemory(opts MemoryOptions) *Memory {
	if opts.Name == "" {
		opts.Name = "memory"
	}
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	s, err := newSealer(make([]byte, KeySize))
	if err != nil {
		panic(err) // the key has the right size
	}
	bounds := outboxBounds{age: opts.OutboxMaxAge, bytes: opts.OutboxMaxBytes}
	m := &Memory{opts: opts, quorum: true}
	m.replica = newReplica(newCodec(s), bounds, newMemKV(), func(err error) { panic(err) })
	return m
}

// SetHook makes every later transaction go through hook; nil takes it away.
func (m *Memory) SetHook(hook func(Tx) Fault) {
	m.mem.Lock()
	defer m.mem.Unlock()
	m.hook = hook
}

// SetQuorum takes the quorum away and gives it back: without it, writes and read indexes answer ErrNoQuorum and
// LeaderContact stands still.
func (m *Memory) SetQuorum(have bool) {
	m.mem.Lock()
	defer m.mem.Unlock()
	if m.quorum && !have {
		m.contact = m.opts.Clock()
	}
	m.quorum = have
}

// Commit implements Store. Without hook and pending Submits it applies tx in the caller's goroutine.
func (m *Memory) Commit(ctx context.Context, tx Tx) (node.Rev, error) {
	if err := ctx.Err(); err != nil {
		return 0, notWritten(err)
	}
	if m.idle() {
		return m.commit(tx)
	}
	type answer struct {
		rev node.Rev
		err error
	}
	ch := make(chan answer, 1)
	c := m.enqueue(tx, func(rev node.Rev, err error) { ch <- answer{rev, err} })
	select {
	case a := <-ch:
		return a.rev, a.err
	case <-ctx.Done():
		if c.withdraw() {
			return 0, notWritten(ctx.Err())
		}
		a := <-ch
		return a.rev, a.err
	}
}

// notWritten says that nothing reached the log before the caller gave up.
func notWritten(cause error) error { return fmt.Errorf("%w: %w", ErrNoQuorum, cause) }

// Submit implements Store. The calls of done come in the order of Submit.
func (m *Memory) Submit(tx Tx, done func(node.Rev, error)) { m.enqueue(tx, done) }

func (m *Memory) idle() bool {
	m.mem.Lock()
	defer m.mem.Unlock()
	return m.hook == nil && !m.running
}

func (m *Memory) enqueue(tx Tx, done func(node.Rev, error)) *memCall {
	m.mem.Lock()
	defer m.mem.Unlock()
	c := &memCall{tx: tx, done: done}
	m.pending = append(m.pending, c)
	if !m.running {
		m.running = true
		go m.drain()
	}
	return c
}

// drain works off the pending calls and ends.
func (m *Memory) drain() {
	for {
		m.mem.Lock()
		if len(m.pending) == 0 {
			m.running = false
			m.mem.Unlock()
			return
		}
		c := m.pending[0]
		m.pending = m.pending[1:]
		hook := m.hook
		m.mem.Unlock()
		m.serve(c, hook)
	}
}

func (m *Memory) serve(c *memCall, hook func(Tx) Fault) {
	var f Fault
	if hook != nil {
		f = hook(c.tx)
	}
	if f.Delay > 0 {
		time.Sleep(f.Delay)
	}
	if !c.take() {
		return
	}
	if f.Err != nil && !f.Applied {
		c.done(0, f.Err)
		return
	}
	rev, err := m.commit(c.tx)
	if f.Err != nil {
		rev, err = 0, f.Err
	}
	c.done(rev, err)
}

func (c *memCall) take() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.took = !c.gone
	return c.took
}

func (c *memCall) withdraw() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = !c.took
	return c.gone
}

func (m *Memory) commit(tx Tx) (node.Rev, error) {
	e, err := m.codec.prepare(tx)
	if err != nil {
		return 0, err
	}
	rev, err := m.propose(e)
	if err == nil && len(tx.Events) > 0 {
		m.trim()
	}
	return rev, err
}

// propose is the log of Memory: it encodes the entry and applies what comes out of decoding it.
func (m *Memory) propose(e *entry) (node.Rev, error) {
	if !m.hasQuorum() {
		return 0, ErrNoQuorum
	}
	if _, err := rand.Read(e.id[:]); err != nil {
		return 0, err
	}
	e.at = m.opts.Clock().UnixNano()
	data := e.encode()
	if len(data) > maxEntry {
		return 0, ErrTooBig
	}
	m.log.Lock()
	defer m.log.Unlock()
	if err := m.stopped(); err != nil {
		return 0, err
	}
	out := m.apply([]logEntry{{rev: m.Applied() + 1, data: data}})[0]
	if out.err != nil {
		return 0, out.err
	}
	return out.rev, nil
}

// trim keeps the outbox within its bounds.
func (m *Memory) trim() {
	for t := m.overdue(m.opts.Clock()); t != nil; t = m.overdue(m.opts.Clock()) {
		if _, err := m.propose(&entry{trim: t}); err != nil {
			return // without quorum it is tried again with the next event
		}
	}
}

// SetCursor implements Store.
func (m *Memory) SetCursor(ctx context.Context, name string, rev node.Rev, index int) error {
	if err := ctx.Err(); err != nil {
		return notWritten(err)
	}
	return m.setCursor(ctx, name, rev, index, func(_ context.Context, e *entry) (node.Rev, error) { return m.propose(e) })
}

// ReadIndex implements Store: every acknowledged write is applied already.
func (m *Memory) ReadIndex(ctx context.Context) (node.Rev, error) {
	if err := errors.Join(ctx.Err(), m.stopped()); err != nil {
		return 0, err
	}
	if !m.hasQuorum() {
		return 0, ErrNoQuorum
	}
	return m.Applied(), nil
}

func (m *Memory) hasQuorum() bool {
	m.mem.Lock()
	defer m.mem.Unlock()
	return m.quorum
}

// LeaderContact implements Store.
func (m *Memory) LeaderContact() time.Time {
	m.mem.Lock()
	defer m.mem.Unlock()
	if !m.quorum {
		return m.contact
	}
	return m.opts.Clock()
}

// Role implements Store.
func (m *Memory) Role() (leader string, voter, isLeader bool) {
	if !m.hasQuorum() {
		return "", true, false
	}
	return m.opts.Name, true, true
}

// Close implements Store.
func (m *Memory) Close() error {
	m.log.Lock()
	defer m.log.Unlock()
	if errors.Is(m.stopped(), ErrClosed) {
		return nil
	}
	return m.shut()
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"ferrite/node"
)

// The committer hands at most groupSize transactions to the log in one go, and at most groups of such groups are under
// way (in the log file, in the state machine, on the way back). Without that bound every transaction would go alone: the
// state machine is the slowest station, and a writer that it has answered would queue up behind all others with a batch
// of one.
// settleTime bounds the search for an unknown outcome.
const (
	groupSize  = 256
	groups     = 3
	settleTime = 2 * time.Second
)

// proposal is a transaction on its way.
type proposal struct {
	entry  *entry
	data   []byte
	done   func(node.Rev, error)
	state  atomic.Int32 // waiting, sent or withdrawn
	future future
	born   time.Time
	// foreign: it came from another member, which settles what is not known.
	foreign bool
	flight  *atomic.Int64 // counts it; nil = nobody does
}

// future is where the log's answer comes: Error waits for it, Response is an outcome.
type future interface {
	Error() error
	Response() any
}

const (
	waiting int32 = iota
	sent
	withdrawn
)

func (p *proposal) withdraw() bool { return p.state.CompareAndSwap(waiting, withdrawn) }

// committer feeds proposals to the log in the order of their arrival. One goroutine sends, so that whatever is pending
// becomes one write of the log file; one settles, in log order.
type committer struct {
	s        *Raft
	inflight chan []*proposal
	slots    chan struct{} // one for each group under way
	ended    sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	wake    sync.Cond
	pending []*proposal
	closed  bool
}

func newCommitter(s *Raft) *committer {
	c := &committer{s: s, inflight: make(chan []*proposal, groups), slots: make(chan struct{}, groups)}
	c.wake.L = &c.mu
	c.ended.Go(c.send)
	c.ended.Go(c.settle)
	return c
}

func (c *committer) add(p *proposal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	c.pending = append(c.pending, p)
	c.wake.Signal()
	return nil
}

// close refuses later proposals and waits until those before are settled, or limit has passed.
func (c *committer) close(limit time.Duration) {
	c.mu.Lock()
	c.closed = true
	c.wake.Signal()
	c.mu.Unlock()
	done := make(chan struct{})
	go func() { c.ended.Wait(); close(done) }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// depth counts the proposals that wait for their turn.
func (c *committer) depth() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.pending)
}

func (c *committer) send() {
	defer close(c.inflight)
	for {
		c.slots <- struct{}{}
		group := c.take()
		if group == nil {
			return
		}
		var to *line
		if c.s.port != nil && !c.s.leading() {
			to = c.s.toLeader(c.s.life, leaderWait)
		}
		went := group[:0]
		for _, p := range group {
			if p.state.CompareAndSwap(waiting, sent) {
				p.future = c.s.hand(p, to)
				went = append(went, p)
			}
		}
		c.inflight <- went
	}
}

// take waits for proposals; nil = closed and nothing left.
func (c *committer) take() []*proposal {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.pending) == 0 {
		if c.closed {
			return nil
		}
		c.wake.Wait()
	}
	n := min(len(c.pending), groupSize)
	group := c.pending[:n:n]
	c.pending = c.pending[n:]
	if len(c.pending) == 0 {
		c.pending = nil
	}
	return group
}

func (c *committer) settle() {
	for group := range c.inflight {
		for _, p := range group {
			c.answer(p)
		}
		<-c.slots
	}
}

func (c *committer) answer(p *proposal) {
	if err := p.future.Error(); err != nil {
		c.s.failed(p, err)
		return
	}
	out, _ := p.future.Response().(outcome)
	if out.err != nil {
		out.rev = 0
	}
	if _, far := p.future.(*forwarded); far {
		out = c.s.here(out)
	}
	p.done(out.rev, out.err)
}

// failed answers a proposal that the log did not confirm.
func (s *Raft) failed(p *proposal, err error) {
	switch {
	case p.foreign:
		p.done(0, err)
	case s.port != nil && unwritten(err) && time.Since(p.born) < leaderWait: // an election: once more, to the new leader
		p.state.Store(waiting)
		s.again(p)
	case errors.Is(err, errNotLeader), errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrEnqueueTimeout), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		p.done(0, notWritten(err))
	case errors.Is(err, raft.ErrRaftShutdown):
		p.done(0, fmt.Errorf("%w: %w", ErrUnknown, ErrClosed))
	default:
		s.committer.ended.Go(func() { // of the committer's, which has not ended while it settles
			rev, unsettled := s.lookFor(p.entry)
			if unsettled != nil {
				unsettled = fmt.Errorf("%w: %w", unsettled, err)
			}
			p.done(rev, unsettled)
		})
	}
}

// lookFor settles an unknown outcome: after a read index, mine among the ids of the records means committed; a
// condition that still holds means not written (L2).
func (s *Raft) lookFor(e *entry) (node.Rev, error) {
	ctx, cancel := context.WithTimeout(s.life, settleTime)
	defer cancel()
	for {
		_, err := s.ReadIndex(ctx)
		if err == nil {
			break
		}
		if !errors.Is(err, ErrNoQuorum) {
			return 0, ErrUnknown
		}
		select {
		case <-ctx.Done():
			return 0, ErrUnknown
		case <-time.After(20 * time.Millisecond):
		}
	}
	if rev, ok := s.wrote(e); ok {
		return rev, nil
	}
	if s.port == nil && s.untouched(e) { // with several members it may still wait in a leader that cannot be reached
		return 0, ErrNoQuorum
	}
	return 0, ErrUnknown
}

// Submit implements Store. The calls of done come in log order.
func (s *Raft) Submit(tx Tx, done func(node.Rev, error)) {
	if _, err := s.submit(tx, done); err != nil {
		go done(0, err)
	}
}

func (s *Raft) submit(tx Tx, done func(node.Rev, error)) (*proposal, error) {
	if err := s.stopped(); err != nil {
		return nil, err
	}
	if s.low.Load() && len(tx.Put)+len(tx.Events) > 0 {
		return nil, ErrDiskLow
	}
	s.sealing.RLock()
	defer s.sealing.RUnlock()
	e, err := s.codec.prepare(tx)
	if err != nil {
		return nil, err
	}
	flight := s.flights.now()
	flight.Add(1)
	p, err := s.enqueue(e, func(rev node.Rev, err error) {
		flight.Add(-1)
		done(rev, err)
	})
	if err != nil {
		flight.Add(-1)
		return p, err
	}
	p.flight = flight
	return p, nil
}

func (s *Raft) enqueue(e *entry, done func(node.Rev, error)) (*proposal, error) {
	if _, err := rand.Read(e.id[:]); err != nil {
		return nil, err
	}
	e.at = s.cfg.Clock().UnixNano()
	p := &proposal{entry: e, data: e.encode(), done: s.remember(e, done), born: time.Now()}
	if len(p.data) > maxEntry {
		s.proposed.Delete(e.id)
		return nil, ErrTooBig
	}
	err := s.committer.add(p)
	if err != nil {
		s.proposed.Delete(e.id)
	}
	return p, err
}

// Commit implements Store. When ctx ends before the transaction was handed to the log, nothing was written: the error
// is ErrNoQuorum and the context's. When it ends later, the log's answer is awaited for two seconds more.
func (s *Raft) Commit(ctx context.Context, tx Tx) (node.Rev, error) {
	return s.wait(ctx, func(done func(node.Rev, error)) (*proposal, error) { return s.submit(tx, done) })
}

// propose commits an entry of the store's own.
func (s *Raft) propose(ctx context.Context, e *entry) (node.Rev, error) {
	return s.wait(ctx, func(done func(node.Rev, error)) (*proposal, error) { return s.enqueue(e, done) })
}

func (s *Raft) wait(ctx context.Context, send func(func(node.Rev, error)) (*proposal, error)) (node.Rev, error) {
	if err := ctx.Err(); err != nil {
		return 0, notWritten(err)
	}
	ch := make(chan outcome, 1)
	p, err := send(func(rev node.Rev, err error) { ch <- outcome{rev, err} })
	if err != nil {
		return 0, err
	}
	select {
	case out := <-ch:
		return out.rev, out.err
	case <-ctx.Done():
	}
	if p.withdraw() {
		s.proposed.Delete(p.entry.id)
		if p.flight != nil {
			p.flight.Add(-1)
		}
		return 0, notWritten(ctx.Err())
	}
	timer := time.NewTimer(settleTime)
	defer timer.Stop()
	select {
	case out := <-ch:
		return out.rev, out.err
	case <-timer.C:
	}
	if rev, ok := s.wrote(p.entry); ok {
		return rev, nil
	}
	return 0, fmt.Errorf("%w: %w", ErrUnknown, ctx.Err())
}

// SetCursor implements Store. It passes a low disk: it is what lets the outbox shrink.
func (s *Raft) SetCursor(ctx context.Context, name string, rev node.Rev, index int) error {
	if err := s.stopped(); err != nil {
		return err
	}
	return s.setCursor(ctx, name, rev, index, s.propose)
}

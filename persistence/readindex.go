// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"ferrite/node"
)

// rounds lets many callers share one answer of run. A caller joins only a round that starts after it arrived: what was
// acknowledged before the call is then in the answer (R1).
type rounds struct {
	run func() (node.Rev, error)

	mu      sync.Mutex // guards the fields below
	running bool
	next    *round // the round that has not started yet, nil = nobody waits for one
}

type round struct {
	done chan struct{}
	rev  node.Rev
	err  error
}

func (r *rounds) join(ctx context.Context) (node.Rev, error) {
	r.mu.Lock()
	mine := r.next
	if mine == nil {
		mine = &round{done: make(chan struct{})}
		r.next = mine
	}
	if !r.running {
		r.running = true
		go r.work()
	}
	r.mu.Unlock()
	select {
	case <-mine.done:
		return mine.rev, mine.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// work runs rounds until nobody waits.
func (r *rounds) work() {
	for {
		r.mu.Lock()
		cur := r.next
		r.next = nil
		r.running = cur != nil
		r.mu.Unlock()
		if cur == nil {
			return
		}
		cur.rev, cur.err = r.run()
		close(cur.done)
	}
}

// ReadIndex implements Store.
func (s *Raft) ReadIndex(ctx context.Context) (node.Rev, error) {
	if err := s.stopped(); err != nil {
		return 0, err
	}
	for {
		rev, err := s.rounds.join(ctx)
		if err == nil {
			return rev, s.WaitApplied(ctx, rev)
		}
		if s.port == nil || !errors.Is(err, ErrNoQuorum) {
			return 0, err
		}
		select { // R4: an election takes a second
		case <-ctx.Done():
			return 0, err
		case <-s.life.Done():
			return 0, ErrClosed
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// round asks the leader, be it ourselves or another member.
func (s *Raft) round() (node.Rev, error) {
	if s.port == nil || s.leading() {
		return s.readRound()
	}
	ctx, cancel := context.WithTimeout(s.life, leaderWait)
	defer cancel()
	l := s.toLeader(ctx, 0)
	if l == nil {
		return 0, fmt.Errorf("%w: the log has no leader", ErrNoQuorum)
	}
	b, err := l.ask(ctx, callRead, nil)
	if err != nil {
		return 0, fmt.Errorf("%w: asking %s: %w", ErrNoQuorum, l.to, err)
	}
	rev, err := decodeOutcome(b)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNoQuorum, err)
	}
	return rev, nil
}

// readRound is one round of R1 on the leader: an entry of its own once per term, so that all of former terms is
// committed; then the commit index; then proof that it still leads.
func (s *Raft) readRound() (node.Rev, error) {
	if err := s.openTerm(); err != nil {
		return 0, err
	}
	rev := node.Rev(s.raft.CommitIndex())
	if s.alone() {
		return rev, nil // a quorum of one is ourselves: no other can lead until we have added it
	}
	if err := s.raft.VerifyLeader().Error(); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNoQuorum, err)
	}
	if s.raft.CurrentTerm() != s.term.Load() { // another one may have led between the index and the proof
		return 0, ErrNoQuorum
	}
	return rev, nil
}

// openTerm commits an empty entry once in each term that we lead. Not raft's barrier, which the state machine does not
// see: from here on every entry moves applied, so that waiting for the commit index ends.
func (s *Raft) openTerm() error {
	if !s.leading() {
		return ErrNoQuorum
	}
	term := s.raft.CurrentTerm()
	if s.term.Load() == term {
		return nil
	}
	e := &entry{}
	f := s.raft.Apply(e.encode(), 0)
	if err := f.Error(); err != nil {
		if errors.Is(err, raft.ErrRaftShutdown) {
			return ErrClosed
		}
		return fmt.Errorf("%w: %w", ErrNoQuorum, err)
	}
	if out, ok := f.Response().(outcome); ok && out.err != nil {
		return out.err
	}
	if s.leading() && s.raft.CurrentTerm() == term {
		s.term.Store(term)
		return nil
	}
	return ErrNoQuorum
}

func (s *Raft) leading() bool { return s.raft.State() == raft.Leader }

// alone reports whether we are the only voter, by the newest configuration, committed or not.
func (s *Raft) alone() bool {
	voters, me := 0, false
	for _, m := range s.raft.GetConfiguration().Configuration().Servers {
		if m.Suffrage == raft.Voter {
			voters++
			me = me || m.ID == s.id
		}
	}
	return voters == 1 && me && s.leading()
}

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
)

// leaderWait is how long a write waits for the election of a leader.
const leaderWait = 2 * time.Second

// upstream is the line to the leader that this member follows.
type upstream struct {
	mu      sync.Mutex // guards below
	line    *line
	dialing *dialing // nil = none
	closed  bool
}

// dialing is a line on its way.
type dialing struct {
	to    string
	ended chan struct{}
}

func (l *upstream) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.line != nil {
		l.line.end()
	}
}

// toLeader is a line to the log's leader; nil = none was found within wait (0 = one look), or we lead ourselves.
func (s *Raft) toLeader(ctx context.Context, wait time.Duration) *line {
	end := time.Now().Add(wait)
	for {
		_, id := s.raft.LeaderWithID()
		if id == s.id {
			return nil
		}
		if id != "" {
			leads := func() bool { _, now := s.raft.LeaderWithID(); return now == id }
			if l := s.lineTo(string(id), leads); l != nil {
				return l
			}
		}
		if !time.Now().Before(end) {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// lineTo is a line to a member for as long as leads says that it leads; nil = it does not answer. A leader that is silent may hold
// up who dials it: that is nobody who looks for the next leader.
func (s *Raft) lineTo(id string, leads func() bool) *line {
	l := &s.leader
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	if l.line != nil && l.line.to == id && l.line.alive() {
		defer l.mu.Unlock()
		return l.line
	}
	if l.line != nil {
		s.port.retire(l.line)
		l.line = nil
	}
	d := l.dialing
	if d == nil || d.to != id {
		d = &dialing{to: id, ended: make(chan struct{})}
		l.dialing = d
		s.port.ended.Go(func() { s.dialLeader(d) })
	}
	l.mu.Unlock()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-d.ended:
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.line != nil && l.line.to == id && l.line.alive() {
				return l.line
			}
			return nil
		case <-look.C:
			if !leads() {
				return nil
			}
		case <-s.life.Done():
			return nil
		}
	}
}

// dialLeader makes a line, unless another one is wanted when it is there.
func (s *Raft) dialLeader(d *dialing) {
	defer close(d.ended)
	fresh, err := s.port.open(d.to, time.Second)
	l := &s.leader
	l.mu.Lock()
	defer l.mu.Unlock()
	wanted := l.dialing == d && !l.closed
	if l.dialing == d {
		l.dialing = nil
	}
	switch {
	case err != nil:
		if trouble := (*unsafe)(nil); errors.As(err, &trouble) && s.said.anew(d.to+trouble.text) {
			s.log.Warn("the log's leader cannot be spoken with", "leader", d.to, "reason", trouble.text)
		}
		s.log.Debug("the log's leader does not answer", "leader", d.to, "err", err)
	case !wanted:
		fresh.end()
	default:
		l.line = fresh
	}
}

// follow lets go of the line to a member that leads no more: who has handed the log over still answers what it was asked, so
// that it is asked of the new leader; nobody waits for one that is silent.
func (s *Raft) follow() {
	_, id := s.raft.LeaderWithID()
	l := &s.leader
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.line != nil && l.line.to != string(id) {
		s.port.retire(l.line)
		l.line = nil
	}
}

// forwarded is a proposal in the hands of the leader.
type forwarded struct {
	ready chan struct{}
	out   outcome
	err   error
}

// Error implements future.
func (f *forwarded) Error() error {
	<-f.ready
	return f.err
}

// Response implements future.
func (f *forwarded) Response() any { return f.out }

// hand gives a proposal to the log, at the leader that to leads to.
func (s *Raft) hand(p *proposal, to *line) future {
	if s.port == nil || s.leading() {
		return s.raft.Apply(p.data, 0)
	}
	f := &forwarded{ready: make(chan struct{})}
	if to == nil || p.foreign {
		f.err = errNotLeader
		close(f.ready)
		return f
	}
	err := to.send(callPropose, p.data, func(b []byte, err error) {
		if err == nil {
			f.out.rev, err = decodeOutcome(b)
			var conflict *Conflict
			var taken *NotUnique
			var refused *refusal
			if errors.As(err, &conflict) || errors.As(err, &taken) || errors.As(err, &refused) {
				f.out.err, err = err, nil
			}
		}
		f.err = err
		close(f.ready)
	})
	if err != nil {
		f.err = err
		close(f.ready)
	}
	return f
}

// here makes what the leader has applied visible in the local replica, before it is answered.
func (s *Raft) here(out outcome) outcome {
	rev := out.rev
	var conflict *Conflict
	if errors.As(out.err, &conflict) {
		rev = conflict.Cur.Rev
	}
	ctx, cancel := context.WithTimeout(s.life, leaderWait)
	defer cancel()
	if err := s.WaitApplied(ctx, rev); err != nil && out.err == nil {
		s.log.Warn("the local replica lags behind the log", "wanted", rev, "applied", s.Applied()) // R3: it is committed
	}
	if conflict != nil {
		if cur, ok := s.Get(conflict.Cur.Key); ok {
			conflict.Cur = cur
		}
	}
	return out
}

// unwritten reports that the log has certainly not taken a proposal.
func unwritten(err error) bool {
	return errors.Is(err, errNotLeader) || errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrLeadershipTransferInProgress)
}

// again proposes once more after a moment.
func (s *Raft) again(p *proposal) {
	time.AfterFunc(10*time.Millisecond, func() {
		if err := s.committer.add(p); err != nil && p.withdraw() {
			p.done(0, notWritten(err))
		}
	})
}

// joinLog waits until this member is part of a log with a leader, and has caught up. It tells what it waits for.
func (s *Raft) joinLog(servers []raft.Server) error {
	if len(servers) == 1 { // nobody else's silence is to be waited for
		req := &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}}
		if err := s.network.TimeoutNow(s.id, raft.ServerAddress(s.id), req, &raft.TimeoutNowResponse{}); err != nil {
			s.log.Debug("no early election", "err", err)
		}
	}
	had := s.known > 0
	tell := time.NewTicker(5 * time.Second)
	defer tell.Stop()
	for {
		if err := s.outcast(); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(s.life, 250*time.Millisecond)
		_, err := s.ReadIndex(ctx)
		cancel()
		if err == nil && s.isMember() {
			if had {
				s.meet()
			}
			return s.outcast()
		}
		if stop := s.stopped(); stop != nil {
			return stop
		}
		select {
		case <-s.life.Done():
			return ErrClosed
		case why := <-s.refused:
			if !s.isMember() {
				return errors.New(why)
			}
		case <-s.cfg.Net.Stop:
			return fmt.Errorf("the log: stopped while waiting for it: %s", s.waitsFor())
		case <-tell.C:
			s.log.Warn("waiting for the log", "for", s.waitsFor())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// waitsFor words what a member that has no log yet waits for.
func (s *Raft) waitsFor() string {
	servers := s.raft.GetConfiguration().Configuration().Servers
	if len(servers) == 0 {
		return "the leader of the log to take this conductor in; it must reach this conductor's --raft-listen address, and hold the same cluster key"
	}
	live := map[string]bool{}
	for _, name := range s.cfg.Net.Live() {
		live[name] = true
	}
	voters, there, missing := 0, 0, []string{}
	for _, m := range servers {
		if m.Suffrage != raft.Voter {
			continue
		}
		voters++
		if live[nameOf(m.ID)] {
			there++
		} else {
			missing = append(missing, nameOf(m.ID))
		}
	}
	return fmt.Sprintf("a leader: %d of %d voters are here, %d are needed; missing: %v", there, voters, voters/2+1, missing)
}

func (s *Raft) isMember() bool {
	for _, m := range s.raft.GetConfiguration().Configuration().Servers {
		if m.ID == s.id {
			return true
		}
	}
	return false
}

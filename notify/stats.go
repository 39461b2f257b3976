// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"sync"
	"time"

	"ferrite/node"
)

// Stats are a publisher's figures since it was made.
type Stats struct {
	Published uint64 // events that NATS confirmed
	Refused   uint64 // events that NATS will never take; they are logged and skipped
	Retries   uint64 // further attempts at a batch
	Failures  uint64 // failures of any kind: reading, publishing, saving the cursor
	Lag       int    // events read from the log and not yet confirmed; the outbox may hold more
	Up        bool   // the last attempt was confirmed
	Runs      bool   // it publishes now; of several conductors one does (N2)
	Stuck     bool   // it publishes now, and its last attempt failed
	Rev       node.Rev
	Index     int       // with Rev: the last confirmed event
	Waits     time.Time // since when Lag events wait to be confirmed, zero = none do
	LastError string
	LastFail  time.Time // zero = never
}

// counters guard Stats for readers outside of Run.
type counters struct {
	mu sync.Mutex // guards the field below
	s  Stats
}

// Stats returns the figures; from any goroutine.
func (p *Publisher) Stats() Stats {
	p.stats.mu.Lock()
	defer p.stats.mu.Unlock()
	return p.stats.s
}

func (c *counters) change(f func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.s)
}

func (c *counters) begin(p place) {
	c.change(func(s *Stats) { s.Rev, s.Index, s.Runs = p.rev, p.index, true })
}

// end leaves no trouble behind that whoever publishes next may not have.
func (c *counters) end() {
	c.change(func(s *Stats) { s.Runs, s.Stuck, s.Lag, s.Waits = false, false, 0, time.Time{} })
}

func (c *counters) lag(n int, now time.Time) { c.change(func(s *Stats) { s.Lag, s.Waits = n, now }) }
func (c *counters) retry()                   { c.change(func(s *Stats) { s.Retries++ }) }
func (c *counters) up()                      { c.change(func(s *Stats) { s.Up, s.Stuck = true, false }) }

func (c *counters) confirmed(published, refused int, at place) {
	c.change(func(s *Stats) {
		s.Published += uint64(published)
		s.Refused += uint64(refused)
		s.Lag, s.Waits, s.Rev, s.Index = 0, time.Time{}, at.rev, at.index
	})
}

func (c *counters) failed(err error, when time.Time, sending bool) {
	c.change(func(s *Stats) {
		s.Failures++
		s.LastError, s.LastFail = err.Error(), when
		if sending {
			s.Up, s.Stuck = false, true
		}
	})
}

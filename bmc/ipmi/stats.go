// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import "sync/atomic"

// Stats are an engine's figures since its start.
type Stats struct {
	BMCs     int // known now
	Sessions int // open now
	InFlight int // BMCs with a handshake or command outstanding now

	Polls        uint64 // readings answered to a Sink
	Failures     uint64 // those of them that failed
	Handshakes   uint64 // begun
	Refused      uint64 // logins that a BMC refused
	Retransmits  uint64
	Probes       uint64 // questions outside of a session, to BMCs that had not answered
	Paced        uint64 // readings that waited for their turn (Rate, SubnetRate)
	Fenced       uint64 // mutating commands not sent for want of a live permit (S10)
	Sent         uint64 // datagrams
	Received     uint64 // datagrams
	Panics       uint64 // failures of our own code, each with a BMC left alone
	SocketErrors uint64 // of receiving

	Drops map[string]uint64 // received datagrams that were not believed, by reason (Reasons); absent = 0
}

// counters are one shard's; its goroutine writes, anybody reads.
type counters struct {
	sessions, inflight                                        atomic.Int64
	polls, failures, handshakes, refused, retransmits, fenced atomic.Uint64
	probes, paced                                             atomic.Uint64
	sent, received, panics, socketErrors                      atomic.Uint64
	drops                                                     [reasons]atomic.Uint64
}

// Stats reads the counters; they are not one moment's.
func (e *Engine) Stats() Stats {
	s := Stats{Drops: map[string]uint64{}}
	for _, sh := range e.shards() {
		c := &sh.stats
		s.Sessions += int(c.sessions.Load())
		s.InFlight += int(c.inflight.Load())
		s.Polls += c.polls.Load()
		s.Failures += c.failures.Load()
		s.Handshakes += c.handshakes.Load()
		s.Refused += c.refused.Load()
		s.Retransmits += c.retransmits.Load()
		s.Probes += c.probes.Load()
		s.Paced += c.paced.Load()
		s.Fenced += c.fenced.Load()
		s.Sent += c.sent.Load()
		s.Received += c.received.Load()
		s.Panics += c.panics.Load()
		s.SocketErrors += c.socketErrors.Load()
		for i := range c.drops {
			if n := c.drops[i].Load(); n > 0 {
				s.Drops[Reason(i).String()] += n //nolint:gosec // a handful
			}
		}
		sh.mu.Lock()
		s.BMCs += len(sh.records)
		sh.mu.Unlock()
	}
	return s
}

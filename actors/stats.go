// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import "sync/atomic"

// counters are what a fleet counts since its start.
type counters struct {
	actors, operations, waiting, late atomic.Int64
	commits, conflicts, fenced        atomic.Uint64
	parked, lockRefusals, quarantined atomic.Uint64
	released, claims                  atomic.Uint64
	polls, matches, samples, failures atomic.Uint64
	shed, expired, renewed, frozen    atomic.Uint64
	subnets                           atomic.Int64
}

// Stats are a fleet's figures for metrics, benches and the demo.
type Stats struct {
	Actors, Operations                int64  // now
	Waiting                           int64  // requests that wait for their node's actor, now
	Late                              int64  // findings of the sweep that stand in line, now
	SubnetsDown                       int64  // subnets in which many BMCs fail at once, now
	Frozen                            uint64 // readings that nothing followed from because of that
	Shed                              uint64 // requests refused because too many wait
	Commits, Conflicts, Fenced        uint64 // since start
	Expired                           uint64 // permits that were too old when it came to sending (S9)
	Renewed                           uint64 // permits that had grown old until the BMC's turn came, and were renewed (S9)
	Parked, LockRefusals, Quarantined uint64
	Released                          uint64 // operations ended by force (S13)
	Claims                            uint64 // nodes that this conductor became the owner of by a write (S4)
	Polls                             uint64 // power readings asked for by the sweep
	Matches                           uint64 // answered and equal to the record: nothing else happened (P1)
	Samples                           uint64 // answered and sent to the actor
	Failures                          uint64 // not answered
}

// Stats reads the counters.
func (f *Fleet) Stats() Stats {
	s := &f.stats
	return Stats{
		Actors: s.actors.Load(), Operations: s.operations.Load(), Waiting: s.waiting.Load(), Commits: s.commits.Load(), Conflicts: s.conflicts.Load(),
		Fenced: s.fenced.Load(), Parked: s.parked.Load(), LockRefusals: s.lockRefusals.Load(), Quarantined: s.quarantined.Load(), Released: s.released.Load(), Claims: s.claims.Load(),
		Late: s.late.Load(), Shed: s.shed.Load(), Expired: s.expired.Load(), Renewed: s.renewed.Load(), SubnetsDown: s.subnets.Load(), Frozen: s.frozen.Load(),
		Polls: s.polls.Load(), Matches: s.matches.Load(), Samples: s.samples.Load(), Failures: s.failures.Load(),
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import "sync/atomic"

// Reasons why a connection was refused, or closed for another.
const (
	refusedAddress = "address"     // too many from its address
	refusedTotal   = "total"       // all that may be open are at work
	closedIdle     = "idle"        // it had waited longest, and a new one came
	closedForFiles = "descriptors" // the process had no file descriptor left
)

// Reasons why a request was refused before anything looked at what it asks for.
const (
	refusedHeader    = "header"    // 431: larger than maxHeader
	refusedSize      = "size"      // 413
	refusedFraming   = "framing"   // 400: says twice how long it is
	refusedCoding    = "coding"    // 415: compressed
	refusedVersion   = "version"   // 505
	refusedSlow      = "slow"      // 408
	refusedMalformed = "malformed" // 400: no HTTP
	refusedJSON      = "json"      // 400: no UTF-8, too deep, too many values
	refusedMemory    = "memory"    // 503: Limits.HeldBytes
	refusedBusy      = "busy"      // 503: Limits.Working
	refusedPassword  = "password"  // 429: too many wrong ones from its address
)

// Reasons by which refusals are counted, in a fixed order.
var (
	connectionReasons = []string{refusedAddress, refusedTotal, closedIdle, closedForFiles}
	requestReasons    = []string{
		refusedHeader, refusedSize, refusedFraming, refusedCoding, refusedVersion, refusedSlow, refusedMalformed, refusedJSON,
		refusedMemory, refusedBusy, refusedPassword,
	}
)

// Stats are a server's figures for metrics.
type Stats struct {
	Connections        int               // open now
	Idle               int               // of those, how many wait for their next request
	HeldBytes          int64             // of requests and answers, now
	Working            int               // requests that parse or read the store, now
	RefusedConnections map[string]uint64 // by reason, since the start; every reason is there
	RefusedRequests    map[string]uint64 // likewise
}

// Stats reads the counters.
func (s *Server) Stats() Stats {
	g := s.gate
	g.mu.Lock()
	open, idle := g.open, g.waiting.Len()
	g.mu.Unlock()
	g.budget.mu.Lock()
	held := g.budget.held
	g.budget.mu.Unlock()
	return Stats{
		Connections: open, Idle: idle, HeldBytes: held, Working: len(s.working.Load().all),
		RefusedConnections: g.refused.read(), RefusedRequests: s.refused.read(),
	}
}

// NoStats are the figures of a server that has not begun: every reason at 0.
func NoStats() Stats {
	return Stats{RefusedConnections: newTally(connectionReasons).read(), RefusedRequests: newTally(requestReasons).read()}
}

// tally counts by reason. Its keys never change.
type tally map[string]*atomic.Uint64

func newTally(reasons []string) tally {
	t := make(tally, len(reasons))
	for _, r := range reasons {
		t[r] = new(atomic.Uint64)
	}
	return t
}

// add counts one; "" is no reason.
func (t tally) add(reason string) {
	if n := t[reason]; n != nil {
		n.Add(1)
	}
}

func (t tally) read() map[string]uint64 {
	out := make(map[string]uint64, len(t))
	for r, n := range t {
		out[r] = n.Load()
	}
	return out
}

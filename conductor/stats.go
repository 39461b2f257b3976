// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"ferrite/actors"
	"ferrite/bmc/ipmi"
	"ferrite/node"
	"ferrite/notify"
	"ferrite/notify/nova"
	"ferrite/persistence"
)

// Stats are a conductor's figures for the demo's status line and for benches.
type Stats struct {
	Nodes        int
	ByPower      map[string]int // "power on", "power off", "error", "unknown"
	ByProvision  map[string]int
	Syncs        uint64 // answered readings of the power sweep since start
	SyncFailures uint64
	Published    uint64 // notifications confirmed by NATS
	Sessions     int    // BMC sessions open now
	Commits      uint64 // log entries applied
}

// Stats counts the nodes and reads the counters.
func (c *Conductor) Stats() Stats {
	s := Stats{ByPower: map[string]int{}, ByProvision: map[string]int{}}
	c.store.Nodes(nil, func(n *node.Node) bool {
		s.Nodes++
		p := string(n.PowerState)
		if p == "" {
			p = "unknown"
		}
		s.ByPower[p]++
		s.ByProvision[string(n.ProvisionState)]++
		return true
	})
	f := c.fleet.Stats()
	s.Syncs, s.SyncFailures = f.Matches+f.Samples, f.Failures
	if c.publisher != nil {
		s.Published = c.publisher.Stats().Published
	}
	s.Sessions = c.engine.Stats().Sessions
	s.Commits = c.store.Stats().Commits
	return s
}

// figures is one consistent look at all counters, for the metrics.
type figures struct {
	fleet actors.Stats
	store persistence.Stats
	base  Stats
	nova  nova.Stats
	bus   notify.Stats
	ipmi  ipmi.Stats
	traps ipmi.TrapStats
	twice int // nodes behind a BMC that another node has too

	failures int // of whole subnets that this conductor counts for all

	cluster clusterFigures
	rates   rates
}

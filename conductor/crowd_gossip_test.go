// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ferrite/cluster"
)

// Role is the log's leader as this member knows it: of those that live the first, until it is cut off.
func (s *sight) Role() (leader string, voter, leads bool) {
	s.c.mu.Lock()
	leader = s.c.leader
	s.c.mu.Unlock()
	return leader, true, false
}

func (c *crowd) at(name string) string { return "10.0.0." + strings.TrimPrefix(name, "c") + ":7946" }

// gossips makes a member's Views come from memberlist, by the conductor's own loop: it freezes them, says that it is cut off,
// and gives up calls to who is gone.
func (c *crowd) gossips(ctx context.Context, m *crowdMember, log *slog.Logger) {
	x := &Conductor{
		cfg: Config{Name: m.Name, Cluster: &Cluster{}}, log: log, incarnation: m.Incarnation, store: m.sight,
		fleet: m.fleet, placement: m.place, hop: m.hop, router: m.hop.router,
	}
	var peers []string
	for _, name := range c.names {
		peers = append(peers, c.at(name))
	}
	var err error
	if x.membership, err = cluster.Join(cluster.Config{Member: m.Member, Listen: c.at(m.Name), Peers: peers, Air: c.air, Logger: log}); err != nil {
		c.t.Fatal(err)
	}
	m.conductor = x
	go func() { _ = x.attend(ctx) }()
}

// alarm makes others take a member for dead, which is not.
func (c *crowd) alarm(who string) {
	if c.air == nil {
		c.see(who, who)
		return
	}
	for _, name := range c.names {
		c.part(who, name, true)
	}
}

// part cuts the gossip and the calls between two members, or lets both through again.
func (c *crowd) part(a, b string, yes bool) {
	if a == b {
		return
	}
	for _, way := range [][2]string{{a, b}, {b, a}} {
		c.air.Cut(c.at(way[0]), c.at(way[1]), yes)
		c.net.Cut(c.ms[way[0]].Remote, c.ms[way[1]].Remote, yes)
	}
}

// weather is the trouble of a crowd that gossips; false = another sort of thing is to happen.
func (c *crowd) weather(who string, what int) bool {
	other := c.names[c.below(len(c.names))]
	switch what {
	case 4:
		c.alarm(who)
	case 5:
		c.part(who, other, true)
	case 6:
		c.air.Cut(c.at(who), c.at(other), true)
	case 7:
		c.air.Pause(c.at(who), true)
	case 8, 9:
		c.clear()
	case 10:
		c.mu.Lock()
		c.leader = other
		c.mu.Unlock()
	default:
		return false
	}
	return true
}

// clear ends what weather began.
func (c *crowd) clear() {
	for _, a := range c.names {
		c.air.Pause(c.at(a), false)
		for _, b := range c.names {
			c.part(a, b, false)
		}
	}
}

// calm lets everybody see everybody.
func (c *crowd) calm() {
	for _, name := range c.names {
		c.see(name, c.names...)
	}
	if c.air != nil {
		c.clear()
	}
}

// The same with Views that come from the gossip, over memberlist and the conductor's own loop: cuts of any direction, pauses,
// false alarms, deaths and restarts, with and without contact to the log (S1, S3-S7, S9-S12).
func TestTheCrowdKeepsTheLawByGossip(t *testing.T) {
	for seed := range uint64(gossipLives) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				crowdLife(t, seed, gossipSteps, cluster.NewAir())
				time.Sleep(2 * time.Minute) // what the gossip has begun ends
			})
		})
	}
}

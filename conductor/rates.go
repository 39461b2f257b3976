// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"ferrite/actors"
	"ferrite/bmc/ipmi"
	"ferrite/cluster"
)

// ipmi.rate, ipmi.subnet_rate and ipmi.handshake_rate spare BMCs and their networks, so they are the cluster's: each conductor keeps
// to its part of them. Nodes are spread over the conductors of their group alike, and so are the nodes of a subnet; the conductors
// of other groups have BMCs of their own.
//
// Who comes and goes is seen by each conductor a moment sooner or later, and for that moment their parts may come to more than the
// whole. That is no harm: readings change nothing and need no fence (S9, S10 are about commands).

// sharers is by how many a conductor divides the rates: itself, and the others of its group that may have nodes. One without contact
// to the log goes on reading what it had, and a cordoned one keeps what it has; one that starts or drains has no nodes, or will
// soon have none.
func sharers(v *cluster.View, name string) int {
	n := 1
	self, _ := v.Find(name)
	for _, m := range v.Members {
		if m.Name != name && m.Group == self.Group && !m.Joining && !m.Draining {
			n++
		}
	}
	return n
}

// ration divides the rates by a View that places nodes. A View that is frozen or not proved comes not this far: who is cut off, and
// sees nobody, takes no part of the others' (S3, S7).
func (c *Conductor) ration(v *cluster.View) {
	if c.share != nil {
		c.share(sharers(v, c.placement.self))
	}
}

// The settings that may keep an interval from being kept.
const (
	rateOfAll    = "ipmi.rate"
	rateOfSubnet = "ipmi.subnet_rate"
	rateOfLogins = "ipmi.handshake_rate"
)

// rateNames are all of them.
var rateNames = []string{rateOfAll, rateOfSubnet, rateOfLogins}

// round is how long a limit lets a reading of each of some nodes take.
type round struct {
	setting string
	subnet  string // "" = all nodes of this conductor
	nodes   int
	allowed float64 // readings a second
	takes   time.Duration
}

// rounds are those of all limits, the longest first.
func rounds(d actors.Demand, cfg ipmi.Config, share int) (out []round) {
	add := func(setting, subnet string, nodes int, rate float64) {
		if rate > 0 && nodes > 0 && d.Interval > 0 {
			allowed := rate / float64(share)
			out = append(out, round{setting, subnet, nodes, allowed, time.Duration(float64(nodes) / allowed * float64(time.Second))})
		}
	}
	add(rateOfAll, "", d.Nodes, cfg.Rate)
	if d.Interval > cfg.SessionIdle { // each reading is a login
		add(rateOfLogins, "", d.Nodes, cfg.Handshakes)
	}
	for subnet, nodes := range d.Subnets {
		add(rateOfSubnet, subnet, nodes, cfg.SubnetRate)
	}
	slices.SortFunc(out, func(a, b round) int {
		return cmp.Or(cmp.Compare(b.takes, a.takes), cmp.Compare(a.setting, b.setting), cmp.Compare(a.subnet, b.subnet))
	})
	return out
}

// rates is the state of this conductor's limits.
type rates struct {
	share    int
	interval time.Duration
	rounds   []round
}

func (c *Conductor) rates() rates {
	d := c.fleet.Sweep().Demand()
	share := c.engine.Shared()
	return rates{share, d.Interval, rounds(d, c.cfg.IPMI, share)}
}

// short counts, by setting, the limits that do not let the interval be kept.
func (r rates) short() map[string]int {
	out := map[string]int{}
	for _, x := range r.rounds {
		if x.takes > r.interval {
			out[x.setting]++
		}
	}
	return out
}

// longest is how long the slowest round takes, 0 = nothing is limited.
func (r rates) longest() time.Duration {
	if len(r.rounds) == 0 {
		return 0
	}
	return r.rounds[0].takes
}

const (
	ratesEvery = 10 * time.Second
	ratesMost  = 5 // lines of one look
)

// shortfalls tells of limits that do not let the interval be kept.
type shortfalls struct {
	seen map[string]int // by setting and subnet: looks in a row that found it so; told from the second on
}

// look compares with the look before. What lasts for two looks is told, since nodes that move are counted twice for a moment;
// and it is over when there is a tenth to spare.
func (s *shortfalls) look(r rates) (begun []round, over []string) {
	now := map[string]int{}
	for _, x := range r.rounds {
		key := x.setting + " " + x.subnet
		looks := s.seen[key]
		switch {
		case x.takes > r.interval:
			if now[key] = looks + 1; now[key] == 2 {
				begun = append(begun, x)
			}
		case looks > 1 && float64(x.takes) > 0.9*float64(r.interval):
			now[key] = looks
		}
	}
	for key, looks := range s.seen {
		if _, yes := now[key]; !yes && looks > 1 {
			over = append(over, key)
		}
	}
	slices.Sort(over)
	s.seen = now
	return begun, over
}

// watchRates logs when nodes cannot be read as often as they should be because of these settings.
func (c *Conductor) watchRates(ctx context.Context) error {
	var s shortfalls
	for wait(ctx, ratesEvery); ctx.Err() == nil; wait(ctx, ratesEvery) {
		s.tell(c.log, c.rates())
	}
	return nil
}

// tell logs what a look has found.
func (s *shortfalls) tell(log *slog.Logger, r rates) {
	begun, over := s.look(r)
	for i, x := range begun {
		if i == ratesMost {
			log.Warn("and so it is with more subnets", "subnets", len(begun)-i)
			break
		}
		log.Warn("nodes cannot be read every sync_power_state_interval, a rate allows less", "setting", x.setting, "of", cmp.Or(x.subnet, "all nodes of this conductor"),
			"nodes", x.nodes, "interval", r.interval.String(), "needed_per_s", tenths(float64(x.nodes)/r.interval.Seconds()), "allowed_per_s", tenths(x.allowed),
			"share", fmt.Sprintf("1/%d", r.share), "read_every", x.takes.Round(100*time.Millisecond).String(), "hint", "make the interval longer, or the rate higher if BMCs and switches bear it")
	}
	if len(over) > ratesMost {
		over = append(over[:ratesMost], "...")
	}
	if len(over) > 0 {
		log.Info("nodes can be read every sync_power_state_interval again", "by", over)
	}
}

// tenths rounds for people.
func tenths(x float64) float64 { return float64(int(x*10+0.5)) / 10 }

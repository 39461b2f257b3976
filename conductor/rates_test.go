// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"ferrite/actors"
	"ferrite/bmc/ipmi"
	"ferrite/cluster"
)

func TestByHowManyTheRatesAreDivided(t *testing.T) {
	for what, row := range map[string]struct {
		self   cluster.Member
		others []cluster.Member
		want   int
	}{
		"alone":                     {want: 1},
		"three":                     {others: []cluster.Member{{Name: "c2"}, {Name: "c3"}}, want: 3},
		"another group":             {others: []cluster.Member{{Name: "c2", Group: "rack7"}, {Name: "c3"}}, want: 2},
		"of a group":                {self: cluster.Member{Group: "rack7"}, others: []cluster.Member{{Name: "c2", Group: "rack7"}, {Name: "c3"}}, want: 2},
		"one drains":                {others: []cluster.Member{{Name: "c2", Draining: true}, {Name: "c3"}}, want: 2},
		"it drains":                 {self: cluster.Member{Draining: true}, others: []cluster.Member{{Name: "c2"}, {Name: "c3"}}, want: 3},
		"one starts":                {others: []cluster.Member{{Name: "c2", Joining: true}}, want: 1},
		"it starts":                 {self: cluster.Member{Joining: true}, others: []cluster.Member{{Name: "c2"}}, want: 2},
		"a cordoned one has nodes":  {others: []cluster.Member{{Name: "c2", Cordoned: true}}, want: 2},
		"one that is cut off reads": {others: []cluster.Member{{Name: "c2", Cut: true}}, want: 2},
	} {
		row.self.Name = "c1"
		if got := sharers(cluster.NewView(1, append(row.others, row.self)), "c1"); got != row.want {
			t.Errorf("%s: by %d, wanted %d", what, got, row.want)
		}
	}
}

// How often nodes can be read is what the tightest limit allows.
func TestRoundsOfLimits(t *testing.T) {
	cfg := ipmi.Defaults()
	cfg.Rate, cfg.SubnetRate, cfg.Handshakes = 300, 30, 15
	d := actors.Demand{Interval: 30 * time.Second, Nodes: 900, Subnets: map[string]int{"10.0.0.0/24": 250, "10.0.1.0/24": 100}}
	text := func(r rates) string {
		var out []string
		for _, x := range r.rounds {
			out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %d/%g=%s", x.setting, x.subnet, x.nodes, x.allowed, x.takes)))
		}
		return strings.Join(out, "; ")
	}
	for _, x := range []struct {
		interval time.Duration
		share    int
		want     string
		short    map[string]int
	}{
		{30 * time.Second, 1, "ipmi.subnet_rate 10.0.0.0/24 250/30=8.333333333s; ipmi.subnet_rate 10.0.1.0/24 100/30=3.333333333s; ipmi.rate  900/300=3s", nil},
		{9 * time.Second, 3, "ipmi.subnet_rate 10.0.0.0/24 250/10=25s; ipmi.subnet_rate 10.0.1.0/24 100/10=10s; ipmi.rate  900/100=9s", map[string]int{rateOfSubnet: 2}},
		{8 * time.Second, 3, "ipmi.subnet_rate 10.0.0.0/24 250/10=25s; ipmi.subnet_rate 10.0.1.0/24 100/10=10s; ipmi.rate  900/100=9s", map[string]int{rateOfSubnet: 2, rateOfAll: 1}},
		{55 * time.Second, 1, "ipmi.handshake_rate  900/15=1m0s; ipmi.subnet_rate 10.0.0.0/24 250/30=8.333333333s; ipmi.subnet_rate 10.0.1.0/24 100/30=3.333333333s; ipmi.rate  900/300=3s", map[string]int{rateOfLogins: 1}},
		{0, 1, "", nil},
	} {
		d.Interval = x.interval
		r := rates{x.share, x.interval, rounds(d, cfg, x.share)}
		if got := text(r); got != x.want {
			t.Errorf("every %s, 1/%d: %q, wanted %q", x.interval, x.share, got, x.want)
		}
		if got := r.short(); !maps.Equal(got, x.short) {
			t.Errorf("every %s, 1/%d: too little of %v, wanted %v", x.interval, x.share, got, x.short)
		}
	}
	cfg.Rate, cfg.SubnetRate, cfg.Handshakes = 0, 0, 0
	if r := (rates{1, time.Second, rounds(d, cfg, 1)}); len(r.rounds) != 0 || r.longest() != 0 {
		t.Errorf("without limits: %+v", r)
	}
}

// What comes and goes is not told, and what lasts is told once.
func TestWhatLastsIsTold(t *testing.T) {
	var s shortfalls
	for i, x := range []struct {
		takes      time.Duration // of 10 s
		begun, end int
	}{{12, 0, 0}, {8, 0, 0}, {12, 0, 0}, {12, 1, 0}, {13, 0, 0}, {10, 0, 0}, {11, 0, 0}, {9, 0, 1}, {9, 0, 0}, {12, 0, 0}, {12, 1, 0}, {0, 0, 1}} {
		r := rates{share: 1, interval: 10 * time.Second}
		if x.takes > 0 {
			r.rounds = []round{{setting: rateOfSubnet, subnet: "10.0.0.0/24", takes: x.takes * time.Second}}
		}
		if begun, over := s.look(r); len(begun) != x.begun || len(over) != x.end {
			t.Errorf("look %d: %v has begun and %v is over, wanted %d and %d", i+1, begun, over, x.begun, x.end)
		}
	}
}

// The log names subnets and figures, of many subnets the worst.
func TestWhatTheLogSaysOfRates(t *testing.T) {
	told := &lines{}
	log := slog.New(slog.NewTextHandler(told, nil))
	d := actors.Demand{Interval: 2 * time.Second, Nodes: 900, Subnets: map[string]int{}}
	for i := range 9 {
		d.Subnets[fmt.Sprintf("10.0.%d.0/24", i)] = 100 - i
	}
	var s shortfalls
	for range 3 {
		s.tell(log, rates{3, d.Interval, rounds(d, ipmi.Defaults(), 3)})
	}
	if !told.has("setting=ipmi.subnet_rate", "of=10.0.0.0/24", "nodes=100", "interval=2s", "needed_per_s=50", "allowed_per_s=16.7", "share=1/3", "read_every=6s") || told.has("of=10.0.5.0/24") {
		t.Errorf("%s", told.b.String())
	}
	if n, more := told.count("cannot be read every"), told.has("more subnets", "subnets=4"); n != ratesMost || !more {
		t.Errorf("%d subnets were named, and that there are more: %v; wanted %d and true", n, more, ratesMost)
	}
	if s.tell(log, rates{share: 3, interval: d.Interval}); told.count("can be read every sync_power_state_interval again") != 1 {
		t.Error("it is over, and the log does not say so")
	}
}

// Three conductors read the BMCs of a subnet as fast as ipmi.subnet_rate says of it, not three times as fast. The bound is in readings
// for the time that they took: a busy machine reads less.
func TestConductorsShareTheRateOfASubnet(t *testing.T) {
	const bmcs, rate, readings = 24, 30, 4 * 30
	f := simulated(t, bmcs)
	cs := several(t, 3, func(_ int, c *Config) {
		c.IPMI.SubnetRate, c.SyncInterval = rate, 200*time.Millisecond // they ask for four times as many
	})
	agree(t, cs...)
	managed(t, cs[0], f, bmcs)
	polls := func() (n uint64) {
		for _, c := range cs {
			n += c.engine.Stats().Polls
		}
		return n
	}
	until(t, "each BMC is one's, in one subnet", func() bool {
		nodes, here := 0, 0
		for _, c := range cs {
			d := c.fleet.Sweep().Demand()
			nodes += d.Nodes
			for _, n := range d.Subnets {
				here += n
			}
			if len(d.Subnets) != 1 || d.Interval != c.cfg.SyncInterval {
				return false
			}
		}
		return nodes == bmcs && here == bmcs
	})
	until(t, "each reads its share", func() bool {
		return !slices.ContainsFunc(cs, func(c *Conductor) bool {
			return c.engine.Shared() != 3 || c.engine.Stats().Paced == 0 || c.rates().short()[rateOfSubnet] != 1
		})
	})
	for i := 0; ; i++ {
		before, first, began := views(cs), polls(), time.Now()
		until(t, "the BMCs are read", func() bool { return polls() >= first+readings })
		n, took := polls()-first, time.Since(began)
		if !slices.Equal(before, views(cs)) && i < 10 { // on a busy machine one may be taken for dead for a moment
			continue
		}
		// A second's worth may have been saved up, and another one have been under way when it began.
		if most := rate * (took.Seconds() + 2); float64(n) > most {
			t.Errorf("three conductors made %d readings of a subnet in %s: wanted %.0f at most, at %d a second", n, took, most, rate)
		}
		break
	}
	_, text := get(t, cs[1].APIURL()+"/metrics")
	for _, want := range []string{"conductor_bmc_rate_share 0.3333333333333333", `conductor_bmc_rate_short{setting="ipmi.subnet_rate"} 1`, `conductor_bmc_rate_short{setting="ipmi.rate"} 0`, "conductor_bmc_round_seconds "} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("the metrics do not say %s", want)
		}
	}
	stop(t, cs[2])
	until(t, "the rate is shared by two", func() bool { return cs[0].engine.Shared() == 2 && cs[1].engine.Shared() == 2 })
}

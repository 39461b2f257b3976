// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// size is how large and long a nemesis run is.
type size struct {
	conductors, machines, registers int
	disk                            string        // of each
	acts                            int           // at least so many faults
	least                           time.Duration // and for so long
	pause                           time.Duration // longest pause, outage or partition
}

func sizes() []size {
	if os.Getenv("FERRITE_LONG") == "" {
		return []size{{conductors: 3, machines: 200, registers: 4, disk: "1G", acts: len(blows) - 1, pause: 4 * time.Second}} // unplug, or part two
	}
	return []size{
		{conductors: 3, machines: 2000, registers: 8, disk: "4G", acts: 30, least: 10 * time.Minute, pause: 20 * time.Second},
		{conductors: 5, machines: 2000, registers: 8, disk: "4G", acts: 30, least: 10 * time.Minute, pause: 20 * time.Second},
	}
}

// TestClusterNemesis lets clients read, write and switch machines while conductors are killed, paused, ended, exchanged for
// another build, cut off from one another, robbed of room on their disks and of the power.
// Afterwards nothing that was acknowledged is lost, reads and writes have one order, no two conductors have commanded one
// machine at a time, nothing was done twice, all was told, and nothing is stuck (S1, S3, S9, S10, S11, S12, R1, R3, L2, N2).
// It wants the machine for itself: "make test" runs it alone, after all else.
func TestClusterNemesis(t *testing.T) {
	if os.Getenv("FERRITE_LONG") == "" && os.Getenv("NEMESIS") == "" {
		t.Skip("a minute and a half of random trouble: make chaos-short, or half an hour of it: make chaos")
	}
	if inOwnNet(t) {
		return
	}
	seed := uint64(time.Now().UnixNano()) //nolint:gosec // any
	if text := os.Getenv("NEMESIS_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("NEMESIS_SEED: %v", err)
		}
	}
	t.Logf("seed %d; run again with NEMESIS_SEED=%d", seed, seed)
	l := newLAN(t, 5)
	var w *switched
	if l == nil {
		w = newSwitched(t, 5)
	}
	for _, s := range sizes() {
		t.Run(fmt.Sprintf("%d conductors", s.conductors), func(t *testing.T) { soak(t, s, l, w, seed) })
	}
}

// soak is one run, with cables between namespaces or else with a switch in them, or with neither.
func soak(t *testing.T, s size, l *lan, w *switched, seed uint64) {
	hosts, here := []string{}, "127.0.0.1"
	for i := range s.conductors {
		hosts = append(hosts, here)
		if l != nil {
			hosts[i] = l.hosts[i]
		} else if w != nil {
			hosts[i] = w.hosts[i]
		}
	}
	if l != nil {
		here = lanHere
	}
	bus := newStream(t, here)
	e := preparedAt(t, hosts, "--nats-url", bus.url, "--nats-jetstream", "--automated-clean=false", "--sync-power-state-interval", "3s",
		"--power-state-sync-max-retries", "60") // the sessions of the dead may fill a BMC for a minute: that is no reason for maintenance
	e.http.Timeout = 8 * time.Second
	n := &nemesis{ensemble: e, lan: l, rnd: rand.New(rand.NewPCG(seed, uint64(s.conductors))), size: s, done: map[string]int{}, full: map[*site]bool{}} //nolint:gosec // a test
	for i, x := range e.all {
		if l != nil {
			x.in, n.net = l.inside(i), l
		} else if w != nil {
			w.rewire(x)
			n.net, n.own = w, w.bin
		}
	}
	if w != nil {
		w.watch(t)
	}
	n.other = n.anotherBuild()
	for _, x := range e.all {
		if d := newDisk(t, x.dir, s.disk); d != nil {
			n.disks = append(n.disks, d)
		}
	}
	e.startAll()
	o := &operators{e: e, farm: newFarm(t, s.machines), net: n.net}
	o.enroll(s.machines)
	var regs []*register
	for i := range s.registers {
		name := fmt.Sprintf("r%d", i)
		e.must(http.StatusCreated, "POST", "/v1/nodes", map[string]any{"driver": "fake-hardware", "name": name})
		regs = append(regs, &register{e: e, node: name})
	}

	stop := make(chan struct{})
	var users sync.WaitGroup
	each := func(pause time.Duration, do func(turn int)) {
		users.Go(func() {
			for turn := 0; ; turn++ {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(rand.Int64N(int64(pause)))):
				}
				do(turn)
			}
		})
	}
	for _, r := range regs {
		for c := range 4 {
			each(150*time.Millisecond, func(int) { r.touch(c, c%2 == 0) })
		}
	}
	const hands = 12
	for h := range hands {
		mine := []*machine{}
		for _, m := range o.all[:min(len(o.all), 20*hands)] { // enough commands for each
			if m.i%hands == h {
				mine = append(mine, m)
			}
		}
		each(100*time.Millisecond, func(turn int) { o.operate(mine[turn%len(mine)], stop) })
	}
	n.rage()
	close(stop)
	users.Wait()
	e.whole()
	n.versions()
	for _, r := range regs { // what every conductor says in the end belongs to the history
		for range 4 * s.conductors {
			r.touch(9, false)
		}
	}

	quiet := time.Now()
	told := func(what string) {
		t.Helper()
		t.Logf("%s %s after the last fault", what, time.Since(quiet).Round(time.Second))
	}
	o.check(told)
	for _, r := range regs {
		r.check(t)
	}
	until(t, "every node to be active at one conductor", func() bool {
		active := 0
		for _, x := range e.all {
			_, doc, _, err := e.do(x, "GET", "/v1/x/cluster", nil, nil)
			h, _ := doc["here"].(map[string]any)
			a, _ := h["active"].(float64)
			if err != nil || h["operations"] != 0.0 {
				return false
			}
			active += int(a)
		}
		return active == s.machines+s.registers
	})
	told("every node is active")
	bus.compare(e)
	told("all notifications have come")
	for _, x := range e.all {
		if !x.runs() {
			t.Errorf("%s is not there any more:\n%s", x.name(), x.p.out)
		}
		if strings.Contains(x.p.out.String(), "panic") || strings.Contains(x.p.out.String(), "fatal error") {
			t.Errorf("%s panicked", x.name())
		}
	}
	t.Logf("faults: %s", n.tally())
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"net/netip"
	"runtime"
	"testing"

	"ferrite/bmc"
	"ferrite/node"
	"ferrite/sim"
)

// tally is a sink that counts answers and tells of the last one that is awaited.
type tally struct {
	left, failed int // only the shard's goroutine writes, between two sends on done
	done         chan struct{}
}

func (c *tally) PowerPolled(_ node.PowerState, err error) {
	if err != nil {
		c.failed++
	}
	if c.left--; c.left == 0 {
		c.done <- struct{}{}
	}
}

// A reading in a kept session allocates nothing, on either socket; the simulator in the same process does not either.
func TestReadingsAllocateNothing(t *testing.T) {
	const bmcs, rounds = 200, 10
	for name, portable := range map[string]bool{"batches": false, "portable": true} {
		t.Run(name, func(t *testing.T) {
			cfg := quick()
			cfg.Shards, cfg.Portable = 1, portable
			f, e := fleet(t, func(c *sim.Config) { c.BMCs = bmcs }), engine(t, cfg)
			hs := handles(t, e, f)
			c := &tally{done: make(chan struct{})}
			round := func() {
				c.left = bmcs
				for _, h := range hs {
					h.Poll(c)
				}
				<-c.done
			}
			for range 5 {
				round()
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range rounds {
				round()
			}
			runtime.ReadMemStats(&after)
			if c.failed > 0 {
				t.Errorf("%d readings failed", c.failed)
			}
			if n := float64(after.Mallocs-before.Mallocs) / (bmcs * rounds); n > 0.25 {
				t.Errorf("a reading takes %.2f allocations: wanted none", n)
			}
		})
	}
}

// A BMC with its session takes no more than 2.5 KB.
func TestABMCIsSmall(t *testing.T) {
	const bmcs = 5000
	b := onTable(t, nil)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range bmcs {
		p := b.peerAt(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}).String())
		p.s = nil // that is the BMC's side
	}
	if n := int64(heap()-before) / bmcs; n > 2500 { //nolint:gosec // it grows
		t.Errorf("a BMC with a session takes %d bytes: wanted 2500 at most", n)
	}
	runtime.KeepAlive(b)
}

var _ bmc.Sink = (*tally)(nil)

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"runtime"
	"testing"
)

// polls is a ring of sealed Get Chassis Status requests that a session accepts again and again: before each round the
// test sets the session's window back.
func polls(c *console, n int) [][]byte {
	p := make([][]byte, n)
	for i := range p {
		p[i] = c.seal(uint32(i+1), message(0, 1, byte(i&0x3f)))
	}
	return p
}

func rewind(b *BMC) {
	b.mu.Lock()
	b.sessions[0].in, b.sessions[0].seen = 0, 0
	b.mu.Unlock()
}

// TestStatusAllocatesNothing holds the promise that benchmarks rest upon.
func TestStatusAllocatesNothing(t *testing.T) {
	for _, suite := range []int{3, 17} {
		c := newConsole(t, fleet(t, nil), 0, suite).login()
		ps := polls(c, 1100)
		i := 0
		if n := testing.AllocsPerRun(1000, func() {
			if c.exchange(ps[i]) == nil {
				t.Fatal("no answer")
			}
			i++
		}); n != 0 {
			t.Errorf("suite %d: %v allocations per Get Chassis Status, wanted 0", suite, n)
		}
	}
}

func BenchmarkStatus(b *testing.B) {
	for _, suite := range []int{3, 17} {
		b.Run(fmt.Sprintf("suite=%d", suite), func(b *testing.B) {
			c := newConsole(b, fleet(b, nil), 0, suite).login()
			ps := polls(c, 4096)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if i == len(ps) {
					rewind(c.f.BMC(0))
					i = 0
				}
				if c.exchange(ps[i]) == nil {
					b.Fatal("no answer")
				}
				i++
			}
		})
	}
}

// BenchmarkSessionMemory tells what a live session costs.
func BenchmarkSessionMemory(b *testing.B) {
	for _, suite := range []int{3, 17} {
		b.Run(fmt.Sprintf("suite=%d", suite), func(b *testing.B) {
			const n = 5000
			f := fleet(b, func(c *Config) { c.BMCs = n })
			shared := newConsole(b, f, 0, suite)
			var before, after runtime.MemStats
			for b.Loop() {
				runtime.GC()
				runtime.ReadMemStats(&before)
				for i := range n {
					c := newConsole(b, f, i, suite)
					c.in, c.out = shared.in, shared.out
					c.login().run(0, 1)
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/session")
				for i := range n {
					f.BMC(i).SetDead(true)
					f.BMC(i).SetDead(false)
				}
			}
		})
	}
}

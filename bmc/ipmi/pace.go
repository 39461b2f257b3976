// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"net/netip"
	"time"
)

// bucket spreads what is begun in a subnet, or by a whole shard: one every step, and a second's worth at once after a
// pause. It belongs to its shard's goroutine; nil limits nothing.
type bucket struct {
	step int64 // nanoseconds
	next int64 // shard time at which the next one is due if nothing is saved up
}

func newBucket(rate float64) *bucket {
	if rate <= 0 {
		return nil
	}
	return &bucket{step: int64(float64(time.Second) / rate)}
}

// take books the next place and tells when it is.
func (b *bucket) take(now int64) int64 {
	if b == nil {
		return now
	}
	t := max(b.next, now-int64(time.Second)+b.step)
	b.next = t + b.step
	return t
}

// subnetLocked is the bucket of an address. sh.mu is held.
func (sh *shard) subnetLocked(a netip.Addr) *bucket {
	rate := sh.cfg.SubnetRate / float64(sh.cfg.shards()) // a subnet's BMCs are on all shards
	if rate <= 0 {
		return nil
	}
	bits := 24
	if a.Is6() {
		bits = 64
	}
	p, err := a.WithZone("").Prefix(bits)
	if err != nil {
		return nil
	}
	b := sh.nets[p]
	if b == nil {
		b = newBucket(rate)
		sh.nets[p] = b
	}
	return b
}

// wait is how long a record's next job must wait for its turn. Calls that somebody waits for take a place and do not
// wait; readings and calls that give way do, and readings that would need a new session while those are not to be opened.
func (sh *shard) wait(r *record) time.Duration {
	if c := r.cur; c != nil && !c.slow {
		sh.all.take(sh.now)
		r.net.take(sh.now)
		return 0
	}
	if r.cur != nil || r.polls == nil && r.slow == nil || sh.leaving {
		return 0
	}
	if r.sess == nil && sh.now < sh.quiet {
		return time.Duration(sh.quiet-sh.now) + time.Duration(sh.rng.Int64N(int64(quietSpread)))
	}
	if r.turn == 0 {
		r.turn = max(sh.all.take(sh.now), r.net.take(sh.now))
	}
	if r.turn > sh.now {
		sh.stats.paced.Add(1)
		return time.Duration(r.turn - sh.now)
	}
	r.turn = 0
	return 0
}

// quietSpread is the time within which readings begin after a quiet start.
const quietSpread = 5 * time.Second

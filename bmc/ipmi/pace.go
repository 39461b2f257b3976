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
	whole int64 // nanoseconds from one to the next at the rate as it is set
	step  int64 // the same at this engine's share of it
	next  int64 // shard time at which the next one is due if nothing is saved up
}

func newBucket(rate float64, share int32) *bucket {
	if rate <= 0 {
		return nil
	}
	whole := int64(float64(time.Second) / rate)
	return &bucket{whole: whole, step: whole * int64(share)}
}

// take books the next place and tells when it is.
func (b *bucket) take(now int64) int64 {
	if b == nil {
		return now
	}
	t := max(b.next, now-max(0, int64(time.Second)-b.step)) // one at least, however rare they are
	b.next = t + b.step
	return t
}

// share makes the rate one n-th of the whole one. What is saved up is kept as time, so it is a second's worth at most at
// any rate; the places that are booked move closer together or farther apart.
func (b *bucket) share(n int32, now int64) {
	if b == nil {
		return
	}
	step := b.whole * int64(n)
	b.next = moved(b.next, now, float64(step)/float64(b.step))
	b.step = step
}

// moved is a time to come so many times as far away; one that is past stays.
func moved(t, now int64, times float64) int64 {
	if t <= now {
		return t
	}
	return now + int64(float64(t-now)*times)
}

// logins rations the sessions that are opened. Readings, and calls that give way, wait for a token of this engine's share and
// for one of the whole rate. Calls that somebody waits for need the latter alone: however many engines share the rate, they
// are as quick as with one, and readings make up for them.
type logins struct {
	rate       float64 // tokens a second, all engines together; 0 = no limit
	share      int32   // one in so many of them is this engine's
	whole, own float64 // tokens
	at         int64   // when they were counted
}

// fill adds the tokens of the time that has passed, up to a tenth of a second's worth, or one.
func (l *logins) fill(now int64) {
	passed := time.Duration(now - l.at).Seconds()
	l.at = now
	own := l.rate / float64(l.share)
	l.whole = min(l.whole+l.rate*passed, max(1, l.rate/10))
	l.own = min(l.own+own*passed, max(1, own/10))
}

// take reports whether a session may be opened now.
func (l *logins) take(awaited bool) bool {
	if l.rate <= 0 {
		return true
	}
	if l.whole < 1 || !awaited && l.own < 1 {
		return false
	}
	l.whole--
	l.own--
	return true
}

// awaited reports whether somebody waits for what the record's BMC does next, under whatever login.
func (r *record) awaited() bool {
	if r.cur != nil && !r.cur.slow || r.mut != nil || r.reads != nil {
		return true
	}
	for k := range r.kinOf() {
		if k.mut != nil || k.reads != nil {
			return true
		}
	}
	return false
}

// hurry lets a record, and others of its BMC, that wait for their login among readings go before them: a call has come.
func (sh *shard) hurry(r *record) {
	if r.stage == waiting && sh.shakes.remove(r) {
		sh.urgent.append(r)
	}
	for k := range r.kinOf() {
		if k.stage == waiting && sh.shakes.remove(k) {
			sh.urgent.append(k)
		}
	}
}

// outstanding is how many BMCs owe an answer: a login that waits for its token is no reason for others to wait.
func (sh *shard) outstanding() int { return sh.inflight - sh.shakes.n - sh.urgent.n }

// reshare takes over a share that was set since. Waits that were worked out by the old one are worked out anew.
func (sh *shard) reshare() {
	n := sh.wanted.Load()
	if n == sh.logins.share {
		return
	}
	times := float64(n) / float64(sh.logins.share)
	sh.logins.share = n
	sh.all.share(n, sh.now)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, b := range sh.nets {
		b.share(n, sh.now)
	}
	again := func(r *record) {
		if r.turn <= sh.now {
			return
		}
		if r.turn = moved(r.turn, sh.now, times); r.wanted() {
			sh.want(r, false)
		}
	}
	for _, r := range sh.records {
		again(r)
		for k := range r.kinOf() {
			again(k)
		}
	}
}

// subnetLocked is the bucket of an address. sh.mu is held.
func (sh *shard) subnetLocked(a netip.Addr) *bucket {
	rate := sh.cfg.SubnetRate / float64(sh.spread)
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
		b = newBucket(rate, sh.wanted.Load())
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
		if r.turn = max(sh.all.take(sh.now), r.net.take(sh.now)); r.turn > sh.now {
			sh.stats.paced.Add(1)
		}
	}
	if r.turn > sh.now {
		return time.Duration(r.turn - sh.now)
	}
	r.turn = 0
	return 0
}

// quietSpread is the time within which readings begin after a quiet start.
const quietSpread = 5 * time.Second

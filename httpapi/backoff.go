// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"net/netip"
	"sync"
	"time"
)

// Guessing passwords is slowed down for each address: after freeFailures wrong ones each further failure doubles the time
// in which all sign-ins from there that are not remembered as good are refused unread, without a run of bcrypt.
const (
	freeFailures = 5
	firstPause   = time.Second
	longestPause = time.Minute
	forgetAfter  = 10 * time.Minute
	maxAddresses = 4096 // the memory of a backoff is bounded: the address that failed longest ago is forgotten first
)

type backoff struct {
	now func() time.Time

	mu    sync.Mutex // guards the fields below
	from  map[netip.Addr]*failures
	turns map[netip.Addr]*turns
}

// turns are the sign-ins from an address that are looked at or wait for that.
type turns struct {
	one  sync.Mutex // held while one is looked at
	many int        // guarded by backoff.mu
}

type failures struct {
	count int
	last  time.Time
	until time.Time // no sign-in is looked at before
}

func newBackoff() *backoff {
	return &backoff{now: time.Now, from: map[netip.Addr]*failures{}, turns: map[netip.Addr]*turns{}}
}

// origin is what failures are counted by: an IPv4 address, or the /64 of an IPv6 one, of which one machine has many.
func origin(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// turn waits until no other sign-in from the address is looked at; end lets the next one.
func (b *backoff) turn(a netip.Addr) (end func()) {
	a = origin(a)
	b.mu.Lock()
	t := b.turns[a]
	if t == nil {
		t = &turns{}
		b.turns[a] = t
	}
	t.many++
	b.mu.Unlock()
	t.one.Lock()
	return func() {
		t.one.Unlock()
		b.mu.Lock()
		defer b.mu.Unlock()
		if t.many--; t.many == 0 {
			delete(b.turns, a)
		}
	}
}

// wait is for how long an address has still to wait, 0 = it may try.
func (b *backoff) wait(a netip.Addr) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.from[origin(a)]
	if f == nil {
		return 0
	}
	return max(0, f.until.Sub(b.now()))
}

// failed counts a wrong password.
func (b *backoff) failed(a netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a, now := origin(a), b.now()
	f := b.from[a]
	if f == nil || now.Sub(f.last) > forgetAfter {
		if f == nil && len(b.from) >= maxAddresses {
			b.forgetOldestLocked()
		}
		f = &failures{}
		b.from[a] = f
	}
	f.count++
	f.last = now
	if over := f.count - freeFailures; over > 0 {
		f.until = now.Add(min(longestPause, firstPause<<min(over-1, 10)))
	}
}

// succeeded forgets an address.
func (b *backoff) succeeded(a netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.from, origin(a))
}

func (b *backoff) forgetOldestLocked() {
	var oldest netip.Addr
	var at time.Time
	for a, f := range b.from {
		if at.IsZero() || f.last.Before(at) {
			oldest, at = a, f.last
		}
	}
	delete(b.from, oldest)
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"net/netip"
	"sync"
)

// budget counts the bytes that requests and answers hold. One address may hold half of it.
type budget struct {
	mu   sync.Mutex // guards the fields below
	most int64
	held int64
	of   map[netip.Addr]int64
}

func newBudget(most int64) *budget { return &budget{most: most, of: map[netip.Addr]int64{}} }

// bound sets how much may be held from now on.
func (b *budget) bound(most int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.most = most
}

// take holds n more bytes for an address, or none if there is no room.
func (b *budget) take(from netip.Addr, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held+n > b.most || from.IsValid() && b.of[from]+n > b.most/2 {
		return false
	}
	b.addLocked(from, n)
	return true
}

// force holds n more bytes: what was done must be told.
func (b *budget) force(from netip.Addr, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.addLocked(from, n)
}

// give lets go of n bytes.
func (b *budget) give(from netip.Addr, n int64) { b.force(from, -n) }

// room reports whether n bytes could be held.
func (b *budget) room(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.held+n <= b.most
}

func (b *budget) addLocked(from netip.Addr, n int64) {
	b.held += n
	if !from.IsValid() {
		return
	}
	if b.of[from] += n; b.of[from] == 0 {
		delete(b.of, from)
	}
}

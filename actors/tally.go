// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import "sync"

// tally counts what is under way. Unlike with a sync.WaitGroup, nobody is left waiting for what never ends: whoever waits may
// stop to.
type tally struct {
	mu   sync.Mutex // guards below
	n    int
	zero chan struct{} // closed when n comes to 0; nil = nobody waits
}

// Add counts in.
func (t *tally) Add() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n++
}

// Done counts out.
func (t *tally) Done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n--; t.n == 0 && t.zero != nil {
		close(t.zero)
		t.zero = nil
	}
}

// Zero is closed once nothing is under way.
func (t *tally) Zero() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == 0 {
		done := make(chan struct{})
		close(done)
		return done
	}
	if t.zero == nil {
		t.zero = make(chan struct{})
	}
	return t.zero
}

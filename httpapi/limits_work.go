// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"net/http"
	"time"

	"ferrite/node"
)

// places are one for each request that parses a body or reads the store. Bulk has three quarters of them: lists of the
// whole fleet leave room for what is quick.
type places struct{ all, bulk chan struct{} }

func newPlaces(n int) *places {
	return &places{all: make(chan struct{}, n), bulk: make(chan struct{}, n-n/4)}
}

// enter waits for its turn to parse and to read the store: what those hold in memory is bounded by how many there are.
// A request that waits for a node's owner has left.
func (r *request) enter() error {
	p := r.s.working.Load()
	var late *time.Timer
	take := func(c chan struct{}) bool {
		select {
		case c <- struct{}{}:
			return true
		default:
		}
		if late == nil {
			late = time.NewTimer(r.s.cfg.ReadWait)
		}
		select {
		case c <- struct{}{}:
			return true
		case <-late.C:
			return false
		}
	}
	queue := r.s.queue.Add(1)
	defer func() {
		r.s.queue.Add(-1)
		if late != nil {
			late.Stop()
		}
	}()
	bulk := r.rank() == node.RankBulk
	if bulk && !take(p.bulk) {
		return tooBusy(p, queue)
	}
	if !take(p.all) {
		if bulk {
			<-p.bulk
		}
		return tooBusy(p, queue)
	}
	r.working, r.bulk = p, bulk
	return nil
}

// tooBusy refuses a request behind all that are at work and those that waited when it came.
func tooBusy(p *places, queue int64) error {
	return &plainError{
		status: http.StatusServiceUnavailable, text: "The conductor has more requests than it can answer. Try again later.",
		reason: refusedBusy, ahead: cap(p.all) + int(queue) - 1,
	}
}

// leave lets the next one in; it may be called again.
func (r *request) leave() {
	if r.working == nil {
		return
	}
	<-r.working.all
	if r.bulk {
		<-r.working.bulk
	}
	r.working = nil
}

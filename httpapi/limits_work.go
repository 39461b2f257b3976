// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"net/http"
	"time"
)

// enter waits for its turn to parse and to read the store: what those hold in memory is bounded by how many there are.
// A request that waits for a node's owner has left.
func (r *request) enter() error {
	places := *r.s.working.Load()
	select {
	case places <- struct{}{}:
	default:
		late := time.NewTimer(r.s.cfg.ReadWait)
		defer late.Stop()
		select {
		case places <- struct{}{}:
		case <-late.C:
			return &plainError{status: http.StatusServiceUnavailable, text: "The conductor has more requests than it can answer. Try again later.", reason: refusedBusy}
		}
	}
	r.working = places
	return nil
}

// leave lets the next one in; it may be called again.
func (r *request) leave() {
	if r.working != nil {
		<-r.working
		r.working = nil
	}
}

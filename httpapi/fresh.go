// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"ferrite/node"
)

// HeaderStale in a request asks for an answer from the local replica even when it cannot be confirmed; in a reply it
// tells for how many seconds that has been so (R4).
const HeaderStale = "Ferrite-Stale"

// fresh waits until the local replica holds every write acknowledged before this request (R1, R2).
func (s *Server) fresh(r *request) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.ReadWait)
	_, err := s.cfg.Reader.ReadIndex(ctx)
	cancel()
	if err == nil {
		if s.blind.Load() != 0 {
			s.blind.Store(0)
		}
		return nil
	}
	now := time.Now()
	s.blind.CompareAndSwap(0, now.Add(-s.cfg.ReadWait).UnixNano())
	blind := now.Sub(time.Unix(0, s.blind.Load()))
	asked := len(r.ctx.Request.Header.Peek(HeaderStale)) > 0
	if r.method() == http.MethodGet && (asked || blind > s.cfg.StaleAfter) {
		r.header(HeaderStale, strconv.Itoa(int(blind/time.Second)))
		return nil
	}
	return &node.Error{
		Op: "read", Kind: node.Unavailable, Err: err,
		Text: "The answer cannot be confirmed now: wanted a quorum of the log within " + s.cfg.ReadWait.String() + ". Try again",
	}
}

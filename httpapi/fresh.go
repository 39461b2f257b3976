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
// tells for how many seconds the log's leader has not been heard (R4).
const HeaderStale = "Ferrite-Stale"

// fresh waits until the local replica holds every write acknowledged before this request (R1, R2).
func (s *Server) fresh(r *request) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.ReadWait)
	_, err := s.cfg.Reader.ReadIndex(ctx)
	cancel()
	if err == nil {
		return nil
	}
	silent := s.silence()
	asked := len(r.ctx.Request.Header.Peek(HeaderStale)) > 0
	if r.method() == http.MethodGet && (asked || silent > s.cfg.StaleAfter) {
		r.header(HeaderStale, strconv.Itoa(int(silent/time.Second)))
		return nil
	}
	return &node.Error{
		Op: "read", Kind: node.Unavailable, Err: err,
		Text: "The answer cannot be confirmed now: wanted a quorum of the log within " + s.cfg.ReadWait.String() + ". Try again",
	}
}

// silence is for how long the log's leader has not been heard: what is here may lack what was written since.
func (s *Server) silence() time.Duration {
	heard := s.cfg.Reader.LeaderContact()
	if heard.IsZero() { // never yet; a server is made when its log has a leader
		heard = s.began
	}
	return time.Since(heard)
}

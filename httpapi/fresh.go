// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"ferrite/node"
	"ferrite/persistence"
)

// HeaderStale in a request asks for an answer from the local replica at once, even when it cannot be confirmed; in a reply it
// tells for how many seconds the log's leader has not been heard (R4).
const HeaderStale = "Ferrite-Stale"

const (
	leaderLost = time.Second            // who asks for a stale answer does not wait for a leader that was silent for so long
	lastGlance = 100 * time.Millisecond // but for so long: this process may have been paused, and the leader be there
	lookPause  = 50 * time.Millisecond  // between two looks of the lookout
)

// fresh waits until the local replica holds every write acknowledged before this request (R1, R2). A GET may do without: at
// once if it asks for that, and when the leader has been away for StaleAfter (R4).
func (s *Server) fresh(r *request) error {
	get := r.method() == http.MethodGet
	asked := get && len(r.ctx.Request.Header.Peek(HeaderStale)) > 0
	if get && s.out.lost(2*s.cfg.ReadWait) {
		if silent := s.silence(); silent > s.cfg.StaleAfter || asked && silent > leaderLost {
			r.stale(silent)
			return nil
		}
	}
	began := time.Now()
	err := s.confirm(asked)
	if err == nil {
		return nil
	}
	s.lookOut()
	took, silent := time.Since(began), s.silence()
	late := silent > s.cfg.StaleAfter && took < 2*s.cfg.ReadWait // a process that was paused has heard nobody
	if get && (late || asked) && !errors.Is(err, persistence.ErrClosed) {
		r.stale(max(silent, took))
		return nil
	}
	s.cfg.Logger.Debug("no read index", "request_id", r.id, "err", err)
	return &node.Error{Op: "read", Kind: node.Unavailable, Text: "The answer cannot be confirmed now: " + s.why(err, silent, get)}
}

// why is what a client is told of a read index that failed, and what to do.
func (s *Server) why(err error, silent time.Duration, get bool) string {
	within := "within " + s.cfg.ReadWait.String()
	switch {
	case errors.Is(err, persistence.ErrClosed):
		return "this conductor ends. Ask another one."
	case silent < leaderLost && !expired(err) && !errors.Is(err, persistence.ErrNoQuorum):
		return err.Error() + ". Try again."
	case silent < leaderLost:
		return "the leader of the log has not confirmed it " + within + ", or this conductor's copy is behind. Try again."
	}
	text := fmt.Sprintf("no leader of the log %s, the last one was heard %s ago: too few conductors are there, or this one is cut off from them. Try again, or ask another one", within, silent.Round(time.Second))
	if get {
		text += fmt.Sprintf("; the header \"%s: 1\" brings an answer that may be old", HeaderStale)
	}
	return text + "."
}

func expired(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// stale marks an answer as one that could not be confirmed.
func (r *request) stale(d time.Duration) {
	r.header(HeaderStale, strconv.Itoa(max(0, int(d/time.Second))))
}

// confirm is a read index of a request; one that takes a stale answer too waits only while there is a leader.
func (s *Server) confirm(hasty bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.ReadWait)
	defer cancel()
	if hasty {
		go func() {
			for ctx.Err() == nil {
				select {
				case <-ctx.Done():
				case <-time.After(max(leaderLost-s.silence(), lastGlance)):
					if s.silence() >= leaderLost {
						cancel()
					}
				}
			}
		}()
	}
	_, err := s.cfg.Reader.ReadIndex(ctx)
	return err
}

// silence is for how long the log's leader has not been heard: what is here may lack what was written since.
func (s *Server) silence() time.Duration {
	heard := s.cfg.Reader.LeaderContact()
	if heard.IsZero() { // never yet; a server is made when its log has a leader
		heard = s.began
	}
	return time.Since(heard)
}

// lookout looks for the quorum while there is none, so that reads need not wait for it each on its own.
type lookout struct {
	at    atomic.Bool               // somebody looks
	blind atomic.Pointer[time.Time] // when the last look ended in vain; nil = none did
}

// lost reports that the quorum was looked for in vain a moment ago.
func (l *lookout) lost(moment time.Duration) bool {
	at := l.blind.Load()
	return at != nil && time.Since(*at) < moment
}

// lookOut begins to look for the quorum, until there is one or the server ends.
func (s *Server) lookOut() {
	if s.life.Err() != nil || !s.out.at.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer s.out.at.Store(false)
		for s.life.Err() == nil {
			began := time.Now()
			ctx, cancel := context.WithTimeout(s.life, s.cfg.ReadWait)
			_, err := s.cfg.Reader.ReadIndex(ctx)
			cancel()
			if err == nil {
				s.out.blind.Store(nil)
				return
			}
			if now := time.Now(); now.Sub(began) < 2*s.cfg.ReadWait { // else the process was paused, and saw nothing
				s.out.blind.Store(&now)
			}
			select {
			case <-s.life.Done():
			case <-time.After(lookPause):
			}
		}
	}()
}

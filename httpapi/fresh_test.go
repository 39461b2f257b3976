// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"ferrite/httpapi"
	"ferrite/node"
	"ferrite/persistence"
)

// replica is a store whose log has other members: without quorum a read index waits as long as it may.
type replica struct {
	*persistence.Memory

	mu    sync.Mutex // guards the fields below
	heard time.Time  // the leader last, zero = now, and there is a quorum
}

func (r *replica) lose(heard time.Time) { r.mu.Lock(); defer r.mu.Unlock(); r.heard = heard }

func (r *replica) find() { r.lose(time.Time{}) }

func (r *replica) LeaderContact() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.heard.IsZero() {
		return time.Now()
	}
	return r.heard
}

func (r *replica) ReadIndex(ctx context.Context) (node.Rev, error) {
	r.mu.Lock()
	lost := !r.heard.IsZero()
	r.mu.Unlock()
	if lost {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return r.Memory.ReadIndex(ctx)
}

// newReplica is a world over a replica with one node.
func newReplica(t *testing.T, wait time.Duration) (*world, *replica) {
	t.Helper()
	r := &replica{}
	w := newWorld(t, func(c *httpapi.Config) {
		r.Memory = c.Reader.(*persistence.Memory)
		c.Reader, c.ReadWait = r, wait
	})
	w.seed()
	return w, r
}

const (
	oneNode = "/v1/nodes/rack7-u12"
	glance  = 20 * time.Millisecond
)

// staleFor is for how many seconds an answer says that it could not be confirmed; -1 = it says nothing.
func (a answer) staleFor(t *testing.T) int {
	t.Helper()
	text := a.Header.Get(httpapi.HeaderStale)
	if text == "" {
		return -1
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		t.Fatalf("%s: %q", httpapi.HeaderStale, text)
	}
	return n
}

// The ten seconds of 503, and what Ferrite-Stale says, count from the loss of the leader, whoever read when (R4).
func TestStaleCountsFromTheLoss(t *testing.T) {
	w, r := newReplica(t, glance)
	long := time.Now().Add(-time.Hour)
	r.lose(long)
	if n := w.want(200, "GET", oneNode, "").staleFor(t); n < 3600 || n > int(time.Since(long).Seconds()) {
		t.Errorf("an hour after the loss, the first read says %d s", n)
	}
	w.want(503, "PUT", oneNode+"/maintenance", "")
	r.find() // nobody reads meanwhile
	r.lose(time.Now().Add(time.Hour))
	a := w.want(503, "GET", oneNode, "")
	if a.Header.Get("Retry-After") == "" || a.staleFor(t) != -1 {
		t.Errorf("right after a second loss: %v", a.Header)
	}
	r.lose(time.Now().Add(-11 * time.Second))
	if n := w.want(200, "GET", oneNode, "").staleFor(t); n < 11 || n > 3000 {
		t.Errorf("11 s after the second loss: %d s", n)
	}
	r.find()
	if n := w.want(200, "GET", oneNode, "").staleFor(t); n != -1 {
		t.Errorf("a confirmed answer calls itself stale for %d s", n)
	}
}

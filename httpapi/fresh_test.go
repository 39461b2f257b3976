// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"context"
	"strconv"
	"strings"
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

	mu      sync.Mutex // guards the fields below
	heard   time.Time  // the leader last, zero = now, and there is a quorum
	refuses bool       // a read index without quorum, at once
	begun   int        // read indexes
	waiting int        // of these, those that wait
}

func (r *replica) change(f func()) { r.mu.Lock(); defer r.mu.Unlock(); f() }

func (r *replica) lose(heard time.Time) { r.change(func() { r.heard = heard }) }

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
	var lost, refuses bool
	r.change(func() { r.begun, lost, refuses = r.begun+1, !r.heard.IsZero(), r.refuses })
	switch {
	case !lost:
		return r.Memory.ReadIndex(ctx)
	case refuses:
		return 0, persistence.ErrNoQuorum
	}
	r.change(func() { r.waiting++ })
	<-ctx.Done()
	r.change(func() { r.waiting-- })
	return 0, ctx.Err()
}

// newReplica is a world over a replica with one node.
func newReplica(t *testing.T, wait time.Duration, change ...func(*httpapi.Config)) (*world, *replica) {
	t.Helper()
	r := &replica{}
	w := newWorld(t, append(change, func(c *httpapi.Config) {
		r.Memory = c.Reader.(*persistence.Memory)
		c.Reader, c.ReadWait = r, wait
	})...)
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
	w, r := newReplica(t, 20*glance) // a busy machine must not take as long twice over
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

// Who asks for a stale answer does not wait for a quorum, and gets a confirmed one while there is one (R4).
func TestStaleAtOnce(t *testing.T) {
	w, r := newReplica(t, time.Hour)
	w.http.Timeout = patience
	asked := func() int { return w.want(200, "GET", oneNode, "", httpapi.HeaderStale+": 1").staleFor(t) }
	for range 2 {
		r.lose(time.Now().Add(-5 * time.Second))
		if n := asked(); n < 5 {
			t.Errorf("5 s after the loss: %d s", n)
		}
		r.lose(time.Now()) // it is not known yet
		if n := asked(); n < 1 {
			t.Errorf("right after the loss: %d s", n)
		}
		r.find()
		if n := asked(); n != -1 {
			t.Errorf("with a quorum: %d s", n)
		}
	}
}

// When the leader has been away for long, no read waits for it again; one looks out for it, and when it is back, all reads
// are confirmed (R4).
func TestOneLooksForTheQuorum(t *testing.T) {
	w, r := newReplica(t, 2*patience)
	w.http.Timeout = patience
	r.change(func() { r.heard, r.refuses = time.Now().Add(-time.Minute), true })
	before := r.looks()
	w.want(200, "GET", oneNode, "")
	reach(t, "three looks", func() bool { return r.looks() >= before+3 }) // of the request, of who looks out, and of them again
	r.change(func() { r.refuses = false })
	reach(t, "a long look", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.waiting == 1 })
	known := r.looks()
	for range 10 {
		if n := w.want(200, "GET", oneNode, "").staleFor(t); n < 60 {
			t.Errorf("a minute after the loss: %d s", n)
		}
	}
	if n := r.looks(); n != known {
		t.Errorf("10 stale answers looked for the quorum %d times", n-known)
	}
	r.find()
	if n := w.want(200, "GET", oneNode, "").staleFor(t); n != -1 || r.looks() != known+1 {
		t.Errorf("a read while there is a quorum: %d s, %d looks", n, r.looks()-known)
	}
}

func (r *replica) looks() int { r.mu.Lock(); defer r.mu.Unlock(); return r.begun }

// reach waits until something is so.
func reach(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// Why a read cannot be confirmed is said in words for who reads them, and what to do (R4).
func TestUnconfirmedSaysWhy(t *testing.T) {
	w, r := newReplica(t, glance, func(c *httpapi.Config) { c.StaleAfter = time.Hour })
	says := func(method, path string, wanted, unwanted string) {
		t.Helper()
		if text := w.want(503, method, path, "").text; !strings.Contains(text, wanted) || strings.Contains(text, unwanted) || strings.Contains(text, "context") {
			t.Errorf("wanted %q and not %q: %s", wanted, unwanted, text)
		}
	}
	const header = "Ferrite-Stale: 1"
	r.lose(time.Now().Add(-3 * time.Second))
	says("GET", oneNode, header, "copy")
	says("PUT", oneNode+"/maintenance", "no leader of the log within 20ms, the last one was heard ", header)
	r.lose(time.Now().Add(time.Hour)) // it is heard
	says("GET", oneNode, "this conductor's copy is behind", header)
}

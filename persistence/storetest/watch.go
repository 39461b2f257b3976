// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"ferrite/node"
	"ferrite/persistence"
)

// collect reads a watcher up to and with revision last.
func (s *suite) collect(w persistence.Watcher, last node.Rev) []persistence.Change {
	s.t.Helper()
	var all []persistence.Change
	for len(all) == 0 || all[len(all)-1].Rev < last {
		list, err := w.Next()
		if err != nil {
			s.t.Fatalf("Next after %d changes: %v", len(all), err)
		}
		if len(list) == 0 {
			s.t.Fatal("Next gave nothing and no error")
		}
		all = append(all, list...)
	}
	return all
}

func testWatch(t *testing.T, s *suite) {
	const writers, rounds = 8, 30
	from := s.s.Applied()
	early := s.s.Watch(s.ctx, from)
	defer early.Close()
	var wg sync.WaitGroup
	var mu sync.Mutex
	want := map[node.Rev]string{}
	for w := range writers {
		wg.Go(func() {
			id := fmt.Sprintf("w%d", w)
			rev := node.Rev(0)
			for i := range rounds {
				value := fmt.Sprintf("%d.%d", w, i)
				next, err := s.s.Commit(s.ctx, persistence.Tx{If: cond(settingKey(id), rev), Put: []persistence.Put{putSetting(id, value)}})
				if err != nil {
					t.Errorf("Commit: %v", err)
					return
				}
				rev = next
				mu.Lock()
				want[rev] = id + "=" + value
				mu.Unlock()
			}
		})
	}
	live := make(chan []persistence.Change, 1)
	go func() { live <- readN(early, writers*rounds) }()
	wg.Wait()
	late := s.s.Watch(s.ctx, from)
	defer late.Close()
	for name, got := range map[string][]persistence.Change{"live": <-live, "late": readN(late, writers*rounds)} {
		if len(got) != writers*rounds {
			t.Fatalf("%s: %d changes, wanted %d", name, len(got), writers*rounds)
		}
		prev := from
		for _, c := range got {
			if c.Rev <= prev {
				t.Fatalf("%s: revision %d after %d", name, c.Rev, prev)
			}
			prev = c.Rev
			if have := c.Key.ID + "=" + string(c.Value.([]byte)); have != want[c.Rev] {
				t.Fatalf("%s: revision %d tells of %s, wanted %s", name, c.Rev, have, want[c.Rev])
			}
		}
	}
}

func readN(w persistence.Watcher, n int) (all []persistence.Change) {
	for len(all) < n {
		list, err := w.Next()
		if err != nil {
			return all
		}
		all = append(all, list...)
	}
	return all
}

func testWatchDelete(t *testing.T, s *suite) {
	a := s.create(putNode(1, "a"))
	w := s.s.Watch(s.ctx, a)
	defer w.Close()
	last := s.must(persistence.Tx{If: cond(nodeKey(1), a), Del: []persistence.Key{nodeKey(1)}, Put: []persistence.Put{putNode(2, "b")}})
	got := s.collect(w, last)
	if len(got) != 2 || got[0].Key != nodeKey(1) || got[0].Value != nil || got[1].Key != nodeKey(2) || got[1].Value.(*node.Node).Name != "b" {
		t.Fatalf("changes %+v", got)
	}
	if got[0].Rev != last || got[1].Rev != last {
		t.Fatalf("changes of one entry have revisions %d and %d, wanted %d", got[0].Rev, got[1].Rev, last)
	}
}

func testWatchCompacted(t *testing.T, s *suite) {
	rev := s.create(putSetting("x", ""))
	from := rev
	value := strings.Repeat("v", 256<<10)
	for range 24 { // more than any store keeps for so little data
		rev = s.must(persistence.Tx{If: cond(settingKey("x"), rev), Put: []persistence.Put{putSetting("x", value)}})
	}
	w := s.s.Watch(s.ctx, from)
	defer w.Close()
	if list, err := w.Next(); !errors.Is(err, persistence.ErrCompacted) {
		t.Fatalf("Next: %d changes, %v; wanted ErrCompacted", len(list), err)
	}
	w = s.s.Watch(s.ctx, rev) // read everything, watch anew
	defer w.Close()
	last := s.must(persistence.Tx{If: cond(settingKey("x"), rev), Put: []persistence.Put{putSetting("x", "end")}})
	if got := s.collect(w, last); len(got) != 1 {
		t.Fatalf("%d changes after watching anew, wanted 1", len(got))
	}
}

func testWatchEnds(t *testing.T, s *suite) {
	ctx, cancel := context.WithCancel(s.ctx)
	ends := make(chan error, 3)
	next := func(w persistence.Watcher) { _, err := w.Next(); ends <- err }
	closed := s.s.Watch(s.ctx, s.s.Applied())
	go next(s.s.Watch(ctx, s.s.Applied()))
	go next(closed)
	cancel()
	closed.Close()
	for range 2 {
		select {
		case err := <-ends:
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("Next: %v, wanted context.Canceled", err)
			}
		case <-s.ctx.Done():
			t.Fatal("Next never returned")
		}
	}
}

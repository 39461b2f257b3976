// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"ferrite/node"
	"ferrite/persistence"
)

func testOutbox(t *testing.T, s *suite) { // N1, N2
	const n = 10
	want := []string{}
	for i := range n {
		rev := s.create(putNode(i, ""), event(i), event(i+100))
		want = append(want, fmt.Sprintf("%d.0 s.%d", rev, i), fmt.Sprintf("%d.1 s.%d", rev, i+100))
	}
	rev := s.must(persistence.Tx{Events: []persistence.Event{event(77)}})
	want = append(want, fmt.Sprintf("%d.0 s.77", rev))
	if d := s.s.Stats().OutboxDepth; d != len(want) {
		t.Fatalf("the outbox holds %d events, wanted %d", d, len(want))
	}
	var got []string
	for _, o := range s.drain() {
		got = append(got, fmt.Sprintf("%d.%d %s", o.Rev, o.Index, o.Subject))
		var i int
		if _, err := fmt.Sscanf(o.Subject, "s.%d", &i); err != nil || o.Node != uuid(i) || string(o.Body) != fmt.Sprintf(`{"n":%d}`, i) {
			t.Errorf("event %+v %s", o, o.Body)
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("outbox\n got %v\nwant %v", got, want)
	}
	if list, err := s.s.Outbox(s.ctx, 0, -1, 1); err != nil || len(list) != 1 {
		t.Fatalf("Outbox from before the start: %v %v", list, err)
	}
}

func testOutboxWaits(t *testing.T, s *suite) {
	type answer struct {
		list []persistence.Outgoing
		err  error
	}
	ch := make(chan answer, 2)
	go func() {
		list, err := s.s.Outbox(s.ctx, 0, 0, 10)
		ch <- answer{list, err}
	}()
	rev := s.create(putNode(1, ""))                                                  // no event: it must go on waiting
	first := s.must(persistence.Tx{Events: []persistence.Event{event(1), event(2)}}) // wakes it
	a := <-ch
	if a.err != nil || len(a.list) != 2 || a.list[0].Rev != first || first <= rev {
		t.Fatalf("woken with %+v, %v", a.list, a.err)
	}
	ctx, cancel := context.WithCancel(s.ctx)
	go func() {
		list, err := s.s.Outbox(ctx, first, 1, 10)
		ch <- answer{list, err}
	}()
	cancel()
	if a := <-ch; !errors.Is(a.err, context.Canceled) {
		t.Fatalf("Outbox ended with %v, %v", a.list, a.err)
	}
}

func testCursor(t *testing.T, s *suite) {
	var revs []node.Rev
	for i := range 4 {
		revs = append(revs, s.must(persistence.Tx{Events: []persistence.Event{event(i), event(i + 10)}}))
	}
	if rev, index := s.s.Cursor("nats"); rev != 0 || index != 0 {
		t.Fatalf("a new cursor is at %d.%d", rev, index)
	}
	set := func(rev node.Rev, index int) {
		t.Helper()
		if err := s.s.SetCursor(s.ctx, "nats", rev, index); err != nil {
			t.Fatalf("SetCursor: %v", err)
		}
	}
	set(revs[1], 0)
	if rev, index := s.s.Cursor("nats"); rev != revs[1] || index != 0 {
		t.Fatalf("the cursor is at %d.%d, wanted %d.0", rev, index, revs[1])
	}
	if list := s.drain(); len(list) != 5 || list[0].Rev != revs[1] || list[0].Index != 1 {
		t.Fatalf("the outbox was not trimmed up to the cursor: %+v", list)
	}
	set(revs[0], 1) // never back
	if rev, _ := s.s.Cursor("nats"); rev != revs[1] {
		t.Fatalf("the cursor went back to %d", rev)
	}
	set(revs[3], 1)
	if d := s.s.Stats(); d.OutboxDepth != 0 || d.OutboxDropped != 0 {
		t.Fatalf("all is published: %+v", d)
	}
	next := s.must(persistence.Tx{Events: []persistence.Event{event(9)}})
	if list, err := s.s.Outbox(s.ctx, revs[3], 1, 10); err != nil || len(list) != 1 || list[0].Rev != next {
		t.Fatalf("Outbox after the trim: %+v %v", list, err)
	}
}

func testCursors(t *testing.T, s *suite) { // N3: Nova's callback has its own
	var revs []node.Rev
	for i := range 4 {
		revs = append(revs, s.must(persistence.Tx{Events: []persistence.Event{event(i)}}))
	}
	for _, c := range []struct {
		name string
		rev  node.Rev
		left int
	}{{"nova", revs[0], 3}, {"nats", revs[2], 3}, {"nova", revs[1], 2}, {"nova", revs[3], 1}} {
		if err := s.s.SetCursor(s.ctx, c.name, c.rev, 0); err != nil {
			t.Fatal(err)
		}
		if d := s.s.Stats().OutboxDepth; d != c.left {
			t.Fatalf("%s at %d: %d events left, wanted %d", c.name, c.rev, d, c.left)
		}
	}
}

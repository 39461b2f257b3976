// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"fmt"
	"strings"
	"testing"

	"ferrite/node"
	"ferrite/notify"
	"ferrite/notify/nova"
	"ferrite/persistence"
)

// tell commits an entry of events with these subjects.
func tell(t *testing.T, s persistence.Store, subjects ...string) {
	t.Helper()
	var tx persistence.Tx
	for _, x := range subjects {
		tx.Events = append(tx.Events, persistence.Event{Subject: x, Body: []byte("{}")})
	}
	if _, err := s.Commit(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
}

// What the API shows is NATS's alone, however much of Nova's lies between, and in any portion.
func TestKept(t *testing.T) {
	s := persistence.NewMemory(persistence.MemoryOptions{})
	defer s.Close()
	k := kept{s, "cluster"}
	if got, err := k.Kept(0, 0, 9); err != nil || len(got) != 0 {
		t.Fatalf("an empty outbox: %v %v", got, err)
	}
	for i := range 5 {
		tell(t, s, nova.Subject, fmt.Sprint("a", i), nova.Subject, nova.Subject, fmt.Sprint("b", i))
	}
	for _, limit := range []int{1, 2, 3, 100} {
		var got []string
		rev, index := node.Rev(0), 0
		for {
			page, err := k.Kept(rev, index, limit)
			if err != nil || len(page) > limit {
				t.Fatalf("%d of %d: %v", len(page), limit, err)
			}
			if len(page) == 0 {
				break
			}
			for _, p := range page {
				got = append(got, p.Subject)
				if rev, index, err = notify.ParsePlace(p.Place); err != nil {
					t.Fatal(err)
				}
			}
			index++
		}
		if want := "a0 b0 a1 b1 a2 b2 a3 b3 a4 b4"; strings.Join(got, " ") != want {
			t.Errorf("%d at a time: %v", limit, got)
		}
	}
}

// N3: a publisher that is fast takes nothing away from one that has not begun; one that is gone holds nothing up.
func TestCursorsOfTwoPublishers(t *testing.T) {
	s := persistence.NewMemory(persistence.MemoryOptions{})
	defer s.Close()
	ctx := t.Context()
	for range 2 { // the second start changes nothing
		for _, name := range []string{natsCursor, novaCursor} {
			if err := enter(ctx, s, name, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	tell(t, s, "a", nova.Subject)
	if err := s.SetCursor(ctx, novaCursor, s.Applied(), 1); err != nil {
		t.Fatal(err)
	}
	if d := s.Stats().OutboxDepth; d != 2 {
		t.Errorf("Nova's cursor left %d events, wanted both: NATS has had none", d)
	}
	tell(t, s, "b", nova.Subject)
	if err := s.SetCursor(ctx, natsCursor, s.Applied(), 1); err != nil {
		t.Fatal(err)
	}
	if d := s.Stats().OutboxDepth; d != 2 {
		t.Errorf("%d events wait, wanted the two that Nova has not had", d)
	}
	for range 2 {
		if err := leave(ctx, s, novaCursor); err != nil {
			t.Fatal(err)
		}
	}
	if d := s.Stats().OutboxDepth; d != 0 {
		t.Errorf("%d events wait for nobody", d)
	}
}

// A cursor that is there stays where it is; a new one begins where it is told to.
func TestEnter(t *testing.T) {
	s := persistence.NewMemory(persistence.MemoryOptions{})
	defer s.Close()
	if err := enter(t.Context(), s, novaCursor, 7); err != nil {
		t.Fatal(err)
	}
	if err := enter(t.Context(), s, novaCursor, 9); err != nil {
		t.Fatal(err)
	}
	if rev, index := s.Cursor(novaCursor); rev != 7 || index != 0 {
		t.Errorf("the cursor is at %d.%d", rev, index)
	}
}

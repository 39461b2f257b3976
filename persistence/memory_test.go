// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"ferrite/node"
	"ferrite/persistence"
	"ferrite/persistence/storetest"
)

func TestMemoryConforms(t *testing.T) {
	storetest.Run(t, func(*testing.T) persistence.Store {
		return persistence.NewMemory(persistence.MemoryOptions{})
	})
}

func setting(id string, rev node.Rev) persistence.Tx {
	k := persistence.Key{Kind: persistence.KindSetting, ID: id}
	return persistence.Tx{If: []persistence.Cond{{Key: k, Rev: rev}}, Put: []persistence.Put{{Key: k, Value: []byte(id)}}}
}

// Memory lives in a synctest bubble: delays are fake time, and nothing is left running.
func TestMemoryFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := persistence.NewMemory(persistence.MemoryOptions{})
		defer m.Close()
		ctx := t.Context()
		inject := func(f persistence.Fault) { m.SetHook(func(persistence.Tx) persistence.Fault { return f }) }

		inject(persistence.Fault{Delay: time.Hour})
		start := time.Now()
		if rev, err := m.Commit(ctx, setting("a", 0)); err != nil || rev != 1 || time.Since(start) != time.Hour {
			t.Fatalf("delayed: revision %d, %v, after %s", rev, err, time.Since(start))
		}
		short, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		if _, err := m.Commit(short, setting("b", 0)); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, persistence.ErrNoQuorum) {
			t.Fatalf("given up in the delay: %v", err)
		}
		time.Sleep(2 * time.Hour)
		if m.Len(persistence.KindSetting) != 1 {
			t.Fatal("a withdrawn commit was applied")
		}

		inject(persistence.Fault{Err: persistence.ErrNoQuorum})
		if _, err := m.Commit(ctx, setting("b", 0)); !errors.Is(err, persistence.ErrNoQuorum) || m.Len(persistence.KindSetting) != 1 {
			t.Fatalf("refused by the hook: %v", err)
		}
		inject(persistence.Fault{Err: persistence.ErrUnknown, Applied: true})
		if _, err := m.Commit(ctx, setting("b", 0)); !errors.Is(err, persistence.ErrUnknown) || m.Len(persistence.KindSetting) != 2 {
			t.Fatalf("a lost answer: %v, %d settings", err, m.Len(persistence.KindSetting))
		}
		m.SetHook(nil)
		if rev, err := m.Commit(ctx, setting("c", 0)); err != nil || rev != 3 {
			t.Fatalf("without hook: revision %d, %v", rev, err)
		}
	})
}

func TestMemoryWithoutQuorum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := persistence.NewMemory(persistence.MemoryOptions{Name: "c1"})
		defer m.Close()
		lost := time.Now()
		m.SetQuorum(false)
		time.Sleep(3 * time.Second)
		if _, err := m.Commit(t.Context(), setting("a", 0)); !errors.Is(err, persistence.ErrNoQuorum) {
			t.Errorf("Commit: %v", err)
		}
		if _, err := m.ReadIndex(t.Context()); !errors.Is(err, persistence.ErrNoQuorum) {
			t.Errorf("ReadIndex: %v", err)
		}
		if leader, _, leads := m.Role(); leader != "" || leads || !m.LeaderContact().Equal(lost) {
			t.Errorf("role %q %v, contact %v", leader, leads, m.LeaderContact())
		}
		m.SetQuorum(true)
		if _, err := m.Commit(t.Context(), setting("a", 0)); err != nil {
			t.Errorf("Commit with quorum again: %v", err)
		}
		if leader, _, leads := m.Role(); leader != "c1" || !leads || m.LeaderContact().Equal(lost) {
			t.Errorf("role %q %v", leader, leads)
		}
	})
}

func TestMemoryBoundsTheOutbox(t *testing.T) {
	m := persistence.NewMemory(persistence.MemoryOptions{OutboxMaxBytes: 1000})
	defer m.Close()
	for range 30 {
		if _, err := m.Commit(t.Context(), persistence.Tx{Events: []persistence.Event{{Body: make([]byte, 100)}}}); err != nil {
			t.Fatal(err)
		}
	}
	if st := m.Stats(); st.OutboxDepth != 10 || st.OutboxDropped != 20 {
		t.Fatalf("%+v, wanted 10 left and 20 dropped", st)
	}
}

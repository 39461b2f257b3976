// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/hashicorp/raft"
)

// A member that got a snapshot from the leader may have nothing but that: the recovery's entry comes behind it, or the log would
// be cut at the snapshot and the recovery lost without a word.
func TestRecoverBehindASnapshotThatIsAllThereIs(t *testing.T) {
	dir, quiet := t.TempDir(), slog.New(slog.DiscardHandler)
	s, err := Open(Config{Dir: dir, Name: "c1", Key: make([]byte, KeySize), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	d := folder(dir)
	empty := func(end func(logStore) error) {
		t.Helper()
		w, err := openLog(d.wal(), newRaftLog(quiet))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(end(w), w.Close()); err != nil {
			t.Fatal(err)
		}
	}
	empty(func(w logStore) error {
		first, _ := w.FirstIndex()
		last, _ := w.LastIndex()
		return w.DeleteRange(first, last)
	})
	snaps, err := raft.NewFileSnapshotStoreWithLogger(dir, 2, newRaftLog(quiet))
	if err != nil {
		t.Fatal(err)
	}
	servers := raft.Configuration{Servers: []raft.Server{{ID: "c1", Address: "c1"}, {ID: "c2", Address: "c2"}, {ID: "c3", Address: "c3"}}}
	_, trans := raft.NewInmemTransport("c1")
	sink, err := snaps.Create(raft.SnapshotVersionMax, 5000, 7, servers, 4990, trans)
	if err == nil {
		err = sink.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := Recover(dir, "c1", quiet); err != nil {
		t.Fatal(err)
	}
	empty(func(w logStore) error {
		last, err := w.LastIndex()
		var l raft.Log
		if err == nil {
			err = w.GetLog(last-1, &l)
		}
		if err != nil {
			return err
		}
		if got := raft.DecodeConfiguration(l.Data).Servers; last != 5002 || l.Type != raft.LogConfiguration || len(got) != 1 || got[0].ID != "c1" {
			t.Errorf("the log ends at %d, the entry before of type %s says %+v, wanted 5002 and one that leaves c1 alone", last, l.Type, got)
		}
		return nil
	})
}

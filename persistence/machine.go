// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"

	"ferrite/node"
)

// machine is the replica as raft's state machine. raft calls it from one goroutine.
type machine struct{ s *Raft }

var _ raft.BatchingFSM = machine{}

// Apply implements raft.FSM.
func (m machine) Apply(l *raft.Log) any { return m.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch implements raft.BatchingFSM: one storage transaction for all.
func (m machine) ApplyBatch(logs []*raft.Log) []any {
	if node.Rev(logs[len(logs)-1].Index) <= m.s.known {
		return make([]any, len(logs)) // replayed at a start: the state holds it, loaded or not
	}
	<-m.s.loaded
	batch := make([]logEntry, len(logs))
	for i, l := range logs {
		batch[i].rev = node.Rev(l.Index)
		if l.Type == raft.LogCommand {
			batch[i].data = l.Data
		}
	}
	out := make([]any, len(logs))
	for i, o := range m.s.apply(batch) {
		out[i] = o
	}
	return out
}

// Snapshot implements raft.FSM: a point in time of the storage, written out later.
func (m machine) Snapshot() (raft.FSMSnapshot, error) {
	<-m.s.loaded
	v, done, err := m.s.view()
	if err != nil {
		return nil, err
	}
	return &snapshot{view: v, info: m.s.backupInfo(), done: done}, nil
}

type snapshot struct {
	view kvView
	info BackupInfo
	done func()
}

// Persist implements raft.FSMSnapshot. The stream has the form of a backup and takes no memory to speak of.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := writeBackup(sink, s.view, s.info); err != nil {
		_ = sink.Cancel()
		return fmt.Errorf("snapshot: %w", err)
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (s *snapshot) Release() { s.done() }

// Restore implements raft.FSM: the snapshot goes into a new state folder beside the old one, which is then swapped with
// its indexes in one step (R5). Until then readers see the old state.
func (m machine) Restore(rc io.ReadCloser) error {
	s := m.s
	path, err := s.dir.next()
	if err != nil {
		return err
	}
	store, l, err := s.restoreInto(path, rc)
	if err != nil {
		return err
	}
	if err := s.dir.use(path); err != nil {
		return err
	}
	old := s.adopt(newWriteBehind(store, func(err error) { _ = s.cannotWrite(err) }), l)
	old.users.Wait()
	return old.close()
}

// restoreInto fills a new database from a backup and loads it. What says up to which entry all is there is written last: pairs
// come in many transactions, and a disk that loses the newest of them must not leave a part that counts as the whole.
func (s *Raft) restoreInto(path string, from io.Reader) (*badgerKV, *loaded, error) {
	store, err := openBadger(path, s.log)
	if err != nil {
		return nil, nil, err
	}
	fail := func(err error) (*badgerKV, *loaded, error) {
		_ = store.close()
		return nil, nil, fmt.Errorf("restoring a snapshot: %w", err)
	}
	batch := store.db.NewWriteBatch()
	defer batch.Cancel()
	var applied []byte
	if _, err := readBackup(from, func(key, value []byte) error {
		if len(key) == 1 && key[0] == keyApplied {
			applied = value
			return nil
		}
		return batch.Set(key, value)
	}); err != nil {
		return fail(err)
	}
	if err := batch.Flush(); err != nil {
		return fail(err)
	}
	if applied != nil {
		last := store.begin()
		if err := errors.Join(last.set([]byte{keyApplied}, applied), last.commit()); err != nil {
			return fail(err)
		}
	}
	l, err := s.load(store)
	if err != nil {
		return fail(err)
	}
	return store, l, nil
}

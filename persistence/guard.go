// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"fmt"

	"github.com/hashicorp/raft"
)

// logStore is what raft needs of its log file.
type logStore interface {
	raft.LogStore
	raft.StableStore
	raft.MonotonicLogStore
	Close() error
}

// guarded ends the process on the first failed write: hashicorp/raft would go on, and an fsync that is tried again may
// succeed without having written.
type guarded struct {
	logStore
	fail func(error)
	// apart refuses to cut the log off from an entry on; nil = nothing does.
	apart func(from uint64) error
}

func (g guarded) must(what string, err error) error {
	if err != nil {
		err = fmt.Errorf("the log cannot be written: %s: %w", what, err)
		g.fail(err)
	}
	return err
}

// GetLog finds nothing before the first entry. The log file goes on finding what was cut off for as long as it lies in the
// segment that is written to, and a newcomer would be sent that in place of the snapshot, sealed with a key that was dropped.
func (g guarded) GetLog(index uint64, l *raft.Log) error {
	first, err := g.FirstIndex()
	if err == nil && index < first {
		return raft.ErrLogNotFound
	}
	if err != nil {
		return err
	}
	return g.logStore.GetLog(index, l)
}

func (g guarded) StoreLog(l *raft.Log) error { return g.must("append", g.logStore.StoreLog(l)) }

func (g guarded) StoreLogs(l []*raft.Log) error { return g.must("append", g.logStore.StoreLogs(l)) }

// DeleteRange cuts off the log's head, or its tail when the leader has other entries.
func (g guarded) DeleteRange(from, to uint64) error {
	first, err := g.FirstIndex()
	if err == nil && from > first && g.apart != nil {
		err = g.apart(from)
	}
	if err != nil {
		return err
	}
	return g.must("truncate", g.logStore.DeleteRange(from, to))
}

func (g guarded) Set(k, v []byte) error { return g.must("term and vote", g.logStore.Set(k, v)) }

func (g guarded) SetUint64(k []byte, v uint64) error {
	return g.must("term and vote", g.logStore.SetUint64(k, v))
}

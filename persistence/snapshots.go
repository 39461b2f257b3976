// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/raft"
)

func (d folder) snapshots() string { return filepath.Join(string(d), "snapshots") }

// snapshotStore is raft's store of snapshots, with the sum of each one's meta.json beside it: raft itself keeps one of the
// content only, passes over a snapshot whose meta.json it cannot read, and believes what else that says, the members of
// the log among it.
type snapshotStore struct {
	*raft.FileSnapshotStore
	dir string
}

const (
	metaName    = "meta.json"
	metaSumName = "meta.sum"
	contentName = "state.bin"
)

// openSnapshots opens the store of snapshots, unless the newest is not what was written. Its content is checked when it
// is needed.
func openSnapshots(dir string, log *raftLog) (*snapshotStore, error) {
	store, err := raft.NewFileSnapshotStoreWithLogger(dir, 2, log)
	if err != nil {
		return nil, err
	}
	s := &snapshotStore{store, folder(dir).snapshots()}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var newest string
	var at raft.SnapshotMeta
	for _, e := range entries {
		var m raft.SnapshotMeta
		var made int64
		if n, err := fmt.Sscanf(e.Name(), "%d-%d-%d", &m.Term, &m.Index, &made); err != nil || n != 3 || strings.HasSuffix(e.Name(), ".tmp") || !e.IsDir() {
			continue
		}
		if newest == "" || m.Term > at.Term || m.Term == at.Term && m.Index >= at.Index {
			newest, at = e.Name(), m
		}
	}
	if newest == "" {
		return s, nil
	}
	return s, s.check(newest, at)
}

func (s *snapshotStore) check(name string, want raft.SnapshotMeta) error {
	file := filepath.Join(s.dir, name, metaName)
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return damaged(file, "it is gone")
	}
	if err != nil {
		return err
	}
	sum, err := os.ReadFile(filepath.Join(s.dir, name, metaSumName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if got := sumText(data); err == nil && len(sum) == len(got) && string(sum) != got {
		return damaged(file, "its sum is %s, wanted %q by %s, which may be the damaged one", strings.TrimSpace(got), strings.TrimSpace(string(sum)), filepath.Join(s.dir, name, metaSumName))
	}
	var m struct {
		raft.SnapshotMeta
		CRC []byte
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return damaged(file, "%v", err)
	}
	if m.Index != want.Index || m.Term != want.Term {
		return damaged(file, "it is of entry %d and term %d, wanted %d and %d", m.Index, m.Term, want.Index, want.Term)
	}
	content := filepath.Join(s.dir, name, contentName)
	info, err := os.Stat(content)
	if errors.Is(err, fs.ErrNotExist) {
		return damaged(content, "it is gone")
	}
	if err == nil && info.Size() != m.Size {
		return damaged(content, "it has %d bytes, wanted %d", info.Size(), m.Size)
	}
	return err
}

func sumText(data []byte) string { return fmt.Sprintf("%08x\n", crc32.Checksum(data, castagnoli)) }

// Create implements raft.SnapshotStore.
func (s *snapshotStore) Create(version raft.SnapshotVersion, index, term uint64, servers raft.Configuration, at uint64, trans raft.Transport) (raft.SnapshotSink, error) {
	sink, err := s.FileSnapshotStore.Create(version, index, term, servers, at, trans)
	if err != nil {
		return nil, err
	}
	return summedSink{sink, filepath.Join(s.dir, sink.ID())}, nil
}

type summedSink struct {
	raft.SnapshotSink
	dir string
}

// Close implements raft.SnapshotSink: the snapshot takes its place. Without a sum it counts as well.
func (k summedSink) Close() error {
	if err := k.SnapshotSink.Close(); err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(k.dir, metaName))
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(k.dir, metaSumName), []byte(sumText(data)))
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/types"
)

// openLog opens the log's files, after it has read them all: damage is refused before anything is changed.
func openLog(dir string, log *raftLog) (*wal.WAL, error) {
	meta := &metaStore{dir: dir}
	state, err := meta.Load(dir)
	if err != nil {
		return nil, errors.Join(err, meta.Close())
	}
	tail, err := checkSegments(dir, state)
	if err == nil && tail.index > 0 {
		err = meta.finishSeal(state, tail)
	}
	if err != nil {
		return nil, errors.Join(err, meta.Close())
	}
	w, err := wal.Open(dir, wal.WithLogger(log), wal.WithMetaStore(meta))
	if err != nil {
		return nil, errors.Join(err, meta.Close())
	}
	return w, nil
}

// metaStore is raft-wal's table of its files, with term and vote: a bbolt file, which keeps no checksum of its pages but
// two. A flipped bit there makes raft-wal delete files of the log. So the sum of the whole is kept beside it.
type metaStore struct {
	metadb.BoltMetaDB
	dir  string
	sums *os.File // nil = none yet

	changing sync.Mutex // one change at a time: the log's files are changed by another goroutine than term and vote
}

const walSumName = "wal-meta.sum"

func (m *metaStore) file() string { return filepath.Join(m.dir, walMetaName) }

// Load implements types.MetaStore. It may be called more than once.
func (m *metaStore) Load(dir string) (types.PersistentState, error) {
	var state types.PersistentState
	if m.sums == nil {
		if err := m.check(); err != nil {
			return state, err
		}
	}
	err := sheltered(m.file(), func() (err error) {
		state, err = m.BoltMetaDB.Load(dir)
		return err
	})
	if errors.Is(err, types.ErrCorrupt) {
		err = damaged(m.file(), "%v", err)
	}
	if err != nil || m.sums != nil {
		return state, err
	}
	if m.sums, err = os.OpenFile(filepath.Join(dir, walSumName), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return state, err
	}
	return state, m.note(false)
}

// CommitState implements types.MetaStore.
func (m *metaStore) CommitState(s types.PersistentState) error {
	return m.change(func() error { return m.BoltMetaDB.CommitState(s) })
}

// SetStable implements types.MetaStore.
func (m *metaStore) SetStable(k, v []byte) error {
	return m.change(func() error { return m.BoltMetaDB.SetStable(k, v) })
}

// Close implements types.MetaStore.
func (m *metaStore) Close() error {
	err := m.BoltMetaDB.Close()
	if m.sums != nil {
		err = errors.Join(err, m.sums.Close())
		m.sums = nil
	}
	return err
}

// change says first that the sum is no longer valid, and writes the new one afterwards.
func (m *metaStore) change(fn func() error) error {
	m.changing.Lock()
	defer m.changing.Unlock()
	if err := m.note(true); err != nil {
		return err
	}
	if err := fn(); err != nil {
		return err
	}
	return m.note(false)
}

// The note is the file's newest transaction, its sum, whether it is being changed, and the sum of these.
const noteSize = 8 + 4 + 4 + 4

func (m *metaStore) note(changing bool) error {
	data, err := os.ReadFile(m.file())
	if err != nil {
		return err
	}
	txid, err := boltTx(m.file(), data)
	if err != nil {
		return err
	}
	b := binary.BigEndian.AppendUint64(nil, txid)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(data, castagnoli))
	b = binary.BigEndian.AppendUint32(b, map[bool]uint32{false: 0, true: 1}[changing])
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	if _, err := m.sums.WriteAt(b, 0); err != nil {
		return fmt.Errorf("%s: %w", m.sums.Name(), err)
	}
	return m.sums.Sync()
}

// check holds the file against its sum. A folder of before, or one that an older ferrite has written meanwhile, has none
// that fits; a note that is itself not whole says nothing.
func (m *metaStore) check() error {
	data, err := os.ReadFile(m.file())
	if errors.Is(err, fs.ErrNotExist) {
		if list, err := filepath.Glob(filepath.Join(m.dir, "*"+walSuffix)); err != nil || len(list) > 0 {
			return errors.Join(damaged(m.file(), "it is gone, but %d files of the log are there, which only it can list", len(list)), err)
		}
		return nil
	}
	if err != nil {
		return err
	}
	txid, err := boltTx(m.file(), data)
	if err != nil {
		return err
	}
	note, err := os.ReadFile(filepath.Join(m.dir, walSumName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(note) != noteSize || crc32.Checksum(note[:16], castagnoli) != binary.BigEndian.Uint32(note[16:]) ||
		binary.BigEndian.Uint32(note[12:]) != 0 || binary.BigEndian.Uint64(note) != txid {
		return nil
	}
	if got, want := crc32.Checksum(data, castagnoli), binary.BigEndian.Uint32(note[8:]); got != want {
		return damaged(m.file(), "its sum is %08x, wanted %08x", got, want)
	}
	return nil
}

// boltTx is the newest transaction of a bbolt file. Its two first pages tell of the two newest ones; bbolt silently takes
// the older when the newer is damaged, and so forgets what was written last.
func boltTx(file string, data []byte) (newest uint64, err error) {
	const (
		head, length, sumAt = 16, 64, 56
		magic               = 0xED0CDAED
	)
	size := 0
	for page := range 2 {
		from := page * size
		if len(data) < from+head+length {
			return 0, damaged(file, "it ends at byte %d, in the middle of its heads", len(data))
		}
		m := data[from+head:][:length]
		h := fnv.New64a()
		_, _ = h.Write(m[:sumAt])
		if got := binary.NativeEndian.Uint32(m); got != magic || h.Sum64() != binary.NativeEndian.Uint64(m[sumAt:]) {
			return 0, damaged(file, "the head at byte %d has a wrong sum", from)
		}
		newest = max(newest, binary.NativeEndian.Uint64(m[48:]))
		if size = int(binary.NativeEndian.Uint32(m[8:])); size < head+length || size > 1<<20 {
			return 0, damaged(file, "its pages have %d bytes", size)
		}
	}
	return newest, nil
}

// finishSeal does what a crash has left undone after the newest file was closed: raft-wal opens such a file, but can never
// write behind it.
func (m *metaStore) finishSeal(state types.PersistentState, tail walked) error {
	last := &state.Segments[len(state.Segments)-1]
	if !last.SealTime.IsZero() || tail.entries == 0 {
		return nil
	}
	last.SealTime = time.Now()
	last.MaxIndex = last.BaseIndex + tail.entries - 1
	last.IndexStart = tail.index
	state.Segments = append(state.Segments, types.SegmentInfo{
		ID: state.NextSegmentID, BaseIndex: last.MaxIndex + 1, MinIndex: last.MaxIndex + 1,
		SizeLimit: last.SizeLimit, Codec: last.Codec, CreateTime: time.Now(),
	})
	state.NextSegmentID++
	return m.CommitState(state)
}

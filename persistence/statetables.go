// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"os"
	"slices"

	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/ristretto/v2/z"
)

// tableFile is a table of badger.
type tableFile struct {
	id     uint64
	file   string
	newest uint64 // version
	err    error  // it cannot be read
}

// openTables reads all tables once, block by block and entry by entry.
func (s *stateFiles) openTables() error {
	for _, id := range s.sst {
		t := &tableFile{id: id, file: s.file(kindTable, id)}
		visit := s.entry
		if !s.listed[id] {
			visit = nil
		}
		t.newest, t.err = readTable(t.file, s.options.BlockSize, s.options.Compression, visit)
		if s.listed[id] {
			if t.err != nil {
				return t.err
			}
			s.newest = max(s.newest, t.newest)
		}
		s.tables = append(s.tables, t)
	}
	return nil
}

// readTable checks a table's sums and shows its entries, with keys that are valid during the call only.
func readTable(file string, block int, compression options.CompressionType, visit func(key []byte, version uint64, meta byte, value []byte)) (newest uint64, err error) {
	f, err := z.OpenMmapFile(file, os.O_RDONLY, 0)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", file, err)
	}
	open := true
	defer func() {
		if open {
			err = errors.Join(err, f.Close(-1))
		}
	}()
	if len(f.Data) == 0 {
		return 0, damaged(file, "it is empty")
	}
	err = sheltered(file, func() error {
		t, err := table.OpenTable(f, table.Options{ReadOnly: true, BlockSize: block, Compression: compression, ChkMode: options.OnTableRead})
		if err != nil {
			open = false // OpenTable has closed it
			return damaged(file, "%v", err)
		}
		newest = t.MaxVersion()
		if visit == nil {
			return nil
		}
		it := t.NewIterator(0)
		for it.Rewind(); it.Valid(); it.Next() {
			key, value := it.Key(), it.Value()
			cut := len(key) - versionSize
			visit(key[:cut], math.MaxUint64-binary.BigEndian.Uint64(key[cut:]), value.Meta, value.Value)
		}
		return it.Close()
	})
	return newest, err
}

// pointers are values, by key, whose value logs are not there, or empty.
type pointers map[string]missingValue

type missingValue struct {
	version uint64
	file    uint32
}

// mark is a place in a value log where the value of some key must lie.
type mark struct{ offset, size, sum uint32 }

// keySum stands for a key and its version.
func keySum(key []byte, version uint64) uint32 {
	var v [versionSize]byte
	binary.BigEndian.PutUint64(v[:], version)
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, v[:])
}

// entry notes where the value of an entry lies.
func (s *stateFiles) entry(key []byte, version uint64, meta byte, value []byte) {
	if s.seen != nil {
		s.seen(key, version, meta, value)
		return
	}
	p, ok := pointerOf(meta, value)
	if !ok {
		return
	}
	s.ends[p.file] = max(s.ends[p.file], p.offset+p.size)
	if _, there := slices.BinarySearch(s.vlog, uint64(p.file)); there {
		s.marks[p.file] = append(s.marks[p.file], mark{uint32(p.offset), uint32(p.size), keySum(key, version)}) //nolint:gosec // parsed with 32 bits
		return
	}
	if s.missing == nil {
		s.missing = pointers{}
	}
	if m, ok := s.missing[string(key)]; !ok || m.version < version {
		s.missing[string(key)] = missingValue{version, p.file}
	}
}

// values refuses a state whose value logs are not all there, or empty. Old versions of values may lack theirs: it was tidied
// away after what was still of use had been written once more.
func (s *stateFiles) values() error {
	if len(s.missing) == 0 {
		return nil
	}
	lost := s.missing
	newer := func(key []byte, version uint64, meta byte, value []byte) {
		m, ok := lost[string(key)]
		if !ok || version < m.version {
			return
		}
		if p, isPointer := pointerOf(meta, value); isPointer {
			if _, there := slices.BinarySearch(s.vlog, uint64(p.file)); !there {
				return
			}
		}
		delete(lost, string(key))
	}
	for _, t := range s.tables {
		if !s.listed[t.id] {
			continue
		}
		if _, err := readTable(t.file, s.options.BlockSize, s.options.Compression, newer); err != nil {
			return err
		}
	}
	again := &stateFiles{dir: s.dir, options: s.options, mem: s.mem, vlog: s.vlog, seen: newer}
	if err := again.memTables(); err != nil {
		return err
	}
	return s.lost(lost)
}

// lost names the value log that values are missing from. The newest one was never tidied away, so that it may not lack old
// versions either: badger would give its number to the next.
func (s *stateFiles) lost(values pointers) error {
	count := map[uint32]int{}
	for _, m := range values {
		count[m.file]++
	}
	for _, n := range slices.Sorted(maps.Keys(s.ends)) {
		if count[n] == 0 && len(s.vlog) > 0 && uint64(n) <= s.vlog[len(s.vlog)-1] {
			continue
		}
		file := s.file(kindValues, uint64(n))
		if slices.Contains(s.empty, file) {
			return damaged(file, "it is empty; values up to byte %d are in use", s.ends[n])
		}
		return damaged(file, "it is gone, with %d values that are in use", max(count[n], 1))
	}
	return nil
}

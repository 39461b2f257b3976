// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Memory tables (.mem) and value logs (.vlog) of badger: a head of 20 bytes (number of the key that it is encrypted with,
// ours is 0, and a nonce), then entries: meta, user meta, lengths of key and value and expiry as varints, key, value,
// Castagnoli sum. A key ends in its version. In a memory table the entries of a transaction are followed by a marker.
const (
	badgerHead    = 20
	badgerDeleted = 1 << 0
	badgerPointer = 1 << 1
	badgerTxn     = 1 << 6
	badgerEnd     = 1 << 7
	versionSize   = 8
	pointerSize   = 12
	markerKey     = "!badger!txn"
)

// badgerEntry is an entry whose sum is right.
type badgerEntry struct {
	meta       byte
	key, value []byte // key without its version
	version    uint64
	size       int
}

// badgerHeader is the beginning of an entry, before its sum was looked at.
type badgerHeader struct {
	key     []byte // without its version
	version uint64
	value   int // where it begins
	end     int // behind the value
}

// badgerHeaderAt reads the beginning of what may be an entry; ok = there is one that fits into b.
func badgerHeaderAt(b []byte) (h badgerHeader, ok bool) {
	if len(b) < 2 {
		return h, false
	}
	at := 2
	var n [3]uint64 // lengths of key and value, expiry
	for i := range n {
		v, took := binary.Uvarint(b[at:])
		if took <= 0 {
			return h, false
		}
		n[i], at = v, at+took
	}
	if n[0] < versionSize || n[0] > 1<<16 || n[1] > uint64(len(b)) {
		return h, false
	}
	h.value = at + int(n[0])
	h.end = h.value + int(n[1])
	if h.end+crc32.Size > len(b) {
		return h, false
	}
	cut := h.value - versionSize
	h.key, h.version = b[at:cut], math.MaxUint64-binary.BigEndian.Uint64(b[cut:])
	return h, true
}

// badgerEntryAt reads the entry that b begins with; ok = there is a whole one.
func badgerEntryAt(b []byte) (e badgerEntry, ok bool) {
	h, ok := badgerHeaderAt(b)
	if !ok || crc32.Checksum(b[:h.end], castagnoli) != binary.BigEndian.Uint32(b[h.end:]) {
		return e, false
	}
	return badgerEntry{meta: b[0], key: h.key, version: h.version, value: b[h.value:h.end], size: h.end + crc32.Size}, true
}

// pointer is where a value lies.
type pointer struct {
	file   uint32
	offset int64
	size   int64
}

func pointerOf(meta byte, value []byte) (pointer, bool) {
	if meta&badgerPointer == 0 || meta&badgerDeleted != 0 || len(value) != pointerSize {
		return pointer{}, false
	}
	u := binary.NativeEndian.Uint32
	return pointer{file: u(value), size: int64(u(value[4:])), offset: int64(u(value[8:]))}, true
}

// memFile is a memory table that was not made a table yet.
type memFile struct {
	n           uint64
	file        string
	first, last uint64   // versions of its transactions; 0 = none
	end         int64    // of what can be read
	markers     []uint64 // versions of transactions whose markers are whole behind that
}

// beyond is a transaction behind the readable part that was written after another one there: what comes before it was on
// the disk once, so that no crash has torn it. 0 = none.
func (m *memFile) beyond(known uint64) uint64 {
	for _, v := range m.markers {
		if v > max(known, m.last)+1 {
			return v
		}
	}
	return 0
}

func (s *stateFiles) memTables() error {
	for _, n := range s.mem {
		m := &memFile{n: n, file: s.file(kindMem, n)}
		if err := sheltered(m.file, func() error {
			return mapped(m.file, func(data []byte) error {
				if err := headOf(m.file, data); err != nil {
					return err
				}
				return s.memTable(m, data)
			})
		}); err != nil {
			return err
		}
		s.mems = append(s.mems, m)
	}
	return nil
}

// memTable reads the transactions of a memory table as badger will.
func (s *stateFiles) memTable(m *memFile, data []byte) error {
	var (
		at      = min(badgerHead, len(data))
		open    uint64 // version of the transaction that has begun
		pending []badgerEntry
	)
	m.end = int64(at)
	for {
		e, ok := badgerEntryAt(data[at:])
		if !ok {
			break
		}
		at += e.size
		switch {
		case e.meta&badgerTxn != 0:
			if open != 0 && open != e.version {
				ok = false
				break
			}
			open = e.version
			pending = append(pending, e)
			continue
		case e.meta&badgerEnd != 0:
			if v, err := strconv.ParseUint(string(e.value), 10, 64); err != nil || v != open {
				ok = false
				break
			}
			for _, p := range pending {
				s.entry(p.key, p.version, p.meta, p.value)
			}
			if m.first == 0 {
				m.first = open
			}
			m.last, open, pending = open, 0, pending[:0]
		default: // moved by the tidying of value logs
			if ok = open == 0; ok {
				s.entry(e.key, e.version, e.meta, e.value)
			}
		}
		if !ok {
			break
		}
		m.end = int64(at)
	}
	m.markers = markersIn(data[m.end:])
	return nil
}

// markersIn finds the ends of transactions in bytes that cannot be read from their beginning.
func markersIn(data []byte) (all []uint64) {
	const before = 5 // meta, user meta, three lengths of one byte
	for at := 0; ; at++ {
		i := bytes.Index(data[at:], []byte(markerKey))
		if i < 0 {
			return all
		}
		at += i
		if at < before {
			continue
		}
		if e, ok := badgerEntryAt(data[at-before:]); ok && e.meta&badgerEnd != 0 && string(e.key) == markerKey {
			all = append(all, e.version)
		}
	}
}

// walkValues reads a value log up to the first byte that belongs to no whole entry.
func walkValues(data []byte) (end int64, why string) {
	at := min(badgerHead, len(data))
	for {
		e, ok := badgerEntryAt(data[at:])
		if !ok {
			if at == len(data) {
				return int64(at), "the file ends there"
			}
			return int64(at), "the value there has a wrong sum or is cut"
		}
		at += e.size
	}
}

// headOf refuses a file that says that it is encrypted. A file too short for a head is one that a crash has left.
func headOf(file string, data []byte) error {
	if len(data) >= badgerHead && binary.BigEndian.Uint64(data) != 0 {
		return damaged(file, "its head names key %x, wanted none", data[:8])
	}
	return nil
}

// mapped shows a file's bytes without reading them all into memory.
func mapped(file string, fn func(data []byte) error) (err error) {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return errors.Join(err, fn(nil))
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED) //nolint:gosec // a descriptor
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	defer func() { err = errors.Join(err, unix.Munmap(data)) }()
	return fn(data)
}

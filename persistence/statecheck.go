// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/dgraph-io/badger/v4"
)

// checkState reads every file of badger's folder before badger does. Badger itself takes what it can read for all that
// there is: it cuts MANIFEST, memory tables and the newest value log at the first byte that is not right, deletes tables
// that MANIFEST does not list, and meets a damaged table in a goroutine whose panic nobody can catch.
//
// What a crash may leave passes: the end of the newest memory table or value log torn, the end of MANIFEST torn, a table
// that was never listed, a memory table or value log without a byte (these last are removed). The state is then a little
// older than the log, which is applied from there: so it is, too, when a disk has lost the newest memory table.
func checkState(dir string, o badger.Options, log *slog.Logger) error {
	s := &stateFiles{dir: dir, options: o, ends: map[uint32]int64{}, marks: map[uint32][]mark{}}
	if err := s.list(); err != nil || s.fresh {
		return err
	}
	for _, check := range []func() error{s.keyRegistry, s.manifest, s.memTables, s.versions, s.valueLogs, s.values} {
		if err := check(); err != nil {
			return err
		}
	}
	return errors.Join(s.discard(log), s.dropEmpty(log))
}

// stateFiles is badger's folder while it is looked at.
type stateFiles struct {
	dir     string
	options badger.Options
	fresh   bool // there is nothing yet

	sst, mem, vlog []uint64 // numbers of the files, in order; value logs that are empty are not among them
	empty          []string // memory tables and value logs without a byte
	tables         []*tableFile
	mems           []*memFile
	listed         map[uint64]bool // tables in MANIFEST

	newest  uint64                                                    // newest version in listed tables
	ends    map[uint32]int64                                          // how far each value log is in use, or was
	marks   map[uint32][]mark                                         // the places in each that are
	missing pointers                                                  // values that lie in value logs that are not there
	seen    func(key []byte, version uint64, meta byte, value []byte) // instead of entry
}

// Names of badger's files.
const (
	manifestName = badger.ManifestFilename
	registryName = "KEYREGISTRY"
	discardName  = "DISCARD"
)

var stateKinds = []struct{ suffix, format string }{
	{".sst", "%06d.sst"},
	{".mem", "%05d.mem"},
	{".vlog", "%06d.vlog"},
}

const kindTable, kindMem, kindValues = 0, 1, 2 // in stateKinds

// list finds the files by their names. Others are left alone, unless badger would take them for its own.
func (s *stateFiles) list() error {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		s.fresh = true
		return nil
	}
	if err != nil {
		return err
	}
	manifest, files := false, 0
	for _, e := range entries {
		manifest = manifest || e.Name() == manifestName
		for i, k := range stateKinds {
			if !strings.HasSuffix(e.Name(), k.suffix) {
				continue
			}
			n, err := strconv.ParseUint(strings.TrimSuffix(e.Name(), k.suffix), 10, 32)
			if err != nil || fmt.Sprintf(k.format, n) != e.Name() || !e.Type().IsRegular() {
				return &stranger{s.path(e.Name()), fmt.Sprintf(k.format, 1)}
			}
			files++
			info, err := e.Info()
			if err != nil {
				return err
			}
			if i != kindTable && info.Size() == 0 {
				s.empty = append(s.empty, s.path(e.Name()))
				if i == kindValues {
					continue // what should lie in it is not there
				}
			}
			to := []*[]uint64{&s.sst, &s.mem, &s.vlog}[i]
			*to = append(*to, n)
		}
	}
	for _, l := range [][]uint64{s.sst, s.mem, s.vlog} {
		slices.Sort(l)
	}
	if !manifest && files > 0 {
		return damaged(s.path(manifestName), "it is gone, but %d files of the state are there, which only it can list", files)
	}
	s.fresh = !manifest
	return nil
}

func (s *stateFiles) path(name string) string { return filepath.Join(s.dir, name) }

func (s *stateFiles) file(kind int, n uint64) string {
	return s.path(fmt.Sprintf(stateKinds[kind].format, n))
}

// keyRegistry looks at the list of badger's own keys: it holds none, as values are sealed by us.
func (s *stateFiles) keyRegistry() error {
	const iv, text = 16, "Hello Badger"
	data, err := os.ReadFile(s.path(registryName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // badger makes it anew
	}
	if err == nil && (len(data) != iv+len(text) || string(data[iv:]) != text) {
		err = damaged(s.path(registryName), "it has %d bytes, wanted %d with the text %q", len(data), iv+len(text), text)
	}
	return err
}

// manifest reads the list of tables, and the tables.
func (s *stateFiles) manifest() error {
	file := s.path(manifestName)
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	var m badger.Manifest
	if err := sheltered(file, func() (err error) {
		if m, _, err = badger.ReplayManifestFile(f, s.options.ExternalMagicVersion, s.options); err != nil {
			return damaged(file, "%v", err)
		}
		return nil
	}); err != nil {
		return err
	}
	s.listed = map[uint64]bool{}
	for id := range m.Tables {
		s.listed[id] = true
		if !slices.Contains(s.sst, id) {
			return fmt.Errorf("%w (%s lists it)", damaged(s.file(kindTable, id), "it is gone"), file)
		}
	}
	return s.openTables()
}

// versions holds the files against one another. Each transaction has a version, one higher than the last, and leaves the
// newest in the table or memory table that it went to: so it is seen when one is missing between two others, or behind
// the tables that MANIFEST lists.
func (s *stateFiles) versions() error {
	for _, t := range s.tables {
		if s.listed[t.id] || t.err != nil || t.newest <= s.newest {
			continue // never listed, or made of listed ones: badger deletes it
		}
		if !slices.ContainsFunc(s.mems, func(m *memFile) bool { return m.first <= t.newest && t.newest <= m.last }) {
			return damaged(s.path(manifestName), "it does not list %s, which holds version %d; the listed tables end at %d", filepath.Base(t.file), t.newest, s.newest)
		}
	}
	at, before, hollow := s.newest, "", ""
	for _, m := range s.mems {
		if lost := m.beyond(at); lost > 0 {
			return damaged(m.file, "byte %d: what is there cannot be read, but version %d behind it is whole; before it is version %d", m.end, lost, max(at, m.last))
		}
		if m.end <= badgerHead && hollow == "" {
			hollow = m.file
		}
		if m.last <= at {
			continue
		}
		if m.first > at+1 {
			if hollow != "" {
				before = hollow
			}
			if before == "" {
				before = s.file(kindMem, m.n-1)
			}
			return damaged(before, "the state has the versions up to %d and those from %d on in %s; those between are gone", at, m.first, filepath.Base(m.file))
		}
		at, before, hollow = m.last, m.file, ""
	}
	return nil
}

// valueLogs holds every value log against what the tables and memory tables say lies in it: so far it must be whole, and at
// each place there must be the value of that key. One that is sound in itself may be another's copy.
func (s *stateFiles) valueLogs() error {
	for _, n := range s.vlog {
		file, id := s.file(kindValues, n), uint32(n) //nolint:gosec // parsed with 32 bits
		if err := sheltered(file, func() error {
			return mapped(file, func(data []byte) error {
				if err := headOf(file, data); err != nil {
					return err
				}
				if end, why := walkValues(data); end < s.ends[id] {
					return damaged(file, "byte %d: %s; values up to byte %d are in use", end, why, s.ends[id])
				}
				return strange(file, data, s.marks[id])
			})
		}); err != nil {
			return err
		}
		delete(s.marks, id)
	}
	return nil
}

// strange refuses a value log that has something else at a place where the value of a key must lie.
func strange(file string, data []byte, marks []mark) error {
	for _, m := range marks {
		h, ok := badgerHeaderAt(data[m.offset:])
		if !ok || h.end+crc32.Size != int(m.size) || keySum(h.key, h.version) != m.sum {
			return damaged(file, "byte %d: what lies there is not the value that the state has there: it is the file of another place or time", m.offset)
		}
	}
	return nil
}

// discard drops badger's notes on what is worth tidying when they make no sense: they are only a help.
func (s *stateFiles) discard(log *slog.Logger) error {
	const slot, least = 16, 1 << 20
	data, err := os.ReadFile(s.path(discardName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	sound := len(data) >= least && len(data)%slot == 0
	last := uint64(0)
	for at := 0; sound && at < len(data); at += slot {
		n, size := binary.BigEndian.Uint64(data[at:]), binary.BigEndian.Uint64(data[at+8:])
		if n == 0 {
			break
		}
		sound = n > last && n < 1<<32 && size < 1<<32
		last = n
	}
	if sound || len(bytes.TrimRight(data, "\x00")) == 0 && len(data) == 0 {
		return nil
	}
	log.Warn("the notes on old values make no sense and are begun anew", "file", s.path(discardName))
	return os.Remove(s.path(discardName))
}

// dropEmpty removes the memory tables and value logs without a byte, which badger would not open. A process that is killed
// leaves them: badger makes such a file before it gives it its size, and cuts it to nothing before it removes it. It comes
// last, when nothing that is in use is known to be missing, so that a state that is refused stays as it was.
func (s *stateFiles) dropEmpty(log *slog.Logger) error {
	for _, file := range s.empty {
		log.Warn("a file of the state is empty, holds nothing that is in use and is removed", "file", file)
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	return nil
}

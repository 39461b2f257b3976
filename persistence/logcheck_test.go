// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/types"
)

// smallSegments makes the log's files small, so that few entries fill several.
func smallSegments(t *testing.T, size int) {
	before := wal.DefaultSegmentSize
	wal.DefaultSegmentSize = size
	t.Cleanup(func() { wal.DefaultSegmentSize = before })
}

func quietRaft() *raftLog { return newRaftLog(slog.New(slog.NewTextHandler(io.Discard, nil))) }

// batchesOf is entries in batches of one to four, each entry of a few hundred bytes.
func batchesOf(from, n uint64, rng *rand.Rand) (all [][]*raft.Log) {
	for end := from + n; from < end; {
		var batch []*raft.Log
		for range 1 + rng.IntN(4) {
			batch = append(batch, &raft.Log{Index: from, Term: 1, Data: bytes.Repeat([]byte(fmt.Sprintf("entry %d;", from)), 10+rng.IntN(40)), AppendedAt: time.Unix(int64(from), 0)})
			from++
		}
		all = append(all, batch)
	}
	return all
}

// killedLog is the folder of a log of several files as a killed process leaves it, what it holds, and where its last batch begins.
func killedLog(t *testing.T) (dir string, want []string, lastBatch int) {
	t.Helper()
	smallSegments(t, 24<<10)
	rng := rand.New(rand.NewPCG(3, 3))
	live, dir := t.TempDir(), t.TempDir()
	w, err := openLog(live, quietRaft())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range batchesOf(1, 300, rng) {
		if err := w.StoreLogs(b); err != nil {
			t.Fatal(err)
		}
		lastBatch = int(b[0].Index) - 1
		for _, l := range b {
			want = append(want, string(l.Data))
		}
	}
	if err := w.SetUint64([]byte("CurrentTerm"), 7); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(live)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, want, lastBatch
}

func readLog(t *testing.T, w *wal.WAL) (all []string) {
	t.Helper()
	last, err := w.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	for at := uint64(1); at <= last; at++ {
		var l raft.Log
		if err := w.GetLog(at, &l); err != nil || l.Index != at {
			t.Fatalf("entry %d: it says %d, %v", at, l.Index, err)
		}
		all = append(all, string(l.Data))
	}
	return all
}

// harm is a kind of damage to what a file holds: at is somewhere in its used bytes.
type harm struct {
	name string
	do   func(data []byte, at int, rng *rand.Rand) []byte // nil = the file is gone
}

var harms = []harm{
	{"bit flipped", func(d []byte, at int, rng *rand.Rand) []byte { d[at] ^= 1 << rng.IntN(8); return d }},
	{"cut", func(d []byte, at int, _ *rand.Rand) []byte { return d[:at] }},
	{"page of zeros", func(d []byte, at int, _ *rand.Rand) []byte {
		at &^= 511
		clear(d[at:min(at+512, len(d))])
		return d
	}},
	{"gone", func([]byte, int, *rand.Rand) []byte { return nil }},
}

// spoil does a harm to a file of a folder, and says where.
func spoil(t *testing.T, path string, h harm, rng *rand.Rand) (what string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	used := len(bytes.TrimRight(data, "\x00")) // files are allocated ahead of what is in them
	at := rng.IntN(max(used, 1))
	what = fmt.Sprintf("%s %s at %d of %d", filepath.Base(path), h.name, at, used)
	if data = h.do(data, min(at, max(len(data)-1, 0)), rng); data == nil {
		err = os.Remove(path)
	} else {
		err = os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return what
}

// TestDamagedLog harms each file of a killed log in each way: it opens with all that it held, or without its very last
// batch (which a crash may have torn), or it is refused by the file's name, and then not a byte was changed.
func TestDamagedLog(t *testing.T) {
	dir, want, lastBatch := killedLog(t)
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) < 6 {
		t.Fatalf("files: %v, %v", names, err)
	}
	slices.Sort(names)
	tail := ""
	for _, n := range names {
		if strings.HasSuffix(n, walSuffix) {
			tail = filepath.Base(n)
		}
	}
	rng := rand.New(rand.NewPCG(11, 5))
	refused, whole, torn := 0, 0, 0
	for _, name := range names {
		for _, h := range harms {
			for range 5 {
				copied := t.TempDir()
				if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(copied, filepath.Base(name))
				what := spoil(t, path, h, rng)
				before := contents(t, copied)
				w, err := openLog(copied, quietRaft())
				if err != nil {
					refused++
					if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "BACKUP.md") {
						t.Errorf("%s: refused without its name or without advice: %v", what, err)
					}
					if after := contents(t, copied); after != before {
						t.Errorf("%s: refused, but the folder was changed", what)
					}
					continue
				}
				got := readLog(t, w)
				term, err := w.GetUint64([]byte("CurrentTerm"))
				switch {
				case err != nil || term != 7:
					t.Errorf("%s: the term is %d, %v", what, term, err)
				case slices.Equal(got, want):
					whole++
				case filepath.Base(name) == tail && len(got) >= lastBatch && slices.Equal(got, want[:len(got)]):
					torn++
				case filepath.Base(name) == tail && h.name != "bit flipped" && slices.Equal(got, want[:len(got)]):
					torn++ // nothing in the log tells that there was more: the state does, see TestDamagedFiles
				default:
					t.Errorf("%s: opened with %d entries, wanted %d", what, len(got), len(want))
				}
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	t.Logf("%d files: %d times refused, %d whole, %d without the end", len(names), refused, whole, torn)
	if refused == 0 || whole == 0 || torn == 0 {
		t.Error("wanted all three")
	}
}

func contents(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	list, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range list {
		data, err := os.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %d %x\n", filepath.Base(n), len(data), crc32.Checksum(data, castagnoli))
	}
	return b.String()
}

// A crash in the middle of a write leaves a part of a batch, its pages in any order: the log goes on where it was.
func TestTornLog(t *testing.T) {
	dir, want, lastBatch := killedLog(t)
	list, _ := filepath.Glob(filepath.Join(dir, "*"+walSuffix))
	slices.Sort(list)
	tail := list[len(list)-1]
	w, err := walkSegment(tail)
	if err != nil || !w.clean {
		t.Fatalf("the newest file: %+v, %v", w, err)
	}
	longer := t.TempDir() // the same with one batch more
	if err := os.CopyFS(longer, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	l, err := openLog(longer, quietRaft())
	if err != nil {
		t.Fatal(err)
	}
	var batch []*raft.Log
	for i := range 8 {
		batch = append(batch, &raft.Log{Index: uint64(len(want) + 1 + i), Term: 1, Data: bytes.Repeat([]byte("t"), 400)})
	}
	if err := errors.Join(l.StoreLogs(batch), l.Close()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(longer, filepath.Base(tail)))
	if err != nil {
		t.Fatal(err)
	}
	end := len(bytes.TrimRight(data, "\x00"))
	if end < int(w.end)+3000 {
		t.Fatalf("the batch more has %d bytes", end-int(w.end))
	}
	rng := rand.New(rand.NewPCG(1, 9))
	for i := range 15 {
		copied := t.TempDir()
		if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		torn := bytes.Clone(data)
		for range 1 + rng.IntN(3) {
			at := (int(w.end)+rng.IntN(end-int(w.end)))&^511 + 512
			clear(torn[at-512 : at])
			copy(torn[:w.end], data[:w.end])
		}
		if err := os.WriteFile(filepath.Join(copied, filepath.Base(tail)), torn, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := openLog(copied, quietRaft())
		if err != nil {
			t.Fatalf("tear %d: %v", i, err)
		}
		if got := readLog(t, l); len(got) < lastBatch || !slices.Equal(got, want[:len(got)]) || len(got) != len(want) {
			t.Fatalf("tear %d: %d entries, wanted %d", i, len(got), len(want))
		}
		next := uint64(len(want))
		for _, b := range batchesOf(next+1, 40, rng) {
			if err := l.StoreLogs(b); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if l, err = openLog(copied, quietRaft()); err != nil {
			t.Fatalf("tear %d, a second time: %v", i, err)
		}
		if got := readLog(t, l); len(got) < len(want)+40 {
			t.Fatalf("tear %d, a second time: %d entries", i, len(got))
		}
		_ = l.Close()
	}
}

// dying is a table of the log's files that can no longer be written.
type dying struct {
	*metaStore
	dead bool
}

func (d *dying) CommitState(s types.PersistentState) error {
	if d.dead {
		return errors.New("killed")
	}
	return d.metaStore.CommitState(s)
}

// A process that dies after the newest file was closed, and before the next one was begun, leaves a log that can be
// written again.
func TestKilledAtTheEndOfAFile(t *testing.T) {
	smallSegments(t, 24<<10)
	dir := t.TempDir()
	meta := &dying{metaStore: &metaStore{dir: dir}}
	w, err := wal.Open(dir, wal.WithMetaStore(meta), wal.WithLogger(quietRaft()))
	if err != nil {
		t.Fatal(err)
	}
	meta.dead = true
	next := uint64(1)
	for {
		l := &raft.Log{Index: next, Term: 1, Data: bytes.Repeat([]byte("x"), 500)}
		if err := w.StoreLogs([]*raft.Log{l}); err != nil {
			break // the file before is full
		}
		next++
	}
	if next < 20 {
		t.Fatalf("only %d entries were taken", next-1)
	}
	_ = w.Close()
	for round := range 3 {
		w, err := openLog(dir, quietRaft())
		if err != nil {
			t.Fatal(err)
		}
		if last, _ := w.LastIndex(); last != next-1 {
			t.Fatalf("round %d: it ends at %d, wanted %d", round, last, next-1)
		}
		for range 60 {
			if err := w.StoreLogs([]*raft.Log{{Index: next, Term: 1, Data: bytes.Repeat([]byte("x"), 500)}}); err != nil {
				t.Fatalf("round %d: entry %d: %v", round, next, err)
			}
			next++
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Term and vote are written while the log goes from file to file, and a process is killed at any time: the table of files
// always fits its sum.
func TestKilledWhileTheTableChanges(t *testing.T) {
	smallSegments(t, 8<<10)
	dir := t.TempDir()
	w, err := openLog(dir, quietRaft())
	if err != nil {
		t.Fatal(err)
	}
	var both sync.WaitGroup
	var entries atomic.Int64
	both.Go(func() {
		for i := range 300 {
			if err := w.StoreLogs([]*raft.Log{{Index: uint64(i + 1), Term: 1, Data: bytes.Repeat([]byte("x"), 500)}}); err != nil {
				t.Error(err)
				return
			}
			entries.Store(int64(i + 1))
		}
	})
	both.Go(func() {
		for i := range 150 {
			if err := w.SetUint64([]byte("CurrentTerm"), uint64(i)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	table, sum := filepath.Join(dir, walMetaName), filepath.Join(dir, walSumName)
	for entries.Load() < 300 && !t.Failed() {
		before, err1 := os.ReadFile(sum) // what a kill between two writes leaves: both files as they are, if neither changes meanwhile
		data, err2 := os.ReadFile(table)
		after, err3 := os.ReadFile(sum)
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(before, after) || binary.BigEndian.Uint32(after[12:]) != 0 {
			continue // in the middle of a change
		}
		copied := t.TempDir()
		if err := errors.Join(os.WriteFile(filepath.Join(copied, walMetaName), data, 0o600), os.WriteFile(filepath.Join(copied, walSumName), after, 0o600)); err != nil {
			t.Fatal(err)
		}
		if err := (&metaStore{dir: copied}).check(); err != nil {
			t.Fatal(err)
		}
	}
	both.Wait()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	note, err := os.ReadFile(sum)
	if err != nil || binary.BigEndian.Uint32(note[8:]) != crc32.Checksum(data, castagnoli) || binary.BigEndian.Uint32(note[12:]) != 0 {
		t.Fatalf("at the end: the note %x does not fit, %v", note, err)
	}
}

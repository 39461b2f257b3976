// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// filesOf are the files of a folder with that end, in order.
func filesOf(t *testing.T, dir, suffix string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil || len(list) == 0 {
		t.Fatalf("%s in %s: %v, %v", suffix, dir, list, err)
	}
	slices.Sort(list)
	return list
}

// hollow leaves nothing of a file, or as much as there was in zeros.
func hollow(t *testing.T, file string, zeros bool) {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	err = os.Truncate(file, 0)
	if zeros {
		err = errors.Join(err, os.Truncate(file, info.Size()))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// opened is the step that a folder opens at, twice over: what the first time leaves must not bar the second.
func opened(t *testing.T, dir string, log *slog.Logger) (steps int) {
	t.Helper()
	for range 2 {
		b, err := openBadger(dir, log)
		if err != nil {
			t.Fatal(err)
		}
		n, err := stepOf(b)
		if err != nil {
			t.Error(err)
		}
		steps = n
		if err := b.close(); err != nil {
			t.Fatal(err)
		}
	}
	return steps
}

// A kill between the making of a file and its first byte, or between its cutting and its removal, leaves an empty one: the
// state opens all the same, and says which files it removed.
func TestEmptyFilesAreNoDamage(t *testing.T) {
	dir, steps := killedState(t)
	mems, logs := filesOf(t, dir, ".mem"), filesOf(t, dir, ".vlog")
	var first, last, lastLog int
	for name, to := range map[string]*int{mems[0]: &first, mems[len(mems)-1]: &last, logs[len(logs)-1]: &lastLog} {
		if _, err := fmt.Sscanf(filepath.Base(name), "%d.", to); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		file string
		size int64
	}{
		{fmt.Sprintf("%05d.mem", last+1), 0},
		{fmt.Sprintf("%05d.mem", last+1), 8 << 20},
		{fmt.Sprintf("%05d.mem", first-1), 0}, // cut, as it is a table by now
		{fmt.Sprintf("%06d.vlog", lastLog+1), 0},
		{fmt.Sprintf("%06d.vlog", lastLog+1), 64 << 20},
		{filepath.Base(logs[0]), 0}, // cut, as it holds nothing but old versions
	} {
		t.Run(fmt.Sprint(c.file, " of ", c.size), func(t *testing.T) {
			copied := copyOf(t, dir)
			path := filepath.Join(copied, c.file)
			if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, c.size)); err != nil {
				t.Fatal(err)
			}
			var said bytes.Buffer
			if n := opened(t, copied, slog.New(slog.NewTextHandler(&said, nil))); n != steps {
				t.Errorf("opened at step %d, wanted %d", n, steps)
			}
			told := strings.Count(said.String(), "is removed")
			if c.size == 0 && (told != 1 || !strings.Contains(said.String(), "file="+path)) || c.size > 0 && told != 0 {
				t.Errorf("it says: %s", said.String())
			}
		})
	}
}

// An empty value log whose values are in use is damage like any other, and nothing is removed.
func TestEmptyValueLogInUse(t *testing.T) {
	dir, _ := killedState(t)
	logs := filesOf(t, dir, ".vlog")
	newest := logs[len(logs)-1]
	hollow(t, newest, false)
	extra := filepath.Join(dir, "99999.mem")
	if err := os.WriteFile(extra, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := openBadger(dir, quiet)
	if err == nil || !strings.Contains(err.Error(), newest+" is damaged: it is empty; values up to byte ") {
		t.Errorf("opened: %v", err)
	}
	if _, err := os.Stat(newest); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(extra); err != nil {
		t.Error(err)
	}
}

// The newest value log was never tidied away: it may not lack even old versions, as badger would give its number to the next.
func TestEmptyValueLogOfOldVersions(t *testing.T) {
	for name, harm := range map[string]func(string) error{
		"it is empty":  func(file string) error { return os.Truncate(file, 0) },
		"it is gone, ": os.Remove,
	} {
		live := t.TempDir()
		b, err := openBadger(live, quiet)
		if err != nil {
			t.Fatal(err)
		}
		for _, value := range []string{strings.Repeat("v", 2*inline), "short"} {
			tx := b.begin()
			if err := errors.Join(tx.set([]byte("key"), []byte(value)), tx.commit()); err != nil {
				t.Fatal(err)
			}
		}
		dir := copyOf(t, live)
		if err := b.close(); err != nil {
			t.Fatal(err)
		}
		file := filesOf(t, dir, ".vlog")[0]
		if err := harm(file); err != nil {
			t.Fatal(err)
		}
		if _, err := openBadger(dir, quiet); err == nil || !strings.Contains(err.Error(), file+" is damaged: "+name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A memory table that a damaged disk has emptied: the newest one leaves the state as it was before, whole, an older one is named.
func TestEmptyMemoryTables(t *testing.T) {
	dir, steps := killedState(t)
	split(t, filesOf(t, dir, ".mem")[1], 10)
	mems := filesOf(t, dir, ".mem")
	for _, zeros := range []bool{false, true} {
		for _, older := range mems[:2] {
			copied := copyOf(t, dir)
			file := filepath.Join(copied, filepath.Base(older))
			hollow(t, file, zeros)
			if _, err := openBadger(copied, quiet); err == nil || !strings.Contains(err.Error(), file+" is damaged: ") {
				t.Errorf("without an older one (zeros: %v): %v", zeros, err)
			}
		}
		newest := copyOf(t, dir)
		hollow(t, filepath.Join(newest, filepath.Base(mems[2])), zeros)
		if n := opened(t, newest, quiet); n != steps-20 {
			t.Errorf("without the newest one (zeros: %v) it opens at step %d, wanted %d", zeros, n, steps-20)
		}
	}
}

// R3: what only the newest memory table held is applied from the log again, from a snapshot where the log does not reach back;
// where neither does, the start is refused.
func TestEmptyMemoryTableIsAppliedAgain(t *testing.T) {
	live := t.TempDir()
	s := openRaft(t, raftConfigIn(live))
	value := strings.Repeat("value ", inline/4) // in value logs, too
	for i := range 10 {
		putText(t, s, fmt.Sprint("old ", i), value)
	}
	shutRaft(t, s)
	s = openRaft(t, raftConfigIn(live))
	for i := range 10 {
		putText(t, s, fmt.Sprint("new ", i), value)
	}
	want, whole := picture(t, s), copyOf(t, live)
	rc := s.raft.ReloadableConfig()
	rc.TrailingLogs = 1
	if err := errors.Join(s.raft.ReloadConfig(rc), s.raft.Snapshot().Error()); err != nil {
		t.Fatal(err)
	}
	putText(t, s, "last", value)
	wantShort, short := picture(t, s), copyOf(t, live)
	shutRaft(t, s)
	for name, c := range map[string]struct {
		dir, want string
		bare      bool // the snapshots are gone as well
	}{
		"log":      {whole, want, false},
		"snapshot": {short, wantShort, false},
		"neither":  {short, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyOf(t, c.dir)
			mems := filesOf(t, filepath.Join(dir, "state-1"), ".mem")
			hollow(t, mems[len(mems)-1], false)
			if c.bare {
				remove(t, dir, "snapshots")
			}
			s, err := Open(raftConfigIn(dir))
			if c.bare {
				if err == nil || !strings.Contains(err.Error(), "part of the state is gone") {
					t.Errorf("opened: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if got := picture(t, s); got != c.want {
				t.Errorf("started with something else: %s", firstDifference(got, c.want))
			}
		})
	}
}

// R3: a state that is being filled from a snapshot says up to which entry it holds all only when it does.
func TestEmptyMemoryTableOfRestoredState(t *testing.T) {
	const records = 9000 // of 700 bytes: more than one memory table
	from := newMemKV()
	tx := from.begin()
	err := tx.set([]byte{keyApplied}, binary.BigEndian.AppendUint64(nil, 77))
	for i := range records {
		k := Key{KindSetting, fmt.Sprintf("%06d", i)}
		c := rec{key: k, rev: 1, created: 1}
		err = errors.Join(err, tx.set(recordKey(k), c.encode(append([]byte{valueVersion}, bytes.Repeat([]byte("x"), 700)...))))
	}
	var kept bytes.Buffer
	if _, werr := writeBackup(&kept, from.view(), BackupInfo{}); errors.Join(err, werr) != nil {
		t.Fatal(err, werr)
	}
	s := openRaft(t, raftConfigIn(t.TempDir()))
	live := t.TempDir()
	store, l, err := s.restoreInto(live, &kept)
	if err != nil || l.applied != 77 || l.x.count[KindSetting] != records {
		t.Fatal(l, err)
	}
	for end := time.Now().Add(time.Minute); len(filesOf(t, live, ".mem")) > 1; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the memory tables are not made tables")
		}
	}
	dir := copyOf(t, live)
	if err := store.close(); err != nil {
		t.Fatal(err)
	}
	hollow(t, filesOf(t, dir, ".mem")[0], false)
	b, err := openBadger(dir, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	if at, err := appliedIn(b); at != 0 || err != nil {
		t.Errorf("half a state says that it is at %d, %v", at, err)
	}
	if _, err := s.load(b); err == nil || !strings.Contains(err.Error(), "does not say up to which entry") {
		t.Errorf("half a state was taken for a whole one: %v", err)
	}
}

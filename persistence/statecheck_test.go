// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// stepped is a database of transactions that each say which one they are, so that what it holds can be told whole from half.
type stepped struct {
	b    *badgerKV
	done int
}

func (s *stepped) step(t *testing.T, n int) {
	t.Helper()
	for range n {
		s.done++
		tx := s.b.begin()
		key := fmt.Sprintf("key %03d", s.done%40)
		err := errors.Join(
			tx.set([]byte("small "+key), []byte(fmt.Sprintf("%d %s", s.done, strings.Repeat("s", 300)))),
			tx.set([]byte("large "+key), []byte(fmt.Sprintf("%d %s", s.done, strings.Repeat("L", 1500)))),
			tx.set([]byte{keyApplied}, binary.BigEndian.AppendUint64(nil, uint64(s.done))),
			tx.commit())
		if err != nil {
			t.Fatal(err)
		}
	}
}

// stepOf is the transaction that a database ends with, or why it does not hold what that must leave.
func stepOf(b *badgerKV) (int, error) {
	applied, err := appliedIn(b)
	if err != nil {
		return 0, err
	}
	v := b.view()
	defer v.close()
	found := 0
	err = v.scan(nil, nil, func(key []byte, value func() ([]byte, error)) (bool, error) {
		if len(key) == 1 {
			return true, nil
		}
		data, err := value()
		if err != nil {
			return false, err
		}
		var slot, n int
		if _, err := fmt.Sscanf(string(key[len("small key "):]), "%d", &slot); err != nil {
			return false, err
		}
		if _, err := fmt.Sscanf(string(data), "%d", &n); err != nil {
			return false, err
		}
		want := int(applied) - (int(applied)-slot)%40
		if n != want {
			return false, fmt.Errorf("%q is of step %d, wanted %d of %d", key, n, want, applied)
		}
		found++
		return true, nil
	})
	if err == nil && found != 2*min(int(applied), 40) {
		err = fmt.Errorf("%d keys at step %d", found, applied)
	}
	return int(applied), err
}

// killedState is the folder of a database as a killed process leaves it: tables, two memory tables, several value logs.
func killedState(t *testing.T) (dir string, steps int) {
	t.Helper()
	live := t.TempDir()
	s := &stepped{}
	open := func() {
		b, err := openBadger(live, quiet)
		if err != nil {
			t.Fatal(err)
		}
		s.b = b
	}
	for range 3 { // a table and a value log each
		open()
		s.step(t, 50)
		if err := s.b.close(); err != nil {
			t.Fatal(err)
		}
	}
	open()
	defer func() { _ = s.b.close() }()
	s.step(t, 60)
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(live)); err != nil {
		t.Fatal(err)
	}
	halve(t, dir)
	return dir, s.done
}

// halve makes two memory tables of one, as there are while the older one is being made a table.
func halve(t *testing.T, dir string) {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "*.mem"))
	if err != nil || len(list) != 1 {
		t.Fatalf("memory tables: %v, %v", list, err)
	}
	split(t, list[0], 30)
}

// split leaves so many transactions in a memory table, and puts the others, as many at least, into the next one.
func split(t *testing.T, file string, keep int) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	at, cut, ends := badgerHead, 0, 0
	for {
		e, ok := badgerEntryAt(data[at:])
		if !ok {
			break
		}
		at += e.size
		if e.meta&badgerEnd != 0 {
			if ends++; ends == keep {
				cut = at
			}
		}
	}
	if cut == 0 || ends < 2*keep {
		t.Fatalf("%d transactions in %s", ends, file)
	}
	first, second := make([]byte, len(data)), make([]byte, len(data))
	copy(first, data[:cut])
	copy(second, data[:badgerHead])
	copy(second[badgerHead:], data[cut:at])
	var n int
	if _, err := fmt.Sscanf(filepath.Base(file), "%05d.mem", &n); err != nil {
		t.Fatal(err)
	}
	next := filepath.Join(filepath.Dir(file), fmt.Sprintf("%05d.mem", n+1))
	if err := errors.Join(os.WriteFile(file, first, 0o600), os.WriteFile(next, second, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedState harms each file of a killed database in each way. It opens at a step that it was at, with all that
// belongs to that step (the log is applied from there), or it is refused by the file's name.
func TestDamagedState(t *testing.T) {
	dir, steps := killedState(t)
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, n := range names {
		kinds[filepath.Ext(n)]++
	}
	if kinds[".sst"] < 3 || kinds[".mem"] != 2 || kinds[".vlog"] < 4 {
		t.Fatalf("files: %v", names)
	}
	newestMem := ""
	for _, n := range names {
		if filepath.Ext(n) == ".mem" {
			newestMem = filepath.Base(n)
		}
	}
	b, err := openBadger(copyOf(t, dir), quiet)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := stepOf(b); err != nil || n != steps {
		t.Fatalf("undamaged: step %d, %v", n, err)
	}
	_ = b.close()
	rng := rand.New(rand.NewPCG(17, 4))
	refused, whole, older := 0, 0, 0
	for _, name := range names {
		base := filepath.Base(name)
		if base == "LOCK" {
			continue
		}
		for _, h := range harms {
			for range 3 {
				copied := copyOf(t, dir)
				path := filepath.Join(copied, base)
				what := spoil(t, path, h, rng)
				b, err := openBadger(copied, quiet)
				if err != nil {
					refused++
					if !strings.Contains(err.Error(), path) && !(base == newestMem && strings.Contains(err.Error(), ".vlog")) {
						t.Errorf("%s: refused without its name: %v", what, err)
					}
					_ = os.RemoveAll(copied)
					if h.name == "gone" {
						break
					}
					continue
				}
				n, err := stepOf(b)
				switch {
				case err != nil:
					t.Errorf("%s: opened as a half: %v", what, err)
				case n == steps:
					whole++
				case base == newestMem && n < steps:
					older++
				default:
					t.Errorf("%s: opened at step %d, wanted %d", what, n, steps)
				}
				_ = b.close()
				_ = os.RemoveAll(copied)
				if h.name == "gone" {
					break
				}
			}
		}
	}
	t.Logf("%d files: %d times refused, %d whole, %d older", len(names), refused, whole, older)
	if refused == 0 || whole == 0 || older == 0 {
		t.Error("wanted all three")
	}
}

func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := copyTree(dir, to); err != nil {
		t.Fatal(err)
	}
	return to
}

// Foreign files are left alone or refused by name; what badger can make anew may be gone.
func TestForeignFiles(t *testing.T) {
	dir, steps := killedState(t)
	for name, refuse := range map[string]bool{
		"notes.txt": false, "backup.sst": true, "1.mem": true, "x.vlog": true, "000001.vlog.bak": false, "core": false, "00000001.sst": true, "MANIFEST-REWRITE": false,
	} {
		copied := copyOf(t, dir)
		path := filepath.Join(copied, name)
		if err := os.WriteFile(path, []byte("something else"), 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := openBadger(copied, quiet)
		if refuse {
			if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "move it elsewhere") {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if n, err := stepOf(b); n != steps || err != nil {
			t.Errorf("%s: step %d, %v", name, n, err)
		}
		_ = b.close()
	}
}

// A crash tears the end of the newest memory table and of the newest value log, in pages of any order, and leaves a table
// that nobody lists: the database opens at the last step that is whole.
func TestTornState(t *testing.T) {
	dir, steps := killedState(t)
	list, _ := filepath.Glob(filepath.Join(dir, "*.mem"))
	logs, _ := filepath.Glob(filepath.Join(dir, "*.vlog"))
	mem, values := filepath.Base(slices.Max(list)), filepath.Base(slices.Max(logs))
	rng := rand.New(rand.NewPCG(8, 2))
	for i := range 10 {
		copied := copyOf(t, dir)
		data, err := os.ReadFile(filepath.Join(copied, mem))
		if err != nil {
			t.Fatal(err)
		}
		m, at := &memFile{}, 0
		last := badgerHead // where the last transaction begins
		for at = badgerHead; ; {
			e, ok := badgerEntryAt(data[at:])
			if !ok {
				break
			}
			if e.meta&badgerEnd == 0 && (m.last != e.version) {
				last, m.last = at, e.version
			}
			at += e.size
		}
		from := last + rng.IntN(at-last)
		clear(data[from:min(from+64, at)])
		if err := os.WriteFile(filepath.Join(copied, mem), data, 0o600); err != nil {
			t.Fatal(err)
		}
		vlog, err := os.ReadFile(filepath.Join(copied, values))
		if err != nil {
			t.Fatal(err)
		}
		used := len(bytes.TrimRight(vlog, "\x00"))
		clear(vlog[used-1-rng.IntN(1500) : used])
		if err := os.WriteFile(filepath.Join(copied, values), vlog, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(copied, "000777.sst"), bytes.Repeat([]byte("half a table "), 100), 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := openBadger(copied, quiet)
		if err != nil {
			t.Fatalf("tear %d at %d: %v", i, from, err)
		}
		if n, err := stepOf(b); err != nil || n != steps-1 {
			t.Errorf("tear %d at %d: step %d, wanted %d: %v", i, from, n, steps-1, err)
		}
		_ = b.close()
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"bytes"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
)

// TestTidiedStateIsWhole: a state whose value logs were tidied, values being moved to other logs, is taken for whole when
// the process is killed then, and holds all that it should.
func TestTidiedStateIsWhole(t *testing.T) {
	const keys = 24
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	open := func(dir string) *badgerKV {
		t.Helper()
		b, err := openBadger(dir, log)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	logs := func() int {
		list, err := filepath.Glob(filepath.Join(dir, "*.vlog"))
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	padding := bytes.Repeat([]byte("x"), 8<<10)
	text := func(life, i int) string { return fmt.Sprintf("life %d, key %d %s", life, i, padding) }
	want := map[string]string{}
	gone := 0
	for life := 0; gone <= 0; life++ { // each makes a table: some of them, and badger compacts and sees what is old
		if life == 60 {
			t.Fatal("no value log was ever tidied away")
		}
		b := open(dir)
		for i := range keys {
			if life > 0 && i%8 == 3 { // stays, and is to be moved
				continue
			}
			key := fmt.Sprint("key ", i)
			want[key] = text(life, i)
			tx := b.begin()
			if err := tx.set([]byte(key), []byte(want[key])); err != nil {
				t.Fatal(err)
			}
			if err := tx.commit(); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.db.Flatten(1); err != nil { // compacts now what badger would when it has time
			t.Fatal(err)
		}
		before := logs()
		if err := b.tidy(); err != nil {
			t.Fatal(err)
		}
		gone = before - logs()
		if gone > 0 {
			killed := open(copyOf(t, dir))
			v := killed.view()
			found := 0
			if err := v.scan(nil, nil, func(key []byte, value func() ([]byte, error)) (bool, error) {
				got, err := value()
				if found++; string(got) != want[string(key)] {
					t.Errorf("%s: %.40q, wanted %.40q", key, got, want[string(key)])
				}
				return true, err
			}); err != nil || found != keys {
				t.Errorf("%d keys, wanted %d: %v", found, keys, err)
			}
			v.close()
			if err := killed.close(); err != nil {
				t.Error(err)
			}
		}
		if err := b.close(); err != nil {
			t.Fatal(err)
		}
	}
}

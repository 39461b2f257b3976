// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

// A kill between the making of a table's file and its first byte leaves an empty one; the state opens all the same.
func TestEmptyFilesAreNoDamage(t *testing.T) {
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	b, err := openBadger(dir, log)
	if err != nil {
		t.Fatal(err)
	}
	tx := b.begin()
	if err := tx.set([]byte("k"), []byte("v")); err != nil {
		t.Fatal(err)
	}
	if err := tx.commit(); err != nil {
		t.Fatal(err)
	}
	if err := b.close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"00009.mem", "000009.vlog"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if b, err = openBadger(dir, log); err != nil {
		t.Fatal(err)
	}
	defer b.close() //nolint:errcheck // the test is over
	v := b.view()
	defer v.close()
	if got, err := v.get([]byte("k")); err != nil || string(got) != "v" {
		t.Errorf("%q %v", got, err)
	}
}

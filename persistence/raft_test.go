// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence_test

import (
	"bytes"
	"io"
	"log/slog"
	"testing"

	"ferrite/persistence"
	"ferrite/persistence/storetest"
)

var testKey = bytes.Repeat([]byte{7}, persistence.KeySize)

func testConfig(dir string) persistence.Config {
	return persistence.Config{Dir: dir, Name: "c1", Key: testKey, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

func open(t *testing.T, cfg persistence.Config) *persistence.Raft {
	t.Helper()
	s, err := persistence.Open(cfg)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestRaftConforms(t *testing.T) {
	storetest.Run(t, func(t *testing.T) persistence.Store { return open(t, testConfig(t.TempDir())) })
}

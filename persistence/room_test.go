// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// A start without room is refused before anything is written; a folder that is in use starts with less than a new one.
func TestRoom(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	var free atomic.Uint64
	cfg := raftConfigIn(dir)
	cfg.MinFree = leastMinFree
	cfg.free = func(string) (uint64, error) { return free.Load(), nil }
	refused := func(at uint64, want ...string) {
		t.Helper()
		free.Store(at)
		s, err := Open(cfg)
		if err == nil {
			_ = s.Close()
			t.Fatalf("with %d bytes free: it opened", at)
		}
		for _, w := range append(want, dir, "make room") {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("with %d bytes free: %v, wanted %q", at, err, w)
			}
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "state-*")); len(left) > 0 && at >= leastMinFree {
			t.Errorf("with %d bytes free: %v was made", at, left)
		}
	}
	refused(leastMinFree, "is new", "64 MB free, wanted 144 MB")
	refused(leastMinFree+roomForNew-1, "is new")
	free.Store(leastMinFree + roomForNew)
	s := openRaft(t, cfg)
	putText(t, s, "a", "1")
	shutRaft(t, s)
	refused(roomForOld-1, "16383 KB free, wanted 16 MB")
	free.Store(roomForOld)
	s = openRaft(t, cfg)
	if !s.Stats().DiskLow || s.Len(KindSetting) != 1 {
		t.Errorf("with little room: %+v", s.Stats())
	}
}

// What the system lacks is not called damage, whether its error comes as an error or as a text.
func TestLacksAreNoDamage(t *testing.T) {
	for _, l := range lacks {
		for _, err := range []error{fmt.Errorf("opening: %w", l.errno), errors.New("While opening: " + l.errno.Error() + ".")} {
			got := cannotOpen("state", "/data/state-1", err).Error()
			if strings.Contains(got, "damaged") || !strings.Contains(got, "/data/state-1") || l.errno != syscall.ENFILE && l.errno != syscall.EDQUOT && !strings.Contains(got, l.advice) {
				t.Errorf("%v: %s", l.errno, got)
			}
		}
	}
	if got := cannotOpen("state", "/data/state-1", errors.New("nonsense")).Error(); !strings.Contains(got, "may be damaged") {
		t.Error(got)
	}
}

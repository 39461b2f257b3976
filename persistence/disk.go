// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"
)

func freeSpace(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// keep looks after the disk and the outbox once a second, and after badger's value log every five minutes.
func (s *Raft) keep(ctx context.Context) {
	tick := time.NewTicker(s.cfg.second)
	defer tick.Stop()
	tidy := time.NewTicker(5 * time.Minute)
	defer tidy.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.checkDisk()
			s.trimOverdue(ctx)
		case <-tidy.C:
			s.tidy()
		}
	}
}

// checkDisk sets and clears the watermark: badger dies of SIGBUS on a full disk, so writes end before.
func (s *Raft) checkDisk() {
	free, err := s.cfg.free(s.cfg.Dir)
	if err != nil {
		s.log.Warn("free disk space is not known", "dir", s.cfg.Dir, "err", err)
		return
	}
	low := free < s.cfg.MinFree
	if s.low.Swap(low) == low {
		return
	}
	level := slog.LevelInfo
	if low {
		level = slog.LevelError
	}
	s.log.Log(context.Background(), level, "disk watermark", "dir", s.cfg.Dir, "free_bytes", free, "min_bytes", s.cfg.MinFree, "writes_refused", low)
}

// trimOverdue drops what is beyond the outbox's bounds, one log entry at a time (N2).
func (s *Raft) trimOverdue(ctx context.Context) {
	if !s.leading() {
		return
	}
	for t := s.overdue(s.cfg.Clock()); t != nil && ctx.Err() == nil; t = s.overdue(s.cfg.Clock()) {
		before := s.dropped.Load()
		if _, err := s.propose(ctx, &entry{trim: t}); err != nil {
			s.log.Warn("the outbox is over its bounds and cannot be trimmed", "err", err)
			return
		}
		if t.dropped {
			s.log.Warn("unpublished events dropped from the outbox", "events", s.dropped.Load()-before)
		}
	}
}

func (s *Raft) tidy() {
	s.mu.RLock()
	store := s.store
	closed := s.err != nil
	if !closed {
		store.users.Add(1)
	}
	s.mu.RUnlock()
	if closed {
		return
	}
	defer store.users.Done()
	if b, ok := store.kv.(*badgerKV); ok {
		if err := b.tidy(); err != nil {
			s.log.Warn("value log not tidied", "err", err)
		}
	}
}

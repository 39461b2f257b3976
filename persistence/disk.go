// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"
)

// diskSpace is what is free for us, and all that there is, in bytes.
func diskSpace(dir string) (free, all uint64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, err
	}
	return st.Bavail * uint64(st.Bsize), st.Blocks * uint64(st.Bsize), nil //nolint:gosec // never negative
}

// freeSpace is what is free for us in bytes.
func freeSpace(dir string) (uint64, error) {
	free, _, err := diskSpace(dir)
	return free, err
}

// watermark is the free space below which writes end: as configured, or a share of the disk.
func (c Config) watermark() uint64 {
	if c.MinFree > 0 {
		return c.MinFree
	}
	_, all, err := diskSpace(c.Dir)
	if err != nil {
		return leastMinFree
	}
	return min(max(all/minFreeShare, leastMinFree), mostMinFree)
}

// looksPerSecond is how often the disk is looked at: at full speed it must not fill up from the watermark between two.
const looksPerSecond = 5

// keep looks after the disk five times a second, after the outbox once, and after badger's value log every five minutes.
func (s *Raft) keep(ctx context.Context) {
	tick := time.NewTicker(s.cfg.second)
	defer tick.Stop()
	look := time.NewTicker(s.cfg.second / looksPerSecond)
	defer look.Stop()
	tidy := time.NewTicker(5 * time.Minute)
	defer tidy.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			s.checkDisk()
		case <-tick.C:
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
	s.diskFree.Store(free)
	low := free < s.minFree
	if s.low.Swap(low) == low {
		return
	}
	level := slog.LevelInfo
	if low {
		level = slog.LevelError
		if s.raft != nil { // another member has room, perhaps
			if err := s.Yield(); err != nil {
				s.log.Debug("no other member leads the log", "err", err)
			}
		}
	}
	s.log.Log(context.Background(), level, "disk watermark", "dir", s.cfg.Dir, "free_bytes", free, "min_bytes", s.minFree, "writes_refused", low)
}

// Stats implements Store.
func (s *Raft) Stats() Stats {
	st := s.replica.Stats()
	st.DiskFree, st.DiskLow = s.diskFree.Load(), s.low.Load()
	return st
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
	if err := store.tidy(); err != nil {
		s.log.Warn("value log not tidied", "err", err)
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"errors"
	"log/slog"
	"os"
	"time"
)

// Config is what Open needs. Dir, Name and Key must be given; zero elsewhere means the default.
type Config struct {
	// Dir is the data folder. It is made with mode 0700.
	Dir string
	// Name is this conductor's stable name: its identity in the log's membership. A folder belongs to one name.
	Name string
	// Incarnation is random per process start (S1). The store only logs it, beside the process that holds the folder.
	Incarnation uint64
	// Key is the cluster key, KeySize bytes. Secrets are sealed with a key derived from it (L3).
	Key []byte
	// Keys are further ones, which only open, until a rotation makes one of them the one that seals. What the folder is sealed
	// with counts more than which of them is Key.
	Keys [][]byte
	// Net makes the log one of several members; nil = a log of its own.
	Net *Net
	// KeepKey is told a new cluster key when everything is sealed with it, before the old one is dropped: it keeps the key
	// for the next start. An error puts the end off. nil = nobody.
	KeepKey func(key []byte) error
	// KeysChanged is told, of a log of several members, the keys that are known now, the one that seals first: what else is
	// derived from them follows. It must not wait for the store. nil = nobody.
	KeysChanged func(keys [][]byte)
	// DropKey is told the key that a log of several members is done with, and the one that has taken its place; it takes the
	// old one out of where the keys are kept. nil = nobody.
	DropKey func(old, key []byte)
	// Logger receives few lines: what was found at the start, and what fails. nil = slog.Default.
	Logger *slog.Logger
	// Clock stamps log entries: the age of events. nil = time.Now.
	Clock func() time.Time
	// OutboxMaxAge and OutboxMaxBytes bound the outbox (N2); the oldest events are dropped beyond it. 0 = 24 h, 256 MB.
	OutboxMaxAge   time.Duration
	OutboxMaxBytes int64
	// OutboxKeep is how long events are kept that every publisher has confirmed, within the same bounds; 0 = not at all.
	OutboxKeep time.Duration
	// MinFree is the free space in bytes on Dir's disk below which writes of records are refused. 0 = 5 % of the disk, but
	// 64 MB at least and 2 GB at most.
	MinFree uint64
	// Exit ends the process after a failed write to disk. nil = os.Exit.
	Exit func(code int)

	free   func(dir string) (uint64, error) // nil = statfs
	wrap   func(logStore) logStore          // tests: a log that fails
	second time.Duration                    // how often the disk and the outbox are looked at; 0 = 1 s
}

const (
	leastMinFree = 64 << 20
	mostMinFree  = 2 << 30
	minFreeShare = 20 // one part in so many
)

func (c Config) defaults() (Config, error) {
	switch {
	case c.Dir == "":
		return c, errors.New("the store needs a data folder")
	case c.Name == "":
		return c, errors.New("the store needs the conductor's name")
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Exit == nil {
		c.Exit = os.Exit
	}
	if c.free == nil {
		c.free = freeSpace
	}
	if c.second == 0 {
		c.second = time.Second
	}
	return c, nil
}

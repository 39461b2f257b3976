// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package persistence is the fenced log: every write is a compare-and-set in one replicated log entry, and every
// conductor holds a full copy of what the log says.
//
// # Usage
//
//	s, err := persistence.Open(persistence.Config{Dir: dir, Name: "c1", Key: key})
//	rev, err := s.Commit(ctx, persistence.Tx{
//		If:  []persistence.Cond{{Key: k, Rev: n.Rev}},  // nobody wrote meanwhile
//		Put: []persistence.Put{{Key: k, Value: next, Uniq: []string{"name/" + next.Name}}},
//		Events: events,                                 // told to the world once this is committed
//	})
//
// A transaction holds conditions, records, deletions and events; it is applied whole or not at all. Two stores speak the
// interface Store: Raft (hashicorp/raft as the log, raft-wal its file, badger the state machine) and Memory, which runs
// the same state machine without a disk for tests and simulation. Package storetest is the suite that both pass.
//
// What is on disk: wal/ (the log), state-N/ (badger; CURRENT names the one in use), snapshots/, LOCK, key.check. Entries,
// records and backups begin with a format version (L1); secrets are sealed before they enter the log (L3). Open reads all
// of it before the libraries do, as they take what they can read for all that there is: logcheck.go and logmeta.go for
// the log, statecheck.go for badger, snapshots.go.
//
// A write is answered when the log has it and memory shows it; badger gets it moments later, together with others
// (writebehind.go, docs/adr/0016).
//
// # Concurrency
//
// All methods may be called from any goroutine. One goroutine applies the log; readers see each entry whole. Values that
// are handed out are shared: never write to them.
//
// # Failure
//
// A damaged file is refused by its name (*Damage), as is a start without room or files. *Conflict and *NotUnique are answers,
// not failures. ErrNoQuorum means not written. ErrUnknown means that the outcome could not be found out: read before you
// try again. An fsync error ends the process at once, because a second fsync may succeed without having written; what was
// acknowledged is in the log, and the next start reads it.
package persistence

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"io"
	"time"

	"ferrite/inventory"
	"ferrite/node"
)

// Kind is the sort of a record.
type Kind uint8

// Kinds of record. The numbers are on disk: never reuse one.
const (
	KindNode      Kind = 1 // Value *node.Node, ID = UUID
	KindPort      Kind = 2 // Value *inventory.Port, ID = UUID
	KindHistory   Kind = 3 // Value *node.Entry, ID = node UUID + "/" + sortable entry id
	KindTombstone Kind = 4 // Value *Tombstone, ID = node UUID: a deleted node's epoch, kept for valid (S15)
	KindSetting   Kind = 5 // Value []byte: committed cluster settings (L4)
	KindCursor    Kind = 6 // Value []byte: how far a publisher got (N2)
	KindConductor Kind = 7 // Value []byte: a conductor's public facts (API /v1/conductors)
	KindChassis   Kind = 8 // Value *inventory.Chassis, ID = UUID
)

// Key names a record.
type Key struct {
	Kind Kind
	ID   string
}

// Record is a stored value with its place in the log. Value is decoded and shared: never write to it.
type Record struct {
	Key
	Rev     node.Rev // log position that last wrote it
	Created node.Rev // log position that created it
	Value   any
}

// Cond must hold for a transaction to be applied: the record's revision is Rev; 0 = the record must not exist.
type Cond struct {
	Key
	Rev node.Rev
}

// Put writes a record. Value's type is fixed by Kind. Uniq lists the keys that no other record may hold, like
// "name/rack1", "instance/UUID" or "mac/52:54:..."; it replaces the record's former list. Secret fields of nodes are
// sealed before anything reaches the log (L3).
type Put struct {
	Key
	Value any
	Uniq  []string
}

// Event is a notification in the outbox: written in the entry of the change that it tells of (N1). Body is complete
// but for its message_id, which follows from revision and index (N2).
type Event struct {
	Subject string // NATS subject
	Node    string // UUID for the header, "" = none
	Body    []byte
}

// Tx is one log entry: all of it or nothing. It needs at least one condition, unless it holds events alone (L2). A key
// may be named once among Put and Del. DelPrefix deletes every record of the kind whose ID begins with ID (a node's whole
// history); it comes before the Puts. A Put over an existing record keeps Created.
type Tx struct {
	If        []Cond
	Put       []Put
	Del       []Key
	DelPrefix []Key
	Events    []Event
}

// Outgoing is an event as the outbox hands it to a publisher, in order of (Rev, Index).
type Outgoing struct {
	Rev   node.Rev
	Index int // place among the events of its entry
	Event
}

// Change tells a watcher of one written or deleted record.
type Change struct {
	Rev   node.Rev
	Key   Key
	Value any // nil = deleted
}

// Tombstone remembers a deleted node's epoch (S15).
type Tombstone struct {
	Epoch   uint64
	Deleted time.Time
}

// Store is the fenced log with its materialised replica. All methods may be called from any goroutine. Values that it
// returns are shared and immutable.
type Store interface {
	// Commit applies tx in one log entry and returns its revision, after quorum and local apply (R3).
	// Errors: *Conflict, *NotUnique, ErrNoQuorum, ErrUnknown, ErrDiskLow, ErrNoCondition, ErrTooBig, ErrClosed.
	Commit(ctx context.Context, tx Tx) (node.Rev, error)
	// Submit is Commit without waiting: done is called once, from a goroutine of the store, and must not block.
	Submit(tx Tx, done func(node.Rev, error))

	// Node is the local replica's copy, with Rev and Created filled.
	Node(uuid string) (*node.Node, bool)
	// Port likewise.
	Port(uuid string) (*inventory.Port, bool)
	// Get reads any record.
	Get(k Key) (Record, bool)
	// Holder says which record holds a unique key.
	Holder(uniq string) (Key, bool)
	// Nodes calls fn for every node in order of creation, starting after the given creation key (nil = from the start),
	// until fn returns false. It walks one consistent point in time.
	Nodes(after *node.Node, fn func(*node.Node) bool)
	// Ports likewise. PortsOf lists one node's ports in order of creation.
	Ports(after *inventory.Port, fn func(*inventory.Port) bool)
	PortsOf(nodeUUID string) []*inventory.Port
	// Scan walks records of a kind whose ID has the prefix, in ID order.
	Scan(k Kind, prefix string, fn func(Record) bool)
	// Len counts the records of a kind without reading them.
	Len(k Kind) int

	// Watch delivers every change after from, without gaps, in log order, until ctx ends. When the log no longer
	// reaches back, Next returns ErrCompacted: read everything, then watch anew (R5).
	Watch(ctx context.Context, from node.Rev) Watcher
	// Applied is the newest revision in the local replica.
	Applied() node.Rev
	// ReadIndex returns a revision that is at least as new as every write acknowledged before the call, and waits until
	// the local replica holds it (R1). Callers share rounds; one joins only a round that starts after it arrived.
	ReadIndex(ctx context.Context) (node.Rev, error)
	// WaitApplied waits until the local replica holds rev (R2).
	WaitApplied(ctx context.Context, rev node.Rev) error

	// Outbox returns up to max events after (rev, index), oldest first, and waits for one when there is none (N2).
	Outbox(ctx context.Context, afterRev node.Rev, afterIndex, max int) ([]Outgoing, error)
	// Cursor and SetCursor keep how far a named publisher got; setting it is one log entry and lets the outbox be
	// trimmed up to there.
	Cursor(name string) (node.Rev, int)
	SetCursor(ctx context.Context, name string, rev node.Rev, index int) error

	// LeaderContact is when the log's leader was last heard of, on the monotonic clock (S7).
	LeaderContact() time.Time
	// Role tells the log's leader and what this member is.
	Role() (leader string, voter, isLeader bool)
	// Stats are figures for metrics and benches.
	Stats() Stats
	// Backup writes a consistent, checksummed copy without the secrets key, and returns its revision.
	Backup(w io.Writer) (node.Rev, error)
	Close() error
}

// Watcher is one reader of changes.
type Watcher interface {
	// Next waits for the next changes (at least one).
	Next() ([]Change, error)
	Close()
}

// Stats are counters since start.
type Stats struct {
	Commits       uint64 // log entries applied, whatever they held
	Transactions  uint64 // transactions accepted
	Conflicts     uint64
	OutboxDepth   int    // events that some publisher has not confirmed yet
	OutboxDropped uint64 // of these, dropped beyond the bounds
	Applied       node.Rev
	DiskFree      uint64 // bytes free on the disk of the data folder; 0 = there is no disk
	DiskLow       bool   // writes are refused for want of room
}

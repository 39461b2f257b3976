// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/btree"

	"ferrite/inventory"
	"ferrite/node"
)

// replica is the state machine with its readers: all that Memory and Raft share. One goroutine at a time calls apply;
// readers come from anywhere.
type replica struct {
	codec  *codec
	bounds outboxBounds
	onFail func(error) // storage failed: ends the process

	applied atomic.Uint64
	changed signal // fires when applied moved or the replica stopped

	commits, accepted, conflicts, dropped atomic.Uint64

	// proposed are the entries that this member has given to the log and waits for (txid to *entry): their values need
	// not be decoded again.
	proposed sync.Map

	mu       sync.RWMutex // guards the fields below; apply alone writes them, under Lock
	store    *sharedKV
	x        *index
	ring     ring
	queue    outboxQueue
	nodeTree *btree.BTreeG[*node.Node]      // copy of x.nodes at this time, nil = none yet
	portTree *btree.BTreeG[*inventory.Port] // likewise
	err      error                          // why nothing is applied or served any more
}

func newReplica(c *codec, bounds outboxBounds, store kv, onFail func(error)) *replica {
	return &replica{codec: c, bounds: bounds.defaults(), onFail: onFail, store: &sharedKV{kv: store}, x: newIndex()}
}

// sharedKV counts its readers, so that it is closed under none of them.
type sharedKV struct {
	kv
	users sync.WaitGroup
}

// view opens a reader of the storage, which holds all that is applied by now; done must be called after it.
func (r *replica) view() (v kvView, done func(), err error) {
	r.mu.RLock()
	s, err := r.store, r.err
	if err == nil {
		s.users.Add(1)
	}
	r.mu.RUnlock()
	if err != nil {
		return nil, nil, err
	}
	v = s.view() // without the lock: it may wait for the storage
	if err := r.stopped(); err != nil {
		v.close()
		s.users.Done()
		return nil, nil, err
	}
	return v, func() { v.close(); s.users.Done() }, nil
}

// stop makes every later call answer err; the first reason stays.
func (r *replica) stop(err error) {
	r.mu.Lock()
	if r.err == nil {
		r.err = err
	}
	r.mu.Unlock()
	r.changed.fire()
}

func (r *replica) stopped() error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.err
}

// shut stops the replica and closes its storage once the last reader has left.
func (r *replica) shut() error {
	r.stop(ErrClosed)
	r.store.users.Wait()
	return r.store.close()
}

// Node implements Store.
func (r *replica) Node(uuid string) (*node.Node, bool) {
	if c := r.lookup(Key{KindNode, uuid}); c != nil {
		return c.value.(*node.Node), true
	}
	return nil, false
}

// Port implements Store.
func (r *replica) Port(uuid string) (*inventory.Port, bool) {
	if c := r.lookup(Key{KindPort, uuid}); c != nil {
		return c.value.(*inventory.Port), true
	}
	return nil, false
}

func (r *replica) lookup(k Key) *rec {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.x.recs[k]
}

// Get implements Store.
func (r *replica) Get(k Key) (Record, bool) {
	c := r.lookup(k)
	if c == nil && kinds[k.Kind].disk {
		c = r.fromDisk(k)
	}
	if c == nil {
		return Record{}, false
	}
	return c.record(), true
}

// fromDisk reads a record of a kind that is kept on disk only; nil when there is none.
func (r *replica) fromDisk(k Key) *rec {
	v, done, err := r.view()
	if err != nil {
		return nil
	}
	defer done()
	data, err := v.get(recordKey(k))
	if err != nil {
		r.onFail(fmt.Errorf("reading record %d/%s: %w", k.Kind, k.ID, err))
		return nil
	}
	if data == nil {
		return nil
	}
	c, err := r.decodeWhole(k, data)
	if err != nil {
		r.stop(err)
		return nil
	}
	return c
}

// decodeWhole decodes a stored record with its value.
func (r *replica) decodeWhole(k Key, data []byte) (*rec, error) {
	c, body, err := decodeRecord(k, data)
	if err != nil {
		return nil, err
	}
	if err := r.fill(c, body, nil); err != nil {
		return nil, err
	}
	return c, nil
}

// fill decodes a record's value, unless v is it already, and gives it its place in the log.
func (r *replica) fill(c *rec, body []byte, v any) (err error) {
	if v == nil {
		if v, err = r.codec.decode(c.key, body); err != nil {
			return err
		}
	}
	switch v := v.(type) {
	case *node.Node:
		v.Rev, v.Created = c.rev, c.created
		c.key.ID = v.UUID // the same text, held once
	case *inventory.Port:
		v.Rev, v.Created = c.rev, c.created
		c.key.ID = v.UUID
	}
	c.value = v
	return nil
}

// Holder implements Store.
func (r *replica) Holder(uniq string) (Key, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	k, ok := r.x.uniq[uniq]
	return k, ok
}

// Nodes implements Store.
func (r *replica) Nodes(after *node.Node, fn func(*node.Node) bool) {
	t := snapshotOf(r, &r.nodeTree, func() *btree.BTreeG[*node.Node] { return r.x.nodes.Clone() })
	if after == nil {
		t.Ascend(fn)
		return
	}
	t.AscendGreaterOrEqual(after, func(n *node.Node) bool {
		return n.Created == after.Created && n.UUID == after.UUID || fn(n)
	})
}

// Ports implements Store.
func (r *replica) Ports(after *inventory.Port, fn func(*inventory.Port) bool) {
	t := snapshotOf(r, &r.portTree, func() *btree.BTreeG[*inventory.Port] { return r.x.ports.Clone() })
	if after == nil {
		t.Ascend(fn)
		return
	}
	t.AscendGreaterOrEqual(after, func(p *inventory.Port) bool {
		return p.Created == after.Created && p.UUID == after.UUID || fn(p)
	})
}

// snapshotOf returns the copy of a tree that *at caches, made anew when a change has dropped it. Copies are made on
// write: taking one costs nothing, and all lists between two writes share it.
func snapshotOf[T any](r *replica, at **btree.BTreeG[T], clone func() *btree.BTreeG[T]) *btree.BTreeG[T] {
	r.mu.RLock()
	t := *at
	r.mu.RUnlock()
	if t != nil {
		return t
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if *at == nil {
		*at = clone()
	}
	return *at
}

// PortsOf implements Store.
func (r *replica) PortsOf(nodeUUID string) []*inventory.Port {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clip(r.x.portsOf[nodeUUID])
}

// Scan implements Store.
func (r *replica) Scan(k Kind, prefix string, fn func(Record) bool) {
	if kinds[k].disk {
		r.scanDisk(k, prefix, fn)
		return
	}
	r.mu.Lock()
	t := r.x.byID[k]
	if t != nil {
		t = t.Clone()
	}
	r.mu.Unlock()
	if t != nil {
		withPrefix(t, prefix, func(c *rec) bool { return fn(c.record()) })
	}
}

func (r *replica) scanDisk(k Kind, prefix string, fn func(Record) bool) {
	v, done, err := r.view()
	if err != nil {
		return
	}
	defer done()
	err = v.scan(recordKey(Key{k, prefix}), nil, func(key []byte, value func() ([]byte, error)) (bool, error) {
		rk, err := parseRecordKey(key)
		if err != nil {
			return false, err
		}
		data, err := value()
		if err != nil {
			return false, err
		}
		c, err := r.decodeWhole(rk, data)
		if err != nil {
			return false, err
		}
		return fn(c.record()), nil
	})
	if err != nil {
		r.onFail(fmt.Errorf("reading the %s records: %w", kinds[k].name, err))
	}
}

// Len implements Store.
func (r *replica) Len(k Kind) int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.x.count[k]
}

// Watch implements Store.
func (r *replica) Watch(ctx context.Context, from node.Rev) Watcher {
	ctx, cancel := context.WithCancel(ctx)
	return &watcher{r: r, ctx: ctx, cancel: cancel, at: from}
}

func (r *replica) changesAfter(from node.Rev, max int) ([]Change, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.ring.after(from, r.Applied(), max)
}

// Applied implements Store.
func (r *replica) Applied() node.Rev { return node.Rev(r.applied.Load()) }

// WaitApplied implements Store.
func (r *replica) WaitApplied(ctx context.Context, rev node.Rev) error {
	for r.Applied() < rev {
		wake := r.changed.wait()
		if r.Applied() >= rev {
			break
		}
		if err := r.stopped(); err != nil {
			return err
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return fmt.Errorf("waiting for revision %d, the local replica is at %d: %w", rev, r.Applied(), ctx.Err())
		}
	}
	return nil
}

// Stats implements Store.
func (r *replica) Stats() Stats {
	r.mu.RLock()
	depth := r.queue.len() - r.sent()
	r.mu.RUnlock()
	return Stats{
		Commits:       r.commits.Load(),
		Transactions:  r.accepted.Load(),
		Conflicts:     r.conflicts.Load(),
		OutboxDepth:   depth,
		OutboxDropped: r.dropped.Load(),
		Applied:       r.Applied(),
	}
}

// Backup implements Store.
func (r *replica) Backup(w io.Writer) (node.Rev, error) {
	v, done, err := r.view()
	if err != nil {
		return 0, err
	}
	defer done()
	return writeBackup(w, v, r.backupInfo())
}

// backupInfo is the head of a backup or snapshot.
func (r *replica) backupInfo() BackupInfo {
	r.mu.RLock()
	defer r.mu.RUnlock()
	info := BackupInfo{Keys: r.codec.seal.fingerprints(), Pairs: r.queue.len()}
	for _, n := range r.x.count {
		info.Pairs += n
	}
	return info
}

// seconds is how the outbox keeps time.
func seconds(t time.Time) uint32 { return uint32(t.Unix()) }

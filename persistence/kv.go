// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"strings"
	"sync"

	"github.com/google/btree"
)

// kv is what the state machine asks of its storage: badger, or a tree in memory. One goroutine writes.
type kv interface {
	begin() kvTx
	view() kvView
	tidy() error // gives room back
	close() error
}

// kvView reads one point in time. get returns nil for an absent key. scan walks keys with the prefix from the given key
// on (nil = the first); what it passes to fn is valid only until fn returns.
type kvView interface {
	get(key []byte) ([]byte, error)
	scan(prefix, from []byte, fn func(key []byte, value func() ([]byte, error)) (more bool, err error)) error
	close()
}

// kvTx is one atomic write that sees its own changes. It owns the slices that it is given.
type kvTx interface {
	get(key []byte) ([]byte, error)
	keys(prefix []byte, fn func(key []byte)) error
	set(key, value []byte) error
	del(key []byte) error
	size() int // bytes and keys taken so far, in bytes
	commit() error
	discard()
}

// memKV is the storage of Memory.
type memKV struct {
	mu   sync.Mutex // guards tree; a clone needs no lock
	tree *btree.BTreeG[memItem]
}

type memItem struct {
	key   string
	value []byte
}

func newMemKV() *memKV {
	return &memKV{tree: btree.NewG(32, func(a, b memItem) bool { return a.key < b.key })}
}

func (m *memKV) begin() kvTx  { return &memTx{m: m} }
func (m *memKV) tidy() error  { return nil }
func (m *memKV) close() error { return nil }

func (m *memKV) view() kvView {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &memView{tree: m.tree.Clone()}
}

type memView struct{ tree *btree.BTreeG[memItem] }

func (v *memView) close() {}

func (v *memView) get(key []byte) ([]byte, error) {
	item, ok := v.tree.Get(memItem{key: string(key)})
	if !ok {
		return nil, nil
	}
	return item.value, nil
}

func (v *memView) scan(prefix, from []byte, fn func([]byte, func() ([]byte, error)) (bool, error)) error {
	if from == nil {
		from = prefix
	}
	var err error
	v.tree.AscendGreaterOrEqual(memItem{key: string(from)}, func(item memItem) bool {
		if !strings.HasPrefix(item.key, string(prefix)) {
			return false
		}
		var more bool
		more, err = fn([]byte(item.key), func() ([]byte, error) { return item.value, nil })
		return more && err == nil
	})
	return err
}

// memTx writes through: the state machine never takes a change back, it stops instead.
type memTx struct{ m *memKV }

func (t *memTx) get(key []byte) ([]byte, error) {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	return (&memView{tree: t.m.tree}).get(key)
}

func (t *memTx) keys(prefix []byte, fn func(key []byte)) error {
	v := t.m.view()
	defer v.close()
	return v.scan(prefix, nil, func(key []byte, _ func() ([]byte, error)) (bool, error) {
		fn(key)
		return true, nil
	})
}

func (t *memTx) set(key, value []byte) error {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	t.m.tree.ReplaceOrInsert(memItem{key: string(key), value: value})
	return nil
}

func (t *memTx) del(key []byte) error {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	t.m.tree.Delete(memItem{key: string(key)})
	return nil
}

func (t *memTx) size() int     { return 0 }
func (t *memTx) commit() error { return nil }
func (t *memTx) discard()      {}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"

	"ferrite/node"
)

// loaded is what a storage holds, in memory.
type loaded struct {
	x       *index
	queue   []queued
	applied node.Rev
}

// load materialises a storage. Decoding is the larger part of it and is spread over the processors.
func (r *replica) load(store kv) (*loaded, error) {
	v := store.view()
	defer v.close()
	l := &loaded{x: newIndex()}
	var err error
	if l.applied, err = appliedOf(v); err != nil {
		return nil, err
	}
	if err := r.loadRecords(v, l.x); err != nil {
		return nil, err
	}
	err = v.scan([]byte{keyEvent}, nil, func(key []byte, _ func() ([]byte, error)) (bool, error) {
		q, err := parseEventKey(key)
		l.queue = append(l.queue, q)
		return err == nil, err
	})
	if err != nil {
		return nil, err
	}
	held := len(l.queue)
	for _, n := range l.x.count {
		held += n
	}
	if l.applied == 0 && held > 0 {
		return nil, damaged("it", "it holds %d records and events, but does not say up to which entry of the log: what a restored snapshot ends with is gone", held)
	}
	return l, nil
}

// appliedIn is the newest entry whose effects a storage holds.
func appliedIn(store kv) (node.Rev, error) {
	v := store.view()
	defer v.close()
	return appliedOf(v)
}

func appliedOf(v kvView) (node.Rev, error) {
	data, err := v.get([]byte{keyApplied})
	if err != nil || len(data) != 8 {
		return 0, err
	}
	return node.Rev(binary.BigEndian.Uint64(data)), nil
}

type storedRec struct {
	key  Key
	data []byte
}

func (r *replica) loadRecords(v kvView, x *index) error {
	const batch = 64
	work := make(chan []storedRec, 2*runtime.GOMAXPROCS(0))
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex // guards x and failed
		failed error
	)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for list := range work {
				recs := make([]*rec, 0, len(list))
				var err error
				for _, s := range list {
					var c *rec
					if c, err = r.decodeWhole(s.key, s.data); err != nil {
						break
					}
					recs = append(recs, c)
				}
				mu.Lock()
				if failed == nil {
					failed = err
				}
				for _, c := range recs {
					x.put(nil, c)
				}
				mu.Unlock()
			}
		})
	}
	var list []storedRec
	err := v.scan([]byte{keyRecord}, nil, func(key []byte, value func() ([]byte, error)) (bool, error) {
		k, err := parseRecordKey(key)
		if err != nil {
			return false, err
		}
		info, ok := kinds[k.Kind]
		switch {
		case !ok:
			return false, fmt.Errorf("record %d/%s: unknown kind: %w", k.Kind, k.ID, errNewer)
		case info.disk:
			mu.Lock()
			x.count[k.Kind]++
			mu.Unlock()
			return true, nil
		}
		data, err := value()
		if err != nil {
			return false, err
		}
		list = append(list, storedRec{k, append([]byte(nil), data...)})
		if len(list) == batch {
			work <- list
			list = nil
		}
		return true, nil
	})
	work <- list
	close(work)
	wg.Wait()
	if err == nil {
		err = failed
	}
	return err
}

// adopt makes a storage and what was loaded from it the replica's state, in one step. It returns the former storage.
// Watchers must read everything anew (R5).
func (r *replica) adopt(store kv, l *loaded) *sharedKV {
	r.mu.Lock()
	old := r.store
	r.store = &sharedKV{kv: store}
	r.x = l.x
	r.queue.reset(l.queue)
	r.ring = ring{floor: l.applied}
	r.nodeTree, r.portTree = nil, nil
	r.applied.Store(uint64(l.applied))
	r.mu.Unlock()
	r.changed.fire()
	return old
}

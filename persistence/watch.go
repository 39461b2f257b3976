// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"sort"
	"sync"

	"ferrite/node"
)

// ring holds the newest changes in log order. It is bounded by the bytes of the records behind them; what falls out
// raises floor. It has no lock: see replica.
type ring struct {
	list  []ringEntry // list[head:] are live
	head  int
	bytes int
	floor node.Rev // changes at or before it may be gone
}

type ringEntry struct {
	change Change
	size   int
}

// A ring keeps at least minRingBytes of changes and at most an eighth of what the index holds.
const (
	minRingBytes = 1 << 20
	changeCost   = 128 // bytes of a change besides its record
)

func (r *ring) add(c Change, size, limit int) {
	size += changeCost
	r.list = append(r.list, ringEntry{change: c, size: size})
	r.bytes += size
	for r.bytes > limit && r.head < len(r.list)-1 {
		old := r.list[r.head]
		r.floor = old.change.Rev
		r.bytes -= old.size
		r.list[r.head] = ringEntry{}
		r.head++
	}
	if r.head > 64 && r.head > len(r.list)/2 {
		n := copy(r.list, r.list[r.head:])
		clear(r.list[n:])
		r.list, r.head = r.list[:n], 0
	}
}

// after returns the changes with from < Rev <= upto, about max of them but whole revisions; ok = false when some of
// them are gone.
func (r *ring) after(from, upto node.Rev, max int) (out []Change, ok bool) {
	if from < r.floor {
		return nil, false
	}
	live := r.list[r.head:]
	i := sort.Search(len(live), func(i int) bool { return live[i].change.Rev > from })
	for ; i < len(live) && live[i].change.Rev <= upto; i++ {
		if len(out) >= max && live[i].change.Rev != out[len(out)-1].Rev {
			break
		}
		out = append(out, live[i].change)
	}
	return out, true
}

// watcher implements Watcher. Next is for one goroutine at a time; Close for any.
type watcher struct {
	r      *replica
	ctx    context.Context
	cancel context.CancelFunc
	mu     sync.Mutex // guards at
	at     node.Rev
}

const watchBatch = 1024

// Next implements Watcher. It ends with ErrCompacted, ErrClosed or the context's error.
func (w *watcher) Next() ([]Change, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		if err := w.ctx.Err(); err != nil {
			return nil, err
		}
		wake := w.r.changed.wait()
		if err := w.r.stopped(); err != nil {
			return nil, err
		}
		list, ok := w.r.changesAfter(w.at, watchBatch)
		if !ok {
			return nil, ErrCompacted
		}
		if len(list) > 0 {
			w.at = list[len(list)-1].Rev
			return list, nil
		}
		select {
		case <-wake:
		case <-w.ctx.Done():
		}
	}
}

// Close implements Watcher: a Next that waits returns.
func (w *watcher) Close() { w.cancel() }

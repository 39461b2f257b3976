// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"errors"
	"math"
	"sort"
	"time"

	"ferrite/node"
)

// outboxBounds say how much news is kept (N2).
type outboxBounds struct {
	age   time.Duration
	bytes int64
	keep  time.Duration // of what every publisher has confirmed; 0 = trimmed with the cursor
}

func (b outboxBounds) defaults() outboxBounds {
	if b.age == 0 {
		b.age = 24 * time.Hour
	}
	if b.bytes == 0 {
		b.bytes = 256 << 20
	}
	return b
}

// outboxQueue lists what is in the outbox, oldest first, 24 bytes an event. It has no lock: see replica.
type outboxQueue struct {
	list  []queued // list[head:] are live
	head  int
	bytes int64
	seen  []sighting // oldest first, none older than an unsent event is kept
	known node.Rev   // the newest event that has been here for longer than that
}

func (q *outboxQueue) len() int               { return len(q.list) - q.head }
func (q *outboxQueue) first(n int) []queued   { return q.list[q.head : q.head+n] }
func (q *outboxQueue) reset(sorted []queued)  { *q = outboxQueue{}; q.add(sorted) }
func (q *outboxQueue) live() []queued         { return q.list[q.head:] }
func (q *outboxQueue) newest() (queued, bool) { return last(q.live()) }

func last(l []queued) (queued, bool) {
	if len(l) == 0 {
		return queued{}, false
	}
	return l[len(l)-1], true
}

func (q *outboxQueue) add(events []queued) {
	for _, v := range events {
		q.bytes += int64(v.size)
	}
	q.list = append(q.list, events...)
}

func (q *outboxQueue) drop(n int) {
	for _, v := range q.first(n) {
		q.bytes -= int64(v.size)
	}
	q.head += n
	if q.head > 64 && q.head > len(q.list)/2 {
		q.list = append([]queued(nil), q.live()...)
		q.head = 0
	}
}

// count is how many events, at most max, lie at or before (rev, index).
func (q *outboxQueue) count(rev node.Rev, index uint32, max int) int {
	live := q.live()
	return min(max, sort.Search(len(live), func(i int) bool { return !live[i].reached(rev, index) }))
}

// sighting says that an event was the newest one at a time of this process's clock.
type sighting struct {
	rev node.Rev
	at  time.Time
}

// look notes what is newest now, and returns the newest that has been here for age by our own clock. An event bears the time of
// who wrote it, and that clock may be days behind: what nobody has been told yet is not given up for that alone.
func (q *outboxQueue) look(now time.Time, age time.Duration) (known node.Rev) {
	newest, ok := q.newest()
	if n := len(q.seen); ok && (n == 0 || now.Sub(q.seen[n-1].at) >= age/sightings) {
		q.seen = append(q.seen, sighting{newest.rev, now})
	}
	for len(q.seen) > 0 && now.Sub(q.seen[0].at) >= age {
		q.known, q.seen = q.seen[0].rev, q.seen[1:]
	}
	return q.known
}

// sightings is how many there are in the time that an unsent event is kept.
const sightings = 256

// beyond finds the newest event that is over the bounds. Those after known are not old, whatever their time says.
func (q *outboxQueue) beyond(b outboxBounds, now time.Time, known node.Rev) (queued, bool) {
	live := q.live()
	oldest := seconds(now.Add(-b.age))
	bytes := q.bytes
	i := 0
	for i < len(live) && (bytes > b.bytes || live[i].at < oldest && live[i].rev <= known) {
		bytes -= int64(live[i].size)
		i++
	}
	return last(live[:i])
}

// overdue is the trim that the bounds ask for now; nil = none. What every publisher has confirmed goes first and is no
// loss: beyond the time that it is kept for, or to make room.
func (r *replica) overdue(now time.Time) *trim {
	r.mu.Lock()
	defer r.mu.Unlock()
	live, sent := r.queue.live(), r.sent()
	kept := r.bounds
	if sent > 0 && kept.keep < kept.age {
		kept.age = kept.keep
	}
	if q, ok := r.queue.beyond(kept, now, math.MaxUint64); ok && sent > 0 {
		if newest := live[sent-1]; !q.reached(newest.rev, newest.index) {
			q = newest
		}
		return &trim{rev: q.rev, index: q.index}
	}
	if q, ok := r.queue.beyond(r.bounds, now, r.queue.look(now, r.bounds.age)); ok {
		return &trim{rev: q.rev, index: q.index, dropped: true}
	}
	return nil
}

// lowest is the place that every publisher has confirmed, with name's cursor at (rev, index); "" = as they are.
func (r *replica) lowest(name string, rev node.Rev, index uint32) (low queued, some bool) {
	if name != "" {
		low, some = queued{rev: rev, index: index}, true
	}
	r.x.byID[KindCursor].Ascend(func(c *rec) bool {
		if c.key.ID != name {
			crev, cindex := decodeCursor(c.value)
			if at := (queued{rev: crev, index: cindex}); !some || at.reached(low.rev, low.index) {
				low, some = at, true
			}
		}
		return true
	})
	return low, some
}

// sent counts the events at the head of the queue that every publisher has confirmed.
func (r *replica) sent() int {
	low, some := r.lowest("", 0, 0)
	if !some {
		return 0
	}
	return r.queue.count(low.rev, low.index, r.queue.len())
}

// published is the trim that the cursors allow, with name's cursor at (rev, index); nil = nothing to trim.
func (r *replica) published(name string, rev node.Rev, index uint32) *trim {
	r.mu.RLock()
	defer r.mu.RUnlock()
	low, _ := r.lowest(name, rev, index)
	if r.bounds.keep > 0 || r.queue.count(low.rev, low.index, 1) == 0 {
		return nil
	}
	return &trim{rev: low.rev, index: low.index}
}

// Cursor implements Store.
func (r *replica) Cursor(name string) (node.Rev, int) {
	c := r.lookup(Key{KindCursor, name})
	if c == nil {
		return 0, 0
	}
	rev, index := decodeCursor(c.value)
	return rev, int(index)
}

// setCursor moves a cursor forward, and trims the outbox up to the lowest one in the same entry. commit proposes an
// entry and waits for it.
func (r *replica) setCursor(ctx context.Context, name string, rev node.Rev, index int, commit func(context.Context, *entry) (node.Rev, error)) error {
	k := Key{KindCursor, name}
	for {
		var cond node.Rev
		if c := r.lookup(k); c != nil {
			cond = c.rev
			if crev, cindex := decodeCursor(c.value); rev < crev || rev == crev && index <= int(cindex) {
				return nil // a cursor never goes back
			}
		}
		e, err := r.codec.prepare(Tx{If: []Cond{{Key: k, Rev: cond}}, Put: []Put{{Key: k, Value: encodeCursor(rev, uint32(index))}}})
		if err != nil {
			return err
		}
		e.trim = r.published(name, rev, uint32(index))
		_, err = commit(ctx, e)
		var conflict *Conflict
		if errors.As(err, &conflict) {
			continue
		}
		for err == nil && e.trim != nil { // one entry trims a part only
			if e = (&entry{trim: r.published(name, rev, uint32(index))}); e.trim != nil {
				_, err = commit(ctx, e)
			}
		}
		return err
	}
}

// Outbox implements Store.
func (r *replica) Outbox(ctx context.Context, afterRev node.Rev, afterIndex, limit int) ([]Outgoing, error) {
	for {
		wake := r.changed.wait()
		if out, err := r.readOutbox(afterRev, afterIndex, limit); err != nil || len(out) > 0 || limit <= 0 {
			return out, err
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (r *replica) readOutbox(afterRev node.Rev, afterIndex, limit int) ([]Outgoing, error) {
	r.mu.RLock()
	newest, some := r.queue.newest()
	err := r.err
	r.mu.RUnlock()
	if err != nil {
		return nil, err
	}
	if !some || afterIndex >= 0 && newest.reached(afterRev, uint32(afterIndex)) {
		return nil, nil
	}
	v, done, err := r.view()
	if err != nil {
		return nil, err
	}
	defer done()
	from := queued{rev: afterRev}.key()
	if afterIndex >= 0 {
		from = queued{rev: afterRev, index: uint32(afterIndex)}.after()
	}
	applied := r.Applied()
	var out []Outgoing
	err = v.scan([]byte{keyEvent}, from, func(key []byte, value func() ([]byte, error)) (bool, error) {
		q, err := parseEventKey(key)
		if err != nil || q.rev > applied {
			return false, err
		}
		data, err := value()
		if err != nil {
			return false, err
		}
		event, err := decodeEvent(data)
		if err != nil {
			return false, err
		}
		out = append(out, Outgoing{Rev: q.rev, Index: int(q.index), Event: event})
		return len(out) < limit, nil
	})
	return out, err
}

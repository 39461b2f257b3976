// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import "time"

const (
	tick       = 20 * time.Millisecond
	wheelSlots = 1024
)

// wheel is a timing wheel: setting and clearing a record's one timer costs a few pointers. Timers that lie more than a
// turn (20 s) ahead stay in their slot until their turn comes. It belongs to its shard's goroutine.
type wheel struct {
	slots [wheelSlots]*record
	now   int64 // tick that was handled last
	armed int
}

// set arms the record's timer, d from now (a time in nanoseconds).
func (w *wheel) set(r *record, now int64, d time.Duration) {
	w.clear(r)
	r.due = max((now+int64(d))/int64(tick)+1, w.now+1)
	i := r.due % wheelSlots
	r.timerNext = w.slots[i]
	if r.timerNext != nil {
		r.timerNext.timerPrev = r
	}
	w.slots[i] = r
	w.armed++
}

// clear disarms the record's timer.
func (w *wheel) clear(r *record) {
	if r.due == 0 {
		return
	}
	if r.timerPrev != nil {
		r.timerPrev.timerNext = r.timerNext
	} else {
		w.slots[r.due%wheelSlots] = r.timerNext
	}
	if r.timerNext != nil {
		r.timerNext.timerPrev = r.timerPrev
	}
	r.timerNext, r.timerPrev, r.due = nil, nil, 0
	w.armed--
}

// advance fires what is due at the time now.
func (w *wheel) advance(now int64, fire func(*record)) {
	last := now / int64(tick)
	if w.armed == 0 {
		w.now = max(last, w.now)
		return
	}
	for w.now < last {
		w.now++
		i := w.now % wheelSlots
		for r := w.slots[i]; r != nil; {
			next := r.timerNext
			if r.due <= w.now {
				w.clear(r)
				fire(r)
				next = w.slots[i] // fire may have changed the list; those that are not due stay and are passed over
				for next != nil && next.due > w.now {
					next = next.timerNext
				}
			}
			r = next
		}
	}
}

// next is when the wheel must be looked at again; false = never.
func (w *wheel) next() (int64, bool) {
	if w.armed == 0 {
		return 0, false
	}
	for k := int64(1); k < wheelSlots; k++ {
		if w.slots[(w.now+k)%wheelSlots] != nil {
			return (w.now + k) * int64(tick), true
		}
	}
	return (w.now + wheelSlots) * int64(tick), true
}

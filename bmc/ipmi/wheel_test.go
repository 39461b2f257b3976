// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The wheel fires every timer once, never early, and at most a tick late, whatever is set, moved and cleared.
func TestWheel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w wheel
		records := make([]record, 20)
		due := map[*record]int64{} // the obvious oracle
		now := int64(time.Minute)
		w.now = now / int64(tick)
		fire := func(r *record) {
			at, armed := due[r]
			if !armed || at > now {
				t.Fatalf("fired at %d: wanted at %d (armed %v)", now, at, armed)
			}
			delete(due, r)
			if at%3 == 0 { // many set themselves again
				w.set(r, now, 30*time.Millisecond)
				due[r] = now + int64(30*time.Millisecond)
			}
		}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			r := &records[rapid.IntRange(0, len(records)-1).Draw(t, "record")]
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0, 1:
				d := time.Duration(rapid.Int64Range(0, int64(50*time.Second)).Draw(t, "in"))
				w.set(r, now, d)
				due[r] = now + int64(d)
			case 2:
				w.clear(r)
				delete(due, r)
			default:
				now += rapid.Int64Range(0, int64(15*time.Second)).Draw(t, "passes")
				w.advance(now, fire)
				for r, at := range due {
					if at+2*int64(tick) < now {
						t.Fatalf("timer %d is overdue at %d (armed %v)", at, now, r.due != 0)
					}
				}
			}
			if w.armed != len(due) {
				t.Fatalf("%d timers are armed: wanted %d", w.armed, len(due))
			}
			next, ok := w.next()
			if ok != (len(due) > 0) {
				t.Fatalf("next says %v with %d timers", ok, len(due))
			}
			for _, at := range due {
				if ok && next > at+2*int64(tick) {
					t.Fatalf("the next look is at %d: wanted by %d", next, at)
				}
			}
		}
	})
}

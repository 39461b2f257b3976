// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"ferrite/node"
)

// A settled node is read once a turn. One whose power just changed, or whose BMC just failed, is read sooner: after an
// eighth, a quarter and a half of a turn. A BMC that goes on failing is asked less and less often.
const (
	quickReadings = 3
	steadyMisses  = 5 // failures in a row before the pauses double
	backOffMax    = 15 * time.Minute
	hintEvery     = 5 * time.Second // a BMC's traps bring one reading in this time
)

// special is when an entry is read that is not in its turn: in so many ticks, 0 = it is settled. An extra reading comes
// between two turns; if it fails, no retry of the power sync is used up.
func (s *Sweep) special(e *entry) (ticks uint64, extra bool) {
	missed, mode := e.missed.Load(), e.mode.Load()
	switch {
	case mode == modeRecover && s.f.live.Load().RecoveryEvery > 0:
		return s.pause(), false
	case mode != modeSync:
		return 0, false
	case missed > steadyMisses:
		if net := e.subnet.Load(); net != nil && net.down.Load() || e.named.Load().down() {
			return 0, false // one event: its end must be seen soon, and a probe is two packets
		}
		most := max(uint64(backOffMax/s.tick), roundTicks) //nolint:gosec // positive
		return s.shaken(min(roundTicks<<min(missed-steadyMisses, 10), most)), false
	case missed > quickReadings || e.rests.Load():
		return 0, false
	case missed > 0:
		return s.shaken(roundTicks >> (quickReadings + 1 - missed)), missed < quickReadings
	}
	if left := e.eager.Load(); left > 0 {
		e.eager.Store(left - 1)
		return s.shaken(roundTicks >> left), false
	}
	return 0, false
}

// pause is patience in ticks.
func (s *Sweep) pause() uint64 {
	return max(1, min(uint64(patience(s.f.live.Load().RecoveryEvery)/s.tick), 1<<40)) //nolint:gosec // positive
}

// shaken spreads a pause by +-1/8.
func (*Sweep) shaken(ticks uint64) uint64 {
	return max(1, ticks-ticks/8+rand.Uint64N(ticks/4+1)) //nolint:gosec // spreads load, no secret
}

// again is when an entry's turn comes next.
func (s *Sweep) again(e *entry) uint64 {
	ticks, extra := s.special(e)
	if e.extra = extra; ticks > 0 {
		return s.now + ticks
	}
	at := stray(int(e.due) - int(e.base)) //nolint:gosec // ticks of a process's life
	if e.base <= s.now+jitterTick {       // else what was due was an extra reading, and this turn is still to come
		e.base += roundTicks
	}
	for e.base <= s.now { // turns missed while suspended are not made up for
		e.base += roundTicks
	}
	return uint64(max(int(e.base)+at, int(s.now)+1)) //nolint:gosec // likewise
}

// stray is how many ticks after its phase an entry is read next, when it was so many this time: a walk of small steps within
// +-jitterTick. A place drawn anew each time could only lie as far apart as gaps may, or readings would have to be as many
// more as it strays. What was read out of its turn begins at its phase.
func stray(at int) int {
	if at < -jitterTick || at > jitterTick {
		at = 0
	}
	at += rand.IntN(2*strayTick+1) - strayTick //nolint:gosec // spreads load, no secret
	switch {                                   // thrown back at the ends, where it would stick otherwise
	case at > jitterTick:
		return 2*jitterTick - at
	case at < -jitterTick:
		return -2*jitterTick - at
	}
	return at
}

// hurried are entries whose next reading has to be thought over. Drivers' goroutines put them here; the wheel takes
// them up at its next tick.
type hurried struct {
	mu  sync.Mutex // guards all
	all []*entry
}

// soon has an entry's next reading thought over.
func (s *Sweep) soon(e *entry) {
	if !e.hurried.CompareAndSwap(false, true) {
		return
	}
	s.hurried.mu.Lock()
	s.hurried.all = append(s.hurried.all, e)
	s.hurried.mu.Unlock()
}

// rethink gives those their new place. mu is held.
func (s *Sweep) rethink() {
	s.hurried.mu.Lock()
	all := s.hurried.all
	s.hurried.all = nil
	s.hurried.mu.Unlock()
	for _, e := range all {
		e.hurried.Store(false)
		if s.all[e.uuid] != e {
			continue
		}
		s.unlink(e)
		ticks, extra := s.special(e)
		if e.extra = extra; ticks > 0 {
			e.due = s.now + ticks
		} else {
			s.place(e)
		}
		// The reading that a hint wants comes when the time since the last such reading allows it. While another one is under
		// way it waits for its end, since that one may have been asked too early.
		if at := max(s.now+1, e.hintFrom); e.hinted.Load() && !e.busy.Load() && at < e.due {
			e.due, e.extra = at, true
		}
		s.insert(e)
	}
}

// changed notes what a commit did to an entry: before is what it recorded. The first record of all is no change.
func (s *Sweep) changed(e *entry, known bool, before uint64, missed uint32) {
	old, now := before&^cleanBit, e.record.Load()&^cleanBit
	switch {
	case known && old != now:
		if now == code(node.PowerOn) || now == code(node.PowerOff) { // it was read before it was written
			e.seen.Store(time.Now().UnixNano())
		}
		e.eager.Store(quickReadings)
		s.soon(e)
	case missed != 0 && e.missed.Load() == 0:
		s.soon(e) // its turn may be far away
	}
}

// ConfirmedAt is when a node's power state was last confirmed by its BMC; zero = not yet since this conductor looks
// after it, or it does not.
func (s *Sweep) ConfirmedAt(uuid string) time.Time {
	s.mu.Lock()
	e := s.all[uuid]
	s.mu.Unlock()
	if e == nil {
		return time.Time{}
	}
	if at := e.seen.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// Hint has the nodes behind a BMC read: it has said that something happened. They are read at once, or when hintEvery is over
// since the last reading that a hint brought. It reports how many there are, and whether a hint before this one has brought
// the same reading.
func (s *Sweep) Hint(from netip.Addr) (nodes int, joined bool) {
	found := s.behind.find(from.Unmap())
	for _, e := range found {
		if !s.hint(e) {
			joined = true
		}
	}
	return len(found), joined
}

// hintNode is Hint for one node, told by another conductor.
func (s *Sweep) hintNode(uuid string) {
	s.mu.Lock()
	e := s.all[uuid]
	s.mu.Unlock()
	if e != nil {
		s.hint(e)
	}
}

// hint has an entry read; false = it is to be read for another hint already.
func (s *Sweep) hint(e *entry) bool {
	if !e.hinted.CompareAndSwap(false, true) {
		return false
	}
	s.soon(e)
	return true
}

// followed notes that a reading has begun which a hint wanted. mu is held.
func (s *Sweep) followed(e *entry) { e.hintFrom = s.now + s.hintTicks() }

// hintTicks is hintEvery in ticks.
func (s *Sweep) hintTicks() uint64 {
	return max(1, uint64((hintEvery+s.tick-1)/s.tick)) //nolint:gosec // positive
}

// behind are the entries by the address of their BMC, for Hint.
type behind struct {
	mu sync.Mutex // guards by, and entry.at
	by map[netip.Addr][]*entry
}

func (b *behind) find(at netip.Addr) []*entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.by[at])
}

// moved keeps them: an entry's BMC is at this address now, zero = nowhere.
func (s *Sweep) moved(e *entry, to netip.Addr) {
	if !s.f.cfg.Hints {
		return
	}
	b := &s.behind
	b.mu.Lock()
	defer b.mu.Unlock()
	if e.at == to {
		return
	}
	if rest := slices.DeleteFunc(slices.Clone(b.by[e.at]), func(x *entry) bool { return x == e }); len(rest) > 0 {
		b.by[e.at] = rest
	} else {
		delete(b.by, e.at)
	}
	if e.at = to; to.IsValid() {
		if b.by == nil {
			b.by = map[netip.Addr][]*entry{}
		}
		b.by[to] = append(b.by[to], e)
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"cmp"
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"ferrite/node"
)

// The wheel: one turn is twice the rounds of an interval, so that jitter never laps an entry.
const (
	roundTicks = 512
	wheelSlots = 2 * roundTicks
	jitterTick = roundTicks / 10 // a node's place strays by +-10 % of a turn around its phase,
	strayTick  = roundTicks / 20 // by +-5 % from one turn to the next: gaps of 95 to 105 % of a turn
	minTick    = 50 * time.Microsecond
)

// A turn is 15/16 of an interval: with the jitter, no two readings of a settled node lie further apart than an interval
// (89 to 98 % of it).
const turnShare, turnParts = 15, 16

// Sweep reads the power of all nodes, each once an interval, at a phase of its own (hash of the node, with jitter). An answer
// that equals the record ends there: no message, no commit, no allocation (P1).
type Sweep struct {
	f *Fleet

	mu      sync.Mutex    // guards below
	tick    time.Duration // an interval has roundTicks of them
	slots   [wheelSlots]*entry
	all     map[string]*entry
	added   uint64   // counts entries ever taken in
	inOrder []*entry // all by the time they came, for Round; nil = to be made anew
	now     uint64   // ticks since the start
	started time.Time
	closed  bool

	nets      nets
	elsewhere elsewhere
	hurried   hurried
	behind    behind

	flying atomic.Int64  // polls without an answer yet
	enough atomic.Int64  // a Round waits until this many polls are left; none = there is no Round
	wake   chan struct{} // holds 1

	retimed chan struct{} // holds 1: tick has changed
}

func newSweep(f *Fleet) *Sweep {
	s := &Sweep{
		f: f, all: map[string]*entry{}, wake: make(chan struct{}, 1), retimed: make(chan struct{}, 1), started: time.Now(),
		tick: tickOf(f.cfg.SyncInterval, f.cfg.RecoveryEvery),
		nets: nets{poked: make(chan struct{}, 1)},
	}
	s.enough.Store(none)
	return s
}

// add takes a node in; its first reading comes at its phase of the coming interval, of power_failure_recovery_interval if that
// is shorter and the node is given up on.
func (s *Sweep) add(n *node.Node, pid *actor.PID) *entry {
	e := &entry{s: s, uuid: n.UUID, pid: pid, phase: uint64(phase(n.UUID))}
	s.update(e, n)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return e
	}
	s.all[n.UUID] = e
	s.added++
	e.number, s.inOrder = s.added, nil
	s.place(e)
	if e.mode.Load() == modeRecover {
		e.due = min(e.due, s.now+max(1, s.pause()*e.phase/roundTicks))
	}
	s.insert(e)
	return e
}

// phase places a node within the interval: FNV-1a of its UUID.
func phase(uuid string) uint32 {
	h := uint32(2166136261)
	for i := range len(uuid) {
		h = (h ^ uint32(uuid[i])) * 16777619
	}
	return h % roundTicks
}

func (s *Sweep) insert(e *entry) {
	i := e.due % wheelSlots
	e.next, e.prev = s.slots[i], nil
	if e.next != nil {
		e.next.prev = e
	}
	s.slots[i] = e
}

func (s *Sweep) unlink(e *entry) {
	if e.prev != nil {
		e.prev.next = e.next
	} else if i := e.due % wheelSlots; s.slots[i] == e {
		s.slots[i] = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	}
	e.next, e.prev = nil, nil
}

// remove takes a node out and gives its BMC back.
func (s *Sweep) remove(e *entry) {
	if e == nil {
		return
	}
	s.mu.Lock()
	if s.all[e.uuid] == e {
		delete(s.all, e.uuid)
		s.inOrder = nil
		s.unlink(e)
	}
	s.mu.Unlock()
	if x := e.named.Load(); x != nil {
		x.leave()
	}
	if net := e.subnet.Load(); net != nil {
		net.count(&e.stake, false)
	}
	s.moved(e, netip.Addr{})
	e.release()
}

// update makes a node's record the one to compare with. Called by its actor after every commit.
func (s *Sweep) update(e *entry, n *node.Node) {
	before, record, missed, known := e.mode.Load(), e.record.Load(), e.missed.Load(), e.rev.Load() != 0
	e.times.Store(s.f.times.of(n))
	e.expect(n)
	s.locate(e, n)
	s.changed(e, known, record, missed)
	s.counted(e, e.mode.Load() == modeSync && !e.recorded.Load())
	switch now := e.mode.Load(); {
	case before == modeRecover && now == modeSync:
		s.reschedule(e) // its turn may be far away
	case known && before != modeRecover && now == modeRecover:
		s.soon(e) // likewise
	}
	d := s.f.driver(n, "power")
	if d == nil {
		return
	}
	e.recorded.Store(d.Caps.Recorded)
	if d.Poller != nil && !d.Caps.Recorded && e.mode.Load() != modeSkip {
		e.prepare(d.Poller, n)
	}
}

// reschedule puts a node at its phase of the coming round.
func (s *Sweep) reschedule(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all[e.uuid] != e {
		return
	}
	s.unlink(e)
	s.place(e)
	s.insert(e)
}

// place finds an entry's next phase.
func (s *Sweep) place(e *entry) {
	e.base = s.now - s.now%roundTicks + e.phase
	if e.base <= s.now {
		e.base += roundTicks
	}
	e.due = e.base
}

// run turns the wheel until ctx ends.
func (s *Sweep) run(ctx context.Context) {
	s.mu.Lock()
	s.started = time.Now()
	s.now = 0
	t := time.NewTicker(max(s.tick, leastTurn))
	s.mu.Unlock()
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.retimed:
			s.mu.Lock()
			t.Reset(max(s.tick, leastTurn))
			s.mu.Unlock()
		case <-t.C:
			s.turn()
		}
	}
}

// leastTurn is how often the wheel is turned at most.
const leastTurn = 5 * time.Millisecond

// turn polls what is due by now.
func (s *Sweep) turn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance(uint64(max(0, time.Since(s.started)/s.tick))) //nolint:gosec // never negative
}

// advance polls what is due up to a tick and puts it at its place in the next round. mu is held.
func (s *Sweep) advance(to uint64) {
	if to > s.now+wheelSlots { // a suspended process: do not catch up turn by turn
		s.now = to - wheelSlots
	}
	s.rethink()
	for s.now < to {
		s.now++
		for e := s.slots[s.now%wheelSlots]; e != nil; {
			next := e.next
			if e.due <= s.now {
				s.unlink(e)
				extra := e.extra
				e.due = s.again(e)
				s.insert(e)
				hinted := e.hinted.Load()
				if e.poll(extra) && hinted {
					s.followed(e)
				}
			}
			e = next
		}
	}
}

// close gives all BMCs back.
func (s *Sweep) close() {
	s.mu.Lock()
	s.closed = true
	all := s.all
	s.all, s.inOrder = map[string]*entry{}, nil
	s.mu.Unlock()
	for _, e := range all {
		e.release()
	}
}

// Len is how many nodes the sweep knows.
func (s *Sweep) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// Round reads all nodes once, as fast as window readings at a time allow, and waits for all answers: the sweep without
// pacing, for benches. It returns how many were asked.
func (s *Sweep) Round(ctx context.Context, window int64) int {
	return s.roundOf(ctx, s.ordered(), window)
}

// ordered lists the entries as they came: neighbours in memory are asked one after another, which spares cache misses.
func (s *Sweep) ordered() []*entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inOrder == nil {
		s.inOrder = slices.SortedFunc(maps.Values(s.all), func(a, b *entry) int { return cmp.Compare(a.number, b.number) })
	}
	return s.inOrder
}

func (s *Sweep) roundOf(ctx context.Context, entries []*entry, window int64) int {
	defer s.enough.Store(none)
	asked := 0
	for _, e := range entries {
		if s.flying.Load() >= window {
			s.landing(ctx, window/2) // in bursts: many datagrams a system call, and few wakes
		}
		if e.poll(false) {
			asked++
		}
	}
	s.landing(ctx, 0)
	return asked
}

// none is no number of readings under way that a Round waits for.
const none = -1

// landing waits until at most so many readings are under way.
func (s *Sweep) landing(ctx context.Context, most int64) {
	s.enough.Store(most)
	for s.flying.Load() > most && ctx.Err() == nil {
		select {
		case <-s.wake:
		case <-ctx.Done():
		}
	}
}

// Ages tells how long ago the power of each node that takes part in the sync was confirmed; a node not confirmed yet is
// left out.
func (s *Sweep) Ages(now time.Time, fn func(time.Duration)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.all {
		if at := e.seen.Load(); at != 0 && e.mode.Load() == modeSync {
			fn(now.Sub(time.Unix(0, at)))
		}
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"net/netip"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"ferrite/bmc"
	"ferrite/node"
)

// What the sweep does with a node.
const (
	modeSkip    uint32 = iota // excluded, in maintenance, reserved (spec power.md section 4 row 4)
	modeSync                  // compare with the record
	modeRecover               // fault "power failure": wait for the BMC to answer again
)

// entry is a node's place in the sweep. The record to compare with is packed in atomics, so that the driver's goroutine
// judges an answer without lock, message or allocation.
type entry struct {
	s     *Sweep
	uuid  string
	pid   *actor.PID
	phase uint64

	record   atomic.Uint64 // power code | clean bit, see pack
	rev      atomic.Uint64 // revision of the record
	mode     atomic.Uint32
	recorded atomic.Bool // the driver's power is the recorded one (fake)
	busy     atomic.Bool // a reading is under way
	hurried  atomic.Bool // its next reading is to be thought over
	differs  atomic.Bool // the last answer was not what is recorded
	hinted   atomic.Bool // its BMC has said that something happened, and no reading has begun since
	between  bool        // the reading under way is an extra one; owned by whoever set busy
	turns    uint32      // readings in turn that failed in a row; likewise
	missed   atomic.Uint32
	fails    atomic.Uint32               // failures that the record counts
	eager    atomic.Uint32               // quick readings left after a change
	rests    atomic.Bool                 // the last reading was not asked: its BMC is left alone, so that the next one comes in its turn
	refused  atomic.Int64                // unix nanoseconds of the last refused login, as recorded; 0 = none
	seen     atomic.Int64                // unix nanoseconds of the last answer that matched: power confirmed at
	asked    node.Rev                    // revision when the reading began; owned by whoever set busy
	began    time.Time                   // when the reading began; likewise
	health   atomic.Pointer[node.Health] // what its sensors said when they were read last, nil = nothing
	times    atomic.Pointer[latencies]   // of its vendor; set before the first poll

	mu     sync.Mutex // guards handle, info and closed
	handle bmc.Handle
	info   map[string]any // driver_info that handle was made of
	vendor string         // likewise: it says which quirks the BMC has
	closed bool

	stake                         // in the subnet where its BMC is
	named  atomic.Pointer[naming] // nil = its BMC is given by address
	polled bmc.Handle             // what the reading under way was asked of; owned by whoever set busy

	late *outcome // finding that stands in line, nil = none; guarded by turns.mu

	at         netip.Addr // of its BMC, when Hint wants to know; guarded by behind.mu
	hintFrom   uint64     // tick from which on a hint may bring the next reading; guarded by Sweep.mu like all below
	extra      bool       // the reading at due comes between two turns
	base, due  uint64     // ticks: its phase in the coming round, and that with jitter; guarded by Sweep.mu, like the links
	next, prev *entry
	number     uint64 // order of arrival; guarded by Sweep.mu
}

const cleanBit = 1 << 8 // counter 0 and no last_error: a match needs no commit (P1)

func code(p node.PowerState) uint64 {
	switch p {
	case node.PowerOn:
		return 1
	case node.PowerOff:
		return 2
	case node.PowerError:
		return 3
	default:
		return 0
	}
}

// expect takes over a committed record.
func (e *entry) expect(n *node.Node) {
	v := code(n.PowerState)
	if n.SyncFails == 0 && n.Refused == nil && (n.LastError == "" || !e.s.f.live.Load().Policy.History) {
		v |= cleanBit
	}
	mode := modeSkip
	switch {
	case node.Recovering(n) && e.s.f.live.Load().RecoveryEvery > 0:
		mode = modeRecover
	case node.SyncSkipped(n) == "" && e.s.f.live.Load().SyncInterval > 0:
		mode = modeSync
		if n.SyncFails == 0 {
			e.missed.Store(0)
		}
	}
	at := int64(0)
	if n.Refused != nil {
		at = n.Refused.At.UnixNano()
	}
	e.refused.Store(at)
	e.record.Store(v)
	e.fails.Store(uint32(n.SyncFails)) //nolint:gosec // a few
	e.rev.Store(uint64(n.Rev))
	e.mode.Store(mode)
}

// prepare makes the handle, anew when driver_info changed.
func (e *entry) prepare(p bmc.Poller, n *node.Node) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || e.handle != nil && e.vendor == vendorOf(n) && reflect.DeepEqual(e.info, n.DriverInfo) {
		return
	}
	h, err := p.Prepare(n)
	if e.handle != nil {
		e.health.Store(nil) // it may be another machine
		e.handle.Close()
	}
	e.handle, e.info, e.vendor = nil, n.DriverInfo, vendorOf(n)
	if err == nil {
		e.handle = h
	}
}

func vendorOf(n *node.Node) string {
	v, _ := n.Properties["vendor"].(string)
	return v
}

// release gives the BMC back.
func (e *entry) release() {
	e.mode.Store(modeSkip)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	if e.handle != nil {
		e.handle.Close()
		e.handle = nil
	}
}

// poll asks for the power state if it is the node's turn; it reports whether it did. extra is between two turns.
func (e *entry) poll(extra bool) bool {
	mode := e.mode.Load()
	if mode == modeSkip {
		e.hinted.Store(false)
		return false
	}
	if e.recorded.Load() {
		e.hinted.Store(false)
		if e.record.Load()&cleanBit == 0 {
			e.send(&outcome{msg: node.SyncSample{Rev: node.Rev(e.rev.Load()), State: state(e.record.Load())}, sample: true})
		}
		return false
	}
	if !e.busy.CompareAndSwap(false, true) {
		return false
	}
	e.hinted.Store(false)
	e.asked, e.between = node.Rev(e.rev.Load()), extra
	e.mu.Lock()
	h := e.handle
	e.mu.Unlock()
	e.began, e.polled = time.Now(), h
	e.s.flying.Add(1)
	e.s.f.stats.polls.Add(1)
	if h == nil {
		e.PowerPolled(node.PowerUnknown, errNoHandle)
		return true
	}
	h.Poll(e)
	return true
}

func state(record uint64) node.PowerState {
	return [...]node.PowerState{node.PowerUnknown, node.PowerOn, node.PowerOff, node.PowerError}[record&3]
}

// PowerPolled judges one answer, in the driver's goroutine (P1, P3).
func (e *entry) PowerPolled(hw node.PowerState, err error) {
	asked, began, between, mode := e.asked, e.began, e.between, e.mode.Load()
	where, named := e.address()
	turns := e.lostTurns(err)
	e.busy.Store(false)
	if e.hinted.Load() { // meanwhile: this reading may have been too early for it
		e.s.soon(e)
	}
	defer e.landed()
	stats, at := &e.s.f.stats, time.Now()
	e.times.Load().observe(opStatus, err, at.Sub(began))
	if err != nil {
		stats.failures.Add(1)
		refused := e.news(err)
		if unasked(err) {
			if mode == modeSync && e.rests.CompareAndSwap(false, true) {
				e.s.soon(e)
			}
			e.refusal(mode, asked, refused)
			return
		}
		e.rests.Store(false)
		e.missed.Add(1)
		e.eager.Store(0)
		if mode != modeRecover { // its pause began with this reading
			e.s.soon(e)
		}
		if mode == modeSkip { // given back meanwhile, as all are in the end: that says nothing about the network
			return
		}
		if e.unheard(where, named, err) {
			stats.frozen.Add(1)
			e.refusal(mode, asked, refused)
			return
		}
		if mode == modeSync && !between {
			if e.last() && e.early(where, named, turns, err) {
				stats.frozen.Add(1)
				e.refusal(mode, asked, refused)
				return
			}
			e.send(&outcome{msg: node.SyncSample{Rev: asked, Err: err.Error(), Failed: true, Refused: refused}, sample: true})
			return
		}
		e.refusal(mode, asked, refused)
		return
	}
	if e.rests.Load() {
		e.rests.Store(false)
	}
	if named && mode != modeSkip {
		e.s.resolved(e, where)
	}
	if mode == modeSync && uint64(asked) == e.rev.Load() && e.record.Load() == code(hw)|cleanBit {
		stats.matches.Add(1)
		e.seen.Store(at.UnixNano())
		if e.differs.Load() {
			e.differs.Store(false)
		}
		if e.missed.Load() != 0 {
			e.missed.Store(0)
			e.s.soon(e) // its turn may be far away
		}
		if net := e.subnet.Load(); net != nil && e.failing.Load() {
			net.answered(&e.stake, true)
		}
		return
	}
	if net := e.subnet.Load(); net != nil && net.answered(&e.stake, true) { // nothing is switched or believed in this trouble
		stats.frozen.Add(1)
		return
	}
	stats.samples.Add(1)
	if mode == modeSync && e.record.Load()&^cleanBit != code(hw) && e.differs.CompareAndSwap(false, true) {
		e.eager.Store(quickReadings)
		e.s.soon(e)
	}
	switch mode {
	case modeSync:
		e.send(&outcome{msg: node.SyncSample{Rev: asked, State: hw}, sample: true})
	case modeRecover:
		if hw == node.PowerOn || hw == node.PowerOff {
			e.missed.Store(0)
			e.send(&outcome{msg: node.RecoverySample{Rev: asked, State: hw}, sample: true})
		}
	}
}

// lostTurns counts the readings in turn that failed in a row, with this one. Only whoever set busy may call it.
func (e *entry) lostTurns(err error) uint32 {
	switch {
	case err == nil:
		e.turns = 0
	case !e.between && !unasked(err):
		e.turns++
	}
	return e.turns
}

// last reports whether the next failure sends the node to maintenance.
func (e *entry) last() bool { return int(e.fails.Load()) >= e.s.f.live.Load().Policy.MaxRetries }

// landed counts an answer and wakes a Round that has waited for this one.
func (e *entry) landed() {
	if e.s.flying.Add(-1) == e.s.enough.Load() {
		select {
		case e.s.wake <- struct{}{}:
		default:
		}
	}
}

func (e *entry) send(o *outcome) { e.s.f.admit(e, o) }

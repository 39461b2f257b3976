// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"time"

	"ferrite/node"
)

// Closing a session waits at most closeTries times closeRetry for the BMC; all of a shard's together at most leaveTime.
const (
	closeRetry = 250 * time.Millisecond
	closeTries = 3
	leaveTime  = 900 * time.Millisecond
)

// settle is called when a record has nothing to do: one that nobody holds loses its session and, once the BMC has answered
// that, itself.
func (sh *shard) settle(r *record) {
	if r.flags&(flagReleased|flagAnonymous) == 0 {
		sh.linger(r)
		return
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if r.users > 0 {
		r.flags &^= flagReleased | flagAnonymous
		sh.linger(r)
		return
	}
	left := time.Duration(r.remembered() - sh.now)
	if !r.has(flagReleased) && r.sess != nil {
		left = max(left, sh.idle(r)-time.Duration(sh.now-r.lastUse))
	}
	if left > 0 && r.stage != quarantined { // a refused login is remembered until it may be tried again
		if r.has(flagReleased) {
			sh.dropSession(r)
		}
		sh.wheel.set(r, sh.now, left)
		return
	}
	for i := range sh.inbox { // a call for it is on its way
		if sh.inbox[i].rec == r {
			return
		}
	}
	sh.dropSession(r)
	if left := r.bye.till - sh.now; left > 0 && r.stage != quarantined {
		sh.wheel.set(r, sh.now, time.Duration(left))
		return
	}
	sh.wheel.clear(r)
	sh.removeLocked(r)
	if r.slot != 0 {
		sh.slots[r.slot] = nil
		sh.free = append(sh.free, r.slot)
		r.slot = 0
	}
}

// leave begins the end: everybody who waits is told, and all sessions are closed.
func (sh *shard) leave() {
	sh.leaving, sh.leaveBy = true, sh.now+int64(leaveTime)
	sh.mu.Lock()
	all := make([]*record, 0, len(sh.records))
	for _, r := range sh.records {
		all = append(all, r)
		for k := range r.kinOf() {
			all = append(all, k)
		}
	}
	sh.mu.Unlock()
	sh.shakes, sh.urgent = queue{}, queue{}
	sh.run = queue{}
	for _, r := range all {
		sh.step(r, sh.part)
	}
}

// part ends a record's work.
func (sh *shard) part(r *record) {
	if c := r.cur; c != nil {
		c.end(outcome{err: errClosed, unknown: c.mutating && c.state.Load() == callSent})
		r.cur = nil
	}
	sh.failAll(r, errClosed)
	switch {
	case r.stage == quarantined:
	case r.stage == shaking && r.hs.phase == phaseRAKP4:
		r.flags |= flagClosing // an answer may still open a session, which is then closed
		sh.wheel.set(r, sh.now, closeRetry)
	default:
		sh.wheel.clear(r)
		sh.endShake(r)
		sh.endProbe(r)
		if r.active() {
			sh.inflight--
		}
		r.stage = idle
		if r.sess != nil {
			r.flags |= flagClosing
			sh.want(r, false)
		}
	}
}

// goodbye closes the session and waits for the BMC's answer.
func (sh *shard) goodbye(r *record) {
	if r.sess == nil {
		return
	}
	sh.inflight++
	sh.command(r)
}

// gone ends a record at shutdown.
func (sh *shard) gone(r *record) {
	sh.wheel.clear(r)
	sh.forget(r)
	sh.endShake(r)
	r.stage = idle
	r.flags &^= flagClosing
	sh.inflight--
}

// left reports whether the shard has nothing more to wait for after leave, and shuts it.
func (sh *shard) left() bool {
	if !sh.leaving || sh.now < sh.leaveBy && (sh.inflight > 0 || sh.run.head != nil) {
		return false
	}
	sh.mu.Lock()
	sh.closed = true
	rest := sh.inbox
	sh.inbox = nil
	sh.mu.Unlock()
	for i := range rest {
		sh.request(&rest[i])
	}
	_ = sh.sock.close()
	return true
}

// quarantine takes a record that our code failed on out of service, and answers all who wait for it.
func (sh *shard) quarantine(r *record) {
	active := r.active() || r.cur != nil || r.asking != nil
	sh.wheel.clear(r)
	for _, q := range []*queue{&sh.run, &sh.shakes, &sh.urgent} {
		q.remove(r)
	}
	sh.endShake(r)
	sh.endProbe(r)
	r.stage, r.cause, r.heldTill = quarantined, errQuarantined, sh.now+int64(sh.cfg.AuthBackOff)
	sh.forget(r)
	r.bye = farewell{}
	if c := r.cur; c != nil {
		c.end(outcome{err: errQuarantined, unknown: c.mutating && c.state.Load() == callSent})
		r.cur = nil
	}
	if active {
		sh.inflight--
	}
	e := sh.failure(r, errQuarantined)
	for _, list := range []**waiter{&r.asking, &r.polls} {
		for *list != nil {
			w := *list
			*list = w.next
			func() {
				defer func() { _ = recover() }() // a sink that fails again
				w.sink.PowerPolled(node.PowerUnknown, e)
			}()
		}
	}
	sh.failAll(r, errQuarantined)
}

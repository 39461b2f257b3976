// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"iter"
	"time"

	"ferrite/bmc"
)

// A BMC that is asked under several logins has a record for each: nodes with other credentials behind one BMC, or a new
// login that is tried while the old one is in use. To the BMC they are one: one command at a time, one session at a time.

// kinPause is when a record whose BMC is busy under another login looks again at the latest; the end of that job wakes it.
const kinPause = time.Second

// recordLocked finds or makes the record of a BMC and login. sh.mu is held.
func (sh *shard) recordLocked(k recordKey) *record {
	head := sh.records[k.addr]
	if head != nil {
		if head.who == k.who {
			return head
		}
		for r := range head.kinOf() {
			if r.who == k.who {
				return r
			}
		}
	}
	r := &record{recordKey: k, net: sh.subnetLocked(k.addr.Addr()), flags: flagAnonymous}
	if who := k.who.Value(); who.suite != 0 {
		r.flags |= flagProven
	}
	if head == nil {
		sh.records[k.addr] = r
		return r
	}
	next := head.kin.Load()
	if next == nil {
		next = head
	}
	r.kin.Store(next)
	head.kin.Store(r)
	return r
}

// removeLocked forgets a record. sh.mu is held.
func (sh *shard) removeLocked(r *record) {
	next := r.kin.Load()
	if next == nil {
		delete(sh.records, r.addr)
		return
	}
	prev := next
	for prev.kin.Load() != r {
		prev = prev.kin.Load()
	}
	if prev == next {
		next.kin.Store(nil)
	} else {
		prev.kin.Store(next)
	}
	if sh.records[r.addr] == r {
		sh.records[r.addr] = next
	}
}

// kinOf are the other logins at the record's BMC.
func (r *record) kinOf() iter.Seq[*record] {
	return func(yield func(*record) bool) {
		for k := r.kin.Load(); k != nil && k != r; k = k.kin.Load() {
			if !yield(k) {
				return
			}
		}
	}
}

// active reports whether a job of the record is under way.
func (r *record) active() bool {
	return r.stage == waiting || r.stage == parting || r.stage == shaking || r.stage == probing || r.stage == exchanging || r.stage == pausing
}

// wanted reports whether somebody wants something of the record.
func (r *record) wanted() bool {
	return r.mut != nil || r.reads != nil || r.polls != nil || r.slow != nil
}

// kinBusy reports whether the BMC is busy under another login.
func (r *record) kinBusy() bool {
	for k := range r.kinOf() {
		if k.active() {
			return true
		}
	}
	return false
}

// errKinBusy keeps calls from being tried.
var errKinBusy error = bmc.ErrBusy

// kinWaits tells the calls that wait what for, while the BMC answers: of a silent one the other login's job knows no more.
func (r *record) kinWaits() {
	lives := false
	for k := range r.kinOf() {
		lives = lives || k.stage == pausing || k.stage == exchanging && k.try <= 1 && k.fails == 0
	}
	for _, q := range []*call{r.mut, r.reads, r.slow} {
		for ; q != nil; q = q.next {
			if lives {
				q.held.Store(&errKinBusy)
			} else {
				q.held.CompareAndSwap(&errKinBusy, nil)
			}
		}
	}
}

// wakeKin lets other logins have their turn: the BMC is free.
func (sh *shard) wakeKin(r *record) {
	if r.kin.Load() == nil || sh.leaving {
		return
	}
	for k := range r.kinOf() {
		if k.wanted() {
			sh.want(k, true)
		}
	}
}

// oneSession ends the sessions of other logins: this one is about to open its own.
func (sh *shard) oneSession(r *record) {
	for k := range r.kinOf() {
		sh.dropSession(k)
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"errors"
	"fmt"
	"time"

	"ferrite/node"
)

var (
	errClosed      = errors.New("the IPMI engine is shutting down")
	errQuarantined = errors.New("our own code failed on this BMC (see the log); it is left alone for a while")
)

// want queues a record that has something to do. Calls go before polls.
func (sh *shard) want(r *record, first bool) {
	if r.stage != idle {
		return
	}
	r.stage = queued
	if first {
		sh.run.prepend(r)
	} else {
		sh.run.append(r)
	}
}

// pump begins what may begin: as many handshakes as there are tokens, as many commands as the window has room for.
func (sh *shard) pump() {
	sh.reshare()
	sh.logins.fill(sh.now)
	for sh.urgent.head != nil && sh.logins.take(true) {
		sh.step(sh.urgent.pop(), sh.startShake)
	}
	for sh.shakes.head != nil && sh.outstanding() < sh.window && sh.logins.take(false) {
		sh.step(sh.shakes.pop(), sh.startShake)
	}
	for sh.run.head != nil && (sh.outstanding() < sh.window || sh.leaving) {
		r := sh.run.pop()
		r.stage = idle
		sh.step(r, sh.begin)
	}
}

// step does something for a record; a failure of ours stays with it.
func (sh *shard) step(r *record, do func(*record)) {
	sh.at = r
	defer sh.rescue()
	do(r)
}

// begin picks the record's next job: a mutating call whose turn has come, another call, a reading for all who asked, or
// a call that gives way to those.
func (sh *shard) begin(r *record) {
	if r.has(flagClosing) {
		sh.goodbye(r)
		return
	}
	for _, q := range []**call{&r.mut, &r.reads, &r.slow} {
		for *q != nil && (*q).gone.Load() {
			*q = (*q).next
		}
	}
	if r.heldTill > sh.now {
		sh.hold(r)
		return
	}
	if r.polls != nil {
		if err := sh.overspent(r); err != nil {
			sh.restPolls(r, err)
		}
	}
	if r.wanted() && r.kinBusy() {
		r.kinWaits()
		sh.wheel.set(r, sh.now, kinPause)
		return
	}
	pause := time.Duration(0)
	if r.mut != nil {
		if pause = sh.pause(r); pause <= 0 {
			r.cur, r.mut = r.mut, r.mut.next
		}
	}
	if r.cur == nil && r.reads != nil {
		r.cur, r.reads = r.reads, r.reads.next
	}
	if r.cur == nil && r.polls == nil && r.slow != nil && sh.wait(r) <= 0 {
		r.cur, r.slow = r.slow, r.slow.next
	}
	if wait := sh.wait(r); wait > 0 {
		if pause > 0 {
			wait = min(wait, pause)
		}
		sh.wheel.set(r, sh.now, wait)
		return
	}
	switch {
	case r.cur != nil:
		r.cur.next = nil
		r.cur.held.CompareAndSwap(&errKinBusy, nil)
	case r.polls != nil:
		r.asking, r.polls = r.polls, nil
	case pause > 0:
		sh.wheel.set(r, sh.now, pause)
		return
	default:
		sh.settle(r)
		return
	}
	r.flags &^= flagFresh | flagPriv | flagProbed | flagDoubt | flagSilent | flagLost
	sh.inflight++
	sh.stats.inflight.Store(int64(sh.inflight))
	sh.proceed(r)
}

// pause is how long a mutating command must wait for its turn (min_command_interval).
func (sh *shard) pause(r *record) time.Duration {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.pauseLocked(r.recordKey, sh.now)
}

func (sh *shard) pauseLocked(k recordKey, now int64) time.Duration {
	last, ok := sh.paced[k.addr]
	if !ok {
		return 0
	}
	left := sh.cfg.MinCommandInterval - time.Duration(now-last)
	if left <= 0 {
		delete(sh.paced, k.addr)
	}
	return left
}

// paceFrom notes the end of a mutating command.
func (sh *shard) paceFrom(r *record) {
	if sh.cfg.MinCommandInterval <= 0 {
		return
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if len(sh.paced) > 4096 { // those whose BMC was never commanded again
		for a, at := range sh.paced {
			if time.Duration(sh.now-at) > sh.cfg.MinCommandInterval {
				delete(sh.paced, a)
			}
		}
	}
	sh.paced[r.addr] = sh.now
}

// proceed goes on with the job: the end of the session before, a new one, then the command.
func (sh *shard) proceed(r *record) {
	stale := r.lastUse != 0 && sh.now-r.lastUse > int64(sh.idle(r))
	if stale {
		sh.dropSession(r)
	}
	if r.cur == nil && !r.has(flagFresh) {
		switch r.flags &^= flagBrief | flagSteady; {
		case stale:
			r.flags |= flagBrief
		case r.sess != nil:
			r.flags |= flagSteady
		}
	}
	if r.sess != nil {
		sh.command(r)
		return
	}
	probe := sh.doubtful(r)
	if !probe {
		sh.oneSession(r)
	}
	if wait := sh.farewells(r); wait > 0 {
		r.stage = parting
		sh.wheel.set(r, sh.now, sh.within(r.cur, wait))
		return
	}
	awaited, line := r.awaited(), &sh.shakes
	if awaited {
		line = &sh.urgent
	}
	switch {
	case probe:
		sh.startProbe(r)
	case line.head == nil && sh.logins.take(awaited):
		sh.startShake(r)
	default:
		r.stage = waiting
		line.append(r)
	}
}

// endJob ends the job, a call's with its outcome, and frees the record for the next one.
func (sh *shard) endJob(r *record, o outcome) {
	sh.wheel.clear(r)
	reading := r.cur == nil
	if c := r.cur; c != nil {
		if c.mutating && c.state.Load() == callSent {
			sh.paceFrom(r)
		}
		c.end(o)
		r.cur = nil
	}
	if r.hs != nil {
		sh.endShake(r)
	}
	r.stage = idle
	sh.inflight--
	sh.stats.inflight.Store(int64(sh.inflight))
	sh.wakeKin(r)
	switch {
	case r.mut != nil || r.reads != nil:
		sh.want(r, true)
	case r.polls != nil || r.slow != nil || sh.leaving:
		sh.want(r, false)
	case r.flags&(flagReleased|flagAnonymous) != 0:
		sh.settle(r)
	case reading && r.has(flagBrief): // the session would be gone before the next reading
		sh.dropSession(r)
	default:
		sh.linger(r)
	}
}

// fail ends the job with an error.
func (sh *shard) fail(r *record, err error) {
	o := outcome{err: err, auth: denied(err)}
	if c := r.cur; c != nil {
		o.unknown = c.mutating && c.state.Load() == callSent && !errors.Is(err, errAnswered)
	} else {
		sh.answerAll(&r.asking, node.PowerUnknown, sh.failure(r, err))
	}
	sh.endJob(r, o)
}

// failPolls answers those who wait for a reading with an error.
func (sh *shard) failPolls(r *record, err error) {
	if r.asking == nil && r.polls == nil {
		return
	}
	e := sh.failure(r, err)
	sh.answerAll(&r.asking, node.PowerUnknown, e)
	sh.answerAll(&r.polls, node.PowerUnknown, e)
}

// restPolls answers those who wait for a reading that nothing is sent for.
func (sh *shard) restPolls(r *record, err error) {
	if r.polls != nil {
		sh.answerAll(&r.polls, node.PowerUnknown, sh.unasked(r, err))
	}
}

// failAll answers everybody who waits for this BMC with an error.
func (sh *shard) failAll(r *record, err error) {
	sh.failPolls(r, err)
	for _, q := range []**call{&r.mut, &r.reads, &r.slow} {
		for *q != nil {
			c := *q
			*q = c.next
			c.end(outcome{err: err, auth: denied(err)})
		}
	}
}

// hold serves a record whose BMC must be left alone for a while: who polls is told at once; calls wait for their turn
// unless the login was refused.
func (sh *shard) hold(r *record) {
	sh.restPolls(r, r.cause)
	if denied(r.cause) {
		sh.failAll(r, r.cause)
	}
	if r.mut != nil || r.reads != nil || r.slow != nil {
		cause := r.cause
		for _, q := range []*call{r.mut, r.reads, r.slow} {
			for ; q != nil; q = q.next {
				q.held.Store(&cause)
			}
		}
		sh.wheel.set(r, sh.now, time.Duration(r.heldTill-sh.now))
		return
	}
	sh.settle(r)
}

// unanswered is the error of a BMC that gave no answer which could be believed.
func (sh *shard) unanswered(r *record, what string) error {
	nonsense := sh.suspects.take(r.addr)
	switch {
	case nonsense != "": // it talks
		r.fails = 0
	case r.fails == 0 || !r.has(flagSilent):
		r.fails++
		r.flags |= flagSilent
	}
	return fmt.Errorf("no answer to %s after %d tries%s", what, r.try, nonsense)
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"errors"

	"ferrite/bmc"
	"ferrite/node"
)

// request is what other goroutines ask of a shard. release gives a handle back.
type request struct {
	rec     *record
	sink    bmc.Sink
	call    *call
	known   *node.Refusal // what a node's record says of the login
	release bool
}

// request takes one request in.
func (sh *shard) request(q *request) {
	sh.at = q.rec
	defer sh.rescue()
	r := q.rec
	switch {
	case q.release:
		r.flags |= flagReleased
		if r.stage == quarantined {
			sh.settle(r)
		}
		sh.want(r, false)
	case q.call != nil:
		sh.remember(r, q.call.known)
		if q.call.insist && r.stage != quarantined && errors.Is(r.cause, errLogin) {
			r.heldTill, r.cause = 0, nil
		}
		if err := sh.refusal(r); err != nil {
			q.call.end(outcome{err: err, auth: denied(err), unasked: true})
			return
		}
		switch {
		case q.call.mutating:
			push(&r.mut, q.call)
		case q.call.slow:
			push(&r.slow, q.call)
		default:
			push(&r.reads, q.call)
		}
		if !q.call.slow {
			sh.hurry(r)
		}
		sh.want(r, !q.call.slow)
	case q.sink == nil:
		sh.remember(r, q.known)
	default:
		err := sh.refusal(r)
		if err == nil && r.restTill > sh.now {
			err = r.refusal
		}
		if err != nil {
			sh.answer(q.sink, node.PowerUnknown, sh.unasked(r, err))
			return
		}
		w := sh.spare
		if w == nil {
			w = &waiter{}
		} else {
			sh.spare = w.next
		}
		w.sink, w.next = q.sink, r.polls
		r.polls = w
		sh.want(r, false)
	}
}

// refusal says why a request cannot even be queued.
func (sh *shard) refusal(r *record) error {
	switch {
	case sh.leaving:
		return errClosed
	case r.heldTill > sh.now && (r.stage == quarantined || errors.Is(r.cause, errLogin)): // nobody waits for minutes
		return r.cause
	case r.stage == quarantined:
		r.stage, r.cause = idle, nil
	}
	return nil
}

// answer ends one Poll.
func (sh *shard) answer(s bmc.Sink, state node.PowerState, err error) {
	sh.stats.polls.Add(1)
	if err != nil {
		sh.stats.failures.Add(1)
	}
	s.PowerPolled(state, err)
}

// answerAll ends the Polls of a list; each leaves the list before its sink runs.
func (sh *shard) answerAll(list **waiter, state node.PowerState, err error) {
	for *list != nil {
		w := *list
		*list = w.next
		s := w.sink
		w.sink, w.next = nil, sh.spare
		sh.spare = w
		sh.answer(s, state, err)
	}
}

// failure is the error of a reading.
func (sh *shard) failure(r *record, err error) *bmc.Error {
	return &bmc.Error{Command: powerStatus, Address: r.addr.String(), Auth: denied(err), Err: err, Refused: r.last}
}

// unasked is the error of a reading for which nothing is sent.
func (sh *shard) unasked(r *record, err error) *bmc.Error {
	e := sh.failure(r, err)
	e.Unasked = true
	return e
}

// denied reports whether an error is the BMC's refusal of user, password or privilege.
func denied(err error) bool { return errors.Is(err, errLogin) || errors.Is(err, errPrivilege) }

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"unique"

	"ferrite/bmc"
	"ferrite/node"
)

// recordKey is one BMC as one login sees it: nodes with equal keys share session and turn.
type recordKey struct {
	addr netip.AddrPort
	who  unique.Handle[login]
}

// stage is what a record is doing.
type stage uint8

const (
	idle        stage = iota // nothing outstanding
	queued                   // in the run queue
	waiting                  // in the handshake queue
	shaking                  // handshake outstanding
	parting                  // the end of a session is outstanding, then the job goes on
	exchanging               // command outstanding: only then a reply is taken
	pausing                  // the BMC said busy; the command goes out again when the timer fires
	probing                  // a question outside of a session outstanding: does it live at all?
	quarantined              // our code failed on it; it answers with an error
)

// record is a BMC. An idle one is a few hundred bytes; session and handshake hang on it only while there are any.
// All fields belong to the shard's goroutine but users, which the shard's mutex guards, and kin.
type record struct {
	recordKey
	users int32 // handles

	shortTill uint32 // second of shard time until which short is its idle time

	kin atomic.Pointer[record] // ring of the logins at this BMC, nil = this is the only one; written under the shard's mutex

	slot  uint32 // index in shard.slots, 0 = none yet
	stage stage
	suite uint8 // index in the order of suites of what is tried or known to work
	try   uint8 // how often the outstanding message was sent
	flags flag

	sess *session
	bye  farewell // the session before
	hs   *handshake

	polls  *waiter // ask for the next reading
	asking *waiter // are answered by the outstanding reading
	mut    *call   // mutating calls in order
	reads  *call   // other calls in order
	slow   *call   // calls that give way to everything else, in order
	cur    *call   // the outstanding command is this call's; nil = a reading for asking

	net  *bucket // of its subnet, nil = no limit
	turn int64   // when its next reading may begin, as the buckets have it; 0 = not asked yet

	fails    uint8  // jobs in a row that got no answer at all
	probe    byte   // rqSeq of the probe that is outstanding or was last
	forgot   uint8  // readings in a row that found a kept session forgotten
	short    uint32 // milliseconds: half of the time after which the last of them did
	lastUse  int64  // when the BMC last proved that the session lives (shard time)
	heldTill int64  // no login before: cause says why
	cause    error
	restTill int64 // no reading logs in before: refusal says why
	refusal  error
	refusals

	due                  int64 // tick of the timer, 0 = not armed
	timerNext, timerPrev *record
	queueNext            *record
}

type flag uint16

const (
	flagFresh     flag = 1 << iota // the running request has had its fresh handshake
	flagPriv                       // the outstanding command is Set Session Privilege Level before cur
	flagProbed                     // cur is of class once, and the session has just been seen to live
	flagReleased                   // the last handle is closed: end the session as soon as nothing is asked
	flagClosing                    // the outstanding command is Close Session
	flagLogged                     // a refused login was logged
	flagProven                     // suite is known to work
	flagAnonymous                  // made by a blocking call, without a handle
	flagSteady                     // two readings in a row found the session alive: it is kept for the next one
	flagBrief                      // asked less often than sessions live: each reading ends its session
	flagDoubt                      // the next handshake of this job comes after an answer outside of a session
	flagLost                       // the session that this reading began in got no answer
	flagSilent                     // this job is counted in fails
)

func (r *record) has(f flag) bool { return r.flags&f != 0 }

// waiter is one Poll that waits for its answer; waiters are reused.
type waiter struct {
	next *waiter
	sink bmc.Sink
}

// step is the command of a call.
type step struct {
	netfn, cmd byte
	data       []byte
}

// States of a call: only a queued one can be withdrawn without trace.
const (
	callQueued    uint32 = iota
	callSent             // a packet of it has left
	callAbandoned        // its caller has gone
)

// call is a blocking request: one command. Its outcome is sent to done, once.
type call struct {
	next     *call
	step     step
	known    *node.Refusal // what the node's record says of the login
	priv     byte          // privilege level that it needs
	mutating bool
	once     bool // never retransmitted (S12)
	slow     bool // gives way to polls: one of many commands that nobody waits for (sensors, event log)
	renewed  bool // was outstanding when its session turned out to be gone
	shakes   byte // handshakes that it has begun anew
	insist   bool // asks anew although the BMC has refused the login a while ago
	ended    bool // owned by the shard's goroutine
	permit   bmc.Permit
	until    int64 // shard time at which its caller gives up, 0 = never
	state    atomic.Uint32
	gone     atomic.Bool           // the caller has gone: no retransmission any more
	held     atomic.Pointer[error] // what keeps it from being tried, nil = nothing
	done     chan outcome
}

// outcome ends a call: data is the last answer without completion code.
type outcome struct {
	data    []byte
	err     error
	auth    bool
	unknown bool
	unasked bool // nothing was sent
}

func (c *call) end(o outcome) {
	if c.ended {
		return
	}
	c.ended = true
	c.done <- o // holds 1
}

// late is the error of a call whose caller has given up, with what kept it from being tried.
func (c *call) late(err error) error {
	if why := c.held.Load(); why != nil {
		return fmt.Errorf("%w: %w", err, *why)
	}
	return err
}

// push adds a call to a queue.
func push(q **call, c *call) {
	for *q != nil {
		q = &(*q).next
	}
	*q = c
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"encoding/binary"
	"time"
)

// farewell is a session that was told to close and has not answered yet. Close Session is a command like any other: until its
// answer is there, or farewellTime is over, nothing else is asked of the BMC. Leaving does not wait for that.
type farewell struct {
	*session
	till int64 // shard time
}

// farewellTime is how long the answer to Close Session is waited for before the BMC is asked something else. A BMC that has
// forgotten the session never answers it. Where BMCs are known to be quicker (Timeouts) it is less.
const farewellTime = time.Second

// dropSession forgets the session and tells the BMC so, once. Nobody waits for the answer but the BMC's next job.
func (sh *shard) dropSession(r *record) {
	s := r.sess
	if s == nil {
		return
	}
	var id [4]byte
	binary.LittleEndian.PutUint32(id[:], s.bmc)
	s.rqSeq = (s.rqSeq + 1) & 0x3f
	n := s.seal(sh.sock.room(), netApp, cmdCloseSession, id[:], sh.iv())
	sh.sock.push(n, r.addr)
	sh.stats.sent.Add(1)
	sh.forget(r)
	wait := max(closeRetry, min(farewellTime, sh.cfg.Timeouts[0]))
	if r.stage == exchanging { // it has been silent for a whole try
		wait = closeRetry
	}
	r.bye = farewell{s, sh.now + int64(wait)}
}

// linger ends the session of a BMC when it was not used for its idle time, as its BMC is about to do. Where readings are known to
// come sooner that needs no timer.
func (sh *shard) linger(r *record) {
	if r.sess == nil || r.has(flagSteady) {
		return
	}
	left := int64(sh.idle(r)) - (sh.now - r.lastUse)
	if left <= 0 {
		sh.dropSession(r)
		return
	}
	sh.wheel.set(r, sh.now, time.Duration(left))
}

// byePacket takes a packet of a session in that was told to close: the answer to that, or one that comes late. It says nothing
// of the handshake that may fail next: neither counts as nonsense, and fails stays as it is.
func (sh *shard) byePacket(r *record, b []byte, h header) Reason {
	s := r.bye.session
	msg, why := s.open(b, h)
	if why != accepted {
		return why
	}
	p, ok := parseReply(msg, r.who.Value().quirks&quirkNoChecksum != 0)
	switch {
	case !ok:
		return dropMessage
	case p.netfn != netApp|1 || p.cmd != cmdCloseSession || p.rqSeq != s.rqSeq:
		return dropLate
	}
	r.bye = farewell{}
	if !sh.leaving {
		sh.parted(r)
		for k := range r.kinOf() {
			sh.parted(k)
		}
	}
	return accepted
}

// parted goes on with what waited for the end of a session.
func (sh *shard) parted(r *record) {
	switch {
	case r.stage == parting:
		sh.wheel.clear(r)
		sh.step(r, sh.proceed)
	case r.stage == idle && r.flags&(flagReleased|flagAnonymous) != 0:
		sh.want(r, false) // to be forgotten
	}
}

// farewells is for how long the BMC may still be busy with the end of a session, under whatever login.
func (sh *shard) farewells(r *record) time.Duration {
	till := r.bye.till
	for k := range r.kinOf() {
		till = max(till, k.bye.till)
	}
	return time.Duration(till - sh.now)
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"ferrite/bmc"
	"ferrite/node"
)

var (
	// errAnswered marks errors that the BMC answered with: the outcome is known.
	errAnswered = errors.New("the BMC refused")
	// errPrivilege marks those for want of privilege.
	errPrivilege = errors.New("insufficient privilege")
	// errWithdrawn ends a call whose caller has gone.
	errWithdrawn = errors.New("withdrawn")
)

// codes are completion codes (IPMI v2.0, table 5-2); busy ones are worth another try.
var codes = map[byte]struct {
	text string
	busy bool
}{
	0xc0: {"node busy", true}, 0xc1: {"invalid command", false}, 0xc2: {"invalid command for this LUN", false},
	0xc3: {"timeout while processing the command", true}, 0xc4: {"out of space", true},
	0xc5: {"reservation canceled", false}, 0xc6: {"request data truncated", false},
	0xc7: {"request data length invalid", false}, 0xc9: {"parameter out of range", false},
	0xcb: {"requested data not present", false}, 0xcc: {"invalid data field in request", false},
	0xce: {"command response could not be provided", false}, 0xd0: {"SDR repository in update mode", false},
	0xd1: {"device in firmware update mode", false}, 0xd2: {"BMC initialization in progress", true},
	0xd3: {"destination unavailable", false}, 0xd4: {"insufficient privilege level", false},
	0xd5: {"command not supported in the present state", false}, 0xd6: {"command disabled or unavailable", false},
	0xff: {"unspecified error", false},
}

// completion is a completion code as an error.
type completion byte

// Error names the code.
func (c completion) Error() string {
	if known, ok := codes[byte(c)]; ok {
		return fmt.Sprintf("completion code 0x%02x, %s", byte(c), known.text)
	}
	return fmt.Sprintf("completion code 0x%02x", byte(c))
}

func codeError(code byte) error {
	if code == 0xd4 {
		return fmt.Errorf("%w: completion code 0xd4: %w", errAnswered, errPrivilege)
	}
	return fmt.Errorf("%w: %w", errAnswered, completion(code))
}

// refusedWith reports whether the BMC answered with one of these codes.
func refusedWith(err error, codes ...byte) bool {
	var c completion
	return errors.As(err, &c) && bytes.IndexByte(codes, byte(c)) >= 0
}

// command sends the job's next command under a new rqSeq.
func (sh *shard) command(r *record) {
	r.flags &^= flagPriv
	if c := r.cur; c != nil && (r.sess.priv < min(c.priv, r.who.Value().priv) || c.once && !r.has(flagProbed)) {
		// A command of class once is sent in a session that has just answered: what gets lost is then rarely it.
		r.flags |= flagPriv
	}
	r.sess.rqSeq = (r.sess.rqSeq + 1) & 0x3f
	r.try, r.stage = 0, exchanging
	sh.transmit(r)
}

// outstanding is the command that the record waits for.
func (r *record) outstanding() (netfn, cmd byte) {
	switch c := r.cur; {
	case r.has(flagClosing):
		return netApp, cmdCloseSession
	case c == nil:
		return netChassis, cmdChassisStatus
	case r.has(flagPriv):
		return netApp, cmdSetPrivilege
	default:
		return c.step.netfn, c.step.cmd
	}
}

// transmit sends the outstanding command, for the first time or again: same rqSeq, new session sequence. Nothing mutating
// leaves without a live permit (S10).
func (sh *shard) transmit(r *record) {
	var data []byte
	var room [4]byte
	wait := sh.cfg.Timeouts[min(int(r.try), len(sh.cfg.Timeouts)-1)]
	c := r.cur
	switch {
	case r.has(flagClosing):
		binary.LittleEndian.PutUint32(room[:], r.sess.bmc)
		data, wait = room[:], closeRetry
	case c == nil:
	case r.has(flagPriv):
		room[0] = r.who.Value().priv
		data = room[:1]
	default:
		if c.gone.Load() {
			sh.endJob(r, withdrawn(c))
			return
		}
		if c.mutating && !c.permit.Live() {
			sh.stats.fenced.Add(1)
			sh.fail(r, bmc.ErrPermit)
			return
		}
		if !c.state.CompareAndSwap(callQueued, callSent) && c.state.Load() != callSent {
			sh.endJob(r, outcome{err: errWithdrawn}) // withdrawn in time
			return
		}
		if data = c.step.data; c.once {
			wait = sh.patience()
		}
	}
	if r.try > 0 {
		sh.stats.retransmits.Add(1)
	}
	netfn, cmd := r.outstanding()
	n := r.sess.seal(sh.sock.room(), netfn, cmd, data, sh.iv())
	sh.sock.push(n, r.addr)
	sh.stats.sent.Add(1)
	r.try++
	sh.wheel.set(r, sh.now, sh.within(c, sh.jittered(wait)))
}

// within cuts a wait off at the time at which the call's caller gives up.
func (sh *shard) within(c *call, wait time.Duration) time.Duration {
	if c == nil || c.until == 0 {
		return wait
	}
	return max(min(wait, time.Duration(c.until-sh.now)), 0)
}

// over reports whether the call's caller has given up.
func (sh *shard) over(c *call) bool { return c.gone.Load() || c.until != 0 && sh.now >= c.until }

// again reports whether the outstanding command is worth one more try in its session. If the caller would give up
// before that could tell, a new session is the better use of the time that is left.
func (sh *shard) again(r *record) bool {
	if int(r.try) >= sh.tries(r) {
		return false
	}
	c := r.cur
	return c == nil || c.until == 0 || r.has(flagFresh) || time.Duration(c.until-sh.now) > sh.cfg.Timeouts[r.try]
}

// patience is how long a command that is sent once waits for its answer.
func (sh *shard) patience() time.Duration {
	var d time.Duration
	for _, t := range sh.cfg.Timeouts {
		d += t
	}
	return d
}

// expired is the record's timer.
func (sh *shard) expired(r *record) { sh.step(r, sh.timer) }

func (sh *shard) timer(r *record) {
	switch r.stage {
	case idle: // a pause, a back-off or the time of an unused session is over
		sh.want(r, r.mut != nil || r.reads != nil)
	case shaking:
		sh.shakeTimer(r)
	case pausing:
		sh.command(r)
	case probing:
		sh.probeTimer(r)
	case parting:
		if r.cur != nil && sh.over(r.cur) {
			sh.endJob(r, withdrawn(r.cur))
			return
		}
		sh.proceed(r)
	case exchanging:
		sh.exchangeTimer(r)
	case queued, waiting, quarantined: // no timer of theirs is armed
	}
}

// exchangeTimer goes on after a wait without an answer. A job that ends so takes its session with it: the BMC may have
// forgotten it, and the next job must not find that out once more.
func (sh *shard) exchangeTimer(r *record) {
	c := r.cur
	switch {
	case r.has(flagClosing):
		if r.try < closeTries {
			sh.transmit(r)
			return
		}
		sh.gone(r)
	case c != nil && sh.over(c):
		sh.dropSession(r)
		sh.endJob(r, withdrawn(c))
	case c != nil && c.once && !r.has(flagPriv): // S12
		sh.dropSession(r)
		sh.fail(r, fmt.Errorf("no answer; it is not sent twice, so whether it was executed is unknown%s", sh.suspects.take(r.addr)))
	case sh.again(r):
		sh.transmit(r)
	case !r.has(flagFresh): // the BMC may have forgotten the session
		r.flags |= flagFresh
		sh.missing(r)
		sh.dropSession(r)
		if c != nil {
			c.renewed = true
			if c.slow {
				r.flags |= flagDoubt
			}
		}
		sh.proceed(r)
	default:
		sh.dropSession(r)
		err := sh.unanswered(r, "the command in a new session")
		if c != nil && !c.renewed && c.until != 0 { // the fresh session was for a handshake
			c.renewed = true
			sh.proceed(r)
			return
		}
		if sh.anew(r, err, false) {
			return
		}
		sh.fail(r, err)
		sh.failPolls(r, err)
	}
}

// packet takes one received datagram in. Nothing in it is believed before it is checked.
func (sh *shard) packet(b []byte, from netip.AddrPort) {
	sh.at = nil
	defer sh.rescue()
	sh.stats.received.Add(1)
	h, why := parse(b)
	if why == accepted {
		if h.id == 0 {
			why = sh.shakePacket(h, from)
		} else {
			why = sh.sessionPacket(b, h, from)
		}
	} else if why == dropVersion && b[4] == 0 {
		why = sh.probePacket(b, from)
	}
	if why != accepted {
		sh.stats.drops[why].Add(1)
		sh.suspects.note(from, why, sh.now)
	}
}

func (sh *shard) sessionPacket(b []byte, h header, from netip.AddrPort) Reason {
	r := sh.bySession(h.id)
	open := r != nil && r.sess != nil && r.sess.own == h.id
	if !open && (r == nil || r.bye.session == nil || r.bye.own != h.id) {
		return dropSession
	}
	if from != r.addr {
		sh.suspects.stray(r.addr, sh.now)
		return dropSource
	}
	sh.at = r
	if !open {
		return sh.byePacket(r, b, h)
	}
	msg, why := r.sess.open(b, h)
	if why != accepted {
		return why
	}
	p, ok := parseReply(msg, r.who.Value().quirks&quirkNoChecksum != 0)
	if !ok {
		return dropMessage
	}
	r.lastUse, r.fails = sh.now, 0
	// The stage is what tells an answer from a late duplicate: rqSeq only moves with the next command.
	if netfn, cmd := r.outstanding(); r.stage != exchanging || p.netfn != netfn&0x3f|1 || p.cmd != cmd || p.rqSeq != r.sess.rqSeq {
		return dropLate
	}
	sh.suspects.clear(from)
	sh.replied(r, p)
	return accepted
}

// replied goes on with the answer to the outstanding command.
func (sh *shard) replied(r *record, p reply) {
	sh.wheel.clear(r)
	c := r.cur
	switch {
	case r.has(flagClosing):
		sh.gone(r)
	case c == nil:
		sh.reading(r, p)
	case r.has(flagPriv):
		if p.code != 0 {
			sh.fail(r, fmt.Errorf("%w: Set Session Privilege Level to %d, completion code 0x%02x: %w", errAnswered, r.who.Value().priv, p.code, errPrivilege))
			return
		}
		r.sess.priv = r.who.Value().priv
		r.flags |= flagProbed
		sh.command(r)
	case p.code == 0:
		sh.endJob(r, outcome{data: append([]byte(nil), p.data...)})
	case codes[p.code].busy && !c.once:
		r.stage = pausing
		sh.wheel.set(r, sh.now, sh.jittered(sh.cfg.BusyDelay))
	default:
		sh.fail(r, codeError(p.code))
	}
}

// reading ends a reading of the power state; bit 0 of the first byte is power (IPMI v2.0, section 28.2).
func (sh *shard) reading(r *record, p reply) {
	sh.remembers(r)
	switch {
	case p.code != 0:
		sh.fail(r, codeError(p.code))
		return
	case len(p.data) == 0:
		sh.answerAll(&r.asking, node.PowerError, nil)
	case p.data[0]&1 == 1:
		sh.answerAll(&r.asking, node.PowerOn, nil)
	default:
		sh.answerAll(&r.asking, node.PowerOff, nil)
	}
	sh.endJob(r, outcome{})
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"net/netip"
	"time"
)

// startShake sends the first handshake message.
func (sh *shard) startShake(r *record) {
	who := r.who.Value()
	s := suites[who.suite]
	if s == nil && who.quirks&quirkSuite3 != 0 {
		s = suites[3]
	}
	if s == nil {
		s = sh.order[min(int(r.suite), len(sh.order)-1)]
	}
	var before uint32
	var tag byte
	if r.hs != nil {
		before, tag = r.hs.own, r.hs.tag
	}
	h := &handshake{suite: s, who: &who, own: sh.newID(r, before)}
	_, _ = crand.Read(h.console[:]) // never fails
	h.begin(tag + 1)
	r.hs, r.stage = h, shaking
	sh.shaking[r.addr] = r
	sh.stats.handshakes.Add(1)
	sh.sendShake(r, true)
}

// sendShake sends the handshake message that awaits its answer.
func (sh *shard) sendShake(r *record, first bool) {
	if first {
		r.try = 0
	} else {
		sh.stats.retransmits.Add(1)
	}
	n := copy(sh.sock.room(), r.hs.packet[:r.hs.size])
	sh.sock.push(n, r.addr)
	sh.stats.sent.Add(1)
	wait := sh.cfg.Timeouts[min(int(r.try), len(sh.cfg.Timeouts)-1)]
	r.try++
	sh.wheel.set(r, sh.now, sh.within(r.cur, sh.jittered(wait)))
}

func (sh *shard) shakeTimer(r *record) {
	switch {
	case sh.leaving: // one last moment for an answer that would open a session
		sh.gone(r)
	case r.cur != nil && sh.over(r.cur):
		sh.endShake(r)
		sh.endJob(r, withdrawn(r.cur))
	case int(r.try) < sh.tries(r):
		sh.sendShake(r, false)
	default:
		what := map[phase]string{phaseOpen: "Open Session", phaseRAKP2: "RAKP 1", phaseRAKP4: "RAKP 3"}[r.hs.phase]
		heard := r.hs.phase != phaseOpen
		err := sh.unanswered(r, what)
		if !heard && sh.guesses(r) { // some BMCs are silent on a suite they do not know
			r.suite = (r.suite + 1) % uint8(len(sh.order)) //nolint:gosec // a handful
		}
		if !sh.anew(r, err, heard || r.fails == 0) {
			sh.shakeFailed(r, err)
		}
	}
}

// shakePacket takes a handshake message in: from the right BMC, for the session that is being opened, in its turn.
func (sh *shard) shakePacket(h header, from netip.AddrPort) Reason {
	if h.encrypted || h.authentic || h.kind != payloadOpenResponse && h.kind != payloadRAKP2 && h.kind != payloadRAKP4 {
		return dropType
	}
	var r *record
	switch n := len(h.payload); {
	case n >= 8:
		r = sh.bySession(binary.LittleEndian.Uint32(h.payload[4:]))
	case n >= 2 && h.payload[1] != 0: // a refusal without session id, as OpenIPMI sends
		r = sh.shaking[from]
	default:
		return dropShort
	}
	if r == nil || r.hs == nil || r.stage != shaking {
		return dropHandshake
	}
	if from != r.addr {
		return dropSource
	}
	sh.at = r
	s, err := r.hs.receive(h.kind, h.payload)
	switch {
	case errors.Is(err, errIgnore):
		return dropHandshake
	case err != nil:
		sh.wheel.clear(r)
		sh.shakeFailed(r, err)
	case s == nil:
		sh.sendShake(r, true)
	default:
		sh.wheel.clear(r)
		sh.opened(r, s)
	}
	return accepted
}

// endShake forgets the handshake.
func (sh *shard) endShake(r *record) {
	if r.hs != nil && sh.shaking[r.addr] == r {
		delete(sh.shaking, r.addr)
	}
	r.hs = nil
}

// opened goes on in the new session.
func (sh *shard) opened(r *record, s *session) {
	sh.endShake(r)
	r.sess, r.lastUse, r.fails = s, sh.now, 0
	s.loose = r.who.Value().quirks&quirkPadZero != 0
	s.priv = min(privUser, r.who.Value().priv)
	sh.stats.sessions.Add(1)
	if r.has(flagLogged) {
		sh.log.Info("BMC accepts the login again", "bmc", r.addr.String())
	}
	r.flags = r.flags&^flagLogged | flagProven
	r.heldTill, r.cause = 0, nil
	if r.cur != nil {
		r.cur.held.Store(nil)
	}
	r.refusals, r.restTill, r.refusal = refusals{letIn: sh.now}, 0, nil
	if sh.leaving {
		r.flags |= flagClosing
		sh.inflight--
		sh.goodbye(r)
		return
	}
	sh.command(r)
}

// guesses reports whether the suite that the BMC knows has yet to be found.
func (sh *shard) guesses(r *record) bool {
	who := r.who.Value()
	return who.suite == 0 && who.quirks&quirkSuite3 == 0 && !r.has(flagProven)
}

// shakeFailed decides what follows a handshake that failed.
func (sh *shard) shakeFailed(r *record, err error) {
	auto := r.who.Value().suite == 0 && r.who.Value().quirks&quirkSuite3 == 0
	switch {
	case sh.leaving:
		sh.gone(r)
		return
	case errors.Is(err, errSuite) && auto && int(r.suite)+1 < len(sh.order):
		r.suite++
		r.flags &^= flagProven
		sh.startShake(r)
		return
	case errors.Is(err, errRestart) && !r.has(flagFresh):
		r.flags |= flagFresh
		sh.startShake(r)
		return
	case errors.Is(err, errRestart) && sh.anew(r, err, true):
		return
	}
	sh.endShake(r)
	switch {
	case errors.Is(err, errLogin): // stop at once: another try could lock the account
		sh.stats.refused.Add(1)
		if !r.has(flagLogged) {
			sh.log.Warn("BMC refuses the login; it is left alone for a while", "bmc", r.addr.String(), "user", r.who.Value().user, "for", sh.cfg.AuthBackOff, "cause", err)
		}
		r.flags |= flagLogged
		sh.refusedNow(r, err)
		sh.failAll(r, err)
		sh.fail(r, err)
		return
	case errors.Is(err, errNoSlot):
		d := sh.cfg.SlotBackOff + time.Duration(2*sh.rng.Float64()*float64(sh.cfg.SlotBackOff))
		r.heldTill, r.cause = sh.now+int64(d), err
		sh.failPolls(r, err)
		if c := r.cur; c != nil { // its turn comes again
			r.cur = nil
			c.held.Store(&err)
			switch {
			case c.mutating:
				c.next, r.mut = r.mut, c
			case c.slow:
				c.next, r.slow = r.slow, c
			default:
				c.next, r.reads = r.reads, c
			}
		}
		sh.endJob(r, outcome{})
		return
	case errors.Is(err, errSuite):
		r.suite = 0
	}
	sh.fail(r, err)
	sh.failPolls(r, err)
}

// forget drops the session's keys.
func (sh *shard) forget(r *record) {
	if r.sess != nil {
		r.sess = nil
		sh.stats.sessions.Add(-1)
	}
}

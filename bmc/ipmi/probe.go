// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"net/netip"
)

// A BMC that gave no answer at all is asked something outside of a session first: two datagrams that take no session slot
// show whether its IPMI stack lives. Every fourth time the session is tried nevertheless, for BMCs that do not answer
// such questions.
const (
	probeTries  = 2
	probeTrust  = 4
	probeHeader = 14 // RMCP, authentication type, sequence, session, length
)

// doubtful reports whether a handshake that nobody waits for should come after a probe.
func (sh *shard) doubtful(r *record) bool {
	if r.cur != nil && !r.cur.slow || r.who.Value().quirks&quirkNoProbe != 0 || sh.probing[r.addr] != nil {
		return false
	}
	return r.has(flagDoubt) || !r.has(flagFresh) && r.fails > 0 && r.fails%probeTrust != 0
}

// startProbe asks for the authentication capabilities of the channel (IPMI v2.0, section 22.13).
func (sh *shard) startProbe(r *record) {
	r.stage, r.try = probing, 0
	r.flags &^= flagDoubt
	r.probe = (r.probe + 1 + byte(sh.rng.UintN(62))) & 0x3f
	sh.probing[r.addr] = r
	sh.sendProbe(r)
}

func (sh *shard) sendProbe(r *record) {
	b := sh.sock.room()
	clear(b[:probeHeader])
	b[0], b[2], b[3] = 0x06, 0xff, 0x07
	n := putMessage(b[probeHeader:], netApp, cmdAuthCaps, r.probe, []byte{0x8e, privAdmin}) // this channel, with the v2.0 data
	b[probeHeader-1] = byte(n)
	sh.sock.push(probeHeader+n, r.addr)
	sh.stats.sent.Add(1)
	sh.stats.probes.Add(1)
	wait := sh.cfg.Timeouts[min(int(r.try), len(sh.cfg.Timeouts)-1)]
	r.try++
	sh.wheel.set(r, sh.now, sh.within(r.cur, sh.jittered(wait)))
}

func (sh *shard) probeTimer(r *record) {
	switch {
	case r.cur != nil && sh.over(r.cur):
		sh.endProbe(r)
		sh.endJob(r, withdrawn(r.cur))
		return
	case r.try < probeTries:
		sh.sendProbe(r)
		return
	}
	sh.endProbe(r)
	err := sh.unanswered(r, "questions outside of a session")
	sh.fail(r, err)
	sh.failPolls(r, err)
}

// probePacket takes an answer outside of a session in. Nothing proves its origin; all that follows is a handshake.
func (sh *shard) probePacket(b []byte, from netip.AddrPort) Reason {
	r := sh.probing[from]
	if r == nil || r.stage != probing || len(b) < probeHeader || int(b[probeHeader-1]) > len(b)-probeHeader {
		return dropVersion
	}
	p, ok := parseReply(b[probeHeader:probeHeader+int(b[probeHeader-1])], false)
	if !ok || p.netfn != netApp|1 || p.cmd != cmdAuthCaps || p.rqSeq != r.probe {
		return dropVersion
	}
	sh.at = r
	sh.endProbe(r)
	sh.wheel.clear(r)
	r.fails = 0
	r.stage = idle
	sh.proceed(r)
	return accepted
}

// endProbe forgets the probe.
func (sh *shard) endProbe(r *record) {
	if sh.probing[r.addr] == r {
		delete(sh.probing, r.addr)
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"ferrite/node"
)

func TestLateDuplicateCompletesNothing(t *testing.T) {
	b := onTable(t, func(c *Config) { c.Window = 1 })
	p, other := b.peer(1), b.peer(2)
	first := p.poll()
	q := p.only()
	b.advance(1500 * time.Millisecond) // sent again: the BMC answers both, each with a sequence number of its own
	again := p.only()
	if again.rqSeq != q.rqSeq || again.seq == q.seq {
		t.Fatalf("sent again with rqSeq %d and sequence %d after %d and %d: wanted the same rqSeq and a new sequence", again.rqSeq, again.seq, q.rqSeq, q.seq)
	}
	one, two := p.answer(q, 0, 0x00), p.answer(again, 0, 0x00)
	p.deliver(one)
	if first.n != 1 || first.state != node.PowerOff {
		t.Fatalf("the poll got %+v: wanted power off, once", first)
	}
	other.poll() // takes the window's one place
	next := p.poll()
	if got := p.took(); len(got) != 0 {
		t.Fatalf("%d commands were sent beyond the window", len(got))
	}
	p.deliver(two) // same rqSeq, command and session: only the missing command gives it away
	if next.n != 0 || b.drops(dropLate) != 1 {
		t.Errorf("a late duplicate completed the next poll (%+v), late drops %d: wanted none and 1", next, b.drops(dropLate))
	}
	other.deliver(other.answer(other.only(), 0, 1))
	q = p.only()
	three := p.answer(again, 0, 0x00)
	p.deliver(three) // now a command is outstanding, with another rqSeq
	if next.n != 0 || b.drops(dropLate) != 2 {
		t.Errorf("an old answer completed the next poll (%+v), late drops %d", next, b.drops(dropLate))
	}
	p.deliver(p.answer(q, 0, 0x01))
	if next.n != 1 || next.state != node.PowerOn {
		t.Errorf("the second poll got %+v: wanted power on, once", next)
	}
}

func TestDropsAreCountedByReason(t *testing.T) {
	b := onTable(t, nil)
	p := b.peer(1)
	s := p.poll()
	good := p.answer(p.only(), 0, 1)
	change := func(i int, v byte) []byte {
		c := slices.Clone(good)
		c[i] ^= v
		return c
	}
	v15 := []byte{6, 0, 0xff, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0x81, 0x04, 0x7b, 0x20, 0x04, 0x01, 0, 1, 0xda}
	plainReply := slices.Clone(good)
	plainReply[5] = 0
	foreign := netip.MustParseAddrPort("192.0.2.77:623")
	for _, c := range []struct {
		why    Reason
		packet []byte
		from   netip.AddrPort
	}{
		{dropShort, good[:10], p.r.addr},
		{dropShort, good[:20], p.r.addr},
		{dropShort, good[:len(good)-1], p.r.addr},
		{dropRMCP, change(0, 1), p.r.addr},
		{dropVersion, v15, p.r.addr},
		{dropType, change(5, 0x02), p.r.addr},
		{dropSession, change(9, 0x80), p.r.addr},
		{dropSource, good, foreign},
		{dropPlain, plainReply, p.r.addr},
		{dropAuth, change(10, 1), p.r.addr},          // session sequence
		{dropAuth, change(headerSize, 1), p.r.addr},  // IV
		{dropAuth, change(len(good)-1, 1), p.r.addr}, // AuthCode itself
		{dropHandshake, handshakeFor(p.r), p.r.addr}, // none is under way
	} {
		before := b.drops(c.why)
		b.sh.packet(c.packet, c.from)
		if b.drops(c.why) != before+1 {
			t.Errorf("packet %x from %s did not count as %q", c.packet, c.from, c.why)
		}
	}
	for _, n := range []int{0, 16, 21} { // lengths that crash other libraries; the AuthCode is right
		before := b.drops(dropCipher)
		b.sh.packet(p.encrypted(make([]byte, n)), p.r.addr)
		if b.drops(dropCipher) != before+1 {
			t.Errorf("an encrypted payload of %d bytes did not count as %q", n, dropCipher)
		}
	}
	if s.n != 0 {
		t.Fatalf("one of them completed the poll: %+v", s)
	}
	p.deliver(good)
	if s.n != 1 || s.state != node.PowerOn {
		t.Errorf("the poll got %+v: wanted power on", s)
	}
	p.deliver(good)
	if b.drops(dropReplay) != 1 || s.n != 1 {
		t.Errorf("the same packet again: replay drops %d, answers %d: wanted 1 and 1", b.drops(dropReplay), s.n)
	}
}

// encrypted is a packet with a right AuthCode around any payload.
func (p *peer) encrypted(payload []byte) []byte {
	b := make([]byte, maxPacket)
	p.s.out++
	putHeader(b, payloadIPMI|flagEncrypted|flagAuthentic, p.s.bmc, p.s.out, len(payload))
	return b[:p.s.sign(b, headerSize+copy(b[headerSize:], payload))]
}

func handshakeFor(r *record) []byte {
	b := make([]byte, maxPacket)
	return b[:plain(b, payloadRAKP2, append([]byte{1, 0, 0, 0}, le32(r.sess.own)...))]
}

func TestReplayWindow(t *testing.T) {
	s := &session{}
	for i, c := range []struct {
		seq uint32
		ok  bool
	}{
		{0, false},
		{5, true},
		{5, false},
		{3, true},
		{3, false},
		{6, true},
		{70, true},
		{6, false},
		{5, false},
		{7, true},
		{7, false},
		{1 << 20, true},
		{1<<20 - 63, true},
		{1<<20 - 64, false},
		{1 << 20, false},
	} {
		if got := s.fresh(c.seq); got != c.ok {
			t.Errorf("%d. sequence %d: taken %v, wanted %v", i, c.seq, got, c.ok)
		}
	}
}

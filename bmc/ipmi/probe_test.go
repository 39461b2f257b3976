// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"testing"
	"time"
	"unique"
)

// capable is a BMC's answer to a probe.
func (b *table) capable() []byte {
	d := b.wire.sent[len(b.wire.sent)-1].data
	m := d[probeHeader:]
	out := append([]byte{6, 0, 0xff, 7}, make([]byte, 10)...)
	msg := []byte{consoleAddress, 0x1c, 0, bmcAddress, m[4], m[5], 0, 0x0e, 0x80, 0, 0x02, 0, 0, 0, 0}
	msg[2] = checksum(msg[:2])
	msg = append(msg, checksum(msg[3:]))
	out[13] = byte(len(msg))
	return append(out, msg...)
}

// silence lets a BMC's reading fail without an answer.
func (p *peer) silence() *one {
	s := p.poll()
	p.b.advance(40 * time.Second)
	return s
}

// A BMC that gave no answer is asked outside of a session first: two packets and no session slot.
func TestSilentBMCsAreProbed(t *testing.T) {
	b := onTable(t, nil)
	p := b.peer(1)
	if s := p.silence(); s.err == nil {
		t.Fatal("the reading did not fail")
	}
	b.wire.sent = nil
	if s := p.silence(); s.n != 1 || s.err == nil || b.probes() != probeTries || len(b.wire.sent) != probeTries {
		t.Fatalf("%d packets, %d of them probes, the poll got %+v: wanted %d probes and one failure", len(b.wire.sent), b.probes(), s, probeTries)
	}
	b.wire.sent = nil
	s := p.poll()
	answer := b.capable()
	wrong := append([]byte(nil), answer...)
	wrong[probeHeader+4] ^= 4 // another rqSeq, and a right checksum
	wrong[len(wrong)-1] = checksum(wrong[probeHeader+3 : len(wrong)-1])
	p.deliver(wrong)
	if p.r.stage != probing {
		t.Fatal("a wrong answer ended the probe")
	}
	p.deliver(answer)
	if _, ids := b.handshakes(payloadOpenRequest); len(ids) != 1 || s.n != 0 {
		t.Fatalf("%d handshakes after the BMC has answered, the poll got %+v: wanted one and a poll that waits", len(ids), s)
	}
	if len(b.sh.probing) != 0 {
		t.Error("the probe is not forgotten")
	}
	b.advance(40 * time.Second)
	if b.sh.inflight != 0 || b.sh.wheel.armed != 0 {
		t.Errorf("%d in flight, %d timers: wanted none", b.sh.inflight, b.sh.wheel.armed)
	}
}

// Every fourth time a session is tried all the same: some BMCs do not answer probes.
func TestBMCsThatAnswerNoProbesAreFound(t *testing.T) {
	b := onTable(t, nil)
	p := b.peer(1)
	var opened int
	for range 8 {
		b.wire.sent = nil
		p.silence()
		if _, ids := b.handshakes(payloadOpenRequest); len(ids) > 0 {
			opened++
		}
	}
	if opened != 2 { // the first one, and the one after four failures
		t.Errorf("%d of 8 readings tried a session: wanted the first and the fifth", opened)
	}
	who := p.r.who.Value()
	who.quirks = quirkNoProbe
	p.r.who = unique.Make(who)
	p.r.fails = 1
	b.wire.sent = nil
	p.silence()
	if b.probes() != 0 {
		t.Error("a BMC that answers no probes (noprobe) was probed")
	}
}

// A caller does not wait for a probe.
func TestCallsAreNotProbed(t *testing.T) {
	b := onTable(t, nil)
	p := b.peer(1)
	p.silence()
	b.wire.sent = nil
	p.status(time.Minute)
	if _, ids := b.handshakes(payloadOpenRequest); len(ids) != 1 || b.probes() != 0 {
		t.Errorf("%d handshakes, %d probes: wanted a handshake at once", len(ids), b.probes())
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"strings"
	"testing"
	"time"

	"ferrite/bmc"
	"ferrite/bmc/bmctest"
)

// until asks as somebody does who waits for d.
func (p *peer) until(c *call, d time.Duration) *call {
	c.done, c.until = make(chan outcome, 1), p.b.sh.now+int64(d)
	p.b.sh.request(&request{rec: p.r, call: c})
	p.b.sh.pump()
	return c
}

func (c *call) ending() (outcome, bool) {
	select {
	case o := <-c.done:
		return o, true
	default:
		return outcome{}, false
	}
}

// A call that somebody waits for goes on with handshakes until its time is over, with few packets; its reading neighbours are
// told sooner.
func TestCallsGoOnUntilTheirTime(t *testing.T) {
	b := onTable(t, nil)
	p := b.peer(1)
	b.sh.forget(p.r)
	c := p.until(&call{step: step{netChassis, cmdChassisStatus, nil}}, time.Minute)
	s := p.poll()
	b.advance(30 * time.Second)
	if s.n != 1 || s.err == nil {
		t.Errorf("a reading behind the call got %+v after 30 s: wanted a failure", s)
	}
	b.advance(28 * time.Second)
	if o, ended := c.ending(); ended {
		t.Fatalf("it was given up with %v before its time", o.err)
	}
	if n := len(b.wire.sent); n < 12 || n > 21 {
		t.Errorf("%d packets went to a dead BMC in a minute: wanted 12 to 21", n)
	}
	for _, d := range b.wire.sent {
		if h, why := parse(d.data); why != accepted || h.kind != payloadOpenRequest {
			t.Errorf("%x was sent: wanted handshakes alone", d.data)
		}
	}
	b.advance(3 * time.Second)
	o, ended := c.ending()
	if !ended || o.unknown || !strings.Contains(c.late(o.err).Error(), "no answer to Open Session after 3 tries") {
		t.Errorf("it ended (%v) with %+v: wanted an error that tells what was not answered", ended, c.late(o.err))
	}
	if b.sh.inflight != 0 || b.sh.wheel.armed != 0 || len(b.sh.shaking) != 0 || p.r.hs != nil {
		t.Errorf("%d in flight, %d timers, %d handshakes: wanted none", b.sh.inflight, b.sh.wheel.armed, len(b.sh.shaking))
	}
}

// A BMC that is heard again is commanded: handshakes that were lost before do no harm to a command.
func TestALateHandshakeSucceeds(t *testing.T) {
	b := onTable(t, nil)
	p := b.peer(1)
	b.sh.forget(p.r)
	c := p.until(&call{
		step: step{netChassis, cmdChassisControl, []byte{controls[bmc.Reset].value}}, priv: privOperator, mutating: true, once: true, permit: bmctest.Permit{},
	}, time.Minute)
	b.advance(40 * time.Second)
	for range 20 {
		if p.r.stage == shaking {
			break
		}
		b.advance(time.Second)
	}
	if p.r.stage != shaking {
		t.Fatalf("no handshake is under way after 40 s: stage %d", p.r.stage)
	}
	b.openSession(p.r)
	b.sh.wheel.clear(p.r)
	p.open()
	b.sh.opened(p.r, p.r.sess)
	p.deliver(p.answer(p.only(), 0, 4))
	q := p.only()
	if q.cmd != cmdChassisControl {
		t.Fatalf("%+v went out: wanted the reset", q)
	}
	b.advance(time.Minute) // its answer is lost: nothing is sent twice (S12)
	for _, q := range p.took() {
		if q.cmd == cmdChassisControl {
			t.Error("the reset was sent twice")
		}
	}
	if o, ended := c.ending(); !ended || !o.unknown {
		t.Errorf("it ended (%v) with %+v: wanted an unknown outcome", ended, o)
	}
}

// What changes something and was sent is not sent anew again and again: its caller looks what became of it.
func TestACommandThatWasSentIsNotInsistedOn(t *testing.T) {
	b := onTable(t, nil)
	p := b.peer(1)
	p.r.sess.priv = privAdmin
	c := p.until(&call{
		step: step{netChassis, cmdChassisControl, []byte{controls[bmc.Off].value}}, priv: privOperator, mutating: true, permit: bmctest.Permit{},
	}, time.Minute)
	b.advance(30 * time.Second)
	if o, ended := c.ending(); !ended || !o.unknown {
		t.Errorf("it ended (%v) with %+v after 30 s: wanted an unknown outcome", ended, o)
	}
}

// A reading has one handshake more, if the BMC answers outside of a session or has just been heard.
func TestReadingsHaveOneHandshakeMore(t *testing.T) {
	b := onTable(t, nil)
	p := b.peer(1)
	b.sh.forget(p.r)
	s := p.poll()
	b.advance(11 * time.Second) // 7 and 3 s, each up to a fifth longer, but seldom all
	b.advance(time.Second)
	if _, ids := b.handshakes(payloadOpenRequest); s.n != 1 || len(ids) != 3 || b.probes() != probeTries {
		t.Errorf("a dead BMC got %d handshake messages and %d probes, the reading %+v: wanted 3, 2 and a failure", len(ids), b.probes(), s)
	}

	p.r.fails, b.wire.sent = 0, nil
	s = p.poll()
	for range 12 {
		if b.advance(time.Second); b.probes() > 0 {
			break
		}
	}
	p.deliver(b.capable())
	if p.r.stage != shaking || s.n != 0 {
		t.Fatalf("stage %d after the BMC has answered a probe, the reading %+v: wanted a handshake", p.r.stage, s)
	}
	b.advance(20 * time.Second)
	if _, ids := b.handshakes(payloadOpenRequest); s.n != 1 || len(ids) != 6 {
		t.Errorf("%d handshake messages, the reading %+v: wanted 6 and a failure", len(ids), s)
	}

	p.r.fails, b.wire.sent = 0, nil
	s = p.poll()
	b.openSession(p.r) // it is heard, and RAKP 2 is lost
	b.advance(9 * time.Second)
	if p.r.stage != shaking || p.r.hs.phase != phaseOpen || s.n != 0 || b.probes() != 0 {
		t.Errorf("stage %d, %d probes, the reading %+v: wanted a new handshake at once", p.r.stage, b.probes(), s)
	}
}

// Calls that give way let go of a BMC that has just died within some seconds, and go on with one that lives.
func TestSlowCallsLetGoOfADeadBMC(t *testing.T) {
	for _, session := range []bool{true, false} {
		b := onTable(t, nil)
		p := b.peer(1)
		if !session {
			b.sh.forget(p.r)
		}
		sensor := func() *call {
			return p.until(&call{slow: true, step: step{netSensor, cmdSensorReading, []byte{1}}}, time.Minute)
		}
		c := sensor()
		b.advance(8500 * time.Millisecond) // 3 s, the end of the session, and 3 s
		if o, ended := c.ending(); !ended || o.err == nil || b.sh.inflight != 0 {
			t.Errorf("session %v: it has ended %v with %v: wanted a failure within 8 s", session, ended, o.err)
		}
		b.wire.sent = nil
		c = sensor()
		if b.probes() != 1 {
			t.Errorf("session %v: %d probes: wanted the next one to begin with a probe", session, b.probes())
		}
		p.deliver(b.capable())
		if p.r.stage != shaking {
			t.Fatalf("session %v: stage %d: wanted a handshake with a BMC that lives", session, p.r.stage)
		}
		b.openSession(p.r)
		b.sh.wheel.clear(p.r)
		p.open()
		b.sh.opened(p.r, p.r.sess)
		p.deliver(p.answer(p.only(), 0, 1, 0xc0, 0))
		if o, ended := c.ending(); !ended || o.err != nil {
			t.Errorf("session %v: it ended (%v) with %v", session, ended, o.err)
		}
	}
}

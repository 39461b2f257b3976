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

// opens counts the Open Session Requests that were sent since the last call.
func (b *table) opens() int {
	_, ids := b.handshakes(payloadOpenRequest)
	b.wire.sent = nil
	return len(ids)
}

// stale makes a BMC whose session was not used for too long, asks it for its power, and gives the Close Session that went out.
func stale(t *testing.T) (*table, *peer, *one, seen) {
	b := onTable(t, nil)
	p := b.peer(1)
	b.advance(51 * time.Second)
	s := p.poll()
	q := p.only()
	if q.cmd != cmdCloseSession {
		t.Fatalf("%+v went out: wanted Close Session", q)
	}
	return b, p, s, q
}

// The answer to our own Close Session is believed. It says nothing of a BMC that dies then: the error does not speak of it, and
// the next reading begins with a probe.
func TestAnswerToCloseSessionIsNoNonsense(t *testing.T) {
	b, p, s, q := stale(t)
	answer := p.answer(q, 0)
	p.deliver(answer)
	if n := b.opens(); n != 1 {
		t.Fatalf("%d sessions are being opened: wanted one", n)
	}
	b.advance(40 * time.Second) // dead
	if s.n != 1 || s.err == nil || strings.Contains(s.err.Error(), "not believed") {
		t.Errorf("the reading got %+v: wanted an error that speaks of silence alone", s)
	}
	for why := range reasons {
		if n := b.drops(why); n != 0 {
			t.Errorf("%d packets were dropped as %q: wanted none", n, why)
		}
	}
	b.wire.sent = nil
	p.poll()
	if n := b.probes(); n != 1 || p.r.fails != 1 || len(b.wire.sent) != 1 {
		t.Errorf("%d probes and %d packets after %d failures: wanted the next reading to begin with a probe", n, len(b.wire.sent), p.r.fails)
	}
	p.deliver(answer) // once more
	if n := b.drops(dropSession); n != 1 {
		t.Errorf("%d packets of unknown sessions: wanted the answer's copy to be one", n)
	}
}

// Nothing is asked of a BMC while it closes a session; one that does not answer that is waited for a moment only.
func TestOpenSessionWaitsForCloseSession(t *testing.T) {
	b, p, _, q := stale(t)
	if n := b.opens(); n != 0 || b.sh.inflight != 1 {
		t.Fatalf("%d sessions were opened beside Close Session, %d in flight", n, b.sh.inflight)
	}
	p.deliver(p.answer(seen{netfn: netChassis, cmd: cmdChassisStatus, rqSeq: q.rqSeq - 1}, 0, 1)) // a reading's answer that was late
	if n := b.opens(); n != 0 || b.drops(dropLate) != 1 {
		t.Errorf("a late answer opened %d sessions, and %d packets were late: wanted none, and one", n, b.drops(dropLate))
	}
	b.advance(farewellTime - 2*tick)
	if n := b.opens(); n != 0 {
		t.Errorf("%d sessions were opened before the BMC had its time", n)
	}
	b.advance(4 * tick)
	if n := b.opens(); n != 1 {
		t.Errorf("%d sessions were opened by then: wanted one", n)
	}
	p.deliver(p.answer(q, 0)) // at last
	if n := b.drops(dropSession); n != 0 || p.r.bye.session != nil {
		t.Errorf("the answer that came late counted %d times as unknown", n)
	}
}

// A caller who gives up while a session is being closed is told so; nothing was sent.
func TestCallsEndWhileASessionIsBeingClosed(t *testing.T) {
	b := onTable(t, nil)
	p := b.peer(1)
	b.advance(51 * time.Second)
	c := &call{
		step: step{netChassis, cmdChassisControl, []byte{controls[bmc.Off].value}}, priv: privOperator, mutating: true,
		permit: bmctest.Permit{}, until: b.sh.now + int64(tick), done: make(chan outcome, 1),
	}
	b.sh.request(&request{rec: p.r, call: c})
	b.sh.pump()
	b.advance(4 * tick)
	select {
	case o := <-c.done:
		if o.err == nil || o.unknown {
			t.Errorf("the call ended with %+v", o)
		}
	default:
		t.Error("the call has no end")
	}
	if n := b.opens(); n != 0 || b.sh.inflight != 0 {
		t.Errorf("%d sessions were opened for nobody, %d in flight", n, b.sh.inflight)
	}
}

// A record that nobody holds any more stays until its BMC has answered Close Session, so that the answer is known.
func TestReleasedRecordsWaitForCloseSession(t *testing.T) {
	for _, answers := range []bool{true, false} {
		b := onTable(t, nil)
		p := b.peer(1)
		p.r.users = 0
		b.sh.request(&request{rec: p.r, release: true})
		b.sh.pump()
		q := p.only()
		if answers {
			p.deliver(p.answer(q, 0))
		} else {
			b.advance(farewellTime + 2*tick)
		}
		if n := len(b.sh.records); n != 0 || b.drops(dropSession) != 0 || b.sh.wheel.armed != 0 {
			t.Errorf("answered %v: %d records, %d timers are left, %d packets of unknown sessions", answers, n, b.sh.wheel.armed, b.drops(dropSession))
		}
	}
}

// The first session of a BMC ends once it was not used for SessionIdle: whether it is read more often shows with the second
// reading only. One that is read more often keeps its session.
func TestFirstSessionOfRareReadingsIsClosed(t *testing.T) {
	b := onTable(t, nil)
	p, often := b.peer(1), b.peer(2)
	for _, x := range []*peer{p, often} {
		b.sh.forget(x.r)
		x.poll()
		if n := b.opens(); n != 1 {
			t.Fatalf("%d sessions were opened for the first reading", n)
		}
		b.sh.wheel.clear(x.r)
		x.open()
		b.sh.opened(x.r, x.r.sess)
		x.deliver(x.answer(x.only(), 0, 1))
	}
	b.advance(45 * time.Second)
	often.poll()
	often.deliver(often.answer(often.only(), 0, 1))
	if b.sh.wheel.armed != 1 {
		t.Errorf("%d timers: wanted that of the one that was read once", b.sh.wheel.armed)
	}
	b.advance(6 * time.Second)
	q := p.only()
	if q.cmd != cmdCloseSession || p.r.sess != nil {
		t.Fatalf("%+v went out: wanted Close Session", q)
	}
	p.deliver(p.answer(q, 0))
	b.advance(9 * time.Second)
	if often.r.sess == nil || len(often.took()) != 0 {
		t.Error("the session of a BMC that is read often was closed")
	}
	p.poll()
	if n := b.opens(); n != 1 || !p.r.has(flagBrief) {
		t.Errorf("%d sessions were opened for the second reading: wanted one, which ends with it", n)
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"ferrite/bmc"
	"ferrite/bmc/bmctest"
)

func TestHandshakesAreRationed(t *testing.T) {
	b := onTable(t, func(c *Config) { c.Handshakes = 10 })
	for i := range byte(50) {
		p := b.peer(i)
		b.sh.forget(p.r)
		p.poll()
	}
	_, ids := b.handshakes(payloadOpenRequest)
	if len(ids) > 2 {
		t.Errorf("%d handshakes began at once: wanted one", len(ids))
	}
	b.wire.sent = nil
	b.advance(900 * time.Millisecond)
	_, ids = b.handshakes(payloadOpenRequest)
	slices.Sort(ids)
	if n := len(slices.Compact(ids)); n < 7 || n > 11 {
		t.Errorf("%d handshakes began in 0.9 s: wanted 9 or so", n)
	}
}

// A refused login stops all traffic until its time is over (SAFETY: accounts lock themselves).
func TestRefusedLogin(t *testing.T) {
	for _, c := range []struct {
		name   string
		refuse func(*table, *record)
	}{
		{"unknown user", func(b *table, r *record) { b.rakp2(r, 0x0d) }},
		{"privilege", func(b *table, r *record) { b.rakp2(r, 0x0a) }},
		{"password", func(b *table, r *record) { b.rakp2(r, 0) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := onTable(t, nil)
			p := b.peer(1)
			b.sh.forget(p.r)
			s := p.poll()
			b.openSession(p.r)
			c.refuse(b, p.r)
			var failed *bmc.Error
			if s.n != 1 || !errors.As(s.err, &failed) || !failed.Auth {
				t.Fatalf("the poll got %+v: wanted one refused login", s)
			}
			b.wire.sent = nil
			for range 20 {
				if s := p.poll(); s.n != 1 || !errors.As(s.err, &failed) || !failed.Auth {
					t.Fatalf("a poll meanwhile got %+v", s)
				}
				if c := p.mutate(bmc.On, bmctest.Permit{}); !(<-c.done).auth {
					t.Fatal("a call meanwhile was not told")
				}
				b.advance(10 * time.Second)
			}
			if len(b.wire.sent) != 0 {
				t.Errorf("%d packets were sent meanwhile: wanted none", len(b.wire.sent))
			}
			b.advance(5 * time.Minute)
			p.poll()
			if _, ids := b.handshakes(payloadOpenRequest); len(ids) != 1 {
				t.Errorf("%d handshakes after the back-off: wanted one", len(ids))
			}
		})
	}
}

// openSession accepts Open Session.
func (b *table) openSession(r *record) {
	h := r.hs
	p := append([]byte{h.tag, 0, 4, 0}, le32(h.own)...)
	p = append(p, le32(0x4711)...)
	for kind, alg := range []byte{h.suite.auth, h.suite.integ, h.suite.conf} {
		p = append(p, byte(kind), 0, 0, 8, alg, 0, 0, 0)
	}
	buf := make([]byte, maxPacket)
	b.sh.packet(buf[:plain(buf, payloadOpenResponse, p)], r.addr)
	if h.phase != phaseRAKP2 {
		b.t.Fatalf("Open Session was not taken: phase %d", h.phase)
	}
}

// rakp2 answers RAKP 1 with a status, or with a wrong key exchange code.
func (b *table) rakp2(r *record, status byte) {
	if status != 0 {
		b.refuse(r, payloadRAKP2, status)
		return
	}
	p := append([]byte{r.hs.tag, 0, 0, 0}, le32(r.hs.own)...)
	p = append(p, make([]byte, 32+r.hs.suite.size)...)
	buf := make([]byte, maxPacket)
	b.sh.packet(buf[:plain(buf, payloadRAKP2, p)], r.addr)
	b.sh.pump()
}

func TestNoFreeSlot(t *testing.T) {
	b := onTable(t, nil)
	p := b.peer(1)
	b.sh.forget(p.r)
	s := p.poll()
	c := p.mutate(bmc.On, bmctest.Permit{})
	b.refuse(p.r, payloadOpenResponse, 0x01)
	if s.n != 1 || s.err == nil || !strings.Contains(s.err.Error(), "no free session slot") {
		t.Fatalf("the poll got %+v", s)
	}
	b.wire.sent = nil
	if again := p.poll(); again.n != 1 || again.err == nil {
		t.Errorf("a poll meanwhile got %+v: wanted the same failure at once", again)
	}
	b.advance(19 * time.Second)
	if len(b.wire.sent) != 0 {
		t.Errorf("%d packets within the back-off: wanted none", len(b.wire.sent))
	}
	select {
	case o := <-c.done:
		t.Errorf("the call ended with %+v: wanted it to wait for its turn", o)
	default:
	}
	b.advance(42 * time.Second)
	if _, ids := b.handshakes(payloadOpenRequest); len(ids) == 0 {
		t.Error("no handshake after the back-off")
	}
}

// Who gives up while a BMC has no free slot is told that, and what to do; whoever got a slot is not.
func TestNoFreeSlotIsTold(t *testing.T) {
	for name, refuse := range map[string]func(*table, *record){
		"Open Session answered 0x01": func(b *table, r *record) { b.refuse(r, payloadOpenResponse, 0x01) },
		"RAKP 1 answered 0x01":       func(b *table, r *record) { b.openSession(r); b.refuse(r, payloadRAKP2, 0x01) },
		"RAKP 1 answered 0x0b":       func(b *table, r *record) { b.openSession(r); b.refuse(r, payloadRAKP2, 0x0b) },
	} {
		b := onTable(t, nil)
		p := b.peer(1)
		b.sh.forget(p.r)
		tried := p.mutate(bmc.On, bmctest.Permit{})
		refuse(b, p.r)
		waits := p.status(time.Minute)
		s := p.poll()
		for who, err := range map[string]error{"the one that was refused": tried.late(errClosed), "one behind it": waits.late(errClosed), "a reading": s.err} {
			for _, want := range []string{"no free session slot", name, "ipmitool session info all"} {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %s is told %v: wanted %q in it", name, who, err, want)
				}
			}
		}
		if err := tried.late(errClosed); !errors.Is(err, errClosed) {
			t.Errorf("%s: why it ended is not told: %v", name, err)
		}
		for range 62 {
			if b.advance(time.Second); p.r.hs != nil {
				break
			}
		}
		if p.r.hs == nil {
			t.Fatalf("%s: no handshake after the back-off", name)
		}
		b.sh.wheel.clear(p.r)
		p.open()
		b.sh.opened(p.r, p.r.sess)
		if err := tried.late(errClosed); err != errClosed { //nolint:errorlint // it must be told alone
			t.Errorf("%s: after it got a slot: %v", name, err)
		}
	}
}

func TestSuiteFallsBackAndIsRemembered(t *testing.T) {
	b := onTable(t, nil)
	p := b.peer(1)
	b.sh.forget(p.r)
	p.poll()
	if p.r.hs.suite.id != 17 {
		t.Fatalf("suite %d was tried first: wanted 17", p.r.hs.suite.id)
	}
	b.refuse(p.r, payloadOpenResponse, 0x04)
	if p.r.hs == nil || p.r.hs.suite.id != 3 {
		t.Fatal("suite 3 was not tried next")
	}
	b.advance(20 * time.Second) // silence ends this poll, but not what was learnt
	if p.r.hs != nil {
		t.Fatal("still shaking hands")
	}
	b.wire.sent = nil
	p.r.fails = 0 // as if it had answered a probe
	p.poll()
	b.refuse(p.r, payloadOpenResponse, 0x11)
	if p.r.hs == nil && p.r.stage != idle {
		t.Error("stuck after both suites were refused")
	}
}

func TestSuiteOfTheNodeIsNotChanged(t *testing.T) {
	b := onTable(t, nil)
	tgt, err := parseInfo(at(netip.MustParseAddrPort("192.0.2.9:623"), "ipmi_cipher_suite", "17"))
	if err != nil {
		t.Fatal(err)
	}
	r := b.sh.recordLocked(recordKey{tgt.addr, tgt.who})
	r.users = 1
	s := &one{}
	b.sh.request(&request{rec: r, sink: s})
	b.sh.pump()
	b.refuse(r, payloadOpenResponse, 0x11)
	if s.n != 1 || s.err == nil || r.hs != nil {
		t.Errorf("the poll got %+v: wanted a failure without another suite", s)
	}
}

func TestUnusedSessionIsReopened(t *testing.T) {
	b := onTable(t, nil)
	p := b.peer(1)
	b.advance(49 * time.Second)
	p.poll()
	p.deliver(p.answer(p.only(), 0, 1)) // still good
	b.advance(51 * time.Second)
	p.poll()
	q := p.only()
	if q.cmd != cmdCloseSession {
		t.Errorf("%+v went out in the old session: wanted Close Session alone", q)
	}
	p.deliver(p.answer(q, 0))
	if _, ids := b.handshakes(payloadOpenRequest); len(ids) != 1 {
		t.Errorf("%d handshakes: wanted one", len(ids))
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"strings"
	"sync"
	"testing"
	"time"
	"unique"

	"ferrite/bmc"
	"ferrite/bmc/bmctest"
	"ferrite/node"
)

// other is another login at the peer's BMC, without a session.
func (p *peer) other(user string) *peer {
	r := p.b.sh.recordLocked(recordKey{p.r.addr, unique.Make(login{user: user, password: "password", priv: 4})})
	r.users = 1
	return &peer{b: p.b, r: r}
}

// To a BMC all logins are one conductor: one command at a time, and one session.
func TestOtherLoginsWaitForTheBMC(t *testing.T) {
	b := onTable(t, nil)
	p := b.peer(1)
	second, third := p.other("second"), p.other("third")
	first := p.poll()
	q := p.only()
	s, c := second.poll(), third.mutate(bmc.On, bmctest.Permit{})
	b.advance(500 * time.Millisecond)
	if len(b.wire.sent) != 0 {
		t.Fatalf("%d packets were sent while a command was outstanding: wanted none", len(b.wire.sent))
	}
	p.deliver(p.answer(q, 0, 0))
	if first.n != 1 || s.n != 0 {
		t.Fatalf("answered %d and %d times", first.n, s.n)
	}
	bye := p.only()
	if bye.cmd != cmdCloseSession || p.r.sess != nil {
		t.Errorf("%+v went out in the first session: wanted Close Session alone", bye)
	}
	if _, ids := b.handshakes(payloadOpenRequest); len(ids) != 0 {
		t.Errorf("%d sessions are being opened while the first one is being closed: wanted none", len(ids))
	}
	p.deliver(p.answer(bye, 0))
	_, ids := b.handshakes(payloadOpenRequest)
	if len(ids) != 1 {
		t.Fatalf("%d sessions are being opened: wanted one", len(ids))
	}
	now := second
	if third.r.stage == shaking {
		now = third
	}
	if n := b.sh.inflight; now.r.stage != shaking || n != 1 {
		t.Errorf("%d in flight, the next one at stage %d", n, now.r.stage)
	}
	b.advance(30 * time.Second) // a BMC that is silent under one login does not keep another from being tried
	if s.n != 1 || s.err == nil {
		t.Errorf("the second login's poll got %+v", s)
	}
	if n := b.sh.inflight; n != 0 {
		t.Errorf("%d in flight in the end", n)
	}
	select {
	case o := <-c.done:
		if o.err == nil {
			t.Errorf("the third login's command ended with %+v", o)
		}
	default:
		t.Error("the third login's command has no end")
	}
}

// Records of one BMC are found by login, and forgotten one by one.
func TestRecordsOfOneBMC(t *testing.T) {
	b := onTable(t, nil)
	p := b.peer(1)
	all := []*record{p.r, p.other("b").r, p.other("c").r, p.other("d").r}
	kin := func(r *record) (n int) {
		for range r.kinOf() {
			n++
		}
		return n
	}
	for len(all) > 0 {
		for _, r := range all {
			if b.sh.recordLocked(r.recordKey) != r {
				t.Fatalf("with %d records one is not found", len(all))
			}
			if n := kin(r); n != len(all)-1 {
				t.Fatalf("one of %d records has %d kin", len(all), n)
			}
		}
		gone := all[len(all)/2]
		b.sh.removeLocked(gone)
		all = append(all[:len(all)/2], all[len(all)/2+1:]...)
	}
	if n := len(b.sh.records); n != 0 {
		t.Errorf("%d records are left", n)
	}
}

// Several logins at once over a real socket: never two sessions at the BMC, and everybody is answered.
func TestOneSessionForAllLogins(t *testing.T) {
	f, e := fleet(t, nil), engine(t, patient())
	levels := []string{"USER", "OPERATOR", "ADMINISTRATOR"}
	var work sync.WaitGroup
	for _, level := range levels {
		n := at(f.Addr(0), "ipmi_priv_level", level)
		h := prepare(t, e, n)
		work.Go(func() {
			for i := range 8 {
				if r := read(t, h); r.err != nil || r.state != node.PowerOff {
					t.Errorf("%s, reading %d: %+v", level, i, r)
				}
				if n := f.BMC(0).Sessions(); n > 1 {
					t.Errorf("the BMC has %d sessions: wanted one", n)
				}
			}
		})
		work.Go(func() {
			for range 4 {
				if _, err := e.Driver().Power.PowerState(t.Context(), n); err != nil {
					t.Errorf("%s: %v", level, err)
				}
			}
		})
	}
	work.Wait()
	if s := e.Stats(); s.BMCs != 1 || s.Sessions > 1 {
		t.Errorf("%d BMCs, %d sessions", s.BMCs, s.Sessions)
	}
}

// A refused login is tried once more by readings, and then they leave it alone for hours: the third one could lock the
// account. Somebody's command may try every few minutes, and one that is let in ends it all.
func TestRefusedLoginTwice(t *testing.T) {
	b := onTable(t, func(c *Config) { c.AuthRest = time.Hour })
	p := b.peer(1)
	b.sh.forget(p.r)
	refused := func(s *one) {
		t.Helper()
		b.openSession(p.r)
		b.rakp2(p.r, 0)
		if s.n != 1 || s.err == nil || !strings.Contains(s.err.Error(), "ipmi_password") {
			t.Fatalf("the poll got %+v", s)
		}
		b.wire.sent = nil
	}
	refused(p.poll())
	b.advance(5*time.Minute + time.Second)
	refused(p.poll())
	for range 11 {
		b.advance(5 * time.Minute)
		if s := p.poll(); s.n != 1 || s.err == nil || !denied(s.err) && !strings.Contains(s.err.Error(), "ipmi_password") {
			t.Fatalf("a poll meanwhile got %+v", s)
		}
	}
	if len(b.wire.sent) != 0 {
		t.Fatalf("%d packets were sent meanwhile: wanted none", len(b.wire.sent))
	}
	c := p.mutate(bmc.On, bmctest.Permit{}) // somebody asks
	if _, ids := b.handshakes(payloadOpenRequest); len(ids) != 1 {
		t.Fatalf("%d handshakes for a command: wanted one", len(ids))
	}
	b.openSession(p.r)
	b.rakp2(p.r, 0)
	if o := <-c.done; !o.auth {
		t.Fatalf("the command got %+v", o)
	}
	b.wire.sent = nil
	b.advance(time.Hour - time.Second)
	if p.poll(); len(b.wire.sent) != 0 {
		t.Errorf("%d packets within an hour of the last refusal", len(b.wire.sent))
	}
	b.advance(2 * time.Second)
	p.poll()
	if _, ids := b.handshakes(payloadOpenRequest); len(ids) != 1 {
		t.Errorf("%d handshakes after the rest: wanted one", len(ids))
	}
	b.sh.opened(p.r, newSession(suites[17], sik, p.r.hs.own, 0x4711))
	if p.r.last != nil || p.r.restTill != 0 || p.r.heldTill != 0 {
		t.Error("a login that is accepted is still held against it")
	}
}

// A rest outlives the handle: who comes back with the same login is not the first to try it.
func TestRestIsRemembered(t *testing.T) {
	b := onTable(t, func(c *Config) { c.AuthRest = time.Hour })
	p := b.peer(1)
	b.sh.forget(p.r)
	for range 2 {
		p.poll()
		b.openSession(p.r)
		b.rakp2(p.r, 0x0d)
		b.advance(5*time.Minute + time.Second)
	}
	p.r.users = 0
	b.sh.request(&request{rec: p.r, release: true})
	b.sh.pump()
	b.advance(30 * time.Minute)
	if b.sh.recordLocked(p.r.recordKey) != p.r {
		t.Fatal("a login that must rest was forgotten")
	}
	b.advance(30 * time.Minute)
	b.sh.mu.Lock()
	n := len(b.sh.records)
	b.sh.mu.Unlock()
	if n != 0 {
		t.Errorf("%d records after the rest: wanted none", n)
	}
}

// The lock-out personality is never locked, however long it is asked under a name that it does not know. (A wrong password
// is found before the BMC is told of it.)
func TestNoLockout(t *testing.T) {
	cfg := patient()
	cfg.AuthBackOff = 20 * time.Millisecond
	f, e := fleet(t, nil), engine(t, cfg)
	if err := f.BMC(0).SetFault("lockout"); err != nil {
		t.Fatal(err)
	}
	h := prepare(t, e, at(f.Addr(0), "ipmi_username", "nobody"))
	eventually(t, "a second try", func() bool {
		if r := read(t, h); r.err == nil {
			t.Fatal("the login succeeded under a wrong name")
		}
		return f.Stats().AuthFailures >= 2
	})
	for range 20 {
		read(t, h)
		time.Sleep(5 * time.Millisecond) // beyond AuthBackOff, several times
	}
	if n := f.Stats().AuthFailures; n != 2 {
		t.Errorf("the BMC counted %d bad logins: wanted two, the third locks it", n)
	}
	h.Close() // as that of a node whose login is changed
	if r := read(t, prepare(t, e, at(f.Addr(0)))); r.err != nil {
		t.Errorf("the right password: %v", r.err)
	}
}

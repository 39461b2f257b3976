// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"errors"
	"testing"
	"time"
	"unique"

	"ferrite/bmc"
	"ferrite/node"
)

// kin makes a place at the same BMC under another login.
func (p *peer) kin(user string) *peer {
	r := p.b.sh.recordLocked(recordKey{p.r.addr, unique.Make(login{user: user, password: "password", priv: 4})})
	r.users = 1
	return &peer{b: p.b, r: r}
}

// shakes counts the logins that were begun since the last call.
func (b *table) shakes() int {
	_, ids := b.handshakes(payloadOpenRequest)
	b.wire.sent = nil
	return len(ids)
}

// rested wants a reading that was answered without a packet; denied = for a refused login.
func (b *table) rested(s *one, denied bool) *bmc.Error {
	b.t.Helper()
	var e *bmc.Error
	if s.n != 1 || !errors.As(s.err, &e) || !e.Unasked || e.Auth != denied || b.shakes() != 0 {
		b.t.Fatalf("the poll got %+v: wanted one that was not asked", s)
	}
	return e
}

// refuseUser has the login that is being tried refused.
func (p *peer) refuseUser() {
	p.b.openSession(p.r)
	p.b.rakp2(p.r, 0x0d)
}

// What a node's record says of a refused login holds in the next process: what is left of the rest is kept.
func TestARefusalOutlivesTheProcess(t *testing.T) {
	for name, c := range map[string]struct {
		known *node.Refusal
		rest  time.Duration // wanted
	}{
		"once, just now":     {&node.Refusal{At: time.Now(), Times: 1}, 5 * time.Minute},
		"once, an hour ago":  {&node.Refusal{At: time.Now().Add(-time.Hour), Times: 1}, 0},
		"twice, an hour ago": {&node.Refusal{At: time.Now().Add(-time.Hour), Times: 2}, 3 * time.Hour},
		"five times":         {&node.Refusal{At: time.Now().Add(-time.Hour), Times: 5}, 3 * time.Hour},
		"twice, to come":     {&node.Refusal{At: time.Now().Add(100 * time.Hour), Times: 2}, 4 * time.Hour}, // the clock was set back
		"nothing":            {nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := onTable(t, nil)
			p := b.peer(1)
			b.sh.forget(p.r)
			p.r.lastUse = 0
			b.sh.request(&request{rec: p.r, known: c.known})
			const slack = time.Minute // a busy machine
			if c.rest > 0 {
				if e := b.rested(p.poll(), true); e.Refused != c.known {
					t.Errorf("the reading tells of %+v: wanted what the record says, so that nothing is written", e.Refused)
				}
				b.advance(c.rest - slack)
				b.rested(p.poll(), true)
				b.advance(slack + time.Second)
			}
			if p.poll(); b.shakes() != 1 {
				t.Fatal("no login after the rest")
			}
			p.r.hs = nil
		})
	}
}

// A command that somebody gives may insist, and what was found since is not forgotten for an old record.
func TestAnOldRecordIsNoNews(t *testing.T) {
	b := onTable(t, nil)
	p := b.peer(1)
	old := &node.Refusal{At: time.Now(), Times: 2}
	b.sh.request(&request{rec: p.r, known: old}) // a session is open
	if p.r.last != nil || p.r.heldTill != 0 {
		t.Error("a login that is let in rests because of an old record")
	}
	b.sh.forget(p.r)
	p.r.lastUse = 0
	c := &call{step: step{netChassis, cmdChassisStatus, nil}, known: old, done: make(chan outcome, 1)}
	b.sh.request(&request{rec: p.r, call: c})
	b.sh.pump()
	if o := <-c.done; !o.auth || !o.unasked || b.shakes() != 0 {
		t.Errorf("a command of the conductor itself got %+v: wanted a refusal without a packet", o)
	}
	c = &call{step: c.step, known: old, insist: true, done: make(chan outcome, 1)}
	b.sh.request(&request{rec: p.r, call: c})
	b.sh.pump()
	if b.shakes() != 1 {
		t.Error("somebody insisted, and was not heard")
	}
}

// All logins of a BMC have two refusals an hour together: it may lock by where they come from.
func TestABudgetOfRefusalsForABMC(t *testing.T) {
	b := onTable(t, nil)
	one := b.peer(1)
	b.sh.forget(one.r)
	one.r.lastUse = 0
	two, three, good := one.kin("two"), one.kin("three"), one.kin("good")
	for _, p := range []*peer{one, two} {
		p.poll()
		p.refuseUser()
		b.wire.sent = nil
	}
	b.rested(three.poll(), false)
	b.advance(time.Hour - time.Second)
	b.rested(three.poll(), false)
	b.rested(one.poll(), false) // its five minutes are over, but two would be three
	b.advance(2 * time.Second)
	if three.poll(); b.shakes() != 1 {
		t.Fatal("no login after the hour")
	}
	three.refuseUser()
	if one.poll(); b.shakes() != 1 {
		t.Fatal("no second login in the next hour")
	}
	b.sh.opened(one.r, newSession(suites[17], sik, one.r.hs.own, 0x4711)) // which ends its part of the account
	// It waits for its turn.
	if s := good.poll(); s.n != 0 {
		t.Errorf("one refusal in the hour keeps others away: %+v", s)
	}
}

// A call that waits for another login's job says so, as long as the BMC answers that one; of a silent BMC it says nothing.
func TestACallTellsOfABusyBMC(t *testing.T) {
	b := onTable(t, nil)
	p := b.peer(1)
	q := p.kin("two")
	p.poll()
	c := &call{step: step{netChassis, cmdChassisStatus, nil}, done: make(chan outcome, 1)}
	b.sh.request(&request{rec: q.r, call: c})
	b.sh.pump()
	if err := c.late(errors.New("late")); !errors.Is(err, bmc.ErrBusy) {
		t.Errorf("while the BMC is asked under the other login: %v", err)
	}
	b.advance(4 * time.Second)
	if err := c.late(errors.New("late")); errors.Is(err, bmc.ErrBusy) {
		t.Errorf("while the BMC is silent: %v", err)
	}
}

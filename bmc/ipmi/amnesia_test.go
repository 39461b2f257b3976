// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"slices"
	"testing"
	"time"

	"ferrite/bmc"
	"ferrite/bmc/bmctest"
)

// status asks for the power state as a blocking call does whose caller waits for d.
func (p *peer) status(d time.Duration) *call {
	c := &call{step: step{netChassis, cmdChassisStatus, nil}, done: make(chan outcome, 1), until: p.b.sh.now + int64(d)}
	p.b.sh.request(&request{rec: p.r, call: c})
	p.b.sh.pump()
	return c
}

// A BMC that restarted knows no session. Whatever ends a command without an answer, the session goes with it: the next
// command begins with a handshake.
func TestTimeoutTakesTheSessionWithIt(t *testing.T) {
	for _, c := range []struct {
		name string
		ask  func(*peer) *call
		pass time.Duration
	}{
		{"a caller who waits for less than one try", func(p *peer) *call { return p.status(500 * time.Millisecond) }, time.Second},
		{"command_retry_timeout of 4 s", func(p *peer) *call { return p.status(4 * time.Second) }, 5 * time.Second},
		{"a caller who goes away", func(p *peer) *call {
			c := p.status(time.Minute)
			c.gone.Store(true)
			return c
		}, 2 * time.Second},
		{"a command that is sent once", func(p *peer) *call {
			p.r.flags |= flagProbed
			c := p.mutate(bmc.Reset, bmctest.Permit{})
			p.deliver(p.answer(p.only(), 0, 4))
			return c
		}, 10 * time.Second},
		{"all tries", func(p *peer) *call { return p.status(time.Minute) }, 61 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := onTable(t, nil)
			p := b.peer(1)
			old := p.r.sess
			call := c.ask(p)
			b.advance(c.pass)
			select {
			case o := <-call.done:
				if o.err == nil {
					t.Fatal("the command succeeded without an answer")
				}
			default:
				t.Fatal("the command has not ended")
			}
			if p.r.sess == old || b.sh.inflight != 0 {
				t.Fatalf("the session is kept, %d in flight: wanted neither", b.sh.inflight)
			}
			b.wire.sent = nil
			p.poll()
			if _, ids := b.handshakes(payloadOpenRequest); len(ids)+b.probes() != 1 || len(p.took()) != 0 {
				t.Errorf("the next poll began with %d handshakes and %d probes: wanted one, and nothing in the old session", len(ids), b.probes())
			}
		})
	}
}

// Even a short command_retry_timeout leaves room for the new session.
func TestShortPatienceIsSpentOnANewSession(t *testing.T) {
	b := onTable(t, nil)
	p := b.peer(1)
	c := p.status(4 * time.Second)
	b.advance(3800 * time.Millisecond) // 1 and 2 s, each up to a fifth longer
	if got := p.took(); len(got) != 3 || got[1].cmd != cmdChassisStatus || got[2].cmd != cmdCloseSession {
		t.Errorf("%+v was sent in the forgotten session: wanted two tries, then its end", got)
	}
	if _, ids := b.handshakes(payloadOpenRequest); len(slices.Compact(ids)) != 1 {
		t.Fatalf("%d handshakes before the caller gives up: wanted one", len(ids))
	}
	b.sh.endShake(p.r)
	p.open()
	b.sh.command(p.r)
	p.deliver(p.answer(p.only(), 0, 1))
	if o := <-c.done; o.err != nil {
		t.Errorf("the command in the new session: %v", o.err)
	}
}

// The same with a BMC that does answer, and forgets its sessions between two commands.
func TestBMCThatForgetsItsSessions(t *testing.T) {
	for _, c := range []struct {
		patience time.Duration
		failures int // commands lost before one succeeds again
	}{{500 * time.Millisecond, 1}, {2 * time.Second, 0}, {4 * time.Second, 0}, {time.Minute, 0}} {
		b := onTable(t, nil)
		h, p := newHostile(func(h *hostile, q seen) []forged { return each(seal(h.s, truth(q))) }), b.peer(1)
		b.sh.forget(p.r)
		ask := func() error {
			call := p.status(c.patience)
			for end := b.sh.now + int64(c.patience+time.Second); b.sh.now < end; b.advance(1e7) {
				b.exchange(h, p.r)
				select {
				case o := <-call.done:
					return o.err
				default:
				}
			}
			t.Fatal("the command never ended")
			return nil
		}
		if err := ask(); err != nil {
			t.Fatal(err)
		}
		for outage := range 5 {
			h.s = nil
			lost := 0
			for lost < 5 && ask() != nil {
				lost++
			}
			if lost != c.failures {
				t.Errorf("patience %s, outage %d: %d commands were lost, wanted %d", c.patience, outage, lost, c.failures)
			}
		}
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"testing"
	"time"

	"ferrite/node"
)

// login ends the handshake that is under way.
func (p *peer) login() {
	p.b.t.Helper()
	if p.r.stage != shaking {
		p.b.t.Fatalf("stage %d: wanted a handshake", p.r.stage)
	}
	p.b.wire.sent = nil
	p.b.sh.wheel.clear(p.r)
	p.open()
	p.b.sh.opened(p.r, p.r.sess)
}

// A BMC that forgets sessions within the pause between two readings gets a session for each, for some hours.
func TestBMCsThatForgetSoonAreLearnt(t *testing.T) {
	b := onTable(t, nil)
	p := b.peer(1)
	forgotten := func() {
		t.Helper()
		b.advance(45 * time.Second)
		s := p.poll()
		if got := p.took(); len(got) != 1 || got[0].cmd != cmdChassisStatus {
			t.Fatalf("%+v was sent: wanted a reading in the kept session", got)
		}
		for range 20 {
			if b.advance(time.Second); p.r.stage == shaking {
				break
			}
		}
		p.login()
		p.deliver(p.answer(p.only(), 0, 1))
		if s.n != 1 || s.state != node.PowerOn {
			t.Fatalf("the reading got %+v", s)
		}
	}
	kept := func() {
		t.Helper()
		b.advance(45 * time.Second)
		p.poll()
		p.deliver(p.answer(p.only(), 0, 1))
	}
	forgotten()
	kept() // once is chance
	forgotten()
	forgotten()
	for range 3 {
		b.advance(45 * time.Second)
		b.wire.sent = nil
		s := p.poll()
		p.login()
		p.deliver(p.answer(p.only(), 0, 1))
		if s.n != 1 || s.state != node.PowerOn || p.r.sess != nil {
			t.Fatalf("the reading got %+v, its session is kept: %v; wanted a session for each", s, p.r.sess != nil)
		}
	}
	b.sh.now += int64(shortTime)
	b.sh.wheel.now = b.sh.now / int64(tick)
	p.poll()
	p.login()
	p.deliver(p.answer(p.only(), 0, 1))
	b.advance(20 * time.Second)
	p.poll() // the first reading after so long is stale itself
	if p.r.sess == nil {
		p.login()
	}
	p.deliver(p.answer(p.only(), 0, 1))
	kept()
}

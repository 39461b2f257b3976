// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"ferrite/bmc"
	"ferrite/bmc/bmctest"
	"ferrite/node"
)

func TestReadingIsNeverOlderThanItsPoll(t *testing.T) {
	b := onTable(t, nil)
	p := b.peer(1)
	early := p.poll()
	q := p.only()
	late, later := p.poll(), p.poll()
	p.deliver(p.answer(q, 0, 0))
	if early.n != 1 || late.n != 0 || later.n != 0 {
		t.Fatalf("answered %d, %d, %d: wanted only the first, the others asked after its reading began", early.n, late.n, later.n)
	}
	p.deliver(p.answer(p.only(), 0, 1)) // one reading serves both
	if late.n != 1 || later.n != 1 || late.state != node.PowerOn || later.state != node.PowerOn {
		t.Errorf("got %+v and %+v: wanted both on by one reading", late, later)
	}
	if got := p.took(); len(got) != 0 {
		t.Errorf("%d more readings were sent", len(got))
	}
}

func TestRetries(t *testing.T) {
	b := onTable(t, nil)
	p := b.peer(1)
	s := p.poll()
	q := p.only()
	b.advance(10 * time.Second)
	again := p.took()
	if len(again) != 3 || again[0].rqSeq != q.rqSeq || again[1].rqSeq != q.rqSeq || again[2].cmd != cmdCloseSession {
		t.Fatalf("after the first packet came %+v: wanted two more of the same rqSeq, then Close Session", again)
	}
	b.advance(20 * time.Second)
	tags, ids := b.handshakes(payloadOpenRequest)
	if len(tags) != 3 || tags[0] != tags[2] || ids[0] != ids[2] {
		t.Errorf("Open Session was sent with tags %v and ids %x: wanted three equal ones", tags, ids)
	}
	if s.n != 1 || s.err == nil || !strings.Contains(s.err.Error(), "no answer to Open Session after 3 tries") {
		t.Errorf("the poll got %+v: wanted one failure that says what was not answered", s)
	}
	if b.sh.inflight != 0 || b.sh.wheel.armed != 0 {
		t.Errorf("%d in flight, %d timers: wanted none", b.sh.inflight, b.sh.wheel.armed)
	}
}

// A command of class once leaves exactly once (S12), after its session has proved to live.
func TestOnceIsSentOnce(t *testing.T) {
	b := onTable(t, nil)
	p := b.peer(1)
	c := p.mutate(bmc.Reset, bmctest.Permit{})
	probe := p.only()
	if probe.cmd != cmdSetPrivilege {
		t.Fatalf("first came %+v: wanted Set Session Privilege Level", probe)
	}
	p.deliver(p.answer(probe, 0, 4))
	if q := p.only(); q.cmd != cmdChassisControl || q.data[0] != 3 {
		t.Fatalf("then came %+v: wanted chassis reset", q)
	}
	b.advance(60 * time.Second)
	if got := slices.DeleteFunc(p.took(), func(q seen) bool { return q.cmd == cmdCloseSession }); len(got) != 0 {
		t.Errorf("the lost reset was followed by %+v: wanted nothing", got)
	}
	if o := <-c.done; o.err == nil || !o.unknown {
		t.Errorf("the outcome is %+v: wanted an unknown one", o)
	}
}

func TestOnceThatIsRefusedIsKnown(t *testing.T) {
	b := onTable(t, nil)
	p := b.peer(1)
	c := p.mutate(bmc.NMI, bmctest.Permit{})
	p.deliver(p.answer(p.only(), 0, 4))
	p.deliver(p.answer(p.only(), 0xc0)) // busy: others would be tried again
	if o := <-c.done; o.err == nil || o.unknown || !strings.Contains(o.err.Error(), "node busy") {
		t.Errorf("the outcome is %+v: wanted a known refusal", o)
	}
	b.advance(10 * time.Second)
	if got := p.took(); len(got) != 0 {
		t.Errorf("it was sent again: %+v", got)
	}
}

// Every packet of a mutating command needs a live permit, retransmissions included (S10).
func TestPermitEndsBetweenTwoTries(t *testing.T) {
	b := onTable(t, nil)
	p := b.peer(1)
	p.r.sess.priv = 4
	permit := &mortal{}
	c := p.mutate(bmc.Off, permit)
	if q := p.only(); q.cmd != cmdChassisControl {
		t.Fatalf("%+v was sent", q)
	}
	permit.Dead = true
	b.advance(30 * time.Second)
	if got := p.took(); len(got) != 0 {
		t.Errorf("without a live permit %+v was sent", got)
	}
	if o := <-c.done; !errors.Is(o.err, bmc.ErrPermit) {
		t.Errorf("the outcome is %+v: wanted ErrPermit", o)
	}
	if n := b.sh.stats.fenced.Load(); n != 1 {
		t.Errorf("fenced %d times: wanted once", n)
	}
}

func TestOffIsSentAgainAndInANewSession(t *testing.T) {
	b := onTable(t, nil)
	p := b.peer(1)
	p.r.sess.priv = 4
	c := p.mutate(bmc.Off, bmctest.Permit{})
	b.advance(8500 * time.Millisecond)
	var controls int
	for _, q := range p.took() {
		if q.cmd == cmdChassisControl {
			controls++
		}
	}
	if controls != 3 {
		t.Errorf("power off was sent %d times: wanted 3", controls)
	}
	if _, ids := b.handshakes(payloadOpenRequest); len(ids) == 0 {
		t.Error("no new session was asked for")
	}
	b.advance(time.Minute)
	if o := <-c.done; o.err == nil || !o.unknown {
		t.Errorf("the outcome is %+v: wanted a failure that may have been executed", o)
	}
}

func TestControlGoesBeforePolls(t *testing.T) {
	b := onTable(t, nil)
	p := b.peer(1)
	p.r.sess.priv = 4
	p.poll()
	q := p.only()
	p.poll()
	c := p.mutate(bmc.On, bmctest.Permit{})
	p.deliver(p.answer(q, 0, 0))
	q = p.only()
	if q.cmd != cmdChassisControl {
		t.Fatalf("%+v came next: wanted power on, although a poll was asked for before", q)
	}
	p.deliver(p.answer(q, 0))
	if o := <-c.done; o.err != nil {
		t.Errorf("power on: %v", o.err)
	}
	if q = p.only(); q.cmd != cmdChassisStatus {
		t.Errorf("%+v came after power on: wanted the reading", q)
	}
}

func TestMutatingCommandsKeepTheirDistance(t *testing.T) {
	b := onTable(t, func(c *Config) { c.MinCommandInterval = 5 * time.Second })
	p := b.peer(1)
	p.r.sess.priv = 4
	first, second := p.mutate(bmc.On, bmctest.Permit{}), p.mutate(bmc.Off, bmctest.Permit{})
	p.deliver(p.answer(p.only(), 0))
	<-first.done
	s := p.poll() // readings are not delayed
	p.deliver(p.answer(p.only(), 0, 1))
	if s.n != 1 {
		t.Error("a poll had to wait for the next mutating command's turn")
	}
	b.advance(4900 * time.Millisecond)
	if got := p.took(); len(got) != 0 {
		t.Fatalf("%+v was sent too early", got)
	}
	b.advance(200 * time.Millisecond)
	p.deliver(p.answer(p.only(), 0))
	if o := <-second.done; o.err != nil {
		t.Errorf("power off: %v", o.err)
	}
}

func TestBusyIsTriedAgain(t *testing.T) {
	b := onTable(t, func(c *Config) { c.BusyDelay = time.Second })
	p := b.peer(1)
	p.r.sess.priv = 4
	c := p.mutate(bmc.On, bmctest.Permit{})
	q := p.only()
	p.deliver(p.answer(q, 0xc0))
	b.advance(700 * time.Millisecond)
	if got := p.took(); len(got) != 0 {
		t.Fatalf("%+v was sent at once to a busy BMC", got)
	}
	b.advance(600 * time.Millisecond)
	again := p.only()
	if again.rqSeq == q.rqSeq {
		t.Error("a new try has the rqSeq of the answered one")
	}
	p.deliver(p.answer(again, 0))
	if o := <-c.done; o.err != nil {
		t.Errorf("power on: %v", o.err)
	}
}

func TestWithdrawnCallIsNeverSent(t *testing.T) {
	b := onTable(t, nil)
	p := b.peer(1)
	p.r.sess.priv = 4
	s := p.poll()
	q := p.only()
	c := p.mutate(bmc.On, bmctest.Permit{})
	c.gone.Store(true) // what do does when its context ends
	if !c.state.CompareAndSwap(callQueued, callAbandoned) {
		t.Fatal("it counts as sent")
	}
	p.deliver(p.answer(q, 0, 0))
	b.advance(10 * time.Second)
	if got := p.took(); len(got) != 0 || s.n != 1 {
		t.Errorf("%+v was sent, polls answered %d", got, s.n)
	}
	if b.sh.inflight != 0 {
		t.Errorf("%d in flight", b.sh.inflight)
	}
}

func TestWindow(t *testing.T) {
	b := onTable(t, func(c *Config) { c.Window = 3 })
	var peers []*peer
	sinks := map[*peer]*one{}
	for i := range byte(10) {
		p := b.peer(i)
		peers = append(peers, p)
		sinks[p] = p.poll()
	}
	for rest := 10; rest > 0; rest-- {
		if want := min(3, rest); b.sh.inflight != want {
			t.Fatalf("%d in flight: wanted %d", b.sh.inflight, want)
		}
		i := slices.IndexFunc(peers, func(p *peer) bool { return p.r.stage == exchanging })
		peers[i].deliver(peers[i].answer(peers[i].only(), 0, 1))
		if sinks[peers[i]].n != 1 {
			t.Fatal("no answer")
		}
	}
}

// bomb is a sink that fails.
type bomb struct{}

func (bomb) PowerPolled(node.PowerState, error) { panic("a sink failed") }

func TestPanicStaysWithItsBMC(t *testing.T) {
	meantToPanic[t.Name()] = true
	b := onTable(t, nil)
	p, other := b.peer(1), b.peer(2)
	fine := &one{}
	b.sh.request(&request{rec: p.r, sink: fine})
	b.sh.request(&request{rec: p.r, sink: bomb{}})
	b.sh.pump()
	p.deliver(p.answer(p.only(), 0, 1))
	if fine.n != 1 {
		t.Errorf("the poll beside the failing one was answered %d times: wanted once", fine.n)
	}
	if s := p.poll(); s.n != 1 || !errors.Is(s.err, errQuarantined) {
		t.Errorf("a poll afterwards got %+v: wanted the quarantine", s)
	}
	s := other.poll()
	other.deliver(other.answer(other.only(), 0, 1))
	if s.n != 1 || s.state != node.PowerOn {
		t.Errorf("another BMC's poll got %+v", s)
	}
	if b.sh.inflight != 0 {
		t.Errorf("%d in flight: wanted none", b.sh.inflight)
	}
	b.advance(6 * time.Minute)
	p.open()
	s = p.poll()
	p.deliver(p.answer(p.only(), 0, 1))
	if s.n != 1 || s.state != node.PowerOn {
		t.Errorf("after the quarantine a poll got %+v", s)
	}
	b.sh.request(&request{rec: p.r, sink: bomb{}})
	b.sh.pump()
	p.deliver(p.answer(p.only(), 0, 1))
	p.r.users = 0
	b.sh.request(&request{rec: p.r, release: true})
	if _, there := b.sh.records[p.r.addr]; there {
		t.Error("the quarantined record outlives its last handle")
	}
}

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
	b.advance(10 * time.Second) // silence ends this poll, but not what was learnt
	if p.r.hs != nil {
		t.Fatal("still shaking hands")
	}
	b.wire.sent = nil
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
	if got := p.took(); len(got) != 1 || got[0].cmd != cmdCloseSession {
		t.Errorf("%+v went out in the old session: wanted Close Session alone", got)
	}
	if _, ids := b.handshakes(payloadOpenRequest); len(ids) != 1 {
		t.Errorf("%d handshakes: wanted one", len(ids))
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
	if _, there := b.sh.records[p.r.recordKey]; there {
		t.Error("the quarantined record outlives its last handle")
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
		{0, false}, {5, true}, {5, false}, {3, true}, {3, false}, {6, true}, {70, true}, {6, false}, {5, false}, {7, true}, {7, false},
		{1 << 20, true}, {1<<20 - 63, true}, {1<<20 - 64, false}, {1 << 20, false},
	} {
		if got := s.fresh(c.seq); got != c.ok {
			t.Errorf("%d. sequence %d: taken %v, wanted %v", i, c.seq, got, c.ok)
		}
	}
}

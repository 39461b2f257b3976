// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"net/netip"
	"testing"
	"time"
	"unique"

	"ferrite/bmc/bmctest"

	"ferrite/bmc"
)

// probes counts the questions outside of a session that were sent.
func (b *table) probes() int {
	n := 0
	for _, d := range b.wire.sent {
		if len(d.data) > probeHeader && d.data[4] == 0 {
			n++
		}
	}
	return n
}

// peerAt makes a BMC with an open session anywhere.
func (b *table) peerAt(a string) *peer {
	k := recordKey{netip.AddrPortFrom(netip.MustParseAddr(a), 623), unique.Make(login{user: "admin", password: "password", priv: 4})}
	r := b.sh.recordLocked(k)
	r.users = 1
	p := &peer{b: b, r: r}
	p.open()
	return p
}

// statuses counts the readings that left since the last call.
func (b *table) statuses(peers []*peer) int {
	n := 0
	for _, p := range peers {
		for _, q := range p.took() {
			if q.cmd == cmdChassisStatus {
				n++
				p.deliver(p.answer(q, 0, 1))
			}
		}
	}
	return n
}

// pass lets time pass while BMCs answer, and counts the readings that left.
func (b *table) pass(d time.Duration, peers []*peer) int {
	n := 0
	for ; d > 0; d -= 100 * time.Millisecond {
		b.advance(100 * time.Millisecond)
		n += b.statuses(peers)
	}
	return n
}

// A subnet is read at its rate, with a second's worth at once; another subnet does not wait for it.
func TestReadingsOfASubnetAreSpread(t *testing.T) {
	b := onTable(t, func(c *Config) { c.Shards, c.SubnetRate = 1, 10 })
	var peers []*peer
	for i := range 60 {
		peers = append(peers, b.peer(byte(i+1)))
	}
	other := b.peerAt("198.51.100.1")
	for _, p := range peers {
		p.poll()
	}
	if n := b.statuses(peers); n != 10 {
		t.Fatalf("%d readings left at once: wanted a second's worth, 10", n)
	}
	if other.poll(); len(other.took()) != 1 {
		t.Error("a reading in another subnet waited")
	}
	total := 10
	for s := range 5 {
		n := b.pass(time.Second, peers)
		if total += n; n < 9 || n > 11 {
			t.Errorf("%d readings left in second %d: wanted 10", n, s+1)
		}
	}
	if total += b.pass(time.Second, peers); total != 60 || b.sh.inflight != 1 { // the other one's
		t.Errorf("%d of 60 readings left, %d in flight", total, b.sh.inflight)
	}
	if b.sh.stats.paced.Load() == 0 {
		t.Error("nobody was counted as waiting")
	}
}

// The rate of all is one limit over all subnets.
func TestReadingsOfAllAreSpread(t *testing.T) {
	b := onTable(t, func(c *Config) { c.Shards, c.Rate = 1, 20 })
	var peers []*peer
	for _, a := range []string{"192.0.2.", "198.51.100.", "203.0.113."} {
		for _, i := range []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10"} {
			peers = append(peers, b.peerAt(a+i))
		}
	}
	for _, p := range peers {
		p.poll()
	}
	if n := b.statuses(peers); n != 20 {
		t.Errorf("%d readings left at once: wanted 20", n)
	}
	if n := b.pass(600*time.Millisecond, peers); n != 10 {
		t.Errorf("%d more left in 600 ms: wanted the other 10", n)
	}
}

// Commands that somebody waits for do not stand behind readings.
func TestCommandsDoNotWaitForTheBucket(t *testing.T) {
	b := onTable(t, func(c *Config) { c.Shards, c.SubnetRate = 1, 1 })
	p, q := b.peer(1), b.peer(2)
	p.poll()
	q.poll()
	if len(p.took()) != 1 || len(q.took()) != 0 {
		t.Fatal("wanted one reading to leave and one to wait")
	}
	q.r.sess.priv = 4
	q.mutate(bmc.Off, bmctest.Permit{})
	got := q.only()
	if got.cmd != cmdChassisControl {
		t.Fatalf("%+v left: wanted the command", got)
	}
	q.deliver(q.answer(got, 0))
	if n := len(q.took()); n != 0 {
		t.Errorf("%d readings left before their turn", n)
	}
	if n := b.pass(3*time.Second, []*peer{q}); n != 1 {
		t.Errorf("%d readings left in their turn: wanted one", n)
	}
}

// A BMC that is read less often than its sessions live gets a session for each reading, and keeps none.
func TestRareReadingsKeepNoSession(t *testing.T) {
	f := fleet(t, nil)
	cfg := quick()
	cfg.SessionIdle = 50 * time.Millisecond
	e := engine(t, cfg)
	h := prepare(t, e, at(f.Addr(0)))
	for i := range 3 {
		if err := pollOnce(t, h); err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			eventually(t, "the BMC has no session after a reading", func() bool { return f.BMC(0).Sessions() == 0 && e.Stats().Sessions == 0 })
		}
		time.Sleep(2 * cfg.SessionIdle) // so that the next reading is a rare one
	}
	if n := e.Stats().Handshakes; n != 3 {
		t.Errorf("%d handshakes for 3 rare readings", n)
	}
}

// But they count: what commands have used of a rate readings wait for.
func TestCommandsCountInTheBucket(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"subnet": func(c *Config) { c.Shards, c.SubnetRate = 1, 10 },
		"all":    func(c *Config) { c.Shards, c.Rate = 1, 10 },
	} {
		b := onTable(t, change)
		for i := range 10 { // a second's worth
			p := b.peer(byte(i + 1))
			p.r.sess.priv = 4
			p.mutate(bmc.Off, bmctest.Permit{})
			p.deliver(p.answer(p.only(), 0))
		}
		p := b.peer(20)
		p.poll()
		if n := len(p.took()); n != 0 {
			t.Errorf("%s: a reading left on top of ten commands", name)
		}
		if n := b.pass(300*time.Millisecond, []*peer{p}); n != 1 {
			t.Errorf("%s: %d readings left in their turn: wanted one", name, n)
		}
	}
}

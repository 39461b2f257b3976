// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"net/netip"
	"testing"
	"time"

	"ferrite/bmc"
	"ferrite/bmc/bmctest"
)

// share is Engine.Share for a shard on a table.
func (b *table) share(n int32) {
	b.sh.wanted.Store(n)
	b.sh.pump()
}

// closed makes a BMC without a session.
func (b *table) closed(i byte) *peer {
	p := b.peer(i)
	b.sh.forget(p.r)
	p.r.lastUse = 0
	return p
}

// logins counts the sessions whose opening began since the last call.
func (b *table) logins() int {
	tags, _ := b.handshakes(payloadOpenRequest)
	b.wire.sent = nil
	return len(tags)
}

// Three engines read one subnet no faster than one would, and two as fast as three, once they are told that the third is gone.
func TestEnginesShareASubnet(t *testing.T) {
	type engine struct {
		b     *table
		peers []*peer
	}
	var all []*engine
	for range 3 {
		e := &engine{b: onTable(t, func(c *Config) { c.Shards, c.SubnetRate = 1, 30 })}
		e.b.share(3)
		for i := range byte(40) {
			e.peers = append(e.peers, e.b.peer(i+1))
		}
		all = append(all, e)
	}
	second := func(living []*engine) (left int) {
		for _, e := range living {
			for range 10 { // each BMC is asked for as soon as it has answered
				for _, p := range e.peers {
					if p.r.polls == nil {
						p.poll()
					}
				}
				left += e.b.statuses(e.peers)
				left += e.b.pass(100*time.Millisecond, e.peers)
			}
		}
		return left
	}
	if n := second(all); n < 57 || n > 63 { // with a second's worth at once
		t.Errorf("%d readings left in the first second: wanted 60", n)
	}
	for s := range 3 {
		if n := second(all); n < 27 || n > 33 {
			t.Errorf("%d readings left in second %d: wanted 30", n, s+2)
		}
	}
	living := all[:2]
	for _, e := range living {
		e.b.share(2)
	}
	for s := range 3 {
		if n := second(living); n < 27 || n > 33 {
			t.Errorf("%d readings left in second %d after one is gone: wanted 30", n, s+1)
		}
	}
}

// Readings that wait already come at the new rate, whether it is lower or higher.
func TestBookedTurnsMoveWithTheShare(t *testing.T) {
	b := onTable(t, func(c *Config) { c.Shards, c.SubnetRate = 1, 10 })
	var peers []*peer
	for i := range byte(100) {
		peers = append(peers, b.peer(i+1))
		peers[i].poll()
	}
	if n := b.statuses(peers); n != 10 {
		t.Fatalf("%d readings left at once: wanted 10", n)
	}
	paced := b.sh.stats.paced.Load()
	for _, x := range []struct{ share, want int }{{1, 10}, {5, 2}, {5, 2}, {1, 10}, {2, 5}, {1, 10}} {
		b.share(int32(x.share)) //nolint:gosec // a handful
		if n := b.pass(time.Second, peers); n < x.want-1 || n > x.want+1 {
			t.Errorf("%d readings left in a second at one %d-th of the rate: wanted %d", n, x.share, x.want)
		}
	}
	if n := b.sh.stats.paced.Load(); paced != 90 || n != paced {
		t.Errorf("%d readings are counted as waiting, and %d in the end: wanted 90, each once", paced, n)
	}
	if n := b.pass(time.Minute, peers); b.sh.inflight != 0 || n == 0 {
		t.Errorf("%d readings left in the end, %d in flight: wanted all", n, b.sh.inflight)
	}
}

// What a pause has saved up is a second's worth at the share of now, one reading at least.
func TestSavingsAreThoseOfTheShare(t *testing.T) {
	for _, x := range []struct {
		rate     float64
		was, now int32
		want     int
	}{{20, 1, 1, 20}, {20, 1, 5, 4}, {20, 5, 1, 20}, {1, 1, 3, 1}, {1, 3, 1, 1}} {
		for name, change := range map[string]func(*Config){
			"subnet": func(c *Config) { c.Shards, c.SubnetRate = 1, x.rate },
			"all":    func(c *Config) { c.Shards, c.Rate = 1, x.rate },
		} {
			b := onTable(t, change)
			var peers []*peer
			for i := range byte(40) {
				peers = append(peers, b.peer(i+1))
			}
			b.share(x.was)
			peers[0].poll()
			b.statuses(peers)
			b.pass(30*time.Second, peers)
			b.share(x.now)
			for _, p := range peers {
				p.poll()
			}
			if n := b.statuses(peers); n != x.want {
				t.Errorf("%s: %d readings left at once when a share of 1/%d of %g a second became 1/%d: wanted %d", name, n, x.was, x.rate, x.now, x.want)
			}
		}
	}
}

// Logins for readings keep to the share; those that somebody waits for are as quick as with the whole rate, and go first.
func TestLoginsOfCommandsDoNotShare(t *testing.T) {
	b := onTable(t, func(c *Config) { c.Handshakes = 100 })
	b.share(10)
	b.advance(time.Second)
	var peers []*peer
	for i := range byte(60) {
		peers = append(peers, b.closed(i+1))
	}
	for _, p := range peers[:50] {
		p.poll()
	}
	if n := b.logins(); n != 1 {
		t.Fatalf("%d logins for readings began at once: wanted one", n)
	}
	for _, p := range peers[50:54] {
		p.mutate(bmc.Off, bmctest.Permit{})
	}
	for _, p := range peers[40:42] { // their readings wait for a login already
		p.mutate(bmc.Off, bmctest.Permit{})
	}
	peers[42].other("second").mutate(bmc.Off, bmctest.Permit{}) // likewise, under another login
	if n := b.logins(); n != 7 || b.sh.urgent.n != 0 || peers[41].r.stage != shaking || peers[42].r.stage != shaking {
		t.Errorf("%d logins began for seven BMCs that somebody waits for, %d wait: wanted all", n, b.sh.urgent.n)
	}
	b.sh.logins.whole = 0
	for _, p := range peers[55:60] {
		p.mutate(bmc.Off, bmctest.Permit{})
	}
	if n := b.logins(); n != 0 || b.sh.urgent.n != 5 {
		t.Errorf("%d logins began, %d wait: wanted none and five", n, b.sh.urgent.n)
	}
	b.advance(60 * time.Millisecond)
	if n := b.logins(); n < 5 || b.sh.urgent.n != 0 {
		t.Errorf("%d logins began within 60 ms at 100 a second: wanted the five that somebody waits for", n)
	}
}

// What commands have used of the rate readings wait for.
func TestLoginsOfCommandsCount(t *testing.T) {
	l := logins{rate: 100, share: 10}
	l.fill(int64(time.Hour))
	for range 10 {
		if !l.take(true) {
			t.Fatal("a call waits though the whole rate has tokens")
		}
	}
	if l.take(true) || l.take(false) {
		t.Error("more than a tenth of a second's worth at once")
	}
	l.fill(int64(time.Hour + 900*time.Millisecond)) // one was there, ten are used, nine came
	if l.take(false) {
		t.Error("a reading does not wait for what calls have used")
	}
	l.fill(int64(time.Hour + 1100*time.Millisecond))
	if !l.take(false) || l.take(false) {
		t.Error("wanted one reading after 1.1 s")
	}
	l.share = 1
	l.fill(int64(time.Hour + 2*time.Second))
	for i := range 11 {
		if got := l.take(false); got != (i < 10) {
			t.Errorf("login %d of a lone engine: %v", i+1, got)
		}
	}
}

// BMCs that wait for a login hold up no command of another one, however narrow the window.
func TestLoginsThatWaitHoldUpNobody(t *testing.T) {
	b := onTable(t, func(c *Config) { c.Window, c.Handshakes = 2, 10 })
	b.share(5)
	for i := range byte(10) {
		b.closed(i + 1).poll()
	}
	if b.sh.shakes.n < 8 {
		t.Fatalf("%d readings wait for a login: wanted eight or more", b.sh.shakes.n)
	}
	b.wire.sent = nil
	p := b.peer(20)
	p.r.sess.priv = 4
	p.mutate(bmc.Off, bmctest.Permit{})
	if got := p.only(); got.cmd != cmdChassisControl {
		t.Errorf("%+v left: wanted the command", got)
	}
}

// A share reaches every shard, one that is made later too.
func TestShareOfAnEngine(t *testing.T) {
	cfg := quick()
	cfg.Shards, cfg.Rate, cfg.SubnetRate, cfg.Handshakes = 2, 100, 10, 10
	e := engine(t, cfg)
	e.Share(4)
	sh, err := e.shard(netip.MustParseAddrPort("[2001:db8::1]:623"))
	if err != nil {
		t.Skipf("no IPv6 here: %v", err)
	}
	if n := len(e.shards()); n != 3 || e.Shared() != 4 {
		t.Errorf("%d shards share with %d: wanted 3 and 4", n, e.Shared())
	}
	for _, sh := range e.shards() {
		if n := sh.wanted.Load(); n != 4 {
			t.Errorf("a shard keeps to one %d-th: wanted 4", n)
		}
	}
	sh.mu.Lock()
	step := time.Duration(sh.subnetLocked(netip.MustParseAddr("2001:db8::1")).step)
	sh.mu.Unlock()
	if step != 400*time.Millisecond { // its BMCs are on one shard
		t.Errorf("one of four engines reads a /64 every %s at 10 a second in all: wanted 400ms", step)
	}
	if e.Share(0); e.Shared() != 1 {
		t.Errorf("none to share with: %d", e.Shared())
	}
}

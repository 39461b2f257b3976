// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"bytes"
	"context"
	"net/netip"
	"path/filepath"
	"testing"
	"time"
)

// A subnet is a /24 of IPv4 or a /64 of IPv6; its rate is shared by the shards, as its BMCs are.
func TestSubnetsOfBuckets(t *testing.T) {
	b := onTable(t, func(c *Config) { c.Shards, c.SubnetRate = 2, 10 })
	bucketOf := func(a string) *bucket {
		b.sh.mu.Lock()
		defer b.sh.mu.Unlock()
		return b.sh.subnetLocked(netip.MustParseAddr(a))
	}
	for _, x := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.254", true},
		{"192.0.2.1", "192.0.3.1", false},
		{"2001:db8::1", "2001:db8::ffff:1", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
	} {
		if got := bucketOf(x.a) == bucketOf(x.b); got != x.same {
			t.Errorf("%s and %s share a bucket: %v, wanted %v", x.a, x.b, got, x.same)
		}
	}
	if step := time.Duration(bucketOf("192.0.2.1").step); step != 200*time.Millisecond {
		t.Errorf("one of two shards reads a subnet every %s at 10 a second in all: wanted 200ms", step)
	}
}

// Limits are those of the engine, not of each shard.
func TestShardsShareTheLimits(t *testing.T) {
	cfg := quick()
	cfg.Shards, cfg.Rate, cfg.Handshakes = 2, 100, 10
	e := engine(t, cfg)
	for _, sh := range e.shards() {
		if step := time.Duration(sh.all.step); step != 20*time.Millisecond || sh.logins.rate != 5 {
			t.Errorf("one of two shards has a reading every %s and %g handshakes a second: wanted 20ms and 5", step, sh.logins.rate)
		}
	}
}

// What many BMCs wait for at once does not end at once: back-offs and retries are spread.
func TestWaitsAreSpread(t *testing.T) {
	b := onTable(t, nil)
	held, retry := map[time.Duration]bool{}, map[int64]bool{}
	for i := range byte(40) {
		p := b.peer(i + 1)
		p.poll()
		retry[p.r.due] = true
		p = b.peer(i + 101)
		b.sh.forget(p.r)
		p.poll()
		b.refuse(p.r, payloadOpenResponse, 0x01)
		d := time.Duration(p.r.heldTill - b.sh.now)
		if held[d] = true; d < 20*time.Second || d > time.Minute {
			t.Errorf("a BMC without a free slot is left alone for %s: wanted 20 to 60 s", d)
		}
	}
	if len(held) < 20 || len(retry) < 10 {
		t.Errorf("40 BMCs are asked again at %d times after a full table, at %d after silence: wanted them spread", len(held), len(retry))
	}
}

// A shard that leaves before the BMC has answered the last message of the handshake closes the session all the same.
func TestLeavingWhileASessionOpens(t *testing.T) {
	b, h := onTable(t, nil), newHostile(nil)
	p := b.peer(1)
	b.sh.forget(p.r)
	p.poll()
	answers := func() (left []datagram) {
		sent := b.wire.sent
		b.wire.sent = nil
		for _, d := range sent {
			for _, f := range h.take(d.data) {
				b.sh.packet(bytes.Clone(f.data), p.r.addr)
			}
		}
		return b.wire.sent
	}
	for range 2 { // Open Session, RAKP 1
		answers()
	}
	if p.r.hs == nil || p.r.hs.phase != phaseRAKP4 {
		t.Fatal("the handshake is not at its last message")
	}
	b.sh.leave()
	left := answers()
	if len(left) != 1 {
		t.Fatalf("%d packets followed: wanted one", len(left))
	}
	head, _ := parse(left[0].data)
	m, why := h.s.open(bytes.Clone(left[0].data), head)
	if why != accepted || m[5] != cmdCloseSession {
		t.Errorf("%x followed (%s): wanted Close Session", m, why)
	}
}

// Closing an engine is an orderly end: the account of starts says so.
func TestOrderlyEndsOfEngines(t *testing.T) {
	cfg := quick()
	cfg.StartsFile = filepath.Join(t.TempDir(), "starts")
	for i := range 4 {
		e, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if !e.starts.from.IsZero() {
			t.Errorf("start %d waits after orderly ends", i)
		}
		if err := e.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

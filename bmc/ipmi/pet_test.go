// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
)

// element makes a BER element.
func element(tag byte, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	switch n := len(body); {
	case n < 0x80:
		return append([]byte{tag, byte(n)}, body...)
	default:
		return append([]byte{tag, 0x82, byte(n >> 8), byte(n)}, body...)
	}
}

// trap makes a platform event trap of a BMC.
func trap(agent netip.Addr, specific uint32) []byte { return trapOf(agent, specific, petLeast+1) }

// trapOf has so many bytes of an event.
func trapOf(agent netip.Addr, specific uint32, size int) []byte {
	a := agent.As4()
	event := make([]byte, size)
	copy(event, "0123456789abcdef")
	event[16], event[17], event[26] = 0x12, 0x34, 0x10
	number := []byte{byte(specific >> 24), byte(specific >> 16), byte(specific >> 8), byte(specific)}
	for len(number) > 1 && number[0] == 0 && number[1] < 0x80 {
		number = number[1:]
	}
	return element(berSequence, element(berInteger, []byte{0}), element(berOctets, []byte("public")), element(berTrap,
		element(berObject, petEnterprise), element(berIPAddress, a[:]), element(berInteger, []byte{petGeneric}), element(berInteger, number),
		element(berTicks, []byte{1, 2, 3}), element(berSequence, element(berSequence, element(berObject, petVariable), element(berOctets, event)))))
}

func TestTrap(t *testing.T) {
	tr, err := ParseTrap(trap(netip.MustParseAddr("192.0.2.7"), 0x076f03))
	if err != nil {
		t.Fatal(err)
	}
	if tr.Agent.String() != "192.0.2.7" || tr.Sensor != 7 || tr.Event != 0x6f || tr.Offset != 3 || tr.Sequence != 0x1234 || tr.Severity != 0x10 || string(tr.GUID[:]) != "0123456789abcdef" || tr.Community != "public" {
		t.Errorf("%+v", tr)
	}
	if _, err := ParseTrap(trapOf(netip.MustParseAddr("192.0.2.7"), 0x076f03, petLeast-1)); err == nil {
		t.Error("an event that is cut short passes")
	}
	whole := trap(netip.MustParseAddr("192.0.2.7"), 0x076f03)
	for i := range whole {
		if _, err := ParseTrap(whole[:i]); err == nil {
			t.Errorf("the first %d bytes of a trap pass", i)
		}
	}
	if _, err := ParseTrap(append(whole, 0)); err == nil {
		t.Error("a trap with something behind it passes")
	}
	for name, change := range map[string]func([]byte){
		"SNMPv2":             func(b []byte) { b[4+2] = 1 },
		"another tag":        func(b []byte) { b[0] = 0x31 },
		"another enterprise": func(b []byte) { b[bytes.Index(b, petEnterprise)+8] = 2 },
		"another generic":    func(b []byte) { b[bytes.Index(b, []byte{berInteger, 1, petGeneric})+2] = 0 },
		"another variable":   func(b []byte) { b[bytes.Index(b, petVariable)+9] = 2 },
	} {
		b := bytes.Clone(whole)
		change(b)
		if _, err := ParseTrap(b); err == nil {
			t.Errorf("%s passes", name)
		}
	}
}

func FuzzPET(f *testing.F) {
	f.Add(trap(netip.MustParseAddr("192.0.2.7"), 0x076f03))
	f.Add(trap(netip.MustParseAddr("255.255.255.255"), 0xffffffff))
	f.Add([]byte{0x30, 0x80, 0, 0})
	f.Add([]byte{0x30, 0x82, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		tr, err := ParseTrap(b)
		if err == nil && (!tr.Agent.Is4() || len(b) < petLeast || !bytes.Contains(b, tr.GUID[:])) {
			t.Errorf("%x was read as %+v", b, tr)
		}
	})
}

// Traps bring hints by sender, or by what the trap says when a relay sent it; what is no trap brings none.
func TestListenTraps(t *testing.T) {
	known := map[netip.Addr]int{netip.MustParseAddr("127.0.0.1"): 1, netip.MustParseAddr("192.0.2.7"): 2}
	hints := make(chan netip.Addr, 16)
	seen := map[netip.Addr]bool{}
	tr, err := ListenTraps("127.0.0.1:0", func(a netip.Addr) (int, bool) {
		soon := seen[a]
		if known[a] > 0 {
			seen[a] = true
			hints <- a
		}
		return known[a], soon
	})
	if err != nil {
		t.Fatal(err)
	}
	send := func(b []byte, from string) {
		c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(from)}, net.UDPAddrFromAddrPort(tr.Addr()))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	steps := []struct {
		b    []byte
		from string
		want TrapStats
	}{
		{trap(netip.MustParseAddr("192.0.2.9"), 1), "127.0.0.1", TrapStats{Received: 1, Followed: 1}},
		{trap(netip.MustParseAddr("192.0.2.7"), 1), "127.0.0.2", TrapStats{Received: 2, Followed: 2}},
		{trap(netip.MustParseAddr("192.0.2.7"), 1), "127.0.0.2", TrapStats{Received: 3, Followed: 2, Limited: 1}},
		{trap(netip.MustParseAddr("192.0.2.8"), 1), "127.0.0.2", TrapStats{Received: 4, Followed: 2, Limited: 1, Unknown: 1}},
		{[]byte("nonsense"), "127.0.0.1", TrapStats{Received: 5, Followed: 2, Limited: 1, Unknown: 1, Malformed: 1}},
	}
	for _, s := range steps {
		send(s.b, s.from)
		eventually(t, "the trap is counted", func() bool { x := tr.Stats(); return x.Received == s.want.Received && x == s.want })
	}
	if a := <-hints; a.String() != "127.0.0.1" {
		t.Errorf("the first hint is of %s: wanted the sender", a)
	}
	if a := <-hints; a.String() != "192.0.2.7" {
		t.Errorf("the second hint is of %s: wanted the agent", a)
	}
	if err := tr.Close(); err != nil {
		t.Error(err)
	}
	var none *Traps
	if none.Stats() != (TrapStats{}) {
		t.Error("no listener has counted something")
	}
	if _, err := ListenTraps("nonsense", nil); err == nil {
		t.Error("a wrong address passes")
	}
}

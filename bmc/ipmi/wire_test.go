// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"bytes"
	"encoding/hex"
	"slices"
	"testing"
)

// FuzzReceive feeds packets to the whole receive path of a shard, as they are and with a right AuthCode, so that what
// lies behind it is reached too. Nothing may crash and no poll may be answered twice.
func FuzzReceive(f *testing.F) {
	f.Add([]byte{}, byte(0))
	f.Add([]byte{6, 0, 0xff, 7, 6, 0xc0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0}, byte(0))
	f.Add([]byte{6, 0, 0xff, 7, 6, 0x11, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 4}, byte(1))
	f.Add(make([]byte, 21), byte(2))
	f.Add(make([]byte, 48), byte(2))
	f.Fuzz(func(t *testing.T, data []byte, how byte) {
		if len(data) > 700 {
			return
		}
		b := onTable(t, nil)
		p := b.peer(1)
		var s *one
		switch how % 4 {
		case 0: // in a session
			s = p.poll()
			b.sh.packet(slices.Clone(data), p.r.addr)
		case 1: // in a handshake
			b.sh.forget(p.r)
			s = p.poll()
			b.sh.packet(slices.Clone(data), p.r.addr)
			if p.r.hs != nil {
				for kind := byte(payloadOpenRequest); kind <= payloadRAKP4; kind++ {
					if p.r.hs == nil {
						break
					}
					m := append([]byte{p.r.hs.tag, 0, 0, 0}, le32(p.r.hs.own)...)
					buf := make([]byte, maxPacket)
					b.sh.packet(buf[:plain(buf, kind, append(m, data...))], p.r.addr)
				}
			}
		case 2: // encrypted payload as given, AuthCode right
			s = p.poll()
			b.sh.packet(p.encrypted(data), p.r.addr)
		case 3: // message as given, encrypted and signed well
			s = p.poll()
			buf := make([]byte, maxPacket)
			copy(buf[headerSize+16:], data)
			b.sh.packet(buf[:p.s.protect(buf, len(data), b.sh.iv())], p.r.addr)
		}
		if n := b.sh.stats.panics.Load(); n > 0 {
			t.Fatalf("the shard panicked on %x (%d)", data, how%4)
		}
		if s.n > 1 {
			t.Fatalf("a poll was answered %d times", s.n)
		}
		b.advance(60e9)
		if s.n != 1 {
			t.Fatalf("a poll was answered %d times in the end: wanted once", s.n)
		}
	})
}

// Packets that an independent client (ipmitool 1.8.19) and BMC (OpenIPMI) exchange are laid out alike.
func TestLayout(t *testing.T) {
	b := make([]byte, maxPacket)
	n := putMessage(b, netApp, cmdDeviceID, 1, nil)
	if got, want := hex.EncodeToString(b[:n]), "2018c88104017a"; got != want {
		t.Errorf("Get Device ID is %s: wanted %s", got, want)
	}
	r, ok := parseReply([]byte{0x81, 0x1c, 0x63, 0x20, 0x04, 0x01, 0x00, 0xaa, 0x31})
	if !ok || r.netfn != 7 || r.cmd != 1 || r.rqSeq != 1 || r.code != 0 || !bytes.Equal(r.data, []byte{0xaa}) {
		t.Errorf("reply is %+v, %v", r, ok)
	}
	h := &handshake{suite: suites[3], who: &login{priv: 4}, own: 0x04030201}
	h.begin(7)
	want := "0600ff070610000000000000000020000700000001020304000000080100000001000008010000000200000801000000"
	if got := hex.EncodeToString(h.packet[:h.size]); got != want {
		t.Errorf("Open Session Request is\n%s: wanted\n%s", got, want)
	}
}

func TestSealAndOpen(t *testing.T) {
	for id, su := range suites {
		a, b := newSession(su, sik, 1<<20|1, 77), newSession(su, sik, 77, 1<<20|1)
		for n := range 40 {
			buf := make([]byte, maxPacket)
			data := bytes.Repeat([]byte{byte(n)}, n)
			size := a.seal(buf, netApp, 0x42, data, sik[:16])
			h, why := parse(buf[:size])
			if why != accepted || h.id != 77 || h.seq != uint32(n+1) {
				t.Fatalf("suite %d: header %+v, %s", id, h, why)
			}
			m, why := b.open(buf[:size], h)
			if why != accepted || !bytes.Equal(m[6:len(m)-1], data) {
				t.Fatalf("suite %d, %d bytes: got %x, %s", id, n, m, why)
			}
		}
	}
}

func TestSealAllocatesNothing(t *testing.T) {
	s := newSession(suites[17], sik, 1, 2)
	buf := make([]byte, maxPacket)
	if n := testing.AllocsPerRun(100, func() { s.seal(buf, netChassis, cmdChassisStatus, nil, sik[:16]) }); n > 0 {
		t.Errorf("%v allocations: wanted 0", n)
	}
}

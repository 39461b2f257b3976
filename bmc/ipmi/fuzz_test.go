// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"ferrite/node"
)

// The targets' corpus is in testdata/fuzz; plain `go test` runs it, `make fuzz` goes on from there.

// settled wants a poll that was answered once and a shard that waits for nothing, a minute later.
func (b *table) settled(s *one) {
	b.t.Helper()
	if s.n > 1 {
		b.t.Fatalf("a poll was answered %d times", s.n)
	}
	b.advance(60e9)
	if s.n != 1 {
		b.t.Fatalf("a poll was answered %d times in the end: wanted once", s.n)
	}
	if b.sh.inflight != 0 || len(b.sh.shaking) != 0 {
		b.t.Fatalf("%d in flight and %d handshakes in the end: wanted none", b.sh.inflight, len(b.sh.shaking))
	}
	if n := b.sh.stats.panics.Load(); n > 0 {
		b.t.Fatalf("the shard panicked %d times", n)
	}
}

// FuzzReceive feeds packets to the whole receive path of a shard, as they are and with a right AuthCode, so that what
// lies behind it is reached too. Nothing may crash, no poll may be answered twice, and nobody without the session's keys
// is believed.
func FuzzReceive(f *testing.F) {
	f.Add([]byte{}, byte(0))
	f.Add([]byte{6, 0, 0xff, 7, 6, 0xc0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0}, byte(0))
	f.Add([]byte{6, 0, 0xff, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0x81, 0x04, 0x7b, 0x20, 0x04, 0x01, 0, 1, 0xda}, byte(0)) // IPMI 1.5
	f.Add([]byte{6, 0, 0xff, 7, 6, 0x11, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 4}, byte(1))
	f.Add(make([]byte, 21), byte(2))
	f.Add(make([]byte, 48), byte(2))
	f.Add(message(seen{cmd: cmdChassisStatus, rqSeq: 1}, 0, 1, 0, 0, 0), byte(3))
	f.Add(bytes.Repeat([]byte{0xc0}, 64), byte(4))
	f.Fuzz(func(t *testing.T, data []byte, how byte) {
		if len(data) > 700 {
			return
		}
		b := onTable(t, nil)
		p := b.peer(1)
		var s *one
		switch how % 5 {
		case 0: // in a session
			s = p.poll()
			b.sh.packet(slices.Clone(data), p.r.addr)
		case 1: // in a handshake
			b.sh.forget(p.r)
			s = p.poll()
			b.sh.packet(slices.Clone(data), p.r.addr)
		case 2: // encrypted payload as given, AuthCode right
			s = p.poll()
			b.sh.packet(p.encrypted(data), p.r.addr)
		case 3: // message as given, encrypted and signed well
			s = p.poll()
			b.sh.packet(seal(p.s, data), p.r.addr)
			s.state = node.PowerUnknown // whoever has the keys may say what it wants
		case 4: // right header and session, but without the keys
			s = p.poll()
			good := seal(p.s, data)
			for i := headerSize; i < len(good); i++ {
				good[i] ^= []byte(string(data) + "\x00")[i%(len(data)+1)] | 1
			}
			b.sh.packet(good, p.r.addr)
		}
		if s.state != node.PowerUnknown {
			t.Fatalf("%x (%d) was believed: power is %q", data, how%5, s.state)
		}
		b.settled(s)
	})
}

// FuzzHandshake answers one message of a handshake with bytes behind the right tag, status and session id, and all others
// as a BMC should. Whatever the bytes are, they open no session; and a right RAKP 2 is right with any numbers in it.
func FuzzHandshake(f *testing.F) {
	open := append(le32(0x4711), 0, 0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 8, 4, 0, 0, 0, 2, 0, 0, 8, 1, 0, 0, 0)
	f.Add(open, byte(0), byte(0))
	f.Add(open[:20], byte(0), byte(0))
	f.Add([]byte{}, byte(0), byte(1))
	f.Add(make([]byte, 64), byte(1), byte(0))
	f.Add(make([]byte, 63), byte(1), byte(0x0d))
	f.Add(make([]byte, 16), byte(2), byte(0))
	f.Add(make([]byte, 15), byte(2), byte(2))
	f.Add(bytes.Repeat([]byte{7}, 32), byte(3), byte(0))
	f.Fuzz(func(t *testing.T, data []byte, at, status byte) {
		if len(data) > 700 {
			return
		}
		target := [...]byte{payloadOpenResponse, payloadRAKP2, payloadRAKP4, 0xff}[at%4]
		h := newHostile(func(h *hostile, q seen) []forged { return each(seal(h.s, truth(q))) })
		h.shake = func(h *hostile, kind byte, p []byte) []byte {
			switch {
			case kind == target:
				p[1] = status
				return append(p[:8:8], data...)
			case kind == payloadRAKP2 && target == 0xff: // another GUID, well signed
				guid := append(slices.Clone(data), make([]byte, 16)...)[:16]
				copy(p[24:40], guid)
				copy(p[40:], sum(h.su, []byte("password"), le32(h.remote), le32(h.own), h.nonce, hostileNonce, guid, h.tail))
				return p
			case kind == payloadRAKP4 && target == 0xff:
				guid := append(slices.Clone(data), make([]byte, 16)...)[:16]
				k := sum(h.su, []byte("password"), h.nonce, hostileNonce, h.tail)
				return append(append(p[:8:8], sum(h.su, k, h.nonce, le32(h.own), guid)[:h.su.icv]...), data...)
			}
			return p
		}
		b := onTable(t, nil)
		p := b.peer(1)
		b.sh.forget(p.r)
		s := p.poll()
		for turn := 0; len(b.wire.sent) > 0; turn++ {
			if turn > 100 {
				t.Fatal("the handshake goes round and round")
			}
			sent := b.wire.sent
			b.wire.sent = nil
			for _, d := range sent {
				for _, f := range h.take(d.data) {
					b.sh.packet(slices.Clone(f.data), p.r.addr)
				}
			}
			b.sh.pump()
		}
		switch opened := s.n == 1 && s.state == node.PowerOff; {
		case target == 0xff && !opened:
			t.Fatalf("a right handshake with the GUID %x ended with %+v", data, s)
		case target != 0xff && target != payloadOpenResponse && opened:
			t.Fatalf("%x in payload type 0x%02x opened a session", data, target)
		case target == payloadOpenResponse && opened && !slices.ContainsFunc(acceptable, func(a []byte) bool { return len(data) >= 28 && bytes.Equal(masked(data), a) }):
			t.Fatalf("Open Session was believed to %x", data)
		}
		b.settled(s)
	})
}

// acceptable are the algorithms of the suites that we speak, as Open Session Response lays them out.
var acceptable = [][]byte{{1, 1, 1}, {3, 4, 1}}

// masked picks the algorithms out of an Open Session Response behind its session id.
func masked(data []byte) []byte { return []byte{data[8] & 0x3f, data[16] & 0x3f, data[24] & 0x3f} }

// FuzzResponse is an answer of the BMC itself, to each command that we send.
func FuzzResponse(f *testing.F) {
	f.Add(byte(0), []byte{1, 0, 0, 0})
	f.Add(byte(0), []byte{})
	f.Add(byte(0), []byte{1, 5, 0xe0, 0x04, 0, 0, 0}) // boot options
	f.Add(byte(0), []byte{1, 0x85, 0x80})
	f.Add(byte(0), []byte{0x20, 1, 2, 3, 2, 0xbf, 0xa2, 2, 0, 0x34, 0x12, 0, 0, 0, 0}) // device id
	f.Add(byte(0xc0), []byte{})
	f.Add(byte(0xd4), []byte{1})
	f.Fuzz(func(t *testing.T, code byte, data []byte) {
		if len(data) > 700 {
			return
		}
		b := onTable(t, nil)
		p := b.peer(1)
		s := p.poll()
		p.deliver(p.answer(p.only(), code, data...))
		want := node.PowerUnknown
		switch {
		case code == 0 && len(data) == 0:
			want = node.PowerError
		case code == 0:
			want = [...]node.PowerState{node.PowerOff, node.PowerOn}[data[0]&1]
		}
		if s.n != 1 || s.state != want || (s.err != nil) != (code != 0) {
			t.Fatalf("code 0x%02x with %x made %+v: wanted %q", code, data, s, want)
		}
		for _, st := range []step{{netChassis, cmdGetBootOptions, []byte{5, 0, 0}}, {netApp, cmdDeviceID, nil}} {
			c := &call{step: st, done: make(chan outcome, 1)}
			b.sh.request(&request{rec: p.r, call: c})
			b.sh.pump()
			p.deliver(p.answer(p.only(), code, data...))
			if codes[code].busy {
				c.gone.Store(true)
				b.advance(60e9)
			}
			o := <-c.done
			if (o.err != nil) != (code != 0) || o.err == nil && !bytes.Equal(o.data, data) {
				t.Fatalf("code 0x%02x with %x ended the call with %+v", code, data, o)
			}
		}
		if d := parseBoot(data); d.Known && (len(data) < 4 || data[1]&0x7f != 5) || !d.Known && (d.Device != "" || d.Persistent) {
			t.Fatalf("%x was read as boot device %+v", data, d)
		} else if d.Device != "" && !slices.Contains(bootDevices, d.Device) {
			t.Fatalf("%x names the boot device %q", data, d.Device)
		}
		if v := vendor(data); v != strings.ToLower(v) || v == "unknown" {
			t.Fatalf("%x names the vendor %q", data, v)
		}
		if r, ok := parseReply(data, false); ok && len(r.data) != len(data)-8 {
			t.Fatalf("%x was read as the message %+v", data, r)
		}
		b.settled(s)
	})
}

// FuzzTamper changes a packet of a session: it is refused, or still says the same.
func FuzzTamper(f *testing.F) {
	f.Add([]byte("message"), uint16(0), byte(1), byte(3))
	f.Add([]byte("message"), uint16(20), byte(0x80), byte(17))
	f.Add([]byte{}, uint16(14), byte(1), byte(17))
	f.Add(make([]byte, 600), uint16(630), byte(4), byte(3))
	f.Fuzz(func(t *testing.T, m []byte, i uint16, x, id byte) {
		if len(m) > 700 {
			return
		}
		su := suites[[...]byte{3, 17}[id&1]]
		bmcs, ours := newSession(su, sik, 7, 9), newSession(su, sik, 9, 7)
		packet := seal(bmcs, m)
		cut := len(packet)
		if int(i) >= cut { // beyond the end: cut it
			cut = int(i) % cut
		} else {
			packet[i] ^= x
		}
		h, why := parse(packet[:cut])
		if why != accepted {
			return
		}
		got, why := ours.open(packet[:cut], h)
		if why == accepted && (!bytes.Equal(got, m) || h.seq != 1) {
			t.Fatalf("a changed packet was read as %x: wanted %x", got, m)
		}
		if (x == 0 || i < 3 && i > 0) && int(i) < len(packet) && why != accepted { // nothing that counts was changed
			t.Fatalf("a good packet was dropped: %s", why)
		}
	})
}

// FuzzInfo reads any driver_info: it is refused with a reason, or a BMC can be commanded by it.
func FuzzInfo(f *testing.F) {
	f.Add([]byte(`{"ipmi_address": "192.0.2.1", "ipmi_username": "admin", "ipmi_password": "password"}`))
	f.Add([]byte(`{"ipmi_address": "fd00::1%eth0", "ipmi_port": "0623", "ipmi_priv_level": "OPERATOR", "ipmi_cipher_suite": 3}`))
	f.Add([]byte(`{"ipmi_address": "bmc.example.com", "ipmi_hex_kg_key": "abcdef", "ipmi_protocol_version": 2.0, "ipmi_bridging": "no"}`))
	f.Add([]byte(`{"ipmi_address": ["a"], "ipmi_port": -1, "ipmi_cipher_suite": "259", "ipmi_bridging": {}}`))
	f.Add([]byte(`{"ipmi_address": "1.1.1.1", "ipmi_force_boot_device": "true", "capabilities": "boot_mode:bios,a:,:b,,"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var info map[string]any
		if json.Unmarshal(text, &info) != nil {
			return
		}
		n := &node.Node{UUID: "1be26c0b-03f2-4d2e-ae87-c02d7f33c123", DriverInfo: info, Properties: info, InstanceInfo: info, DriverInternalInfo: info}
		tgt, err := parseInfo(n)
		if err == nil && tgt.why == nil {
			who := tgt.who.Value()
			if len(who.user) > 16 || len(who.password) > 20 || len(who.kg) > 20 || tgt.port == 0 || who.priv < 1 || who.priv > 4 || who.suite != 0 && suites[who.suite] == nil {
				t.Fatalf("%s was accepted as %+v at %s", text, who, tgt)
			}
			if _, perr := netip.ParseAddr(tgt.host); tgt.addr.IsValid() != (perr == nil) {
				t.Fatalf("%s has the address %s", text, tgt.addr)
			}
		}
		_ = checkAddress(n)
		if p, err := BootPlan(n, "disk", true, quick()); err == nil && len(p.Commands) == 0 {
			t.Fatalf("%s: no command sets the boot device", text)
		}
		_, _ = reapply(n, quick())
	})
}

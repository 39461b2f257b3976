// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// Packets that an independent client (ipmitool 1.8.19) and BMC (OpenIPMI) exchange are laid out alike.
func TestLayout(t *testing.T) {
	b := make([]byte, maxPacket)
	n := putMessage(b, netApp, cmdDeviceID, 1, nil)
	if got, want := hex.EncodeToString(b[:n]), "2018c88104017a"; got != want {
		t.Errorf("Get Device ID is %s: wanted %s", got, want)
	}
	r, ok := parseReply([]byte{0x81, 0x1c, 0x63, 0x20, 0x04, 0x01, 0x00, 0xaa, 0x31}, false)
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

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"math/rand/v2"
	"testing"
)

// TestPacketMAC holds the HMAC of packets to crypto/hmac: every length of a packet, keys of the length that each suite has.
func TestPacketMAC(t *testing.T) {
	rng := rand.New(rand.NewPCG(2104, 1)) //nolint:gosec // a test
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	for id, s := range suites {
		for n := range maxPacket + 1 {
			k, data := random(s.size), random(n)
			m := hmac.New(s.new, k)
			m.Write(data)
			var tag [sha256.Size]byte
			key := newMACKey(k)
			s.mac(&tag, &key, data)
			if want := m.Sum(nil); !bytes.Equal(tag[:s.size], want) {
				t.Fatalf("suite %d, %d bytes: %x, wanted %x", id, n, tag[:s.size], want)
			}
		}
		var tag [sha256.Size]byte
		key, data := newMACKey(random(s.size)), random(100)
		if a := testing.AllocsPerRun(100, func() { s.mac(&tag, &key, data) }); a > 0 {
			t.Errorf("suite %d: %v allocations, wanted none", id, a)
		}
	}
}

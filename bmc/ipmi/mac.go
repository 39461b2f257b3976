// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"crypto/sha1" //nolint:gosec // cipher suite 3 is what most BMCs speak
	"crypto/sha256"
	"encoding/binary"
)

// The AuthCode of a packet is an HMAC (RFC 2104) over the suite's hash. crypto/hmac, which does it everywhere else here, keeps two
// states of a hash for a key, 700 bytes of each session, and to restore them for a packet of two blocks costs as much as to hash
// it. So the packets of sessions have the construction spelt out over the one-shot functions; a test holds it to crypto/hmac.

// macKey is a key of at most 32 bytes, filled up with zeros, as words in the order of its bytes.
type macKey [4]uint64

// macBlock is the block of SHA-1 and SHA-256 in bytes.
const macBlock = 64

// macRoom is a padded key with what is hashed after it.
type macRoom [macBlock + maxPacket]byte

func newMACKey(k []byte) (key macKey) {
	var b [32]byte
	copy(b[:], k)
	for i := range key {
		key[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return key
}

// inner and outer are the bytes that the key is combined with, in every byte of a word.
const (
	inner = 0x3636363636363636
	outer = 0x5c5c5c5c5c5c5c5c
)

// put begins with the padded key and lets data follow; it returns both.
func (b *macRoom) put(key *macKey, pad uint64, data []byte) []byte {
	for i := range macBlock / 8 {
		w := pad
		if i < len(key) {
			w ^= key[i]
		}
		binary.LittleEndian.PutUint64(b[8*i:], w)
	}
	return b[:macBlock+copy(b[macBlock:], data)]
}

func macSHA256(tag *[sha256.Size]byte, key *macKey, data []byte) {
	var b macRoom
	sum := sha256.Sum256(b.put(key, inner, data))
	*tag = sha256.Sum256(b.put(key, outer, sum[:]))
}

func macSHA1(tag *[sha256.Size]byte, key *macKey, data []byte) {
	var b macRoom
	sum := sha1.Sum(b.put(key, inner, data)) //nolint:gosec // see above
	sum = sha1.Sum(b.put(key, outer, sum[:]))
	copy(tag[:], sum[:])
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // IPMI cipher suite 3
	"crypto/sha256"
	"hash"
	"net/netip"
	"time"
)

// sessionIdle is how long a BMC keeps a silent session (IPMI 6.12.15: 60 s +- 3).
const sessionIdle = 60 * time.Second

// handshakeIdle is how long a handshake that does not go on holds its slot.
const handshakeIdle = 5 * time.Second

// window is how far a session sequence may be from the highest seen (IPMI 6.12.13).
const window = 16

// suite is a cipher suite: 3 (SHA-1) or 17 (SHA-256), both with AES-CBC-128.
type suite struct {
	auth, integrity byte
	hash            func() hash.Hash
	authLen         int // of the code in each packet and in RAKP 4
}

var suites = []suite{
	{auth: 1, integrity: 1, hash: sha1.New, authLen: 12},
	{auth: 3, integrity: 4, hash: sha256.New, authLen: 16},
}

// session is one session, or one on its way to be.
type session struct {
	id      uint32 // ours (managed system)
	console uint32
	suite   *suite
	active  bool
	last    time.Time
	asked   byte // privilege level of the Open Session Request, 0 = the highest
	maxPriv byte // what that is
	priv    byte
	role    byte
	user    []byte
	rc, rm  [16]byte // random numbers of console and managed system

	mac   hash.Hash // HMAC under K1
	block cipher.Block
	in    uint32 // highest sequence seen
	seen  uint32 // bit i: sequence in-i was seen
	out   uint32

	peer    netip.AddrPort // that opened it: an Open Session sent again means the same session
	scratch [sha256.Size]byte

	// The last command that changed something, as asked and as answered: sent again, it is answered but not executed.
	lastReq   []byte // rqSeq, netfn, command, data
	lastReply []byte
	lastAt    time.Time
}

func (s *suite) mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(s.hash, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// integrityKey is the session integrity key (IPMI 13.31); there is no BMC key, so the password stands for it.
func (s *session) integrityKey(password []byte, role byte) []byte {
	return s.suite.mac(password, s.rc[:], s.rm[:], []byte{role, byte(len(s.user))}, s.user)
}

// keys derives the keys of the packets (IPMI 13.32).
func (s *session) keys(sik []byte) {
	ones, twos := make([]byte, 20), make([]byte, 20)
	for i := range ones {
		ones[i], twos[i] = 1, 2
	}
	s.mac = hmac.New(s.suite.hash, s.suite.mac(sik, ones))
	s.block, _ = aes.NewCipher(s.suite.mac(sik, twos)[:16]) // the size is right
}

// code is the authentication code of a packet, into out.
func (s *session) code(data, out []byte) {
	s.mac.Reset()
	s.mac.Write(data)
	copy(out, s.mac.Sum(s.scratch[:0])[:s.suite.authLen]) // scratch lives in the session: a local one would escape
}

// fresh reports whether a sequence number was not seen yet and lies in the window; it marks it as seen.
func (s *session) fresh(seq uint32) bool {
	d := int64(seq) - int64(s.in)
	switch {
	case seq == 0 || d > window || d < -window:
		return false
	case d > 0:
		s.seen = s.seen<<uint(d) | 1
		s.in = seq
		return true
	case s.seen>>uint(-d)&1 == 1:
		return false
	default:
		s.seen |= 1 << uint(-d)
		return true
	}
}

// find is the live session of an id.
func (b *BMC) find(id uint32) *session {
	for _, s := range b.sessions {
		if s.id == id && time.Since(s.last) < sessionIdle {
			return s
		}
	}
	return nil
}

// room drops dead sessions and reports whether there is a free slot. A handshake that never ended holds one too, for a
// few seconds.
func (b *BMC) room() bool {
	live := b.sessions[:0]
	for _, s := range b.sessions {
		limit := sessionIdle
		if !s.active {
			limit = handshakeIdle
		}
		if time.Since(s.last) < limit {
			live = append(live, s)
		}
	}
	for i := len(live); i < len(b.sessions); i++ {
		b.sessions[i] = nil
	}
	b.sessions = live
	return len(live) < b.f.cfg.Sessions
}

func (b *BMC) drop(id uint32) bool {
	for i, s := range b.sessions {
		if s.id == id {
			b.sessions = append(b.sessions[:i], b.sessions[i+1:]...)
			return true
		}
	}
	return false
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // cipher suite 3 is what most BMCs speak
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"hash"
)

// suite is a cipher suite: its number and the algorithms behind it (IPMI v2.0, table 22-20).
type suite struct {
	id                byte
	auth, integ, conf byte
	new               func() hash.Hash
	mac               func(tag *[sha256.Size]byte, key *macKey, data []byte) // of a packet in a session
	size              int                                                    // of the hash
	icv               int                                                    // of AuthCode and of the integrity check in RAKP 4
}

// suites are those we speak: both authenticate and encrypt. 0, 1 and 2 do not and are refused for good.
var suites = map[byte]*suite{
	3:  {id: 3, auth: 1, integ: 1, conf: 1, new: sha1.New, mac: macSHA1, size: sha1.Size, icv: 12},
	17: {id: 17, auth: 3, integ: 4, conf: 1, new: sha256.New, mac: macSHA256, size: sha256.Size, icv: 16},
}

// session is an open RMCP+ session. Its ciphers are made once, so that a packet costs no allocation.
type session struct {
	suite *suite
	bmc   uint32 // the BMC's session id: what we send
	own   uint32 // ours: what the BMC sends
	out   uint32 // session sequence of the last packet sent
	in    uint32 // highest sequence received
	seen  uint64 // bit k: in-k was received
	rqSeq byte   // of the command that is outstanding or was last
	priv  byte   // privilege level that is set
	loose bool   // the BMC counts confidentiality pads from another number than 1
	block cipher.Block
	key   macKey
	tag   [sha256.Size]byte // room for a computed AuthCode
	iv    [aes.BlockSize]byte
}

// newSession derives the keys from the session integrity key (IPMI v2.0, section 13.32).
func newSession(s *suite, sik []byte, own, bmc uint32) *session {
	k1, k2 := constant(s, sik, 1), constant(s, sik, 2)
	block, err := aes.NewCipher(k2[:16])
	if err != nil {
		panic(err) // 16 bytes are a valid key
	}
	return &session{suite: s, bmc: bmc, own: own, block: block, key: newMACKey(k1)}
}

func constant(s *suite, sik []byte, c byte) []byte {
	var b [20]byte
	for i := range b {
		b[i] = c
	}
	return sum(s, sik, b[:])
}

// sum is the suite's HMAC over all parts.
func sum(s *suite, key []byte, parts ...[]byte) []byte {
	m := hmac.New(s.new, key)
	for _, p := range parts {
		m.Write(p)
	}
	return m.Sum(nil)
}

// seal writes a command as an encrypted and authenticated packet and returns its length. Every call takes a new session
// sequence number; iv must be fresh random bytes.
func (s *session) seal(b []byte, netfn, cmd byte, data, iv []byte) int {
	return s.protect(b, putMessage(b[headerSize+aes.BlockSize:], netfn, cmd, s.rqSeq, data), iv)
}

// protect encrypts and signs the message of n bytes that stands in b behind header and IV.
func (s *session) protect(b []byte, n int, iv []byte) int {
	const start = headerSize + aes.BlockSize
	pad := (aes.BlockSize - (n+1)%aes.BlockSize) % aes.BlockSize
	for i := range pad {
		b[start+n+i] = byte(i + 1)
	}
	b[start+n+pad] = byte(pad)
	n += pad + 1
	prev := b[headerSize:start]
	copy(prev, iv[:aes.BlockSize])
	for off := start; off < start+n; off += aes.BlockSize {
		x := b[off : off+aes.BlockSize]
		subtle.XORBytes(x, x, prev)
		s.block.Encrypt(x, x)
		prev = x
	}
	if s.out++; s.out == 0 {
		s.out = 1 // 0 means "outside a session"
	}
	putHeader(b, payloadIPMI|flagEncrypted|flagAuthentic, s.bmc, s.out, aes.BlockSize+n)
	return s.sign(b, start+n)
}

// sign adds integrity pad, trailer and AuthCode to a packet of length end.
func (s *session) sign(b []byte, end int) int {
	pad := (4 - (end-rmcpSize+2)%4) % 4
	for range pad {
		b[end] = 0xff
		end++
	}
	b[end], b[end+1] = byte(pad), 0x07
	end += 2
	s.suite.mac(&s.tag, &s.key, b[rmcpSize:end])
	return end + copy(b[end:], s.tag[:s.suite.icv])
}

// open checks a packet of this session, decrypts its payload in place and returns the message (SAFETY: nothing is
// believed before the AuthCode is).
func (s *session) open(b []byte, h header) ([]byte, Reason) {
	if h.kind != payloadIPMI {
		return nil, dropType
	}
	if !h.encrypted || !h.authentic {
		return nil, dropPlain
	}
	end := headerSize + len(h.payload)
	tail := b[end:] // pad, pad length, next header, AuthCode
	if len(tail) < 2+s.suite.icv {
		return nil, dropShort
	}
	pad := (4 - (end-rmcpSize+2)%4) % 4
	if len(tail) < pad+2+s.suite.icv || int(tail[pad]) != pad || tail[pad+1] != 0x07 {
		return nil, dropShort
	}
	end += pad + 2
	s.suite.mac(&s.tag, &s.key, b[rmcpSize:end])
	if subtle.ConstantTimeCompare(s.tag[:s.suite.icv], b[end:end+s.suite.icv]) != 1 {
		return nil, dropAuth
	}
	if !s.fresh(h.seq) {
		return nil, dropReplay
	}
	return s.decrypt(h.payload)
}

// decrypt undoes AES-CBC and checks the confidentiality padding.
func (s *session) decrypt(p []byte) ([]byte, Reason) {
	if len(p) < 2*aes.BlockSize || len(p)%aes.BlockSize != 0 {
		return nil, dropCipher
	}
	text := p[aes.BlockSize:]
	copy(s.iv[:], p)
	for off := 0; off < len(text); off += aes.BlockSize {
		x := text[off : off+aes.BlockSize]
		copy(s.tag[:], x)
		s.block.Decrypt(x, x)
		subtle.XORBytes(x, x, s.iv[:])
		copy(s.iv[:], s.tag[:])
	}
	pad := int(text[len(text)-1])
	if pad >= aes.BlockSize {
		return nil, dropCipher
	}
	end := len(text) - 1 - pad
	for i := range pad {
		if text[end+i] != byte(i+1) && !s.loose {
			return nil, dropCipher
		}
	}
	return text[:end], accepted
}

// fresh moves the replay window: a sequence number is taken once and none older than 64.
func (s *session) fresh(seq uint32) bool {
	if seq == 0 {
		return false
	}
	ahead := int32(seq - s.in) //nolint:gosec // serial number arithmetic (RFC 1982)
	switch {
	case ahead > 0:
		if ahead >= 64 {
			s.seen = 0
		} else {
			s.seen <<= uint(ahead)
		}
		s.in, s.seen = seq, s.seen|1
		return true
	case ahead <= -64 || s.seen&(1<<uint(-ahead)) != 0:
		return false
	default:
		s.seen |= 1 << uint(-ahead)
		return true
	}
}

func le32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }

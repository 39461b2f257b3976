// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"crypto/hmac"
	"encoding/binary"
	"net/netip"
	"time"
)

var le = binary.LittleEndian

// Payload types of RMCP+ (IPMI 13.27.3).
const (
	payloadIPMI            = 0x00
	payloadOpen            = 0x10
	payloadOpenReply       = 0x11
	payloadRAKP1           = 0x12
	payloadRAKP2           = 0x13
	payloadRAKP3           = 0x14
	payloadRAKP4           = 0x15
	flagEncrypted          = 0x80
	flagAuthenticated      = 0x40
	headerLen              = 4  // RMCP
	plusLen                = 16 // RMCP and RMCP+ session header
	rmcpPlus          byte = 6
	nextHeader             = 7 // ends the integrity pad
)

// answer reads one datagram and writes the reply; 0 = there is none. The BMC is locked.
func (b *BMC) answer(from netip.AddrPort, in, out []byte) int {
	if len(in) < headerLen || in[0] != 6 {
		return 0
	}
	switch in[3] {
	case 6:
		return b.pong(in, out)
	case 7:
	default:
		return 0
	}
	if len(in) < headerLen+1 {
		return 0
	}
	if in[4] == rmcpPlus {
		return b.plus(from, in, out)
	}
	return b.sessionless(from, in, out)
}

// pong answers an RMCP presence ping (IPMI 13.2.3).
func (b *BMC) pong(in, out []byte) int {
	if len(in) < 12 || in[8] != 0x80 {
		return 0
	}
	copy(out, []byte{6, 0, 0xff, 6, 0, 0, 0x11, 0xbe, 0x40, in[9], 0, 16, 0, 0, 0x11, 0xbe, 0, 0, 0, 0, 0x81, 0, 0, 0, 0, 0, 0, 0})
	return 28
}

// sessionless answers the IPMI 1.5 wrapper outside of a session.
func (b *BMC) sessionless(from netip.AddrPort, in, out []byte) int {
	const hdr = headerLen + 10 // authentication type, sequence, session, length
	if len(in) < hdr || in[4] != 0 || le.Uint32(in[5:]) != 0 || le.Uint32(in[9:]) != 0 || int(in[13]) > len(in)-hdr {
		return 0
	}
	copy(out, in[:hdr])
	n := b.message(nil, from, in[hdr:hdr+int(in[13])], out[hdr:])
	if n == 0 {
		return 0
	}
	out[13] = byte(n)
	return hdr + n
}

// plus answers an RMCP+ packet (IPMI 13.6).
func (b *BMC) plus(from netip.AddrPort, in, out []byte) int {
	if len(in) < plusLen {
		return 0
	}
	typ, id, size := in[5], le.Uint32(in[6:]), int(le.Uint16(in[14:]))
	if size > len(in)-plusLen {
		return 0
	}
	payload := in[plusLen : plusLen+size]
	if typ&flagAuthenticated != 0 {
		return b.inSession(from, typ, id, in, payload, out)
	}
	if typ&flagEncrypted != 0 || id != 0 || le.Uint32(in[10:]) != 0 {
		return 0
	}
	copy(out, in[:plusLen])
	n, reply := 0, byte(0)
	switch typ {
	case payloadIPMI:
		n, reply = b.message(nil, from, payload, out[plusLen:]), payloadIPMI
	case payloadOpen:
		n, reply = b.open(from, payload, out[plusLen:]), payloadOpenReply
	case payloadRAKP1:
		n, reply = b.rakp1(payload, out[plusLen:]), payloadRAKP2
	case payloadRAKP3:
		n, reply = b.rakp3(payload, out[plusLen:]), payloadRAKP4
	}
	if n == 0 {
		return 0
	}
	out[5] = reply
	le.PutUint16(out[14:], uint16(n)) //nolint:gosec // below the buffer
	return plusLen + n
}

// inSession checks, opens, executes and seals.
func (b *BMC) inSession(from netip.AddrPort, typ byte, id uint32, in, payload, out []byte) int {
	s := b.find(id)
	if s == nil || !s.active {
		return 0
	}
	n := s.suite.authLen
	if len(in) < plusLen+len(payload)+2+n {
		return 0
	}
	body := in[headerLen : len(in)-n]
	var want [32]byte
	s.code(body, want[:n])
	if !hmac.Equal(want[:n], in[len(in)-n:]) {
		b.f.stats.auth.Add(1)
		return 0
	}
	if t := body[len(body)-2:]; t[1] != nextHeader || plusLen+len(payload)+int(t[0])+2+n != len(in) || !s.fresh(le.Uint32(in[10:])) {
		return 0
	}
	if typ&flagEncrypted == 0 || typ&0x3f != payloadIPMI {
		return 0
	}
	msg := s.decrypt(payload)
	if msg == nil {
		return 0
	}
	s.last = time.Now()
	b.f.stats.commands.Add(1)
	const room = plusLen + 16
	k := b.message(s, from, msg, out[room:])
	if k == 0 {
		return 0
	}
	return s.seal(out, k, b.fault == Padding)
}

// decrypt opens AES-CBC-128 in place (IPMI 13.29); nil = not a proper payload.
func (s *session) decrypt(p []byte) []byte {
	if len(p) < 32 || len(p)%16 != 0 {
		return nil
	}
	var iv, next [16]byte
	copy(iv[:], p)
	for blk := p[16:]; len(blk) > 0; blk = blk[16:] {
		copy(next[:], blk)
		s.block.Decrypt(blk[:16], blk[:16])
		for i := range iv {
			blk[i] ^= iv[i]
		}
		iv = next
	}
	data := p[16:]
	pad := int(data[len(data)-1])
	if pad > 15 || pad+1 > len(data) {
		return nil
	}
	for i := range pad {
		if data[len(data)-1-pad+i] != byte(i+1) {
			return nil
		}
	}
	return data[:len(data)-1-pad]
}

// seal builds the reply around a message of k bytes that stands behind header and IV.
func (s *session) seal(out []byte, k int, fromZero bool) int {
	s.out++
	copy(out, []byte{6, 0, 0xff, 7, rmcpPlus, flagEncrypted | flagAuthenticated | payloadIPMI})
	le.PutUint32(out[6:], s.console)
	le.PutUint32(out[10:], s.out)
	iv := out[plusLen : plusLen+16]
	le.PutUint32(iv, s.out*2654435761) // unpredictable enough for a simulation, different for each packet
	le.PutUint32(iv[4:], s.id)
	le.PutUint64(iv[8:], uint64(s.out)<<32|uint64(s.console))
	data := out[plusLen+16:]
	pad := (16 - (k+1)%16) % 16
	for i := range pad {
		data[k+i] = byte(i + 1)
		if fromZero {
			data[k+i] = byte(i)
		}
	}
	data[k+pad] = byte(pad)
	total := k + pad + 1
	prev := iv
	for blk := data[:total]; len(blk) > 0; blk = blk[16:] {
		for i := range 16 {
			blk[i] ^= prev[i]
		}
		s.block.Encrypt(blk[:16], blk[:16])
		prev = blk[:16]
	}
	size := 16 + total
	le.PutUint16(out[14:], uint16(size)) //nolint:gosec // below the buffer
	end := plusLen + size
	fill := (4 - (end-headerLen+2)%4) % 4 // integrity pad: the covered part is a multiple of 4
	for range fill {
		out[end] = 0xff
		end++
	}
	out[end], out[end+1] = byte(fill), nextHeader
	end += 2
	s.code(out[headerLen:end], out[end:])
	return end + s.suite.authLen
}

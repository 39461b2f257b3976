// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"net/netip"
	"strings"
	"time"
)

// RMCP+ status codes (IPMI 13.24).
const (
	statusNoResources   = 0x01
	statusBadSession    = 0x02
	statusBadRole       = 0x09
	statusRoleTooHigh   = 0x0a
	statusBadName       = 0x0d
	statusBadCheck      = 0x0f
	statusNoSuite       = 0x11
	statusBadPayload    = 0x03
	handshakeMaxNameLen = 16
	nameOnly            = 0x10 // of the role byte: look the user up by name alone (IPMI 13.20)
)

// open answers an Open Session request (IPMI 13.17, 13.18).
func (b *BMC) open(from netip.AddrPort, p, out []byte) int {
	if len(p) < 32 {
		return 0
	}
	refuse := func(status byte) int {
		copy(out, []byte{p[0], status, 0, 0})
		copy(out[4:8], p[4:8])
		return 8
	}
	if p[8] != 0 || p[16] != 1 || p[24] != 2 {
		return refuse(statusBadPayload)
	}
	auth, integrity, conf := p[12]&0x3f, p[20]&0x3f, p[28]&0x3f
	var chosen *suite
	for i := range suites {
		if suites[i].auth == auth && suites[i].integrity == integrity && conf == 1 {
			chosen = &suites[i]
		}
	}
	if p[11] == 0 && p[19] == 0 && p[27] == 0 { // null algorithms: ours to choose
		chosen = &suites[len(suites)-1]
	}
	if chosen == nil {
		return refuse(statusNoSuite)
	}
	asked := p[1] & 0xf
	priv := asked
	if priv == 0 {
		priv = privAdmin
	}
	s := b.opening(from, le.Uint32(p[4:]), chosen, priv)
	if s == nil {
		if !b.room() || b.fault == Full {
			return refuse(statusNoResources)
		}
		b.lastID++
		s = &session{id: uint32(b.index)<<12 ^ b.lastID<<1 | 1, console: le.Uint32(p[4:]), suite: chosen, asked: asked, maxPriv: priv, peer: from} //nolint:gosec // an id
		for b.find(s.id) != nil || s.id == 0 {
			s.id += 2
		}
		b.sessions = append(b.sessions, s)
	}
	s.last = time.Now()
	copy(out, []byte{p[0], 0, priv, 0})
	copy(out[4:8], p[4:8])
	le.PutUint32(out[8:], s.id)
	copy(out[12:36], []byte{0, 0, 0, 8, chosen.auth, 0, 0, 0, 1, 0, 0, 8, chosen.integrity, 0, 0, 0, 2, 0, 0, 8, 1, 0, 0, 0})
	return 36
}

// opening is the session that the same request has opened already, when its answer was lost.
func (b *BMC) opening(from netip.AddrPort, console uint32, chosen *suite, priv byte) *session {
	for _, s := range b.sessions {
		if !s.active && s.peer == from && s.console == console && s.suite == chosen && s.maxPriv == priv && time.Since(s.last) < handshakeIdle {
			return s
		}
	}
	return nil
}

// guid is the BMC's GUID: fixed, with the index inside.
func (b *BMC) guid() [16]byte {
	g := [16]byte{0xfe, 0x44, 0x11, 0x7e, 0, 0, 0, 0x40, 0x80}
	le.PutUint32(g[12:], uint32(b.index)) //nolint:gosec // an id
	return g
}

// rakp1 answers RAKP Message 1 by Message 2 (IPMI 13.20, 13.21).
func (b *BMC) rakp1(p, out []byte) int {
	if len(p) < 28 || len(p) < 28+int(p[27]) {
		return 0
	}
	s := b.find(le.Uint32(p[4:]))
	refuse := func(status byte) int {
		copy(out, []byte{p[0], status, 0, 0, 0, 0, 0, 0})
		if s != nil {
			le.PutUint32(out[4:], s.console)
			b.drop(s.id)
		}
		return 8
	}
	if s == nil || s.active {
		s = nil
		return refuse(statusBadSession)
	}
	if p[27] > handshakeMaxNameLen {
		return refuse(statusBadName)
	}
	role, user := p[24], p[28:28+int(p[27])]
	name := string(user)
	if b.fault == Intel20 { // it knows the whole field only
		name = strings.TrimRight(name, "\x00")
		if len(user) < handshakeMaxNameLen {
			name = ""
		}
	}
	switch {
	case b.lockedOut():
		return refuse(statusBadName)
	case name != b.f.cfg.User:
		b.badLogin()
		return refuse(statusBadName)
	case role&0xf > privAdmin || role&0xf == 0:
		return refuse(statusBadRole)
	case role&0xf > s.maxPriv:
		return refuse(statusRoleTooHigh)
	}
	// Sent again, the request gets the same random number: RAKP 3 to either answer is good then. A new number would make
	// a lost or slow answer look like a wrong password.
	if s.user == nil || s.role != role || !bytes.Equal(s.rc[:], p[8:24]) {
		copy(s.rc[:], p[8:24])
		s.role, s.user = role, append([]byte{}, user...)
		_, _ = rand.Read(s.rm[:]) // never fails
	}
	s.last = time.Now()
	guid := b.guid()
	copy(out, []byte{p[0], 0, 0, 0})
	le.PutUint32(out[4:], s.console)
	copy(out[8:24], s.rm[:])
	copy(out[24:40], guid[:])
	var ids [8]byte
	le.PutUint32(ids[:], s.console)
	le.PutUint32(ids[4:], s.id)
	m := s.suite.mac(b.password(), ids[:], s.rc[:], s.rm[:], guid[:], []byte{b.hashed(s), byte(len(s.user))}, s.user)
	if b.fault == Supermicro20 || b.fault == Sun20 {
		m = append(m, 0)
	}
	return 40 + copy(out[40:], m)
}

// hashed is the role byte that goes into keys and codes: RAKP 1 has it (IPMI 13.31).
func (b *BMC) hashed(s *session) byte {
	if b.fault == Sun20 || b.fault == Intel20 {
		return s.role&^0xf | s.asked
	}
	return s.role
}

// rakp3 answers RAKP Message 3 by Message 4 (IPMI 13.22, 13.23); the session is open then.
func (b *BMC) rakp3(p, out []byte) int {
	if len(p) < 8 {
		return 0
	}
	s := b.find(le.Uint32(p[4:]))
	if s == nil || s.user == nil {
		copy(out, []byte{p[0], statusBadSession, 0, 0, 0, 0, 0, 0})
		return 8
	}
	var console [4]byte
	le.PutUint32(console[:], s.console)
	refuse := func(status byte) int {
		copy(out, []byte{p[0], status, 0, 0})
		copy(out[4:8], console[:])
		if !s.active { // nobody without the password ends a live session
			b.drop(s.id)
		}
		return 8
	}
	if p[1] != 0 { // the console found our code wrong: it has another password
		b.badLogin()
		if !s.active {
			b.drop(s.id)
		}
		return 0
	}
	role, user := b.hashed(s), s.user
	if b.fault == Intel20 {
		role, user = role&^nameOnly, bytes.TrimRight(user, "\x00")
	}
	want := s.suite.mac(b.password(), s.rm[:], console[:], []byte{role, byte(len(user))}, user)
	if !hmac.Equal(want, p[8:]) {
		b.badLogin()
		return refuse(statusBadCheck)
	}
	sik := s.integrityKey(b.password(), b.hashed(s))
	b.badLogins = 0
	if !s.active { // else sent again: the same answer, nothing new
		s.keys(sik)
		s.active, s.last = true, time.Now()
		s.priv = min(privUser, s.role&0xf) // a session starts as user (IPMI 22.18)
	}
	guid := b.guid()
	var id [4]byte
	le.PutUint32(id[:], s.id)
	icv := s.suite.mac(sik, s.rc[:], id[:], guid[:])
	copy(out, []byte{p[0], 0, 0, 0})
	copy(out[4:8], console[:])
	return 8 + copy(out[8:], icv[:s.suite.authLen])
}

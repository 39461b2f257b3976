// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"ferrite/bmc"
)

// phase is where a handshake stands: which answer is awaited.
type phase uint8

const (
	phaseOpen phase = iota + 1 // Open Session Response
	phaseRAKP2
	phaseRAKP4
)

// handshake opens one session (IPMI v2.0, section 13.15 and on). It lives until the session stands or it failed.
type handshake struct {
	phase   phase
	suite   *suite
	who     *login
	own     uint32 // console session id
	bmc     uint32
	tag     byte // of the message that awaits its answer
	console [16]byte
	remote  [16]byte
	guid    [16]byte
	sik     []byte
	packet  [96]byte // the message that awaits its answer, for retransmission
	size    int
}

// Outcomes of a handshake message.
var (
	errIgnore   = errors.New("not the awaited message")                                 // drop it, go on waiting
	errSuite    = errors.New("cipher suite refused")                                    // try the next suite
	errNoSlot   = bmc.ErrNoSlot                                                         // back off
	errRestart  = errors.New("the BMC forgot the handshake")                            // begin again
	errLogin    = errors.New("the BMC refused the login")                               // stop
	errPassword = fmt.Errorf("%w: ipmi_password is wrong (RAKP 2 check)", errLogin)     //
	errKg       = fmt.Errorf("%w: ipmi_hex_kg_key is wrong (RAKP 4 check)", errLogin)   //
	errShort    = errors.New("the BMC answered a handshake message with too few bytes") //
)

// freeASlot is what to do about a full session table: BMCs have four slots at least, and we take one.
const freeASlot = "; end sessions that others hold (ipmitool session info all lists them), or wait until the BMC drops unused ones, after a minute"

// statuses are the RMCP+ status codes that a BMC refuses with (IPMI v2.0, table 13-15), and what follows.
var statuses = map[byte]struct {
	text string
	err  error
}{
	0x01: {"insufficient resources to create a session" + freeASlot, errNoSlot},
	0x02: {"invalid session id", errRestart},
	0x03: {"invalid payload type", errRestart},
	0x04: {"invalid authentication algorithm", errSuite},
	0x05: {"invalid integrity algorithm", errSuite},
	0x06: {"no matching authentication payload", errSuite},
	0x07: {"no matching integrity payload", errSuite},
	0x08: {"inactive session id", errRestart},
	0x09: {"invalid role", errLogin},
	0x0a: {"unauthorized role or privilege level: ipmi_priv_level is more than this user has", errLogin},
	0x0b: {"insufficient resources to create a session at this privilege level" + freeASlot, errNoSlot},
	0x0c: {"invalid user name length", errLogin},
	0x0d: {"unauthorized name: ipmi_username is unknown to the BMC", errLogin},
	0x0e: {"unauthorized GUID", errLogin},
	0x0f: {"invalid integrity check value", errRestart},
	0x10: {"invalid confidentiality algorithm", errSuite},
	0x11: {"no cipher suite matches", errSuite},
	0x12: {"illegal or unrecognized parameter", errRestart},
}

func statusError(message string, code byte, p phase) error {
	s, ok := statuses[code]
	if !ok {
		return fmt.Errorf("%s: status 0x%02x", message, code)
	}
	err := s.err
	if code == 0x09 && p == phaseOpen { // some BMCs say so when the suite needs another role
		err = errSuite
	}
	return fmt.Errorf("%w: %s answered 0x%02x, %s", err, message, code, s.text)
}

// role is the privilege byte of RAKP 1: the level, and look the user up by name alone, as ipmitool does. A lookup by
// name and level would refuse an administrator who asks for less.
func (h *handshake) role() byte { return h.who.priv | nameOnly }

const nameOnly = 0x10

// begin makes the Open Session Request.
func (h *handshake) begin(tag byte) {
	h.phase, h.tag = phaseOpen, tag
	p := []byte{tag, 0, 0, 0}
	if h.who.quirks&quirkOpenPriv != 0 {
		p[1] = h.who.priv
	}
	p = append(p, le32(h.own)...)
	for kind, alg := range []byte{h.suite.auth, h.suite.integ, h.suite.conf} {
		p = append(p, byte(kind), 0, 0, 8, alg, 0, 0, 0) //nolint:gosec // 0..2
	}
	h.size = plain(h.packet[:], payloadOpenRequest, p)
}

// receive takes an answer in and makes the next message. done is the finished session. All errors but errIgnore end the
// handshake.
func (h *handshake) receive(kind byte, p []byte) (done *session, err error) {
	want := map[phase]byte{phaseOpen: payloadOpenResponse, phaseRAKP2: payloadRAKP2, phaseRAKP4: payloadRAKP4}[h.phase]
	if kind != want || len(p) < 2 || p[0] != h.tag {
		return nil, errIgnore
	}
	name := map[phase]string{phaseOpen: "Open Session", phaseRAKP2: "RAKP 1", phaseRAKP4: "RAKP 3"}[h.phase]
	if len(p) >= 8 && binary.LittleEndian.Uint32(p[4:]) != h.own {
		return nil, errIgnore
	}
	if p[1] != 0 {
		err := statusError(name, p[1], h.phase)
		if p[1] == 0x0d {
			err = h.orUnlike(err)
		}
		return nil, err
	}
	h.tag++
	switch h.phase {
	case phaseOpen:
		return nil, h.opened(p)
	case phaseRAKP2:
		return nil, h.rakp2(p)
	default:
		return h.rakp4(p)
	}
}

func (h *handshake) opened(p []byte) error {
	if len(p) < 36 {
		return errShort
	}
	if h.bmc = binary.LittleEndian.Uint32(p[8:]); h.bmc == 0 { // 0 means "outside a session"
		return errors.New("the BMC opened a session with the invalid id 0")
	}
	for i, alg := range []byte{h.suite.auth, h.suite.integ, h.suite.conf} {
		if got := p[12+8*i+4] & 0x3f; got != alg { // never accept another suite than the one asked for
			return fmt.Errorf("%w: asked for algorithms of suite %d, the BMC chose others", errSuite, h.suite.id)
		}
	}
	h.phase = phaseRAKP2
	m := []byte{h.tag, 0, 0, 0}
	m = append(m, le32(h.bmc)...)
	m = append(m, h.console[:]...)
	m = append(m, h.role(), 0, 0, byte(len(h.who.user))) //nolint:gosec // at most 16
	m = append(m, h.who.user...)
	h.size = plain(h.packet[:], payloadRAKP1, m)
	return nil
}

func (h *handshake) rakp2(p []byte) error {
	if len(p) < 40+h.suite.size {
		return errShort
	}
	copy(h.remote[:], p[8:24])
	copy(h.guid[:], p[24:40])
	tail := []byte{h.role(), byte(len(h.who.user))} //nolint:gosec // at most 16
	tail = append(tail, h.who.user...)
	key := []byte(h.who.password)
	mac := sum(h.suite, key, le32(h.own), le32(h.bmc), h.console[:], h.remote[:], h.guid[:], tail)
	if !hmac.Equal(mac, p[40:40+h.suite.size]) {
		return h.orUnlike(errPassword)
	}
	kg := []byte(h.who.kg)
	if len(kg) == 0 {
		kg = key
	}
	h.sik = sum(h.suite, kg, h.console[:], h.remote[:], tail)
	if h.who.quirks&quirkPadUser != 0 { // FreeIPMI's intel20: this code alone is made with the name as it is, and without the bit
		user := strings.TrimRight(h.who.user, "\x00")
		tail = append([]byte{h.role() &^ nameOnly, byte(len(user))}, user...) //nolint:gosec // at most 16
	}
	h.phase = phaseRAKP4
	m := []byte{h.tag, 0, 0, 0}
	m = append(m, le32(h.bmc)...)
	m = append(m, sum(h.suite, key, h.remote[:], le32(h.own), tail)...)
	h.size = plain(h.packet[:], payloadRAKP3, m)
	return nil
}

// orUnlike names the other cause of a refusal: a BMC that makes its codes unlike the standard, of a vendor that nobody named.
func (h *handshake) orUnlike(err error) error {
	if h.who.quirks&(quirkOpenPriv|quirkPadUser) != 0 {
		return err
	}
	return fmt.Errorf("%w; or this BMC needs ipmi_quirks or properties/vendor, see Quirks in docs/BMCS.md", err)
}

func (h *handshake) rakp4(p []byte) (*session, error) {
	if len(p) < 8+h.suite.icv {
		return nil, errShort
	}
	mac := sum(h.suite, h.sik, h.console[:], le32(h.bmc), h.guid[:])
	if !hmac.Equal(mac[:h.suite.icv], p[8:8+h.suite.icv]) {
		return nil, errKg
	}
	return newSession(h.suite, h.sik, h.own, h.bmc), nil
}

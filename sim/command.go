// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"bytes"
	"net/netip"
	"time"
)

// Completion codes (IPMI 5.2).
const (
	ok               = 0x00
	ccInvalid        = 0xc1
	ccReservation    = 0xc5
	ccLength         = 0xc7
	ccParameterRange = 0xc9
	ccTooMany        = 0xca
	ccAbsent         = 0xcb
	ccField          = 0xcc
	ccIllegal        = 0xcd
	ccPrivilege      = 0xd4
	ccState          = 0xd5
	ccDisabled       = 0xd6
	ccParameter      = 0x80
	privUser         = 2
	privOperator     = 3
	privAdmin        = 4
	maxReplyData     = 64
	chassis          = 0x00
	sensorEvent      = 0x04
	app              = 0x06
	storage          = 0x0a
	manufacturerID   = 343 // Intel
	bootProgress     = 0
	bootFlagsClear   = 3
	bootAcknowledge  = 4
	bootFlags        = 5
)

// message executes one IPMI message and writes the reply message; 0 = malformed. s is nil outside of a session.
func (b *BMC) message(s *session, from netip.AddrPort, m, out []byte) int {
	if len(m) < 7 || sum(m[:3]) != 0 || sum(m[3:]) != 0 {
		return 0
	}
	netfn, cmd, data := m[1]>>2, m[5], m[6:len(m)-1]
	if s != nil && mutating(netfn, cmd) && s.repeated(m[4], netfn, cmd, data) {
		b.f.stats.repeats.Add(1)
		if b.mute {
			return 0
		}
		return copy(out, s.lastReply)
	}
	var body [maxReplyData]byte
	cc, n := b.execute(s, netfn, cmd, data, body[:])
	copy(out, []byte{m[3], (netfn|1)<<2 | m[4]&3, 0, m[0], m[4], cmd, cc})
	out[2] = -(out[0] + out[1])
	copy(out[7:], body[:n])
	end := 7 + n
	out[end] = -sum(out[3:end])
	if netfn == chassis && cmd == 1 {
		b.polls++
		return end + 1
	}
	if s != nil {
		if mutating(netfn, cmd) {
			s.lastReq = append(append(s.lastReq[:0], m[4], netfn, cmd), data...)
			s.lastReply, s.lastAt = append(s.lastReply[:0], out[:end+1]...), time.Now()
		}
		b.log(Command{Time: time.Now(), Source: from, Session: s.id, NetFn: netfn, Cmd: cmd, Name: commandName(netfn, cmd, data), Data: append([]byte(nil), data...), Completion: cc})
		if b.mute && mutating(netfn, cmd) {
			return 0
		}
	}
	return end + 1
}

// mutating are the commands that must not be done twice when they are sent again: chassis control, boot options, resets,
// the erasure of the event log.
func mutating(netfn, cmd byte) bool {
	return netfn == chassis && (cmd == 2 || cmd == 8) || netfn == app && (cmd == 2 || cmd == 3) || netfn == storage && cmd == 0x47
}

// repeatWithin is how long a request with the same rqSeq and content counts as sent again: rqSeq has only 64 values.
const repeatWithin = 5 * time.Second

// repeated reports whether a request is the last one that changed something, sent again.
func (s *session) repeated(seq, netfn, cmd byte, data []byte) bool {
	r := s.lastReq
	return len(r) == 3+len(data) && r[0] == seq && r[1] == netfn && r[2] == cmd && bytes.Equal(r[3:], data) && time.Since(s.lastAt) < repeatWithin
}

func sum(p []byte) byte {
	var s byte
	for _, v := range p {
		s += v
	}
	return s
}

// execute runs one command; its answer data goes to out.
func (b *BMC) execute(s *session, netfn, cmd byte, d, out []byte) (cc byte, n int) {
	if s == nil { // what may be asked without a session (IPMI appendix G)
		switch [2]byte{netfn, cmd} {
		case [2]byte{app, 0x38}:
			return b.authCapabilities(d, out)
		case [2]byte{app, 0x54}:
			return cipherSuites(d, out)
		case [2]byte{app, 0x37}:
			g := b.guid()
			return ok, copy(out, g[:])
		}
		return ccPrivilege, 0
	}
	switch netfn {
	case chassis:
		return b.chassis(s, cmd, d, out)
	case app:
		return b.app(s, cmd, d, out)
	case sensorEvent:
		return b.sensorCommand(cmd, d, out)
	case storage:
		if cmd >= 0x40 {
			return b.selCommand(s, cmd, d, out)
		}
		return b.sdrCommand(cmd, d, out)
	}
	return ccInvalid, 0
}

func (b *BMC) chassis(s *session, cmd byte, d, out []byte) (byte, int) {
	switch cmd {
	case 0x01:
		out[0], out[1], out[2] = 0, 0, 0
		if b.seemsOn() {
			out[0] = 1
		}
		return ok, 3
	case 0x02:
		return b.control(s, d), 0
	case 0x04:
		return b.identify(s, d), 0
	case 0x08:
		if s.priv < privOperator {
			return ccPrivilege, 0
		}
		return b.setBoot(d), 0
	case 0x09:
		return b.getBoot(d, out)
	default:
		return ccInvalid, 0
	}
}

// control is Chassis Control (IPMI 28.3).
func (b *BMC) control(s *session, d []byte) byte {
	switch {
	case s.priv < privOperator:
		return ccPrivilege
	case len(d) != 1:
		return ccLength
	case b.refuse:
		return ccDisabled
	}
	switch d[0] & 0xf {
	case 0:
		b.switchPower(false)
	case 1:
		b.switchPower(true)
	case 2:
		if !b.power {
			return ccState
		}
		b.switchPower(false)
		b.switchPower(true)
	case 3:
		if !b.power {
			return ccState
		}
		b.useUp()
	case 4:
	case 5:
		if b.fault == SoftOffLag && b.power {
			b.onTill = time.Now().Add(softOffLag)
		}
		b.switchPower(false)
	default:
		return ccField
	}
	return ok
}

func (b *BMC) setBoot(d []byte) byte {
	if len(d) < 1 {
		return ccLength
	}
	switch p := d[0] & 0x7f; p {
	case bootProgress:
		if len(d) > 1 {
			b.boot.inUse = d[1] & 3
		}
	case bootFlagsClear:
		if len(d) < 2 {
			return ccLength
		}
		b.boot.keep = d[1]&0x08 != 0
	case bootAcknowledge:
	case bootFlags:
		if len(d) < 6 {
			return ccLength
		}
		if b.fault != ForgetsBoot {
			b.boot.data, b.boot.set = [5]byte(d[1:6]), time.Now()
		}
	default:
		return ccParameter
	}
	return ok
}

func (b *BMC) getBoot(d, out []byte) (byte, int) {
	if len(d) != 3 {
		return ccLength, 0
	}
	p := d[0] & 0x7f
	out[0], out[1] = 1, p
	switch p {
	case bootProgress:
		out[2] = b.boot.inUse
		return ok, 3
	case bootFlagsClear:
		out[2] = 0
		if b.boot.keep {
			out[2] = 0x08
		}
		return ok, 3
	case bootAcknowledge:
		out[2], out[3] = 0, 0
		return ok, 4
	case bootFlags:
		f := b.flags()
		return ok, 2 + copy(out[2:], f[:])
	default:
		return ccParameter, 0
	}
}

func (b *BMC) app(s *session, cmd byte, d, out []byte) (byte, int) {
	switch cmd {
	case 0x01: // Get Device ID
		return ok, copy(out, []byte{0x20, 1, 2, 3, 2, 0xbf, manufacturerID & 0xff, manufacturerID >> 8, 0, 0x0b, 0x09})
	case 0x02, 0x03: // Cold and Warm Reset: taken, but the BMC goes on
		if s.priv < privAdmin {
			return ccPrivilege, 0
		}
		return ok, 0
	case 0x04:
		return ok, copy(out, []byte{0x55, 0})
	case 0x08, 0x37:
		g := b.guid()
		return ok, copy(out, g[:])
	case 0x38:
		return b.authCapabilities(d, out)
	case 0x54:
		return cipherSuites(d, out)
	case 0x3b: // Set Session Privilege Level
		if len(d) != 1 {
			return ccLength, 0
		}
		if want := d[0] & 0xf; want != 0 {
			if want > s.role&0xf {
				return 0x81, 0
			}
			s.priv = want
		}
		out[0] = s.priv
		return ok, 1
	case 0x3c: // Close Session
		if len(d) < 4 {
			return ccLength, 0
		}
		if !b.drop(le.Uint32(d)) {
			return 0x87, 0
		}
		return ok, 0
	case 0x3d: // Get Session Info
		return ok, copy(out, []byte{1, byte(b.f.cfg.Sessions), byte(len(b.sessions)), 2, s.priv, 0x11})
	default:
		return ccInvalid, 0
	}
}

// authCapabilities says that only IPMI 2.0 is spoken here (IPMI 22.13).
func (b *BMC) authCapabilities(d, out []byte) (byte, int) {
	if len(d) != 2 {
		return ccLength, 0
	}
	return ok, copy(out, []byte{1, 0x80, 0x04, 0x02, 0, 0, 0, 0})
}

// cipherSuites lists 3 and 17 (IPMI 22.15).
func cipherSuites(d, out []byte) (byte, int) {
	if len(d) != 3 {
		return ccLength, 0
	}
	list := []byte{0xc0, 3, 0x01, 0x41, 0x81, 0xc0, 17, 0x03, 0x44, 0x81}
	out[0] = 1
	i := int(d[2]&0x3f) * 16
	if i >= len(list) {
		return ok, 1
	}
	return ok, 1 + copy(out[1:17], list[i:])
}

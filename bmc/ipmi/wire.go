// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import "encoding/binary"

// Sizes of an RMCP+ packet (IPMI v2.0, section 13.6): RMCP header, session header, and what is too much for a whole one.
const (
	rmcpSize   = 4
	headerSize = rmcpSize + 12
	maxPacket  = 1024
)

// Payload types (IPMI v2.0, table 13-16).
const (
	payloadIPMI         = 0x00
	payloadOpenRequest  = 0x10
	payloadOpenResponse = 0x11
	payloadRAKP1        = 0x12
	payloadRAKP2        = 0x13
	payloadRAKP3        = 0x14
	payloadRAKP4        = 0x15
)

const (
	authRMCPPlus   = 0x06
	flagEncrypted  = 0x80
	flagAuthentic  = 0x40
	consoleAddress = 0x81
	bmcAddress     = 0x20
)

// Network functions and commands that we send (IPMI v2.0, appendix G).
const (
	netChassis = 0x00
	netSensor  = 0x04
	netApp     = 0x06
	netStorage = 0x0a

	cmdChassisStatus  = 0x01
	cmdChassisControl = 0x02
	cmdSetBootOptions = 0x08
	cmdGetBootOptions = 0x09
	cmdDeviceID       = 0x01
	cmdSetPrivilege   = 0x3b
	cmdCloseSession   = 0x3c
	cmdAuthCaps       = 0x38
)

// Reason says why a received packet was dropped.
type Reason uint8

// Reasons for a drop, in the order in which a packet meets the checks.
const (
	accepted      Reason = iota
	dropLong             // longer than any IPMI packet
	dropShort            // shorter than its headers or its own length field
	dropRMCP             // not RMCP with class IPMI
	dropVersion          // IPMI v1.5 or another authentication format
	dropType             // a payload type that nobody asked for
	dropSession          // no session of ours has this id
	dropSource           // not from the BMC that the session is with
	dropPlain            // inside a session, but not both encrypted and authenticated
	dropAuth             // AuthCode does not match
	dropReplay           // session sequence number seen before or too old
	dropCipher           // payload is no whole number of blocks, or its padding is wrong
	dropMessage          // IPMI message too short, checksum wrong
	dropLate             // no command is outstanding, or another one is
	dropHandshake        // handshake message out of turn or with a foreign tag
	reasons
)

// reasonTexts are the label of each reason in Stats and what an error says of it.
var reasonTexts = [reasons]struct{ label, text string }{
	accepted:      {"accepted", "it was believed"},
	dropLong:      {"oversized", "it was longer than IPMI packets are"},
	dropShort:     {"short", "it was cut short"},
	dropRMCP:      {"rmcp", "it was no IPMI packet"},
	dropVersion:   {"version", "it was not IPMI v2.0"},
	dropType:      {"type", "nobody asked for its payload type"},
	dropSession:   {"session", "its session is unknown"},
	dropSource:    {"source", "its session is with another BMC"},
	dropPlain:     {"plain", "it was not encrypted and authenticated"},
	dropAuth:      {"auth", "its AuthCode was wrong"},
	dropReplay:    {"replay", "its sequence number was used before"},
	dropCipher:    {"cipher", "its encrypted payload was malformed"},
	dropMessage:   {"message", "its message was malformed"},
	dropLate:      {"late", "it answered another command"},
	dropHandshake: {"handshake", "it belonged to no handshake that is under way"},
}

// String is the reason's label in Stats.
func (r Reason) String() string { return reasonTexts[r].label }

// Reasons are all keys that Stats.Drops can have.
func Reasons() []string {
	var out []string
	for r := accepted + 1; r < reasons; r++ {
		out = append(out, r.String())
	}
	return out
}

// header is a parsed session header with its payload, which points into the packet.
type header struct {
	kind      byte // payload type without flags
	encrypted bool
	authentic bool
	id        uint32
	seq       uint32
	payload   []byte
}

// parse takes a packet apart without believing it: everything is checked against its length.
func parse(b []byte) (h header, why Reason) {
	if len(b) >= maxPacket { // the rest was cut off by the socket
		return h, dropLong
	}
	if len(b) < headerSize {
		return h, dropShort
	}
	if b[0] != 0x06 || b[3]&0x1f != 0x07 || b[3]&0x80 != 0 {
		return h, dropRMCP
	}
	if b[4] != authRMCPPlus {
		return h, dropVersion
	}
	h.kind, h.encrypted, h.authentic = b[5]&0x3f, b[5]&flagEncrypted != 0, b[5]&flagAuthentic != 0
	if h.kind == 0x02 { // explicit OEM payloads have six more header bytes; none is ours
		return h, dropType
	}
	h.id = binary.LittleEndian.Uint32(b[6:])
	h.seq = binary.LittleEndian.Uint32(b[10:])
	n := int(binary.LittleEndian.Uint16(b[14:]))
	if n > len(b)-headerSize {
		return h, dropShort
	}
	h.payload = b[headerSize : headerSize+n]
	return h, accepted
}

// plain writes a packet outside a session (handshake) and returns its length.
func plain(b []byte, kind byte, payload []byte) int {
	putHeader(b, kind, 0, 0, len(payload))
	return headerSize + copy(b[headerSize:], payload)
}

func putHeader(b []byte, kind byte, id, seq uint32, n int) {
	b[0], b[1], b[2], b[3] = 0x06, 0x00, 0xff, 0x07
	b[4], b[5] = authRMCPPlus, kind
	binary.LittleEndian.PutUint32(b[6:], id)
	binary.LittleEndian.PutUint32(b[10:], seq)
	binary.LittleEndian.PutUint16(b[14:], uint16(n)) //nolint:gosec // n is below maxPacket
}

// onLUN addresses a command to a logical unit of the BMC: bits 7:6 of the network function, which has but six bits.
func onLUN(netfn, lun byte) byte { return netfn | lun<<6 }

// putMessage writes an IPMI request message and returns its length (IPMI v2.0, section 13.8).
func putMessage(b []byte, netfn, cmd, rqSeq byte, data []byte) int {
	b[0], b[1] = bmcAddress, netfn<<2|netfn>>6
	b[2] = checksum(b[:2])
	b[3], b[4], b[5] = consoleAddress, rqSeq<<2, cmd
	n := 6 + copy(b[6:], data)
	b[n] = checksum(b[3:n])
	return n + 1
}

// reply is an IPMI response message; data points into the packet.
type reply struct {
	netfn, cmd, rqSeq, code byte
	data                    []byte
}

// parseReply takes a response message apart; loose leaves its checksums aside.
func parseReply(b []byte, loose bool) (r reply, ok bool) {
	if len(b) < 8 || !loose && (checksum(b[:3]) != 0 || checksum(b[3:]) != 0) || b[0] != consoleAddress || b[3] != bmcAddress {
		return r, false
	}
	return reply{netfn: b[1] >> 2, rqSeq: b[4] >> 2, cmd: b[5], code: b[6], data: b[7 : len(b)-1]}, true
}

// checksum is the two's complement checksum: it makes the sum of all bytes 0.
func checksum(b []byte) byte {
	var s byte
	for _, x := range b {
		s += x
	}
	return -s
}

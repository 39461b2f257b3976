// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
)

// Trap is a platform event trap: a BMC tells over SNMPv1 that something happened (IPMI Platform Event Trap Format v1.0).
// Nothing proves who sent it; all that may follow from it is a question to the BMC that it names.
type Trap struct {
	Agent     netip.Addr // the BMC, as it names itself
	Sensor    byte       // sensor type, as in the event log
	Event     byte       // event type
	Offset    byte       // of the event; bit 7 = it is over
	GUID      [16]byte   // of the machine
	Sequence  uint16
	Severity  byte
	Specific  uint32 // the three above as SNMP has them
	Community string
}

// ASN.1 tags of an SNMPv1 trap (RFC 1157).
const (
	berInteger   = 0x02
	berOctets    = 0x04
	berObject    = 0x06
	berSequence  = 0x30
	berIPAddress = 0x40
	berTicks     = 0x43
	berTrap      = 0xa4
)

const (
	petGeneric = 6  // enterprise specific
	petLeast   = 46 // bytes of a platform event's variable that every trap has
)

// petEnterprise is 1.3.6.1.4.1.3183.1.1, petVariable the object of the one variable in it.
var (
	petEnterprise = []byte{0x2b, 6, 1, 4, 1, 0x98, 0x6f, 1, 1}
	petVariable   = []byte{0x2b, 6, 1, 4, 1, 0x98, 0x6f, 1, 1, 1}
)

var errTrap = errors.New("not a platform event trap")

// ParseTrap reads a datagram. It believes no length in it.
func ParseTrap(b []byte) (Trap, error) {
	var t Trap
	message, rest, ok := ber(b, berSequence)
	if !ok || len(rest) > 0 {
		return t, fmt.Errorf("%w: no SNMP message", errTrap)
	}
	version, message, ok1 := ber(message, berInteger)
	community, message, ok2 := ber(message, berOctets)
	pdu, rest, ok3 := ber(message, berTrap)
	if !ok1 || !ok2 || !ok3 || len(rest) > 0 || len(version) != 1 || version[0] != 0 {
		return t, fmt.Errorf("%w: no SNMPv1 trap", errTrap)
	}
	enterprise, pdu, ok1 := ber(pdu, berObject)
	agent, pdu, ok2 := ber(pdu, berIPAddress)
	generic, pdu, ok3 := ber(pdu, berInteger)
	specific, pdu, ok4 := ber(pdu, berInteger)
	_, pdu, ok5 := ber(pdu, berTicks)
	bindings, rest, ok6 := ber(pdu, berSequence)
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || !ok6 || len(rest) > 0 || len(agent) != 4 || len(specific) == 0 || len(specific) > 5 {
		return t, fmt.Errorf("%w: a malformed SNMPv1 trap", errTrap)
	}
	if string(enterprise) != string(petEnterprise) || len(generic) != 1 || generic[0] != petGeneric {
		return t, fmt.Errorf("%w: a trap of another kind", errTrap)
	}
	for _, x := range specific {
		t.Specific = t.Specific<<8 | uint32(x)
	}
	t.Agent, t.Community = netip.AddrFrom4([4]byte(agent)), string(community)
	t.Sensor, t.Event, t.Offset = byte(t.Specific>>16), byte(t.Specific>>8), byte(t.Specific)
	return t, t.variable(bindings)
}

// variable reads the event itself.
func (t *Trap) variable(bindings []byte) error {
	for len(bindings) > 0 {
		binding, rest, ok := ber(bindings, berSequence)
		name, value, ok1 := ber(binding, berObject)
		if !ok || !ok1 {
			return fmt.Errorf("%w: malformed variables", errTrap)
		}
		if bindings = rest; string(name) != string(petVariable) {
			continue
		}
		event, rest, ok := ber(value, berOctets)
		if !ok || len(rest) > 0 || len(event) < petLeast {
			return fmt.Errorf("%w: the event is cut short", errTrap)
		}
		copy(t.GUID[:], event)
		t.Sequence, t.Severity = binary.BigEndian.Uint16(event[16:]), event[26]
		return nil
	}
	return fmt.Errorf("%w: it has no event", errTrap)
}

// ber takes one element with this tag off b.
func ber(b []byte, tag byte) (value, rest []byte, ok bool) {
	if len(b) < 2 || b[0] != tag {
		return nil, nil, false
	}
	n, b := int(b[1]), b[2:]
	if n > 0x80 {
		if n -= 0x80; n > 2 || n > len(b) { // datagrams are smaller
			return nil, nil, false
		}
		size := 0
		for _, x := range b[:n] {
			size = size<<8 | int(x)
		}
		b, n = b[n:], size
	} else if n == 0x80 { // without a length: not in SNMP
		return nil, nil, false
	}
	if n > len(b) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

// TrapStats count what a trap listener received since its start.
type TrapStats struct {
	Received  uint64 // datagrams
	Malformed uint64 // were no platform event traps
	Unknown   uint64 // of a BMC that no node here has
	Limited   uint64 // their BMC was to be read for another one already
	Followed  uint64 // brought a reading
}

// Traps listens for platform event traps. Close it.
type Traps struct {
	conn  *net.UDPConn
	hint  func(netip.Addr) (nodes int, joined bool)
	ended chan struct{}

	received, malformed, unknown, limited, followed atomic.Uint64
}

// ListenTraps receives traps at a UDP address and calls hint, from one goroutine, with the BMC's address: the sender's,
// or the one in the trap when no node has the sender's (a relay). hint tells how many nodes are there, and whether that BMC
// will be read for a trap before this one anyway.
func ListenTraps(address string, hint func(netip.Addr) (nodes int, joined bool)) (*Traps, error) {
	at, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, fmt.Errorf("ipmi.pet_listen: %w", err)
	}
	conn, err := net.ListenUDP("udp", at)
	if err != nil {
		return nil, fmt.Errorf("ipmi.pet_listen: %w; ports below 1024 want CAP_NET_BIND_SERVICE", err)
	}
	t := &Traps{conn: conn, hint: hint, ended: make(chan struct{})}
	go t.run()
	return t, nil
}

// Addr is where traps are received.
func (t *Traps) Addr() netip.AddrPort { return t.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

func (t *Traps) run() {
	defer close(t.ended)
	b := make([]byte, 2048)
	for {
		n, from, err := t.conn.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			t.trap(b[:n], from.Addr().Unmap())
		}
	}
}

func (t *Traps) trap(b []byte, from netip.Addr) {
	t.received.Add(1)
	trap, err := ParseTrap(b)
	if err != nil {
		t.malformed.Add(1)
		return
	}
	nodes, joined := t.hint(from)
	if nodes == 0 && trap.Agent != from {
		nodes, joined = t.hint(trap.Agent)
	}
	switch {
	case nodes == 0:
		t.unknown.Add(1)
	case joined:
		t.limited.Add(1)
	default:
		t.followed.Add(1)
	}
}

// Stats reads the counters; nil has none.
func (t *Traps) Stats() TrapStats {
	if t == nil {
		return TrapStats{}
	}
	return TrapStats{Received: t.received.Load(), Malformed: t.malformed.Load(), Unknown: t.unknown.Load(), Limited: t.limited.Load(), Followed: t.followed.Load()}
}

// Close ends it.
func (t *Traps) Close() error {
	err := t.conn.Close()
	<-t.ended
	return err
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"slices"
	"time"
)

// LogEvent appends an event to the machine's System Event Log: 13 bytes behind the record type (IPMI 32.1). The first
// four are the time, filled in here when they are 0 and the type has one.
func (b *BMC) LogEvent(kind byte, data [13]byte) {
	if kind < 0xe0 && le.Uint32(data[:]) == 0 {
		le.PutUint32(data[:], uint32(time.Now().Unix())) //nolint:gosec // until 2106
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lastEvent++
	r := [16]byte{byte(b.lastEvent), byte(b.lastEvent >> 8), kind} //nolint:gosec // two halves
	copy(r[3:], data[:])
	b.sel = append(b.sel, r)
	b.reserve++
}

// selCommand are the commands of the System Event Log (IPMI 31).
func (b *BMC) selCommand(s *session, cmd byte, d, out []byte) (byte, int) {
	switch cmd {
	case 0x40: // Get SEL Info
		n := len(b.sel)
		return ok, copy(out, []byte{0x51, byte(n), byte(n >> 8), 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0x02}) //nolint:gosec // lengths
	case 0x42: // Reserve SEL
		b.reserve++
		le.PutUint16(out, b.reserve)
		return ok, 2
	case 0x43: // Get SEL Entry
		return b.selEntry(d, out)
	case 0x47: // Clear SEL
		switch {
		case s.priv < privOperator:
			return ccPrivilege, 0
		case len(d) != 6 || string(d[2:5]) != "CLR":
			return ccField, 0
		case le.Uint16(d) != b.reserve:
			return ccReservation, 0
		case d[5] == 0xaa:
			b.sel = nil
			out[0] = 0 // under way: who asks for the state learns that it is done
			return ok, 1
		}
		out[0] = 1
		return ok, 1
	case 0x48: // Get SEL Time
		le.PutUint32(out, uint32(time.Now().Unix())) //nolint:gosec // until 2106
		return ok, 4
	case 0x5c: // Get SEL Time UTC Offset: unspecified
		return ok, copy(out, []byte{0xff, 0x07})
	default:
		return ccInvalid, 0
	}
}

func (b *BMC) selEntry(d, out []byte) (byte, int) {
	if len(d) != 6 {
		return ccLength, 0
	}
	id, at, count := le.Uint16(d[2:]), int(d[4]), int(d[5])
	if at > 0 && le.Uint16(d) != b.reserve {
		return ccReservation, 0
	}
	i := slices.IndexFunc(b.sel, func(r [16]byte) bool { return le.Uint16(r[:]) == id })
	switch {
	case len(b.sel) == 0:
		return ccAbsent, 0
	case id == 0:
		i = 0
	case id == 0xffff:
		i = len(b.sel) - 1
	case i < 0:
		return ccAbsent, 0
	}
	if at > 16 {
		return ccParameterRange, 0
	}
	next := uint16(0xffff)
	if i+1 < len(b.sel) {
		next = le.Uint16(b.sel[i+1][:])
	}
	le.PutUint16(out, next)
	return ok, 2 + copy(out[2:], b.sel[i][at:min(at+count, 16)])
}

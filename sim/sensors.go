// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package sim

// sensorCommand are the commands of sensors (IPMI 35).
func (b *BMC) sensorCommand(cmd byte, d, out []byte) (byte, int) {
	if len(d) < 1 {
		return ccLength, 0
	}
	var s *Sensor
	r := b.repository()
	for i := range r.sensors {
		x := &r.sensors[i]
		if n := d[0] - x.Number; n < max(x.Share, 1) && d[0] >= x.Number {
			s = x
		}
	}
	if s == nil || s.Gone && cmd == 0x2d {
		return ccAbsent, 0
	}
	switch cmd {
	case 0x23: // Get Sensor Reading Factors: the same for every reading here
		return ok, copy(out, append([]byte{0}, s.record(0)[24:30]...))
	case 0x25: // Get Sensor Hysteresis
		return ok, copy(out, s.Hyst[:])
	case 0x27: // Get Sensor Thresholds
		if s.Reading != 1 {
			return ccIllegal, 0
		}
		l := s.Limits
		return ok, copy(out, []byte{s.Mask, l[5], l[4], l[3], l[2], l[1], l[0]})
	case 0x29: // Get Sensor Event Enable: none
		return ok, copy(out, []byte{0xc0, 0, 0, 0, 0})
	case 0x2b: // Get Sensor Event Status
		if s.Reading != 1 {
			return ok, copy(out, []byte{0xc0, byte(s.States), byte(s.States >> 8), 0, 0}) //nolint:gosec // two halves
		}
		return ok, copy(out, []byte{0xc0, 0, 0, 0, 0})
	case 0x2d: // Get Sensor Reading
		return ok, copy(out, s.reading())
	case 0x2f: // Get Sensor Type
		return ok, copy(out, []byte{s.Type, s.Reading})
	default:
		return ccInvalid, 0
	}
}

// reading is the answer to Get Sensor Reading.
func (s *Sensor) reading() []byte {
	flags := byte(0xc0)
	if s.Off {
		flags &^= 0x40
	}
	if s.Lost {
		flags |= 0x20
	}
	if s.Reading != 1 {
		return []byte{s.Raw, flags, byte(s.States), byte(s.States>>8) | 0x80} //nolint:gosec // two halves
	}
	return []byte{s.Raw, flags, 0xc0 | s.crossed()}
}

// crossed are the thresholds that the reading is beyond.
func (s *Sensor) crossed() (out byte) {
	if s.States != 0 {
		return byte(s.States) & 0x3f
	}
	value := func(raw byte) int {
		if s.Units[0]&0x80 != 0 {
			return int(int8(raw)) //nolint:gosec // that is 2's complement
		}
		return int(raw)
	}
	for bit := range 6 {
		limit := value(s.Limits[5-bit]) // lnc, lcr, lnr, unc, ucr, unr
		below := bit < 3
		if s.Mask&(1<<bit) != 0 && (below && value(s.Raw) <= limit || !below && value(s.Raw) >= limit) {
			out |= 1 << bit
		}
	}
	return out
}

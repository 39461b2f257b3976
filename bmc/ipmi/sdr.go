// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"fmt"
	"math"
)

// Record types of the SDR repository (IPMI v2.0, section 43); all others are passed over.
const (
	sdrFull    = 0x01
	sdrCompact = 0x02
)

// Where the parts of a record are (IPMI v2.0, tables 43-1 and 43-2).
const (
	sdrHeader      = 5
	fullName       = 47 // type and length of the name
	compactName    = 31
	eventThreshold = 0x01 // event/reading type of sensors that measure
)

// Places of the six thresholds in a full record; their bits in a mask go the other way round.
const (
	limitUNR = iota
	limitUCR
	limitUNC
	limitLNR
	limitLCR
	limitLNC
	limits
)

// limitNames are ipmitool's words for them; limitBits their bits in masks and in a reading (IPMI v2.0, table 35-15).
var (
	limitNames = [limits]string{"Upper non-recoverable", "Upper critical", "Upper non-critical", "Lower non-recoverable", "Lower critical", "Lower non-critical"}
	limitShort = [limits]string{"unr", "ucr", "unc", "lnr", "lcr", "lnc"}
	limitBits  = [limits]byte{1 << 5, 1 << 4, 1 << 3, 1 << 2, 1 << 1, 1 << 0}
)

// sensor is a full or compact sensor record.
type sensor struct {
	full          bool
	owner, lun    byte // whom to ask: 20h is the BMC itself
	channel       byte
	number        byte
	entity, inst  byte
	limitsSet     bool // the record's thresholds are those that the sensor begins with
	caps          byte
	kind, reading byte // sensor type (table 42-3) and event/reading type (table 42-1)
	status        byte // thresholds whose crossing a reading tells
	readable      byte
	settable      byte
	units         [3]byte
	factors
	shown                 byte // which of the next three are given
	nominal, normMax      byte
	normMin, most, least  byte
	limit                 [limits]byte
	hystUp, hystDown, oem byte
	name                  string
}

// factors turn a raw reading into a value: y = L((M x + B 10^bExp) 10^rExp) (IPMI v2.0, section 36.3).
type factors struct {
	linear     byte // L
	m, b       int
	bExp, rExp int
	tolerance  byte // in half raw counts
}

// parseFactors reads the six bytes that a full record and Get Sensor Reading Factors have in common.
func parseFactors(linear byte, d []byte) factors {
	return factors{
		linear: linear & 0x7f,
		m:      twos(int(d[0])|int(d[1]&0xc0)<<2, 10), tolerance: d[1] & 0x3f,
		b:    twos(int(d[2])|int(d[3]&0xc0)<<2, 10),
		rExp: twos(int(d[5]>>4), 4), bExp: twos(int(d[5]&0xf), 4),
	}
}

// twos reads a number of so many bits in 2's complement.
func twos(v, bits int) int {
	if v >= 1<<(bits-1) {
		v -= 1 << bits
	}
	return v
}

// parseSensors reads one record. A compact record can stand for up to 15 sensors; records of other types are none.
// Nothing in it is believed: what is too short for its type is an error.
func parseSensors(b []byte) ([]sensor, error) {
	if len(b) < sdrHeader {
		return nil, fmt.Errorf("a sensor record has %d bytes: wanted at least %d", len(b), sdrHeader)
	}
	kind, size := b[3], sdrHeader+int(b[4])
	least := map[byte]int{sdrFull: fullName + 1, sdrCompact: compactName + 1}[kind]
	switch {
	case least == 0:
		return nil, nil
	case len(b) < size:
		return nil, fmt.Errorf("sensor record %02x%02xh says that it has %d bytes and has %d", b[1], b[0], size, len(b))
	case size < least:
		return nil, fmt.Errorf("sensor record %02x%02xh has %d bytes: wanted at least %d for its type %02xh", b[1], b[0], size, least, kind)
	}
	b = b[:size]
	s := sensor{
		full: kind == sdrFull, owner: b[5], lun: b[6] & 3, channel: b[6] >> 4, number: b[7], entity: b[8], inst: b[9],
		limitsSet: b[10]&0x10 != 0, caps: b[11], kind: b[12], reading: b[13],
		units: [3]byte{b[20], b[21], b[22]},
	}
	if s.reading == eventThreshold {
		s.status = (b[15] >> 4 & 7) | (b[17] >> 4 & 7 << 3)
		s.readable, s.settable = b[18]&0x3f, b[19]&0x3f
	}
	if !s.full {
		s.hystUp, s.hystDown, s.oem = b[25], b[26], b[30]
		s.name = sensorName(b[compactName:])
		return s.shared(b[23], b[24]), nil
	}
	s.factors = parseFactors(b[23], b[24:30])
	s.shown, s.nominal, s.normMax, s.normMin, s.most, s.least = b[30]&7, b[31], b[32], b[33], b[34], b[35]
	copy(s.limit[:], b[36:42])
	s.hystUp, s.hystDown, s.oem = b[42], b[43], b[46]
	s.name = sensorName(b[fullName:])
	return []sensor{s}, nil
}

// shared are the sensors that a compact record stands for (IPMI v2.0, table 43-2, record sharing).
func (s sensor) shared(how, modifier byte) []sensor {
	n := int(how & 0xf)
	if n <= 1 {
		return []sensor{s}
	}
	out := make([]sensor, 0, n)
	for i := range n {
		x := s
		x.number = s.number + byte(i) //nolint:gosec // 14 at most
		if modifier&0x80 != 0 {
			x.inst = s.inst + byte(i) //nolint:gosec // as above
		}
		switch at := int(modifier&0x7f) + i; how >> 4 & 3 {
		case 0:
			x.name = fmt.Sprintf("%s%d", s.name, at)
		case 1:
			x.name = s.name + letters(at)
		}
		out = append(out, x)
	}
	return out
}

// letters counts A, B ... Z, AA.
func letters(i int) string {
	if i >= 26 {
		return string(rune('A'+i/26-1)) + string(rune('A'+i%26))
	}
	return string(rune('A' + i))
}

// analog reports whether readings are numbers. Of the sensors that are no threshold sensors ipmitool takes none for
// analog either.
func (s *sensor) analog() bool {
	return s.full && s.reading == eventThreshold && s.units[0]>>6 != 3
}

// number of a raw reading in the record's format: unsigned, 1's or 2's complement.
func (s *sensor) raw(x byte) float64 {
	switch s.units[0] >> 6 {
	case 0:
		return float64(x)
	case 1:
		if x&0x80 != 0 {
			x++
		}
	}
	return float64(int8(x)) //nolint:gosec // that is 2's complement
}

// value of a raw reading in the sensor's unit. It may be infinite or no number.
func (s *sensor) value(x byte) float64 {
	y := (float64(s.m)*s.raw(x) + float64(s.b)*math.Pow10(s.bExp)) * math.Pow10(s.rExp)
	return s.linearised(y)
}

// span of a hysteresis or, in half counts, a tolerance: B has no part in it.
func (s *sensor) span(x, divisor byte) float64 {
	return s.linearised(float64(s.m) * s.raw(x) / float64(divisor) * math.Pow10(s.rExp))
}

// linearised is L of the conversion formula. 70h and above are tables in the BMC, which gives the factors for each
// reading; L is then linear.
func (f *factors) linearised(y float64) float64 {
	switch f.linear {
	case 1:
		return math.Log(y)
	case 2:
		return math.Log10(y)
	case 3:
		return math.Log2(y)
	case 4:
		return math.Exp(y)
	case 5:
		return math.Pow(10, y)
	case 6:
		return math.Exp2(y)
	case 7:
		return 1 / y
	case 8:
		return y * y
	case 9:
		return y * y * y
	case 10:
		return math.Sqrt(y)
	case 11:
		return math.Cbrt(y)
	default:
		return y
	}
}

// nonLinear reports whether the BMC must be asked for the factors of each reading (Get Sensor Reading Factors).
func (f *factors) nonLinear() bool { return f.linear >= 0x70 }

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import "slices"

// Sensor is one sensor of a simulated machine: what its SDR says (IPMI 43.1, 43.2) and what it reads.
type Sensor struct {
	Name    string // 16 bytes at most
	Compact bool   // a compact record instead of a full one
	Number  byte
	LUN     byte
	Type    byte // sensor type (IPMI 42.2): 1 temperature, 2 voltage ...
	Reading byte // event/reading type: 1 threshold, 0x6f sensor-specific ...
	Entity  byte
	Inst    byte
	Share   byte // compact: how many sensors share the record, 0 and 1 = no sharing

	Units  [3]byte // bytes 21 to 23 of the record: flags, base unit, modifier unit
	Linear byte
	M, B   int // 10 bits, signed
	RExp   int // 4 bits, signed
	BExp   int
	Tol    byte // tolerance in half raw counts
	Shown  byte // analog characteristic flags: bit 0 nominal, 1 normal maximum, 2 normal minimum
	Usual  [5]byte
	Mask   byte    // readable thresholds: bit 0 lnc, lcr, lnr, unc, ucr, 5 unr
	Limits [6]byte // unr, ucr, unc, lnr, lcr, lnc
	Hyst   [2]byte // up, down

	Raw    byte   // analog reading
	States uint16 // discrete: asserted states; threshold: 0 = worked out from Limits
	Off    bool   // scanning is disabled
	Lost   bool   // reading unavailable
	Gone   bool   // Get Sensor Reading answers 0xCB
}

// record is the sensor's SDR.
func (s Sensor) record(id uint16) []byte {
	name := s.Name[:min(len(s.Name), 16)]
	b := []byte{byte(id), byte(id >> 8), 0x51, 0x01, 0, 0x20, s.LUN & 3, s.Number, s.Entity, s.Inst, 0x7f, 0x68, s.Type, s.Reading}
	if s.Reading == 1 {
		b = append(b, 0, 0, 0, 0, s.Mask, 0)
	} else { // all 15 states
		b = append(b, 0xff, 0x7f, 0xff, 0x7f, 0xff, 0x7f)
	}
	b = append(b, s.Units[0], s.Units[1], s.Units[2])
	if s.Compact {
		b[3] = 0x02
		b = append(b, s.Share&0xf, 0x80, s.Hyst[0], s.Hyst[1], 0, 0, 0, 0)
	} else {
		b = append(b, s.Linear, byte(s.M), byte(s.M>>2)&0xc0|s.Tol&0x3f, byte(s.B), byte(s.B>>2)&0xc0, 0, byte(s.RExp<<4)|byte(s.BExp)&0xf,
			s.Shown, s.Usual[0], s.Usual[1], s.Usual[2], s.Usual[3], s.Usual[4])
		b = append(append(b, s.Limits[:]...), s.Hyst[0], s.Hyst[1], 0, 0, 0)
	}
	b = append(append(b, 0xc0|byte(len(name))), name...) //nolint:gosec // 16 at most
	b[4] = byte(len(b) - 5)                              //nolint:gosec // below 70
	return b
}

// repository is what a machine's BMC tells of its sensors.
type repository struct {
	records [][]byte
	sensors []Sensor
}

func newRepository(sensors []Sensor, more ...[]byte) *repository {
	r := &repository{sensors: slices.Clone(sensors)}
	for _, s := range sensors {
		r.records = append(r.records, s.record(uint16(len(r.records)))) //nolint:gosec // a test's handful
	}
	for _, m := range more {
		m = slices.Clone(m)
		if len(m) >= 2 {
			m[0], m[1] = byte(len(r.records)), byte(len(r.records)>>8) //nolint:gosec // as above
		}
		r.records = append(r.records, m)
	}
	return r
}

// the third byte of a full record's Units is a modifier unit; a signed reading is flag 0x80 (2's complement).
var standardSensors = []Sensor{
	{Name: "Temp", Number: 0x01, Type: 1, Reading: 1, Entity: 3, Inst: 1, Units: [3]byte{0x80, 1, 0}, M: 1, Tol: 2, Shown: 7, Usual: [5]byte{23, 69, 11, 127, 128}, Mask: 0x12, Limits: [6]byte{0, 83, 0, 0, 3, 0}, Hyst: [2]byte{1, 1}, Raw: 44},
	{Name: "Temp", Number: 0x02, Type: 1, Reading: 1, Entity: 3, Inst: 2, Units: [3]byte{0x80, 1, 0}, M: 1, Tol: 2, Shown: 7, Usual: [5]byte{23, 69, 11, 127, 128}, Mask: 0x12, Limits: [6]byte{0, 83, 0, 0, 3, 0}, Hyst: [2]byte{1, 1}, Raw: 43},
	{Name: "Inlet Temp", Number: 0x05, Type: 1, Reading: 1, Entity: 7, Inst: 1, Units: [3]byte{0x80, 1, 0}, M: 1, Tol: 2, Shown: 7, Usual: [5]byte{23, 69, 11, 127, 128}, Mask: 0x1b, Limits: [6]byte{0, 47, 42, 0, 0xf9, 3}, Hyst: [2]byte{2, 2}, Raw: 21},
	{Name: "Exhaust Temp", Number: 0x06, Type: 1, Reading: 1, Entity: 7, Inst: 1, Units: [3]byte{0x80, 1, 0}, M: 1, Tol: 2, Shown: 7, Usual: [5]byte{23, 69, 11, 127, 128}, Mask: 0x1b, Limits: [6]byte{0, 75, 70, 0, 3, 8}, Hyst: [2]byte{1, 1}, Raw: 36},
	{Name: "Fan1A", Number: 0x30, Type: 4, Reading: 1, Entity: 7, Inst: 1, Units: [3]byte{0, 18, 0}, M: 120, Tol: 2, Shown: 1, Usual: [5]byte{84, 0, 0, 255, 0}, Mask: 0x03, Limits: [6]byte{0, 0, 0, 0, 4, 7}, Hyst: [2]byte{2, 2}, Raw: 57},
	{Name: "Fan1B", Number: 0x31, Type: 4, Reading: 1, Entity: 7, Inst: 1, Units: [3]byte{0, 18, 0}, M: 120, Tol: 2, Shown: 1, Usual: [5]byte{84, 0, 0, 255, 0}, Mask: 0x03, Limits: [6]byte{0, 0, 0, 0, 4, 7}, Hyst: [2]byte{2, 2}, Raw: 3},
	{Name: "Current 1", Number: 0x6b, Type: 3, Reading: 1, Entity: 10, Inst: 1, Units: [3]byte{0, 5, 0}, M: 2, RExp: -1, Raw: 3},
	{Name: "Voltage 1", Number: 0x6d, Type: 2, Reading: 1, Entity: 10, Inst: 1, Units: [3]byte{0, 4, 0}, M: 2, Raw: 116},
	{Name: "Pwr Consumption", Number: 0x76, Type: 3, Reading: 1, Entity: 7, Inst: 1, Units: [3]byte{0, 6, 0}, M: 12, Shown: 7, Usual: [5]byte{97, 98, 3, 255, 0}, Mask: 0x18, Limits: [6]byte{0, 98, 93, 0, 0, 0}, Hyst: [2]byte{1, 1}, Raw: 22},
	{Name: "ECC Corr Err", Compact: true, Number: 0x03, Type: 0x0c, Reading: 0x6f, Entity: 34, Inst: 1, Units: [3]byte{0xc0, 0, 0}, States: 0},
	{Name: "Front LED Panel", Compact: true, Number: 0x23, Type: 0x28, Reading: 0x6f, Entity: 7, Inst: 1, Units: [3]byte{0xc0, 0, 0}},
	{Name: "Fan Redundancy", Compact: true, Number: 0x78, Type: 4, Reading: 0x0b, Entity: 7, Inst: 1, Units: [3]byte{0xc0, 0, 0}, States: 1},
	{Name: "Status", Compact: true, Number: 0x85, Type: 8, Reading: 0x6f, Entity: 10, Inst: 1, Units: [3]byte{0xc0, 0, 0}, States: 1},
	{Name: "Status", Compact: true, Number: 0x86, Type: 8, Reading: 0x6f, Entity: 10, Inst: 2, Units: [3]byte{0xc0, 0, 0}, States: 0x0b},
	{Name: "POST Err", Compact: true, Number: 0x1e, Type: 0x0f, Reading: 0x6f, Entity: 34, Inst: 1, Units: [3]byte{0xc0, 0, 0}, Lost: true},
	{Name: "TPM Presence", Compact: true, Number: 0x41, Type: 0x2b, Reading: 0x6f, Entity: 34, Inst: 1, Units: [3]byte{0xc0, 0, 0}, States: 1},
	{Name: "Intrusion", Compact: true, Number: 0x73, Type: 5, Reading: 0x6f, Entity: 7, Inst: 1, Units: [3]byte{0xc0, 0, 0}, Off: true},
}

// standard is what every simulated machine has until it is told otherwise: the sensors, and two records that are none.
var standard = newRepository(standardSensors,
	[]byte{0, 0, 0x51, 0x11, 16, 0x20, 0, 0x80, 0, 0, 0x10, 0, 7, 1, 0, 0xc5, 'B', 'o', 'a', 'r', 'd'}, // FRU device locator
	[]byte{0, 0, 0x51, 0x12, 14, 0x20, 0, 0, 0xbf, 0, 0, 0, 7, 1, 0, 0xc3, 'B', 'M', 'C'})              // management controller locator

// StandardSensors are the sensors that every machine begins with.
func StandardSensors() []Sensor { return slices.Clone(standardSensors) }

// SetSensors gives the machine other sensors, and besides any records that it shall tell of: more may be nonsense.
func (b *BMC) SetSensors(s []Sensor, more ...[]byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sdr = newRepository(s, more...)
	b.reserve++
	b.sdrVersion++
}

// Change changes one sensor's readings; false = there is none of that number.
func (b *BMC) Change(number byte, change func(*Sensor)) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sdr == nil {
		b.sdr = &repository{records: standard.records, sensors: slices.Clone(standard.sensors)}
	}
	i := slices.IndexFunc(b.sdr.sensors, func(s Sensor) bool { return s.Number == number })
	if i < 0 {
		return false
	}
	change(&b.sdr.sensors[i])
	return true
}

// CancelReservations makes reservations of the SDR repository and the SEL end, as a change of them does.
func (b *BMC) CancelReservations() { b.mu.Lock(); defer b.mu.Unlock(); b.reserve++ }

func (b *BMC) repository() *repository {
	if b.sdr == nil {
		return standard
	}
	return b.sdr
}

// sdrCommand are the commands of the SDR repository (IPMI 33).
func (b *BMC) sdrCommand(cmd byte, d, out []byte) (byte, int) {
	r := b.repository()
	switch cmd {
	case 0x20: // Get SDR Repository Info
		n := len(r.records)
		return ok, copy(out, []byte{0x51, byte(n), byte(n >> 8), 0xff, 0xff, b.sdrVersion, 0x10, 0, 0, 0, 0, 0, 0, 0x22}) //nolint:gosec // lengths
	case 0x22: // Reserve SDR Repository
		b.reserve++
		le.PutUint16(out, b.reserve)
		return ok, 2
	case 0x23: // Get SDR
		if len(d) != 6 {
			return ccLength, 0
		}
		id, at, count := int(le.Uint16(d[2:])), int(d[4]), int(d[5])
		if at > 0 && le.Uint16(d) != b.reserve {
			return ccReservation, 0
		}
		if id == 0xffff {
			id = len(r.records) - 1
		}
		if id < 0 || id >= len(r.records) {
			return ccAbsent, 0
		}
		rec := r.records[id]
		switch {
		case at > len(rec):
			return ccParameterRange, 0
		case count == 0xff:
			count = len(rec) - at
		}
		if count > maxReplyData-2 || count > b.f.cfg.sdrChunk() {
			return ccTooMany, 0
		}
		next := id + 1
		if next >= len(r.records) {
			next = 0xffff
		}
		le.PutUint16(out, uint16(next)) //nolint:gosec // at most 0xffff
		return ok, 2 + copy(out[2:], rec[at:min(at+count, len(rec))])
	default:
		return ccInvalid, 0
	}
}

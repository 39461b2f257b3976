// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

// fullRecord is a record of a temperature sensor, changed in places.
func fullRecord(id uint16, change func([]byte)) []byte {
	b := make([]byte, 64)
	binary.LittleEndian.PutUint16(b, id)
	copy(b[2:], []byte{0x51, sdrFull, 59, 0x20, 0, 7, 3, 1, 0x7f, 0x68, 1, 1})
	b[18], b[21], b[24] = 0x3f, 1, 1
	b[fullName] = 0xc0 | 16
	copy(b[fullName+1:], "a sensor of a BMC")
	if change != nil {
		change(b)
	}
	return b
}

func compactRecord(id uint16, name string, how, modifier byte) []byte {
	b := make([]byte, compactName+1, 64)
	binary.LittleEndian.PutUint16(b, id)
	copy(b[2:], []byte{0x51, sdrCompact, 0, 0x20, 0, 0x40, 29, 1, 0x7f, 0x68, 4, 0x0a})
	b[20], b[23], b[24], b[compactName] = 0xc0, how, modifier, 0xc0|byte(len(name)) //nolint:gosec // short
	b = append(b, name...)
	b[4] = byte(len(b) - sdrHeader) //nolint:gosec // short
	return b
}

// TestFactors: M and B have ten bits and their exponents four, all in 2's complement (IPMI v2.0, table 43-1).
func TestFactors(t *testing.T) {
	for _, x := range []struct {
		bytes [6]byte
		want  factors
	}{
		{[6]byte{1, 0, 0, 0, 0, 0}, factors{m: 1}},
		{[6]byte{0xff, 0x7f, 0xff, 0x7f, 0, 0x77}, factors{m: 511, b: 511, tolerance: 63, rExp: 7, bExp: 7}},
		{[6]byte{0x00, 0x80, 0x00, 0x80, 0, 0x88}, factors{m: -512, b: -512, rExp: -8, bExp: -8}},
		{[6]byte{0xff, 0xc0, 0xff, 0xc0, 0, 0xf1}, factors{m: -1, b: -1, rExp: -1, bExp: 1}},
	} {
		if got := parseFactors(0, x.bytes[:]); got != x.want {
			t.Errorf("%x is read as %+v: wanted %+v", x.bytes, got, x.want)
		}
	}
}

// TestLinearisation: y = L((M x + B 10^K1) 10^K2) for each L (IPMI v2.0, table 43-1 byte 24).
func TestLinearisation(t *testing.T) {
	for l, want := range []float64{2, math.Ln2, math.Log10(2), 1, math.E * math.E, 100, 4, 0.5, 4, 8, math.Sqrt2, math.Cbrt(2)} {
		f := factors{linear: byte(l)} //nolint:gosec // a dozen
		if got := f.linearised(2); math.Abs(got-want) > 1e-12 {
			t.Errorf("L %d of 2 is %v: wanted %v", l, got, want)
		}
	}
	for _, x := range []struct {
		format, raw byte
		want        float64
	}{{0, 0xff, 255}, {0x40, 0xff, 0}, {0x40, 0xfe, -1}, {0x40, 0x80, -127}, {0x80, 0xff, -1}, {0x80, 0x80, -128}, {0x80, 0x7f, 127}} {
		s := sensor{units: [3]byte{x.format}, factors: factors{m: 1}}
		if got := s.value(x.raw); got != x.want {
			t.Errorf("%02x in format %02x is %v: wanted %v", x.raw, x.format, got, x.want)
		}
	}
}

func TestNames(t *testing.T) {
	for _, x := range []struct {
		bytes []byte
		want  string
	}{
		{[]byte{0xc4, 'F', 'a', 'n', '1'}, "Fan1"},
		{[]byte{0xc4, 'F', 'a'}, "Fa"},              // cut short
		{[]byte{0xc4, 'F', 0, 'x', 'y'}, "F"},       // ends early
		{[]byte{0xc4, 0x1b, '[', 0x7f, 0xb0}, "[°"}, // no control characters
		{[]byte{0x43, 0x12, 0x3b, 0xc0}, "123-.0"},  // BCD plus
		{[]byte{0x83, 0x29, 0xdc, 0xa6}, "IPMI"},    // 6-bit ASCII, the specification's own example
		{[]byte{0x85, 0x29}, "I"},
		{[]byte{0x1f}, ""},
		{[]byte{0xc0}, ""},
	} {
		if got := sensorName(x.bytes); got != x.want {
			t.Errorf("% x is read as %q: wanted %q", x.bytes, got, x.want)
		}
	}
}

// TestSharedRecords: a compact record stands for several sensors.
func TestSharedRecords(t *testing.T) {
	for _, x := range []struct {
		how, modifier byte
		want          string
	}{
		{0x00, 0x00, "Fan:40/1"},
		{0x01, 0x80, "Fan:40/1"},
		{0x03, 0x81, "Fan1:40/1 Fan2:41/2 Fan3:42/3"},
		{0x02, 0x09, "Fan9:40/1 Fan10:41/1"},
		{0x12, 0x99, "FanZ:40/1 FanAA:41/2"},
	} {
		got, err := parseSensors(compactRecord(1, "Fan", x.how, x.modifier))
		var all []string
		for _, s := range got {
			all = append(all, fmt.Sprintf("%s:%x/%d", s.name, s.number, s.inst))
		}
		if text := strings.Join(all, " "); text != x.want || err != nil {
			t.Errorf("sharing %02x %02x gives %q, %v: wanted %q", x.how, x.modifier, text, err, x.want)
		}
	}
}

// scripted is a BMC that answers from a list of records, and does what else a test wants.
type scripted struct {
	records     map[uint16][]byte
	next        map[uint16]uint16
	chunk       int // most bytes it gives
	reservation uint16
	cancel      int // how many times a reservation ends under way
	asked       int
}

func newScripted(records ...[]byte) *scripted {
	s := &scripted{records: map[uint16][]byte{}, next: map[uint16]uint16{}, chunk: 255}
	for i, r := range records {
		id := uint16(i) //nolint:gosec // a handful
		s.records[id], s.next[id] = r, id+1
		if i == len(records)-1 {
			s.next[id] = lastRecord
		}
	}
	return s
}

func (s *scripted) ask(q Raw) ([]byte, error) {
	s.asked++
	switch {
	case q.NetFn == netStorage && q.Cmd == 0x20:
		return make([]byte, 14), nil
	case q.NetFn == netStorage && q.Cmd == 0x22:
		s.reservation++
		return binary.LittleEndian.AppendUint16(nil, s.reservation), nil
	case q.NetFn == netStorage && q.Cmd == 0x23:
		id, at, n := binary.LittleEndian.Uint16(q.Data[2:]), int(q.Data[4]), int(q.Data[5])
		r, ok := s.records[id]
		switch {
		case !ok:
			return nil, codeError(0xcb)
		case at > 0 && (binary.LittleEndian.Uint16(q.Data) != s.reservation || s.cancel > 0):
			s.cancel--
			s.reservation++
			return nil, codeError(0xc5)
		case n > s.chunk:
			return nil, codeError(0xca)
		}
		at = min(at, len(r))
		return append(binary.LittleEndian.AppendUint16(nil, s.next[id]), r[at:min(at+n, len(r))]...), nil
	case q.NetFn == netSensor && q.Cmd == cmdSensorReading:
		return []byte{7, 0xc0, 0xc0}, nil
	}
	return nil, codeError(0xc1)
}

func (s *scripted) walk() (repository, error) {
	place, stamp, err := sdrPlace(s.ask)
	if err != nil {
		return repository{}, err
	}
	return readRepository(place, stamp, s.ask)
}

func TestWalk(t *testing.T) {
	records := [][]byte{fullRecord(0, nil), compactRecord(1, "Fan", 0, 0), {2, 0, 0x51, 0x11, 3, 1, 2, 3}, fullRecord(3, nil)}
	t.Run("in parts, with reservations that end", func(t *testing.T) {
		s := newScripted(records...)
		s.chunk, s.cancel = 8, 5
		r, err := s.walk()
		all, bad := r.sensors()
		if err != nil || len(all) != 3 || bad != 0 || all[0].name != "a sensor of a BM" {
			t.Fatalf("read %+v, %d bad, %v: wanted three sensors", all, bad, err)
		}
		if want := string(records[0]) + string(records[1]) + string(records[3]); r.image != want {
			t.Errorf("read %x: wanted %x", r.image, want)
		}
	})
	t.Run("an empty repository", func(t *testing.T) {
		if r, err := newScripted().walk(); err != nil || r.image != "" {
			t.Errorf("read %q, %v: wanted nothing, and no error", r.image, err)
		}
	})
	t.Run("a reservation that never lasts", func(t *testing.T) {
		s := newScripted(records...)
		s.cancel = 1 << 20
		if _, err := s.walk(); !refusedWith(err, 0xc5) || s.asked > 4*maxRetried {
			t.Errorf("%v after %d commands: wanted completion code c5 after a few", err, s.asked)
		}
	})
	for name, change := range map[string]func(*scripted){
		"a ring":                  func(s *scripted) { s.next[3] = 1 },
		"a record behind itself":  func(s *scripted) { s.next[1] = 1 },
		"records without end":     func(s *scripted) { endless(s, 3000) },
		"a record cut short":      func(s *scripted) { s.records[1] = s.records[1][:20] },
		"a header cut short":      func(s *scripted) { s.records[1] = s.records[1][:3] },
		"parts that are too long": func(s *scripted) { s.records[1][4] = 200 },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScripted(fullRecord(0, nil), compactRecord(1, "Fan", 0, 0), fullRecord(2, nil), fullRecord(3, nil))
			change(s)
			if r, err := s.walk(); !errors.Is(err, errNonsense) || s.asked > maxAsked+2 || len(r.image) > maxImage {
				t.Errorf("read %d bytes, %v, after %d commands: wanted an error that says it is nonsense", len(r.image), err, s.asked)
			}
		})
	}
}

// TestTooManySensors: a machine that claims more sensors than any has is believed the first of them.
func TestTooManySensors(t *testing.T) {
	one := compactRecord(1, "", 0x0f, 0)
	r := repository{image: strings.Repeat(string(one), maxImage/len(one))}
	all, bad := r.sensors()
	if len(all) != maxSensors || bad != 0 {
		t.Errorf("%d sensors, %d bad records: wanted %d", len(all), bad, maxSensors)
	}
}

func endless(s *scripted, n int) {
	for i := range n {
		id := uint16(i) //nolint:gosec // below 65536
		s.records[id], s.next[id] = []byte{byte(i), byte(i >> 8), 0x51, 0x11, 0}, id+1
	}
}

// TestDeviceRecords: a BMC without an SDR repository has its sensors' records in another place.
func TestDeviceRecords(t *testing.T) {
	s := newScripted(fullRecord(0, nil))
	place, stamp, err := sdrPlace(func(q Raw) ([]byte, error) {
		if q.NetFn == netStorage {
			return nil, codeError(0xc1)
		}
		return []byte{1, 0}, nil
	})
	if err != nil || place != sdrDevice {
		t.Fatalf("found %+v, %v: wanted the device's own", place, err)
	}
	r, err := readRepository(place, stamp, func(q Raw) ([]byte, error) {
		if q.NetFn != netSensor || q.Cmd != 0x21 && q.Cmd != 0x22 {
			t.Errorf("asked %+v: wanted Get Device SDR and its reservation only", q)
		}
		return s.ask(Raw{netStorage, map[byte]byte{0x21: 0x23, 0x22: 0x22}[q.Cmd], q.Data})
	})
	if all, _ := r.sensors(); err != nil || len(all) != 1 {
		t.Errorf("read %+v, %v: wanted one sensor", all, err)
	}
}

// TestReadSensors: what a BMC says of one sensor ends nothing; a BMC that is silent ends it all.
func TestReadSensors(t *testing.T) {
	all := []sensor{{name: "a", owner: 0x20, number: 1, reading: 1, full: true}, {name: "b", owner: 0x22, number: 2, reading: 1}, {name: "c", owner: 0x20, lun: 2, number: 3, reading: 0x6f}}
	var asked []Raw
	got, err := readSensors(all, func(q Raw) ([]byte, error) {
		asked = append(asked, q)
		if q.Data[0] == 1 {
			return nil, codeError(0xcb)
		}
		return []byte{0, 0xc0, 1, 0x80}, nil
	})
	if err != nil || len(got) != 3 || got[0].Known || got[1].Known || !got[2].Known {
		t.Errorf("read %+v, %v: wanted a reading of c only", got, err)
	}
	if len(asked) != 2 || asked[1].NetFn != 0x84 || asked[1].Data[0] != 3 { // nobody asks across a bridge
		t.Errorf("asked %+v: wanted sensors 1 and, on LUN 2, 3", asked)
	}
	silent := errors.New("no answer")
	if got, err := readSensors(all, func(Raw) ([]byte, error) { return nil, silent }); !errors.Is(err, silent) || got != nil {
		t.Errorf("read %+v, %v of a silent BMC", got, err)
	}
	b := make([]byte, 16)
	if n := putMessage(b, onLUN(netSensor, 2), 0x2d, 1, []byte{3}); n != 8 || b[1] != netSensor<<2|2 || checksum(b[:3]) != 0 {
		t.Errorf("the message for LUN 2 is % x", b[:n])
	}
	if !slices.Equal([]byte{b[6]}, []byte{3}) {
		t.Errorf("its data is % x", b[6])
	}
}

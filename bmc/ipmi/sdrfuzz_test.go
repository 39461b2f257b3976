// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"encoding/json"
	"errors"
	"math"
	"testing"
	"unicode/utf8"

	"ferrite/bmc"
)

// tape is a BMC whose answers are read from a tape, over and over: a completion code, a length, and so many bytes. With
// keep, the header of each record is a good one, so that what lies behind it is reached too.
type tape struct {
	bytes []byte
	at    int
	asked int
	keep  bool
}

func (p *tape) next() byte {
	if len(p.bytes) == 0 {
		return 0
	}
	b := p.bytes[p.at%len(p.bytes)]
	p.at++
	return b
}

func (p *tape) ask(q Raw) ([]byte, error) {
	p.asked++
	if code := p.next(); code != 0 && code&1 == 1 {
		return nil, codeError(code)
	}
	n := int(p.next())
	if p.keep && len(q.Data) == 6 { // as much as was asked for, behind the next record's number
		n = 2 + int(q.Data[5])
	}
	d := make([]byte, n)
	for i := range d {
		d[i] = p.next()
	}
	if p.keep && len(q.Data) == 6 && q.Data[4] == 0 && n == 2+sdrHeader {
		d[0], d[1] = q.Data[2]+1, q.Data[3]
		d[5] = 1 + d[5]&1
	}
	return d, nil
}

// sane wants sensors that can be told: finite numbers, text that is UTF-8 without control characters, a few fields.
func sane(t *testing.T, all []bmc.Sensor) {
	t.Helper()
	text := func(s string) {
		if !utf8.ValidString(s) {
			t.Fatalf("%q is no text", s)
		}
		for _, r := range s {
			if r < ' ' || r == 0x7f {
				t.Fatalf("%q has a control character", s)
			}
		}
	}
	for _, s := range all {
		if math.IsNaN(s.Value) || math.IsInf(s.Value, 0) || !s.Known && s.Value != 0 {
			t.Fatalf("%s has the value %v, known %v", s.ID, s.Value, s.Known)
		}
		if len(s.Fields) > 32 || len(s.States) > 15 || len(s.ID) > 160 {
			t.Fatalf("%s has %d fields and %d states", s.ID, len(s.Fields), len(s.States))
		}
		for _, f := range s.Fields {
			text(f.Name)
			text(f.Value)
			if len(f.Value) > 160 {
				t.Fatalf("%s: %s has %d bytes", s.ID, f.Name, len(f.Value))
			}
		}
		if _, err := json.Marshal(s); err != nil {
			t.Fatal(err)
		}
	}
}

// FuzzSDR reads sensor records: the bytes as one record with a reading of it, and as all answers of a BMC. Nothing
// panics, the commands sent and the memory kept are bounded, and every value can be told.
func FuzzSDR(f *testing.F) {
	f.Add(fullRecord(1, nil))
	f.Add(fullRecord(1, func(b []byte) { b[23], b[20] = 7, 0x80 }))
	f.Add(fullRecord(1, func(b []byte) { b[23] = 0x70 }))
	f.Add(compactRecord(2, "Fan", 0x1f, 0xff))
	f.Add([]byte{0, 0, 0x51, 1, 255})
	f.Add([]byte{0, 14, 0x51, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11})
	f.Add([]byte{0xc5, 0, 2, 1, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4096 {
			return
		}
		sensors, err := parseSensors(data)
		if err != nil && len(sensors) > 0 || len(sensors) > 15 {
			t.Fatalf("%x gives %d sensors, %v", data, len(sensors), err)
		}
		for i := range sensors {
			for _, reading := range [][]byte{nil, {1}, data, {0x80, 0xc0, 0xff, 0xff}, {7, 0x40}} {
				sane(t, []bmc.Sensor{sensors[i].read(reading)})
			}
		}
		for _, keep := range []bool{false, true} {
			p := &tape{bytes: data, keep: keep}
			place, stamp, err := sdrPlace(p.ask)
			if err != nil {
				continue
			}
			r, err := readRepository(place, stamp, p.ask)
			if p.asked > maxAsked+2 || len(r.image) > maxImage {
				t.Fatalf("%d commands were sent and %d bytes kept", p.asked, len(r.image))
			}
			if c := completion(0); err != nil && !errors.Is(err, errNonsense) && !errors.As(err, &c) && !errors.Is(err, errPrivilege) {
				t.Fatalf("the walk ended with %v", err)
			}
			if err != nil && r.image != "" {
				t.Fatalf("%v, and yet %d bytes are kept", err, len(r.image))
			}
			all, _ := r.sensors()
			before := p.asked
			got, _ := readSensors(all, p.ask)
			if p.asked-before > 2*len(all) || len(all) > maxSensors {
				t.Fatalf("%d sensors took %d commands", len(all), p.asked-before)
			}
			sane(t, got[:min(len(got), 200)])
		}
	})
}

// FuzzSEL reads an event log: the bytes as one entry, and as all answers of a BMC.
func FuzzSEL(f *testing.F) {
	f.Add([]byte{1, 0, 2, 0, 0, 0, 0x60, 0x20, 0, 4, 1, 1, 1, 0x59, 0x30, 0x53}, 0)
	f.Add([]byte{0, 14, 0x51, 3, 0, 0, 18, 2, 0, 1, 0, 0xc1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}, 2)
	f.Add([]byte{0, 3, 0x51, 1, 0, 0, 18, 0xff, 0xff, 1, 0, 0xe0}, -1)
	f.Add([]byte{0xcb}, 0)
	f.Fuzz(func(t *testing.T, data []byte, limit int) {
		if len(data) > 4096 {
			return
		}
		var one [selEntry]byte
		copy(one[:], data)
		entries := [][selEntry]byte{one}
		p := &tape{bytes: data}
		more, err := readEvents(p.ask, limit)
		if p.asked > maxEvents+2 || len(more) > maxEvents || limit > 0 && len(more) > limit || err != nil && more != nil {
			t.Fatalf("%d commands gave %d events, %v: at most %d were wanted", p.asked, len(more), err, limit)
		}
		for _, entry := range append(entries, more[:min(len(more), 100)]...) {
			e := parseEvent(entry, map[byte]string{1: "Temp"})
			if len(e.Data) > 13 || e.Record >= oemUntimed && !e.Time.IsZero() || e.Record == systemKind && len(e.Data) != 3 {
				t.Fatalf("%x is read as %+v", entry, e)
			}
			if _, err := json.Marshal(e); err != nil {
				t.Fatal(err)
			}
		}
	})
}

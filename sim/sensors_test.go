// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"bytes"
	"strings"
	"testing"
)

// TestSDRCommands: reservations, parts and their limits (IPMI 33.9 to 33.12).
func TestSDRCommands(t *testing.T) {
	f := start(t, func(c *Config) { c.SDRChunk = 20 })
	c := newConsole(t, f, 0, 17).login().admin()
	info := c.want(0, 0xa, 0x20)
	if n := int(info[1]) | int(info[2])<<8; n != len(standard.records) || len(info) != 14 {
		t.Errorf("repository info % x: wanted %d records", info, len(standard.records))
	}
	r := c.want(0, 0xa, 0x22)
	head := c.want(0, 0xa, 0x23, 0, 0, 0, 0, 0, 5) // a header needs no reservation
	if head[0] != 1 || head[1] != 0 || !bytes.Equal(head[2:], standard.records[0][:5]) {
		t.Errorf("the first header is % x", head)
	}
	if part := c.want(0, 0xa, 0x23, r[0], r[1], 0, 0, 5, 20); !bytes.Equal(part[2:], standard.records[0][5:25]) {
		t.Errorf("the first part is % x", part)
	}
	c.want(0xca, 0xa, 0x23, r[0], r[1], 0, 0, 5, 21)
	c.want(0xc5, 0xa, 0x23, r[0]^1, r[1], 0, 0, 5, 8)
	c.want(0xcb, 0xa, 0x23, 0, 0, 99, 0, 0, 5)
	c.want(0xc9, 0xa, 0x23, r[0], r[1], 0, 0, 200, 8)
	if last := c.want(0, 0xa, 0x23, 0, 0, 0xff, 0xff, 0, 5); last[0] != 0xff || last[1] != 0xff {
		t.Errorf("behind the last record comes % x", last[:2])
	}
	f.BMC(0).CancelReservations()
	c.want(0xc5, 0xa, 0x23, r[0], r[1], 0, 0, 5, 8)
	f.BMC(0).SetSensors([]Sensor{{Name: "One", Number: 1, Reading: 1, M: 1, Raw: 7}})
	if changed := c.want(0, 0xa, 0x20); bytes.Equal(changed, info) || changed[1] != 1 {
		t.Errorf("after a change the repository says % x as before", changed)
	}
	c.want(0xcb, 4, 0x2d, 0x30)
	if reading := c.want(0, 4, 0x2d, 1); !bytes.Equal(reading, []byte{7, 0xc0, 0xc0}) {
		t.Errorf("the reading is % x", reading)
	}
	if !f.BMC(0).Change(1, func(s *Sensor) { s.Raw = 9 }) || f.BMC(0).Change(2, func(*Sensor) {}) {
		t.Error("Change found the wrong sensor")
	}
	if reading := c.want(0, 4, 0x2d, 1); reading[0] != 9 {
		t.Errorf("the changed reading is % x", reading)
	}
	if other := newConsole(t, f, 1, 17).login().want(0, 4, 0x2d, 0x30); other[0] != 57 {
		t.Errorf("another machine's reading changed too: % x", other)
	}
}

// TestSensorTools: ipmitool reads sensors, logs and clears, and lights the machine.
func TestSensorTools(t *testing.T) {
	f := start(t, nil)
	f.BMC(1).LogEvent(2, [13]byte{4: 0x20, 6: 4, 7: 1, 8: 5, 9: 1, 10: 0x59, 11: 0x30, 12: 0x2f})
	for _, step := range []struct{ args, want string }{
		{"sdr", "6840 RPM"},
		{"sensor get Fan1B", "At or Below|Lower Critical|360"},
		{"sdr info", "Record Count"},
		{"sel elist", "Upper Critical going high"},
		{"sel info", "Entries          : 1"},
		{"sel clear", "Clearing SEL"},
		{"sel list", "SEL has no entries"},
		{"chassis identify 200", "200 seconds"},
	} {
		out, _ := ipmitool(t, f, 1, "17", "password", strings.Fields(step.args)...)
		if !oneOf(out, step.want) {
			t.Errorf("ipmitool %s:\n%s", step.args, out)
		}
	}
	if !f.BMC(1).Light() || f.BMC(0).Light() {
		t.Errorf("lights are on: %v, and of another machine %v", f.BMC(1).Light(), f.BMC(0).Light())
	}
}

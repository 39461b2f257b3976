// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// logbook is a BMC with an event log.
type logbook struct {
	entries [][16]byte
	next    func(i int) uint16
	asked   int
}

func (l *logbook) ask(q Raw) ([]byte, error) {
	l.asked++
	n := len(l.entries)
	switch q.Cmd {
	case cmdSELInfo:
		return []byte{0x51, byte(n), byte(n >> 8), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}, nil //nolint:gosec // a test's
	case cmdSELEntry:
		if len(q.Data) != 6 || binary.LittleEndian.Uint16(q.Data) != 0 || q.Data[4] != 0 || q.Data[5] != 0xff {
			return nil, codeError(0xcc)
		}
		i := int(binary.LittleEndian.Uint16(q.Data[2:]))
		if i >= n {
			return nil, codeError(0xcb)
		}
		return append(binary.LittleEndian.AppendUint16(nil, l.next(i)), l.entries[i][:]...), nil
	}
	return nil, codeError(0xc1)
}

func newLogbook(n int) *logbook {
	l := &logbook{entries: make([][16]byte, n)}
	for i := range l.entries {
		binary.LittleEndian.PutUint16(l.entries[i][:], uint16(i)) //nolint:gosec // a test's
		l.entries[i][2] = systemKind
	}
	l.next = func(i int) uint16 {
		if i == n-1 {
			return lastRecord
		}
		return uint16(i + 1) //nolint:gosec // a test's
	}
	return l
}

func TestEventLog(t *testing.T) {
	for _, x := range []struct{ entries, limit, want, first int }{{0, 0, 0, 0}, {1, 0, 1, 0}, {9, 0, 9, 0}, {9, 3, 3, 6}, {9, 20, 9, 0}} {
		l := newLogbook(x.entries)
		got, err := readEvents(l.ask, x.limit)
		if err != nil || len(got) != x.want || x.want > 0 && int(got[0][0]) != x.first {
			t.Errorf("of %d events with limit %d it read %d, %v: wanted %d from %d on", x.entries, x.limit, len(got), err, x.want, x.first)
		}
	}
	for name, next := range map[string]func(int) uint16{
		"a ring":      func(i int) uint16 { return uint16(i+1) % 4 }, //nolint:gosec // a test's
		"itself":      func(i int) uint16 { return uint16(i) },       //nolint:gosec // a test's
		"without end": func(i int) uint16 { return uint16(i + 1) },   //nolint:gosec // a test's
	} {
		n := 4
		if name == "without end" {
			n = 3 * maxEvents
		}
		l := newLogbook(n)
		l.next = next
		if got, err := readEvents(l.ask, 0); !errors.Is(err, errNonsense) || l.asked > maxEvents+2 {
			t.Errorf("%s: %d events, %v, after %d commands: wanted an error that says it is nonsense", name, len(got), err, l.asked)
		}
	}
}

// TestEvents reads a machine's log and compares it with what ipmitool and FreeIPMI say.
func TestEvents(t *testing.T) {
	f, e := fleet(t, nil), engine(t, patient())
	b := f.BMC(0)
	at0, d := at(f.Addr(0)), e.Driver()
	if got, err := d.Events.Events(t.Context(), at0, 0); err != nil || len(got) != 0 {
		t.Fatalf("an empty log has %+v, %v", got, err)
	}
	at1 := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	entry := func(more ...byte) (x [13]byte) {
		binary.LittleEndian.PutUint32(x[:], uint32(at1.Unix())) //nolint:gosec // until 2106
		copy(x[4:], more)
		return x
	}
	b.LogEvent(0x02, entry(0x20, 0, 4, 1, 5, 0x01, 0x59, 0x30, 0x2f))
	b.LogEvent(0x02, entry(0x20, 0, 4, 8, 0x85, 0x6f, 0x03, 0xff, 0xff))
	b.LogEvent(0x02, entry(0x20, 0, 4, 8, 0x85, 0xef, 0x03, 0xff, 0xff))
	b.LogEvent(0xc1, entry(1, 2, 3, 4, 5, 6, 7, 8, 9))
	b.LogEvent(0xe1, [13]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13})
	if _, err := d.Sensors.Sensors(t.Context(), at0); err != nil { // from now on their names are known
		t.Fatal(err)
	}
	got, err := d.Events.Events(t.Context(), at0, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range got {
		all = append(all, fmt.Sprintf("%d %02x %s|%s|%s|%s|%v|%x", e.ID, e.Record, e.Time.Format(time.DateTime), e.Sensor, e.Type, e.Text, e.Deassert, e.Data))
	}
	const when = "2026-03-04 05:06:07"
	want := []string{
		"1 02 " + when + "|Inlet Temp (0x5)|Temperature|Upper Critical - going high|false|59302f",
		"2 02 " + when + "|Status (0x85)|Power Supply|Power Supply input lost (AC/DC)|false|03ffff",
		"3 02 " + when + "|Status (0x85)|Power Supply|Power Supply input lost (AC/DC)|true|03ffff",
		"4 c1 " + when + "||||false|010203040506070809",
		"5 e1 0001-01-01 00:00:00||||false|0102030405060708090a0b0c0d",
	}
	if strings.Join(all, "\n") != strings.Join(want, "\n") {
		t.Errorf("the log is read as\n%s\nwanted\n%s", strings.Join(all, "\n"), strings.Join(want, "\n"))
	}
	out := ipmitool(t, f.Addr(0), "password", "sel", "elist")
	for i, words := range [][]string{{"03/04/26", "05:06:07", "Temperature Inlet Temp", "Upper Critical going high", "Asserted"}, {"Power Supply Status", "AC lost", "Asserted"}, {"AC lost", "Deasserted"}, {"OEM record c1", "030201", "040506070809"}, {"OEM record e1"}} {
		line := strings.Split(out, "\n")[i]
		for _, w := range words {
			if !strings.Contains(line, w) {
				t.Errorf("ipmitool reads event %d as %q: wanted %q in it", i+1, line, w)
			}
		}
	}
	free := tool(t, "freeipmi-tools", "ipmi-sel", "-D", "LAN_2_0", "-h", f.Addr(0).String(), "-u", "admin", "-p", "password", "-I", "17",
		"--sdr-cache-directory="+t.TempDir(), "--quiet-cache", "--comma-separated-output", "--no-header-output")
	for i, line := range strings.Split(strings.TrimSpace(free), "\n") {
		if e := got[i]; e.Record == systemKind && (!strings.Contains(line, ","+e.Type+",") || !strings.Contains(line, e.Text) || !strings.Contains(line, ","+strings.Split(e.Sensor, " (")[0]+",")) {
			t.Errorf("FreeIPMI reads event %d as %q, we as %+v", i+1, line, e)
		}
	}
	if got, err := d.Events.Events(t.Context(), at0, 2); err != nil || len(got) != 2 || got[0].ID != 4 {
		t.Errorf("the newest two are %+v, %v", got, err)
	}
}

func TestEventTimes(t *testing.T) {
	for s, want := range map[uint32]time.Time{0: {}, 0xffffffff: {}, 0x20000000: {}, 0x20000001: time.Unix(0x20000001, 0).UTC()} {
		if got := eventTime(s); !got.Equal(want) {
			t.Errorf("%08x is %s: wanted %s", s, got, want)
		}
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"ferrite/notify"
)

func TestScreenKeepsItsLineBelowWhatIsWritten(t *testing.T) {
	var b bytes.Buffer
	s := &screen{w: &b, live: true}
	s.Status("one")
	fmt.Fprintln(s, "news")
	s.Status("two")
	s.Leave()
	fmt.Fprintln(s, "bye")
	const erase = "\r\x1b[K"
	if want := "one" + erase + "news\none" + erase + "two" + erase + "bye\n"; b.String() != want {
		t.Errorf("%q, wanted %q", b.String(), want)
	}
}

func TestScreenOffATerminalWritesLines(t *testing.T) {
	var b bytes.Buffer
	s := newScreen(&b)
	s.Status("one")
	fmt.Fprintln(s, "news")
	s.Status("two")
	s.Leave()
	if b.String() != "one\nnews\ntwo\n" || s.Live() {
		t.Errorf("%q", b.String())
	}
}

type finished struct{}

func (finished) Write([]byte) (int, error) { return 0, errors.New("done") }

func TestScreenWritesThroughAProgressBarUntilItIsDone(t *testing.T) {
	var b, bar bytes.Buffer
	s := &screen{w: &b, live: true}
	s.Through(&bar)
	fmt.Fprint(s, "1\n")
	s.Through(finished{})
	fmt.Fprint(s, "2\n")
	s.Through(nil)
	fmt.Fprint(s, "3\n")
	if bar.String() != "1\n" || b.String() != "2\n3\n" {
		t.Errorf("%q and %q", bar.String(), b.String())
	}
}

func TestCutCountsCharacters(t *testing.T) {
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{{"häuser", 3, "häu"}, {"ab", 2, "ab"}, {"ab", 0, "ab"}} {
		if got := cut(c.in, c.n); got != c.want {
			t.Errorf("cut(%q, %d) = %q", c.in, c.n, got)
		}
	}
}

func TestConsoleLogIsOneReadableLine(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(newConsole(&b, slog.LevelInfo, false)).With("node", "1be2").WithGroup("bmc")
	log.Debug("hidden")
	log.Warn("it failed\nbadly", "error", errors.New("no answer"), "try", 3, slog.Group("from", "host", "a"), "empty", "")
	got := b.String()
	if i := strings.Index(got, " "); i != len("15:04:05") {
		t.Fatalf("%q", got)
	}
	if want := " WARN  it failed badly node=1be2 bmc.error=\"no answer\" bmc.try=3 bmc.from.host=a bmc.empty=\"\"\n"; got[8:] != want {
		t.Errorf("%q, wanted %q", got[8:], want)
	}
}

func TestConsoleLogCannotDriveTheTerminal(t *testing.T) {
	var b bytes.Buffer
	slog.New(newConsole(&b, slog.LevelInfo, false)).Info("a\x1b[2Jb", "k", "\x1b]0;x\x07")
	if strings.ContainsAny(b.String(), "\x1b\x07") {
		t.Errorf("%q", b.String())
	}
}

func TestLoggerOffATerminalIsJSON(t *testing.T) {
	var b bytes.Buffer
	newLogger(&b, slog.LevelInfo).Info("ready", "api", "x")
	if !strings.HasPrefix(b.String(), `{"time":`) || !strings.Contains(b.String(), `"api":"x"`) {
		t.Errorf("%s", b.String())
	}
}

func TestEventLine(t *testing.T) {
	at := time.Date(2026, 11, 21, 5, 6, 7, 89_000_000, time.Local)
	cases := []struct {
		event string
		data  map[string]any
		want  string
	}{
		{"node.power_set.start", map[string]any{"name": "r01n01", "to_power": "power on"}, "r01n01       node.power_set.start               to power on"},
		{"node.power_set.error", map[string]any{"name": "r01n01", "to_power": "power on", "last_error": "no answer"}, "r01n01       node.power_set.error               to power on: no answer"},
		{"node.power_state_corrected.success", map[string]any{"uuid": "u1", "from_power": nil, "power_state": "power off"}, "u1           node.power_state_corrected.success unknown -> power off"},
		{"node.power_state_corrected.success", map[string]any{"name": "n", "from_power": "power on", "power_state": nil}, "n            node.power_state_corrected.success power on -> unknown"},
		{"node.provision_set.end", map[string]any{"name": "n", "previous_provision_state": "verifying", "provision_state": "manageable", "event": "done", "last_error": "old"}, "n            node.provision_set.end             verifying -> manageable by done"},
		{"node.maintenance_set.end", map[string]any{"name": "n", "maintenance": true, "maintenance_reason": "a fan"}, "n            node.maintenance_set.end           on: a fan"},
		{"node.maintenance_set.end", map[string]any{"name": "n", "maintenance": false}, "n            node.maintenance_set.end           off"},
		{"port.create.end", map[string]any{"uuid": "p", "address": "52:54:00:00:00:01"}, "p            port.create.end                    52:54:00:00:00:01"},
		{"chassis.delete.end", map[string]any{"name": "evil\x1b[2J"}, "evil [2J     chassis.delete.end"},
		{"odd", map[string]any{}, "             odd"},
	}
	for _, c := range cases {
		got := eventLine(notify.Heard{Event: "baremetal." + c.event, At: at, Data: c.data}, false)
		if want := "05:06:07.089  " + c.want; got != want {
			t.Errorf("%s:\n%q, wanted\n%q", c.event, got, want)
		}
	}
	subnet := map[string]any{"subnet": "192.0.2.0/24", "nodes": 24.0, "failing": 9.0, "text": "it is the network"}
	if got, want := eventLine(notify.Heard{Event: "ferrite.bmc_subnet.down", At: at, Data: subnet}, false), "05:06:07.089  192.0.2.0/24 bmc_subnet.down                    9 of 24 BMCs fail: it is the network"; got != want {
		t.Errorf("%q, wanted\n%q", got, want)
	}
	if got := eventLine(notify.Heard{Event: "baremetal.node.power_set.error", At: at, Data: nil}, true); !strings.Contains(got, "\x1b[31m") {
		t.Errorf("an error is not red: %q", got)
	}
}

func TestRateIsOverAWindow(t *testing.T) {
	var r rate
	t0 := time.Unix(100, 0)
	if v := r.add(t0, 1000); v != 0 {
		t.Errorf("from one reading: %v", v)
	}
	for i := 1; i <= 60; i++ {
		n := uint64(1000 + 40*i)
		if i > 30 {
			n = 1000 + 40*30
		}
		v := r.add(t0.Add(time.Duration(i)*time.Second), n)
		if i <= 30 && v != 40 || i > 36 && v != 0 {
			t.Errorf("after %d s: %v", i, v)
		}
	}
	if len(r.seen) > 8 {
		t.Errorf("%d readings kept", len(r.seen))
	}
}

func TestCountsPutsMostFirst(t *testing.T) {
	if got := counts(map[string]int{"b": 2, "a": 2, "z": 9}); got != "z 9, a 2, b 2" {
		t.Error(got)
	}
}

func TestOneLine(t *testing.T) {
	if got := oneLine(errors.Join(errors.New("a"), errors.New("b"))); got != "a; b" {
		t.Error(got)
	}
}

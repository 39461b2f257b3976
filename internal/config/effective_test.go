// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"
)

func TestEffectiveListsAllInOrder(t *testing.T) {
	rows := mustLoad(t, []string{"--sync-power-state-interval=0"}, nil, "").Effective()
	if len(rows) != len(Options) {
		t.Fatalf("%d rows, wanted %d", len(rows), len(Options))
	}
	for i, o := range Options {
		r := rows[i]
		if r.Key != o.Key {
			t.Fatalf("row %d is %s, wanted %s", i, r.Key, o.Key)
		}
		if o.Note != "" && r.Note != o.Note {
			t.Errorf("%s: note %q, wanted %q", r.Key, r.Note, o.Note)
		}
		if r.Key == "sync_power_state_interval" && (r.Value != "0s" || r.Note != "no power sync") {
			t.Errorf("got %+v, wanted that 0 is no power sync", r)
		}
	}
}

// TestEffectiveIsAFile: its keys and values, taken as a file, give the same settings.
func TestEffectiveIsAFile(t *testing.T) {
	args := []string{"--nats-url=nats://n:4222", "--ipmi-cipher-suite-versions=3,17", "--ipmi-min-command-interval=0.5", "--insecure"}
	want := mustLoad(t, args, nil, "").Effective()
	var file strings.Builder
	for _, r := range want {
		file.WriteString(r.Key + ": \"" + r.Value + "\"\n")
	}
	got := mustLoad(t, nil, nil, file.String()).Effective()
	for i := range want {
		if got[i].Value != want[i].Value {
			t.Errorf("%s is %q, wanted %q", want[i].Key, got[i].Value, want[i].Value)
		}
	}
}

func TestNotesTellOfGivenOptionsAlone(t *testing.T) {
	if notes := mustLoad(t, nil, nil, "").Notes(); len(notes) != 0 {
		t.Errorf("notes without any setting: %q", notes)
	}
	notes := mustLoad(t, []string{"--periodic-max-workers=9", "--log-level=debug"}, []string{"FERRITE_IPMI_DEBUG=1"}, "").Notes()
	want := []string{"ipmi.debug has no effect: " + noTool, "periodic_max_workers has no effect: " + noWorkers}
	if strings.Join(notes, "\n") != strings.Join(want, "\n") {
		t.Errorf("got  %q\nwant %q", notes, want)
	}
}

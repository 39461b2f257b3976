// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
)

// Who names nodes is told which of them are not there; the others are printed, and what is hidden by a filter is there.
func TestNodeListNamesWhatIsNotThere(t *testing.T) {
	f := newFakeAPI(t, 12)
	f.power[1] = "power on"
	for _, row := range []struct {
		args    string
		printed []string // names on stdout
		missing string   // in the error, "" = none
	}{
		{"n[0001-0003]", []string{"n0001", "n0002", "n0003"}, ""},
		{"nope n[0011-0014]", []string{"n0011", "n0012"}, "3 of 5: n[0013-0014],nope"},
		{"n[0001-0003] --power-state on", []string{"n0002"}, ""},
		{"n[0001-0003],zzz --power-state off --fold", []string{"n[0001,0003]"}, "1 of 4: zzz"},
		{"n0001 n0099 --provision-state active --driver ipmi -o json", nil, "1 of 2: n0099"},
		{"n0001 --provision-state available --maintenance=false -o yaml --fields name", []string{"- name: n0001"}, ""},
		{"00000000-0000-4000-8000-000000000004 x", []string{"n0004"}, "1 of 2: x"},
		{"nope -o json", nil, "1 of 1: nope"},
	} {
		code, out, errOut := ferrite(append([]string{"node", "list"}, strings.Fields(row.args)...)...)
		if (code == 0) != (row.missing == "") || code == exitUsage || row.missing != "" && !strings.Contains(errOut, row.missing+"\n") {
			t.Errorf("%s ends with %d and %q, wanted %q", row.args, code, errOut, row.missing)
		}
		for _, name := range row.printed {
			if !strings.Contains(out, name) {
				t.Errorf("%s: wanted %s in\n%s", row.args, name, out)
			}
		}
		if strings.Contains(row.args, "json") && !json.Valid([]byte(out)) || strings.Count(out, "n0") > len(row.printed)+1 {
			t.Errorf("%s prints more than wanted:\n%s", row.args, out)
		}
	}
}

func TestNodeListSorts(t *testing.T) {
	f := newFakeAPI(t, 3)
	if code, _, errOut := ferrite("node", "list", "--sort", "name:desc"); code != 0 || f.asked.Get("sort_key") != "name" || f.asked.Get("sort_dir") != "desc" {
		t.Errorf("%d %s: asked for %v", code, errOut, f.asked)
	}
	if code, _, errOut := ferrite("node", "list", "--sort", "name:up"); code != exitUsage || !strings.Contains(errOut, "FIELD:desc") {
		t.Errorf("%d %s", code, errOut)
	}
}

// TestNodeShowWatchPrintsChanges off a terminal: the node, then a line for each field that changes, until it is gone.
func TestNodeShowWatchPrintsChanges(t *testing.T) {
	f := newFakeAPI(t, 1)
	w := watch(t, "node", "show", "n0001", "--watch", "--interval", "100ms")
	w.read("power_state         power off\n")
	w.read("power_confirmed_at  1970-01-01T00:00:01Z\n")
	f.mu.Lock()
	f.power[0] = "power on"
	f.mu.Unlock()
	w.read("  power_state  power off -> power on\n")
	if strings.Contains(w.text, "power_confirmed_at  1970-01-01T00:00:01Z -> ") {
		t.Error("that a power state was confirmed again is no change")
	}
	f.mu.Lock()
	f.power = nil
	f.mu.Unlock()
	if err := w.end(); err == nil || !strings.Contains(err.Error(), "could not be found") {
		t.Errorf("a node that is gone ends it with %v", err)
	}
	if code, _, _ := ferrite("node", "show", "n0001", "--watch", "-o", "json"); code != exitUsage {
		t.Errorf("--watch -o json ends with %d", code)
	}
}

// --watch waits, and tells what becomes of each node on the way; programs get their document alone on stdout.
func TestNodePowerWatchTellsChanges(t *testing.T) {
	f := newFakeAPI(t, 12)
	f.slow = 2
	code, out, errOut := ferrite("node", "power", "on", "n[0009-0010]", "--watch", "-o", "json")
	var got []ending
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitFailed || len(got) != 2 || !got[0].OK || got[1].OK {
		t.Fatalf("%d %v: %s", code, err, out)
	}
	for _, want := range []string{"  n0009  off -> on, available\n", "  n0009  on, available\n", "  n0009  power on\n", "  n0010  off, available\n", "  n0010  failed: "} {
		if strings.Count(errOut, want) != 1 {
			t.Errorf("wanted %q once in\n%s", want, errOut)
		}
	}
	if code, _, errOut := ferrite("node", "provision", "abort", "n0001", "--watch"); code != exitUsage || !strings.Contains(errOut, "cannot wait") {
		t.Errorf("%d %s", code, errOut)
	}
}

func TestNodeMaintenance(t *testing.T) {
	f := newFakeAPI(t, 3)
	code, out, errOut := ferrite("node", "maintenance", "on", "n[0001-0002]", "--reason", "fan")
	if code != 0 || out != "maintenance on: n[0001-0002]\n" || f.maintenance != 2 {
		t.Errorf("%d %s%s, %d are in maintenance", code, out, errOut, f.maintenance)
	}
	if code, out, _ := ferrite("node", "maintenance", "off", "n0001", "-o", "yaml"); code != 0 || out != "- node: n0001\n  ok: true\n  end: maintenance off\n" || f.maintenance != 1 {
		t.Errorf("%d %q, %d are in maintenance", code, out, f.maintenance)
	}
}

// watched is a command that goes on, and what it has printed so far.
type watched struct {
	t      *testing.T
	cancel context.CancelFunc
	out    *io.PipeReader
	text   string
	done   chan error
}

func watch(t *testing.T, args ...string) *watched {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	r, out := io.Pipe()
	w := &watched{t: t, cancel: cancel, out: r, done: make(chan error, 1)}
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(io.Discard)
	go func() { w.done <- root.ExecuteContext(ctx); _ = out.Close() }()
	return w
}

// read waits until the command has printed something.
func (w *watched) read(want string) {
	w.t.Helper()
	buf := make([]byte, 1024)
	for !strings.Contains(w.text, want) {
		n, err := w.out.Read(buf)
		if w.text += string(buf[:n]); err != nil {
			w.t.Fatalf("wanted %q, found %q: %v", want, w.text, err)
		}
	}
}

// end takes what is still printed, until the command has ended.
func (w *watched) end() error {
	go func() { _, _ = io.Copy(io.Discard, w.out) }()
	return <-w.done
}

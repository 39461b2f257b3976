// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fakeAPI is as much of the API as "ferrite node" needs: nodes n0001... whose power changes at once, except every tenth's.
type fakeAPI struct {
	mu    sync.Mutex // guards the fields below
	power []string
	pages int
	asked url.Values  // of the last list
	slow  int         // looks at a node until its power has changed
	under map[int]int // looks that are left, by node

	maintenance int // nodes in it

	confirmed bool // the request is one for Ferrite's own fields
	age       int

	busy atomic.Int64
	most atomic.Int64 // power requests at the same time
}

func newFakeAPI(t *testing.T, nodes int) *fakeAPI {
	f := &fakeAPI{power: make([]string, nodes), under: map[int]int{}}
	for i := range f.power {
		f.power[i] = "power off"
	}
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	t.Setenv("FERRITE_API", s.URL)
	return f
}

func (f *fakeAPI) node(i int) map[string]any {
	n := map[string]any{
		"uuid": fmt.Sprintf("00000000-0000-4000-8000-%012d", i+1), "name": fmt.Sprintf("n%04d", i+1), "power_state": f.power[i],
		"provision_state": "available", "maintenance": false, "instance_uuid": nil,
	}
	if f.confirmed {
		f.age++ // every look finds a newer reading
		n["power_confirmed_at"] = time.Unix(int64(f.age), 0).UTC().Format(time.RFC3339)
		if strings.Contains(f.asked.Get("fields"), "sensor_health") {
			n["sensor_health"], n["sensor_health_sensors"] = "critical", []string{"Fan (0x1)"}
		}
	}
	if (i+1)%10 == 0 && f.power[i] == "power off" {
		n["last_error"] = "the BMC does not answer"
	}
	return n
}

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut {
		f.most.Store(max(f.most.Load(), f.busy.Add(1)))
		defer f.busy.Add(-1)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.confirmed = r.Header.Get("Ferrite-Extensions") == "1"
	path := strings.TrimPrefix(r.URL.Path, "/v1/nodes")
	if path == "" {
		f.asked = r.URL.Query()
		const page = 1000
		f.pages++
		from, _ := strconv.Atoi(r.URL.Query().Get("marker"))
		var out []any
		for i := from; i < min(from+page, len(f.power)); i++ {
			out = append(out, f.node(i))
		}
		doc := map[string]any{"nodes": out}
		if from+page < len(f.power) {
			doc["next"] = fmt.Sprintf("http://elsewhere/v1/nodes?marker=%d", from+page)
		}
		_ = json.NewEncoder(w).Encode(doc)
		return
	}
	ident, what, _ := strings.Cut(path[1:], "/")
	i, err := strconv.Atoi(strings.TrimPrefix(ident, "n"))
	if i--; err != nil || i < 0 || i >= len(f.power) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"error_message":"{\"faultstring\":\"Node `+ident+` could not be found.\"}"}`)
		return
	}
	if what == "maintenance" {
		f.maintenance += map[string]int{http.MethodPut: 1, http.MethodDelete: -1}[r.Method]
		w.WriteHeader(http.StatusAccepted)
		return
	}
	if r.Method == http.MethodPut {
		f.under[i] = f.slow
		var b struct{ Target string }
		_ = json.NewDecoder(r.Body).Decode(&b)
		if (i+1)%10 != 0 {
			f.power[i] = b.Target
		}
		w.WriteHeader(http.StatusAccepted)
		return
	}
	n := f.node(i)
	if f.under[i]--; f.under[i] >= 0 && n["power_state"] == "power on" {
		n["power_state"], n["target_power_state"], n["reservation"] = "power off", "power on", "c1"
	}
	_ = json.NewEncoder(w).Encode(n)
}

func ferrite(args ...string) (code int, out, errOut string) {
	var o, e bytes.Buffer
	code = run(args, &o, &e)
	return code, o.String(), e.String()
}

func TestNodeListOfManyPages(t *testing.T) {
	const nodes = 2500
	f := newFakeAPI(t, nodes)
	f.power[1] = "power on"
	code, out, errOut := ferrite("node", "list")
	if lines := strings.Count(out, "\n"); code != 0 || lines != nodes+1 || strings.Count(out, "Power State") != 1 || f.pages != 3 {
		t.Errorf("%d %s: %d lines, %d pages", code, errOut, lines, f.pages)
	}
	code, out, _ = ferrite("node", "list", "--fold")
	if want := "n[0001,0003-2500]"; code != 0 || !strings.Contains(out, want) || !strings.Contains(out, "n0002") {
		t.Errorf("folded to %s, wanted %s", out, want)
	}
	for form, want := range map[string]int{"json": nodes, "yaml": nodes} {
		if _, out, _ = ferrite("node", "list", "-o", form, "--fields", "name"); strings.Count(out, "name") != want || strings.Contains(out, "uuid") {
			t.Errorf("%s has %d names, wanted %d and nothing else", form, strings.Count(out, "name"), want)
		}
	}
	_, out, _ = ferrite("node", "list", "-o", "json", "--power-state", "on")
	var got []map[string]any
	if err := json.Unmarshal([]byte(out), &got); err != nil || len(got) != 1 || got[0]["name"] != "n0002" {
		t.Errorf("the one that is on: %v, %v", err, got)
	}
	if _, out, _ = ferrite("node", "list", "-o", "json", "nosuch"); strings.TrimSpace(out) != "[]" {
		t.Errorf("none is %q", out)
	}
}

// What Ironic's API has no field for is asked for by name, and shown.
func TestNodeTellsWhenPowerWasConfirmed(t *testing.T) {
	f := newFakeAPI(t, 2)
	code, out, errOut := ferrite("node", "list", "n0002", "--fields", "name,sensor_health,sensor_health_sensors")
	if code != 0 || !strings.Contains(out, `n0002  critical       ["Fan (0x1)"]`) {
		t.Errorf("%d, %q, %q", code, out, errOut)
	}
	f.age = 0
	code, out, errOut = ferrite("node", "list", "n0002", "--fields", "name,power_confirmed_at")
	if fields := strings.Split(f.asked.Get("fields"), ","); code != 0 || !slices.Contains(fields, "power_confirmed_at") || !strings.Contains(out, "n0002  1970-01-01T00:00:02Z") {
		t.Errorf("list: %d %s, asked for %q\n%s", code, errOut, fields, out)
	}
	if code, out, errOut = ferrite("node", "show", "n0002"); code != 0 || !strings.Contains(out, "power_confirmed_at  1970-01-01T00:00:03Z") {
		t.Errorf("show: %d %s\n%s", code, errOut, out)
	}
}

func TestNodePowerTellsWhoFailed(t *testing.T) {
	f := newFakeAPI(t, 40)
	code, out, errOut := ferrite("node", "power", "on", "n[0001-0020],n9999", "--wait", "--fanout", "4")
	for _, want := range []string{"power on: n[0001-0009,0011-0019]\n", "the BMC does not answer", "): n[0010,0020]\n", "could not be found", "): n9999\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("wanted %q in %s", want, out)
		}
	}
	if code != exitFailed || !strings.Contains(errOut, "3 of 21 nodes") || !strings.Contains(errOut, "ferrite node show n0010") {
		t.Errorf("%d %s", code, errOut)
	}
	if most := f.most.Load(); most < 1 || most > 4 {
		t.Errorf("%d requests at once, wanted up to 4", most)
	}
}

func TestNodePowerTellsPrograms(t *testing.T) {
	newFakeAPI(t, 40)
	code, out, _ := ferrite("node", "power", "on", "n[0009-0010]", "--wait", "-o", "json")
	var got []ending
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitFailed || len(got) != 2 {
		t.Fatalf("%d %v: %s", code, err, out)
	}
	if got[0] != (ending{Node: "n0009", OK: true, End: "power on"}) || got[1].OK || got[1].Node != "n0010" || got[1].Error == "" {
		t.Errorf("%+v", got)
	}
	if code, out, _ := ferrite("node", "power", "on", "n0009", "--wait", "-o", "yaml"); code != 0 || out != "- node: n0009\n  ok: true\n  end: power on\n" {
		t.Errorf("%d %q", code, out)
	}
	if code, _, _ := ferrite("node", "power", "on", "n0009", "-o", "xml"); code != exitUsage {
		t.Errorf("-o xml ends with %d", code)
	}
}

func TestNodePowerAsksBeforeMany(t *testing.T) {
	f := newFakeAPI(t, 60)
	if code, _, errOut := ferrite("node", "power", "on", "n[0001-0060]"); code != exitUsage || !strings.Contains(errOut, "--yes") || f.most.Load() != 0 {
		t.Errorf("%d %s, %d requests", code, errOut, f.most.Load())
	}
	if code, out, errOut := ferrite("node", "power", "on", "n[0001-0060]", "--yes"); code != 0 || out != "accepted: n[0001-0060]\n" {
		t.Errorf("%d %s %s", code, out, errOut)
	}
}

// TestNodeWatchPrintsChanges off a terminal: what there is, then a line a change.
func TestNodeWatchPrintsChanges(t *testing.T) {
	f := newFakeAPI(t, 3)
	w := watch(t, "node", "list", "--fold", "--watch", "--interval", "100ms")
	w.read("n[0001-0003]\n")
	for f.seen() < 3 { // the list, what changes are compared with, and the first comparison
		time.Sleep(time.Millisecond)
	}
	f.mu.Lock()
	f.power[1] = "power on"
	f.mu.Unlock()
	w.read("n0002  off, available -> on, available\n")
	w.cancel()
	if err := w.end(); err != nil {
		t.Errorf("ended with %v", err)
	}
}

func (f *fakeAPI) seen() int { f.mu.Lock(); defer f.mu.Unlock(); return f.pages }

func TestStaleIsToldOnce(t *testing.T) {
	var b strings.Builder
	tell := tellStale(&b)
	tell(31 * time.Second)
	tell(32 * time.Second)
	if got := b.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "what was known 31s ago") {
		t.Errorf("told %q, wanted one line", got)
	}
}

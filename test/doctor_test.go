// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// finding is one of "ferrite doctor -o json".
type finding struct{ Area, Check, Status, Found, Wanted, Do string }

// examined runs doctor with a site's settings and returns what it found by "area: check", and the exit code.
func (s *site) examined(more ...string) (map[string]finding, int) {
	s.t.Helper()
	args := append([]string{"doctor", "-o", "json", "--name", "c1", "--data-dir", s.dir, "--api-listen", strings.TrimPrefix(s.api, "http://"), "--nats-listen", s.nats, "--disk-min-free-mb", "1"}, more...)
	cmd := exec.Command(binary, args...)
	out, err := cmd.Output() // standard error says how many failed
	var doc struct {
		Findings []finding
		Summary  struct{ OK, Warn, Fail int }
	}
	if jerr := json.Unmarshal(out, &doc); jerr != nil {
		s.t.Fatalf("ferrite doctor: %v, %v:\n%s", err, jerr, out)
	}
	all := map[string]finding{}
	for _, f := range doc.Findings {
		all[f.Area+": "+f.Check] = f
		if (f.Status == "ok") != (f.Do == "") {
			s.t.Errorf("%+v: wanted advice when it is not well, and only then", f)
		}
	}
	if n := doc.Summary.OK + doc.Summary.Warn + doc.Summary.Fail; n != len(doc.Findings) || (doc.Summary.Fail > 0) != (cmd.ProcessState.ExitCode() == 1) {
		s.t.Errorf("%+v of %d findings, exit code %d", doc.Summary, len(doc.Findings), cmd.ProcessState.ExitCode())
	}
	return all, cmd.ProcessState.ExitCode()
}

// want compares findings by "area: check" with "status text".
func want(t *testing.T, all map[string]finding, wanted map[string]string) {
	t.Helper()
	for _, line := range unlike(all, wanted) {
		t.Error(line)
	}
}

// unlike are the findings that are not as wanted.
func unlike(all map[string]finding, wanted map[string]string) (out []string) {
	for key, w := range wanted {
		status, text, _ := strings.Cut(w, " ")
		if f := all[key]; f.Status != status || !strings.Contains(f.Found, text) {
			out = append(out, fmt.Sprintf("%s: %s %q, wanted %s", key, f.Status, f.Found, w))
		}
	}
	return out
}

// TestDoctor examines a conductor that runs, one that does not, and one whose place somebody else has taken.
func TestDoctor(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 3)
	s := newSite(t, "--ipmi-min-command-interval", "0", "--sync-power-state-interval", "1s")
	for i, name := range []string{"a1", "a2"} {
		s.enroll(name, f.driverInfo(i))
		s.call("PATCH", "/v1/nodes/"+name, []map[string]any{{"op": "add", "path": "/properties/vendor", "value": "Acme"}})
	}
	wrong := f.driverInfo(2)
	wrong["ipmi_password"] = "wrong"
	if code, doc := s.call("POST", "/v1/nodes", map[string]any{"driver": "ipmi", "name": "b1", "driver_info": wrong, "properties": map[string]any{"vendor": "Blunder"}}); code != http.StatusCreated {
		t.Fatal(code, doc)
	}
	s.call("PUT", "/v1/nodes/b1/states/provision", map[string]any{"target": "manage"})
	until(t, "the refused login", func() bool {
		e, _ := s.node("b1")["last_error"].(string)
		return strings.Contains(e, "refused the login")
	})
	until(t, "a session with each of the others", func() bool { return f.get(0)["sessions"] == 1.0 && f.get(1)["sessions"] == 1.0 })
	wanted := map[string]string{
		"settings: valid": "ok ", "data folder: room": "ok free", "files: cluster key": "ok mode 0600", "limits: descriptors": "ok allowed to the conductor",
		"ports: api_listen": "ok the conductor", "ports: nats_listen": "ok the conductor", "NATS: server": "ok answers",
		"conductor: ready": "ok ", "conductor: version": "ok as this binary", "conductor: outbox": "ok ", "conductor: log": "ok confirmed read",
		"conductor: members": "ok 1 alive: c1", "conductor: nodes": "ok 3; power:", "conductor: maintenance": "ok ", "conductor: quarantine": "ok no node",
		"conductor: logins": "warn refused by BMCs", "BMCs: ipmi / acme": "ok 2 nodes, 0 failing", "BMCs: ipmi / blunder": "warn 1 refuse the login",
	}
	var all map[string]finding
	for end := time.Now().Add(patience); ; { // once the vendors are known, and their BMCs were read; on a busy machine a reading may fail
		all, _ = s.examined()
		if len(unlike(all, wanted)) == 0 && strings.Contains(all["BMCs: ipmi / acme"].Found, "readings within") {
			break
		}
		if time.Now().After(end) {
			want(t, all, wanted)
			t.Fatalf("the acme BMCs: %+v", all["BMCs: ipmi / acme"])
		}
	}
	if got := all["BMCs: ipmi / acme"].Found; !strings.Contains(got, "offers suites 3,17") {
		t.Errorf("the sample did not tell its suites: %s", got)
	}
	for i := range 2 { // however often it was asked
		if n := f.get(i)["sessions"]; n != 1.0 {
			t.Errorf("BMC %d has %v sessions: the doctor opened one", i, n)
		}
	}

	all, _ = s.examined("--name", "c2") // of other settings than the conductor's
	want(t, all, map[string]string{"conductor: settings": `warn the conductor is "c1", by these settings it would be "c2"`})

	s.p.signal(syscall.SIGTERM)
	if code := s.p.exit(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	all, _ = s.examined("--no-probe")
	want(t, all, map[string]string{"conductor: ready": "warn no conductor runs", "ports: api_listen": "ok free", "NATS: server": "ok inside of the conductor"})
	if _, ok := all["data folder: fsync"]; ok {
		t.Error("the disk was timed with --no-probe")
	}

	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	s.api = other.URL
	all, code := s.examined()
	want(t, all, map[string]string{"conductor: ready": "fail it is no conductor", "ports: api_listen": "fail held by"})
	if code != 1 {
		t.Errorf("exit code %d, wanted 1", code)
	}
}

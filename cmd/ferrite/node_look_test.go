// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// machines is as much of the API as commands about BMCs need. n9 is not there, n8's BMC is silent.
type machines struct {
	mu    sync.Mutex // guards asked
	asked []string
}

func newMachines(t *testing.T) *machines {
	m := &machines{}
	s := httptest.NewServer(m)
	t.Cleanup(s.Close)
	t.Setenv("FERRITE_API", s.URL)
	return m
}

const (
	someSensors = `{"sensors":[
{"sensor_id":"Inlet Temp (0x5)","name":"Inlet Temp","type":"Temperature","entity_id":"7.1 (System Board)","value":21.5,"unit":"degrees C","readable":true,"status":"ok","states":[],"thresholds":{"upper_critical":47}},
{"sensor_id":"Fan\u001b[2J (0x31)","name":"Fan","type":"Fan","entity_id":"7.1 (System Board)","value":360,"unit":"RPM","readable":true,"status":"Lower Critical","states":[],"thresholds":{}},
{"sensor_id":"Status (0x85)","name":"Status","type":"Power Supply","entity_id":"10.1 (Power Supply)","value":null,"unit":null,"readable":true,"status":null,"states":["Presence detected","Failure"],"thresholds":{}},
{"sensor_id":"Fan2 (0x32)","name":"Fan2","type":"Fan","entity_id":"7.1 (System Board)","value":null,"unit":"RPM","readable":false,"status":"Not Available","states":[],"thresholds":{}}]}`
	someEvents = `{"events":[
{"id":1,"time":"2026-03-04T05:06:07+00:00","record_type":2,"sensor_id":"Inlet Temp (0x5)","sensor_type":"Temperature","event":"Upper Critical - going high","asserted":false,"data":"593c2f"},
{"id":2,"time":null,"record_type":225,"sensor_id":null,"sensor_type":null,"event":null,"asserted":true,"data":"0102030405060708090a0b0c0d"}]}`
)

func (m *machines) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	m.mu.Lock()
	m.asked = append(m.asked, strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Method, r.URL.RequestURI(), body)))
	m.mu.Unlock()
	fail := func(code int, text string) {
		w.WriteHeader(code)
		_, _ = fmt.Fprintf(w, `{"error_message":"{\"faultstring\":\"%s\"}"}`, text)
	}
	switch path := r.URL.Path; {
	case strings.Contains(path, "/n9/"):
		fail(http.StatusNotFound, "Node n9 could not be found.")
	case strings.Contains(path, "/n8/"):
		fail(http.StatusInternalServerError, "IPMI call failed: no answer")
	case strings.HasSuffix(path, "/sensors"):
		_, _ = io.WriteString(w, someSensors)
	case strings.HasSuffix(path, "/events") && r.Method == http.MethodGet:
		_, _ = io.WriteString(w, someEvents)
	case strings.HasSuffix(path, "/boot_device") && r.Method == http.MethodGet:
		_, _ = io.WriteString(w, map[bool]string{true: `{"boot_device":"pxe","persistent":true}`, false: `{"boot_device":null,"persistent":null}`}[strings.Contains(path, "/n1/")])
	case strings.HasSuffix(path, "/bmc_reset"):
		w.WriteHeader(http.StatusAccepted)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// sent are the requests since the last call, in order of their text.
func (m *machines) sent() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := m.asked
	m.asked = nil
	slices.Sort(out)
	return out
}

func TestNodeSensors(t *testing.T) {
	newMachines(t)
	code, out, errOut := ferrite("node", "sensors", "n1")
	want := "Sensor            Type          Value                       Status\n" +
		"Inlet Temp (0x5)  Temperature   21.5 degrees C              ok\n" +
		"Fan [2J (0x31)    Fan           360 RPM                     Lower Critical\n" + // what a BMC names does not reach the terminal's control
		"Status (0x85)     Power Supply  Presence detected, Failure\n" +
		"Fan2 (0x32)       Fan           no reading                  Not Available\n"
	if code != 0 || out != want {
		t.Errorf("%d %s\n%s\nwanted\n%s", code, errOut, out, want)
	}
	// Of many: in the order in which they are named, failures apart.
	code, out, errOut = ferrite("node", "sensors", "n[8-9],n[1-2]", "--alarms")
	if want := "Node  Sensor          Type  Value    Status\nn1    Fan [2J (0x31)  Fan   360 RPM  Lower Critical\nn2    Fan [2J (0x31)  Fan   360 RPM  Lower Critical\n"; code != 1 || out != want {
		t.Errorf("%d %s\n%s\nwanted\n%s", code, errOut, out, want)
	}
	if !strings.Contains(errOut, "sensors failed for 2 of 4 nodes: n8: IPMI call failed: no answer (500); n9: Node ... could not be found. (404)") {
		t.Errorf("failures are told as %s", errOut)
	}
	code, out, _ = ferrite("node", "sensors", "n[1-2]", "--type", "power", "-o", "json")
	var got []map[string]any
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || len(got) != 2 || got[0]["node"] != "n1" || got[1]["node"] != "n2" || got[1]["type"] != "Power Supply" {
		t.Errorf("%d %v: %s", code, err, out)
	}
	if code, out, _ = ferrite("node", "sensors", "n1", "--type", "fan", "-o", "yaml"); code != 0 || strings.Count(out, "node: n1") != 2 || !strings.Contains(out, "value: 360\n") {
		t.Errorf("%d %s", code, out)
	}
	if code, out, _ = ferrite("node", "sensors", "n9"); code != 1 || out != "" {
		t.Errorf("%d %q: wanted nothing but the error", code, out)
	}
}

func TestNodeEvents(t *testing.T) {
	m := newMachines(t)
	code, out, errOut := ferrite("node", "sel", "n1", "--limit", "7")
	want := "ID  Time                  Sensor            Event                               Data\n" +
		"1   2026-03-04T05:06:07Z  Inlet Temp (0x5)  Upper Critical - going high (over)  593c2f\n" +
		"2   unknown                                 the maker's own, type 0xe1          0102030405060708090a0b0c0d\n"
	if code != 0 || out != want {
		t.Errorf("%d %s\n%s\nwanted\n%s", code, errOut, out, want)
	}
	if got := m.sent(); !slices.Equal(got, []string{"GET /v1/x/nodes/n1/events?limit=7"}) {
		t.Errorf("asked %q", got)
	}
	if code, out, _ = ferrite("node", "events", "n[1-2]", "--clear"); code != 0 || out != "events cleared: n[1-2]\n" {
		t.Errorf("%d %s", code, out)
	}
	if got := m.sent(); !slices.Equal(got, []string{"DELETE /v1/x/nodes/n1/events", "DELETE /v1/x/nodes/n2/events"}) {
		t.Errorf("asked %q: wanted the logs to be cleared and nothing else", got)
	}
}

// TestNodeBMCCommands: what is sent, and what is told.
func TestNodeBMCCommands(t *testing.T) {
	m := newMachines(t)
	for _, x := range []struct {
		args, sent, out string
		code            int
	}{
		{"identify on n1", `PUT /v1/x/nodes/n1/identify {"state":"on"}`, "light on: n1\n", 0},
		{"identify on n1 --seconds 20", `PUT /v1/x/nodes/n1/identify {"seconds":20}`, "light on: n1\n", 0},
		{"identify off n1", `PUT /v1/x/nodes/n1/identify {"state":"off"}`, "light off: n1\n", 0},
		{"identify off n8", `PUT /v1/x/nodes/n8/identify {"state":"off"}`, "failed (IPMI call failed: no answer (500)): n8\n", 1},
		{"bmc-reset warm n1", `POST /v1/nodes/n1/vendor_passthru/bmc_reset {"warm":true}`, "accepted: n1\n", 0},
		{"bmc-reset cold n1", `POST /v1/nodes/n1/vendor_passthru/bmc_reset {"warm":false}`, "accepted: n1\n", 0},
		{"boot-device pxe n1 --persistent", `PUT /v1/nodes/n1/management/boot_device {"boot_device":"pxe","persistent":true}`, "boots from pxe: n1\n", 0},
		{"boot-device disk n1", `PUT /v1/nodes/n1/management/boot_device {"boot_device":"disk","persistent":false}`, "boots from disk: n1\n", 0},
		{"boot-device show n1,n2", "GET /v1/nodes/n1/management/boot_device,GET /v1/nodes/n2/management/boot_device", "not told: n2\npxe, always: n1\n", 0},
		{"identify on n1 -o json --seconds 1", `PUT /v1/x/nodes/n1/identify {"seconds":1}`, "[\n  {\n    \"node\": \"n1\",\n    \"ok\": true,\n    \"end\": \"light on\"\n  }\n]\n", 0},
	} {
		code, out, errOut := ferrite(append([]string{"node"}, strings.Fields(x.args)...)...)
		if sent := strings.Join(m.sent(), ","); code != x.code || out != x.out || sent != x.sent {
			t.Errorf("%s: %d %q %s, sent %q: wanted %d %q, sent %q", x.args, code, out, errOut, sent, x.code, x.out, x.sent)
		}
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"ferrite/node"
)

// TestVendorMethods: the two methods of ipmi nodes in both forms of the path, and what is refused.
func TestVendorMethods(t *testing.T) {
	w := newWorld(t)
	w.want(201, "POST", "/v1/nodes", `{"name":"m1","driver":"ipmi"}`)
	w.want(201, "POST", "/v1/nodes", `{"name":"m2","driver":"fake-hardware"}`)
	methods := w.want(200, "GET", "/v1/nodes/m1/vendor_passthru/methods", "")
	for _, name := range []string{"bmc_reset", "send_raw"} {
		m, _ := methods.get(name).(map[string]any)
		if !reflect.DeepEqual(m["http_methods"], []any{"POST"}) || m["async"] != true || m["require_exclusive_lock"] != true || m["attach"] != false || m["description"] == "" {
			t.Errorf("%s is %v", name, m)
		}
	}
	if a := w.want(200, "GET", "/v1/nodes/m2/vendor_passthru/methods", ""); len(a.object()) != 0 {
		t.Errorf("a fake node has %s", a.text)
	}
	for _, row := range []struct {
		path, body string
		want       node.Msg
	}{
		{"?method=bmc_reset", ``, node.CallVendor{Method: "bmc_reset"}},
		{"/bmc_reset", `{}`, node.CallVendor{Method: "bmc_reset"}},
		{"/bmc_reset", `{"warm":false}`, node.CallVendor{Method: "bmc_reset", Cold: true}},
		{"?method=bmc_reset", `{"warm":"True"}`, node.CallVendor{Method: "bmc_reset"}},
		{"?method=bmc_reset", `{"warm":"maybe"}`, node.CallVendor{Method: "bmc_reset", Cold: true}}, // Ironic reads what it does not know as false
		{"/send_raw", `{"raw_bytes":"0x06 0x01"}`, node.CallVendor{Method: "send_raw", Raw: []byte{6, 1}}},
		{"?method=send_raw", `{"raw_bytes":" 0x2E  0xff 7 010 "}`, node.CallVendor{Method: "send_raw", Raw: []byte{0x2e, 0xff, 7, 8}}},
	} {
		w.owner.asked = nil
		a := w.want(202, "POST", "/v1/nodes/m1/vendor_passthru"+row.path, row.body)
		if !reflect.DeepEqual(w.owner.asked, []node.Msg{row.want}) || a.text != "" {
			t.Errorf("%s %s asked %+v, answer %q: wanted %+v", row.path, row.body, w.owner.asked, a.text, row.want)
		}
	}
	w.owner.asked = nil
	for _, row := range [][4]string{
		{"POST", "m1/vendor_passthru?method=fly", ``, "No handler for method fly"},
		{"POST", "m2/vendor_passthru/bmc_reset", ``, "No handler for method bmc_reset"},
		{"GET", "m1/vendor_passthru/bmc_reset", ``, "The method bmc_reset does not support HTTP GET"},
		{"PUT", "m1/vendor_passthru?method=send_raw", `{"raw_bytes":"6 1"}`, "The method send_raw does not support HTTP PUT"},
		{"POST", "m1/vendor_passthru/send_raw", `{}`, "raw_bytes"},
		{"POST", "m1/vendor_passthru/send_raw", `{"raw_bytes":7}`, "raw_bytes"},
		{"POST", "m1/vendor_passthru/send_raw", `{"raw_bytes":"0x06"}`, "raw_bytes"},
		{"POST", "m1/vendor_passthru/send_raw", `{"raw_bytes":"0x07 0x01"}`, "even network function"},
		{"POST", "m1/vendor_passthru/send_raw", `{"raw_bytes":"0x06 0x100"}`, "0x100"},
		{"POST", "m1/vendor_passthru/send_raw", `{"raw_bytes":"` + strings.Repeat("6 ", 201) + `"}`, "raw_bytes"},
		{"POST", "m1/vendor_passthru/bmc_reset", `{"colour":1}`, "colour"},
		{"POST", "m1/vendor_passthru", ``, "Method not specified"},
	} {
		a := w.want(400, row[0], "/v1/nodes/"+row[1], row[2])
		if !strings.Contains(a.text, row[3]) {
			t.Errorf("%v is refused with %s", row, a.text)
		}
	}
	if len(w.owner.asked) != 0 {
		t.Errorf("what was refused was asked: %+v", w.owner.asked)
	}
	if text := w.audit.String(); strings.Contains(text, "0x2E") || !strings.Contains(text, `"action":"send_raw"`) {
		t.Errorf("the audit tells raw bytes, which may be a password, or nothing of the method:\n%s", text)
	}
}

func TestIdentify(t *testing.T) {
	w := newWorld(t)
	w.want(201, "POST", "/v1/nodes", `{"name":"m1","driver":"ipmi"}`)
	w.want(201, "POST", "/v1/nodes", `{"name":"m2","driver":"fake-hardware"}`)
	const path = "/v1/x/nodes/m1/identify"
	for body, span := range map[string]time.Duration{``: 15 * time.Second, `{"seconds":200}`: 200 * time.Second, `{"state":"on"}`: -1, `{"state":"off"}`: 0} {
		w.owner.asked = nil
		w.want(204, "PUT", path, body)
		if want := []node.Msg{node.Identify{Span: span}}; !reflect.DeepEqual(w.owner.asked, want) {
			t.Errorf("%s asked %+v: wanted %+v", body, w.owner.asked, want)
		}
	}
	for _, bad := range []string{`{"seconds":0}`, `{"seconds":256}`, `{"seconds":1.5}`, `{"seconds":"x"}`, `{"seconds":true}`, `{"state":"blue"}`, `{"state":"on","seconds":3}`, `{"time":3}`} {
		w.want(400, "PUT", path, bad)
	}
	if a := w.want(400, "PUT", "/v1/x/nodes/m2/identify", ``); !strings.Contains(a.text, "identify") {
		t.Errorf("a fake node is refused with %s", a.text)
	}
}

func TestClearEvents(t *testing.T) {
	w := newWorld(t)
	w.want(201, "POST", "/v1/nodes", `{"name":"m1","driver":"ipmi"}`)
	w.want(201, "POST", "/v1/nodes", `{"name":"m2","driver":"fake-hardware"}`)
	w.owner.asked = nil
	w.want(204, "DELETE", "/v1/x/nodes/m1/events", ``)
	if want := []node.Msg{node.ClearEvents{}}; !reflect.DeepEqual(w.owner.asked, want) {
		t.Errorf("asked %+v: wanted %+v", w.owner.asked, want)
	}
	if text := w.audit.String(); !strings.Contains(text, `"action":"clear events"`) {
		t.Errorf("the audit does not tell it:\n%s", text)
	}
	w.want(400, "DELETE", "/v1/x/nodes/m1/events?limit=1", ``)
	if a := w.want(400, "DELETE", "/v1/x/nodes/m2/events", ``); !strings.Contains(a.text, "event log") {
		t.Errorf("a fake node is refused with %s", a.text)
	}
}

func TestSensorsAndEvents(t *testing.T) {
	w := newWorld(t)
	w.want(201, "POST", "/v1/nodes", `{"name":"m1","driver":"ipmi"}`)
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	w.owner.before = func(_ string, m node.Msg) (any, error, bool) {
		switch m.(type) {
		case node.GetSensors:
			return node.Sensors{All: []node.Sensor{
				{ID: "Inlet Temp (0x5)", Name: "Inlet Temp", Number: 5, Type: "Temperature", Entity: "7.1 (System Board)", Unit: "degrees C", Value: 21.5, Known: true, Status: "ok", Limits: map[string]float64{"Upper non-critical": 42}},
				{ID: "Status (0x85)", Name: "Status", Number: 0x85, Type: "Power Supply", Entity: "10.1 (Power Supply)", Known: true, States: []string{"Presence detected"}},
				{ID: "Fan (0x9)", Name: "Fan", Number: 9, Type: "Fan", Entity: "7.1 (System Board)", Unit: "RPM", Status: "Not Available"},
			}}, nil, true
		case node.GetEvents:
			return node.Events{All: []node.Event{
				{ID: 7, Time: at, Record: 2, Sensor: "Temp (0x1)", Type: "Temperature", Text: "Upper Critical - going high", Data: []byte{0x59, 1, 2}},
				{ID: 8, Record: 0xe1, Deassert: true, Data: []byte{1}},
			}}, nil, true
		}
		return nil, nil, false
	}
	want := `{"sensors":[` +
		`{"sensor_id":"Inlet Temp (0x5)","name":"Inlet Temp","type":"Temperature","entity_id":"7.1 (System Board)","value":21.5,"unit":"degrees C","readable":true,"status":"ok","states":[],"thresholds":{"upper_non_critical":42}},` +
		`{"sensor_id":"Status (0x85)","name":"Status","type":"Power Supply","entity_id":"10.1 (Power Supply)","value":null,"unit":null,"readable":true,"status":null,"states":["Presence detected"],"thresholds":{}},` +
		`{"sensor_id":"Fan (0x9)","name":"Fan","type":"Fan","entity_id":"7.1 (System Board)","value":null,"unit":"RPM","readable":false,"status":"Not Available","states":[],"thresholds":{}}]}`
	if a := w.want(200, "GET", "/v1/x/nodes/m1/sensors", ""); a.text != want {
		t.Errorf("sensors are\n%s\nwanted\n%s", a.text, want)
	}
	want = `{"events":[{"id":7,"time":"2026-03-04T05:06:07+00:00","record_type":2,"sensor_id":"Temp (0x1)","sensor_type":"Temperature","event":"Upper Critical - going high","asserted":true,"data":"590102"},` +
		`{"id":8,"time":null,"record_type":225,"sensor_id":null,"sensor_type":null,"event":null,"asserted":false,"data":"01"}]}`
	w.owner.asked = nil
	if a := w.want(200, "GET", "/v1/x/nodes/m1/events?limit=2", ""); a.text != want {
		t.Errorf("events are\n%s\nwanted\n%s", a.text, want)
	}
	w.want(200, "GET", "/v1/x/nodes/m1/events", "")
	if asked := []node.Msg{node.GetEvents{Limit: 2}, node.GetEvents{Limit: 1000}}; !reflect.DeepEqual(w.owner.asked, asked) {
		t.Errorf("asked %+v: wanted %+v", w.owner.asked, asked)
	}
	for _, bad := range []string{"/events?limit=0", "/events?limit=x", "/events?colour=1", "/sensors?limit=1"} {
		w.want(400, "GET", "/v1/x/nodes/m1"+bad, "")
	}
	w.want(404, "GET", "/v1/x/nodes/nobody/sensors", "")

	old := w.at("") // our own paths take names of clients that send no microversion, too (P6)
	for _, what := range []string{"/sensors", "/events"} {
		old.want(200, "GET", "/v1/x/nodes/m1"+what, "")
	}
	old.want(404, "GET", "/v1/nodes/m1", "")
	old.want(404, "GET", "/v1/x/nodes/nobody/sensors", "")
}

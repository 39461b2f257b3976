// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"strings"
	"testing"
)

func TestNodeFromEnrollToDelete(t *testing.T) {
	w := newWorld(t)
	a := w.want(201, "POST", "/v1/nodes", `{"driver":"fake-hardware","name":"rack1","driver_info":{"ipmi_password":"geheim"},"properties":{"cpu_arch":"x86_64"}}`)
	id := a.get("uuid").(string)
	if got, want := a.Header.Get("Location"), "http://h:6385/v1/nodes/"+id; got != want {
		t.Errorf("Location is %q, wanted %q", got, want)
	}
	if a.get("provision_state") != "enroll" || a.get("conductor") != "cond-a" || a.get("power_interface") != "fake" {
		t.Errorf("the new node is %s", a.text)
	}
	if strings.Contains(a.text, "geheim") {
		t.Errorf("the password is shown: %s", a.text)
	}
	steps := []struct {
		method, path, body string
		status             int
		key, value         string
	}{
		{"PUT", "/states/provision", `{"target":"manage"}`, 202, "provision_state", "manageable"},
		{"PUT", "/states/provision", `{"target":"provide"}`, 202, "provision_state", "available"},
		{"PUT", "/states/provision", `{"target":"active"}`, 202, "provision_state", "active"},
		{"PUT", "/states/power", `{"target":"power on"}`, 202, "power_state", "power on"},
		{"PUT", "/states/power", `{"target":"rebooting"}`, 202, "power_state", "power on"},
		{"PUT", "/states/power", `{"target":"soft power off","timeout":5}`, 202, "power_state", "power off"},
		{"PUT", "/maintenance", `{"reason":"fan"}`, 202, "maintenance_reason", "fan"},
		{"DELETE", "/maintenance", ``, 202, "maintenance_reason", ""},
		{"PUT", "/states/provision", `{"target":"deleted"}`, 202, "provision_state", "available"},
		{"PATCH", "", `[{"op":"add","path":"/extra/a","value":1}]`, 200, "name", "rack1"},
		{"DELETE", "", ``, 204, "", ""},
	}
	for _, s := range steps {
		a := w.want(s.status, s.method, "/v1/nodes/rack1"+s.path, s.body)
		if s.status == 202 && (a.text != "" || a.Header.Get("Content-Type") != "" || a.Header.Get("Content-Length") != "0") {
			t.Errorf("%s %s: 202 with %q, content type %q", s.method, s.path, a.text, a.Header.Get("Content-Type"))
		}
		if s.key == "" {
			continue
		}
		n := w.want(200, "GET", "/v1/nodes/rack1", "")
		if got, _ := n.get(s.key).(string); got != s.value {
			t.Errorf("%s %s %s: %s is %q, wanted %q", s.method, s.path, s.body, s.key, got, s.value)
		}
	}
	w.want(404, "GET", "/v1/nodes/"+id, "")
}

func TestPortFromCreateToDelete(t *testing.T) {
	w := newWorld(t)
	id := w.create(`{"driver":"fake-hardware"}`)
	a := w.want(201, "POST", "/v1/ports", `{"address":"52:54:00:AB:34:56","node_uuid":"`+id+`"}`)
	port := a.get("uuid").(string)
	if a.get("address") != "52:54:00:ab:34:56" || a.get("pxe_enabled") != true {
		t.Errorf("the new port is %s", a.text)
	}
	w.want(409, "POST", "/v1/ports", `{"address":"52:54:00:ab:34:56","node_uuid":"`+id+`"}`)
	if got := w.want(200, "GET", "/v1/ports?address=52:54:00:AB:34:56", "").list("ports"); len(got) != 1 {
		t.Errorf("found %d ports by address, wanted 1", len(got))
	}
	if got := w.want(200, "GET", "/v1/ports?address=52:54:00:AB:34:57", "").list("ports"); got == nil || len(got) != 0 {
		t.Errorf("found %v by a foreign address, wanted []", got)
	}
	a = w.want(200, "PATCH", "/v1/ports/"+port, `[{"op":"replace","path":"/pxe_enabled","value":"false"},{"op":"add","path":"/name","value":"eth0"}]`)
	if a.get("pxe_enabled") != false || a.get("name") != "eth0" {
		t.Errorf("the patched port is %s", a.text)
	}
	w.want(200, "GET", "/v1/ports/eth0", "")
	w.want(400, "DELETE", "/v1/ports/eth0", "")
	w.want(204, "DELETE", "/v1/ports/"+port, "")
	w.want(201, "POST", "/v1/ports", `{"address":"52:54:00:ab:34:56","node_ident":"`+id+`"}`)
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"ferrite/httpapi"
	"ferrite/node"
)

// Every refusal in its form: A is faultstring, B description, D flat (spec api.md section 2).
func TestRefusals(t *testing.T) {
	const id = "/v1/nodes/" + sampleNode
	rows := []struct {
		method, path, minor, body string
		status                    int
		form                      byte
		text                      string // part of it
	}{
		// Versions.
		{"GET", "/v1/nodes", "1.999", "", 406, 'B', "Version 1.999 was requested but the minor version is not supported by this service. The supported version range is: [1.1, 1.115]."},
		{"GET", "/v1", "1.999", "", 406, 'A', "Version 1.999"},
		{"GET", "/", "2.1", "", 406, 'A', "Mutually exclusive versions requested. Version 2.1"},
		{"GET", "/v1/nodes", "1.0", "", 406, 'B', "Version 1.0"},
		{"GET", "/v1/nodes", "1", "", 406, 'B', "Invalid value for X-OpenStack-Ironic-API-Version header"},
		{"GET", "/v1/nodes", "1.1.1", "", 406, 'B', "Invalid value"},
		{"GET", "/v1/nodes", "one", "", 406, 'B', "Invalid value"},
		// Routing.
		{"GET", "/v1/nix", "1.115", "", 404, 'B', ""},
		{"GET", "/v2/nodes", "1.115", "", 404, 'B', ""},
		{"GET", "/v1/portgroups", "1.115", "", 404, 'B', ""},
		{"GET", "/v1/chassis", "1.115", "", 404, 'B', ""},
		{"POST", "/v1/allocations", "1.115", "{}", 404, 'B', ""},
		{"GET", "/v1/lookup", "1.115", "", 404, 'B', ""},
		{"PUT", "/v1/nodes", "1.115", "{}", 405, 'B', ""},
		{"HEAD", "/v1/nodes", "1.115", "", 405, 0, ""},
		{"POST", "/v1", "1.115", "{}", 405, 'A', "not allowed"},
		{"GET", id + "/states/power", "1.115", "", 405, 'B', ""},
		{"GET", "/v1/nodes/bad%20name", "1.115", "", 400, 'B', "bad name"},
		// What older requests are told of newer endpoints.
		{"GET", id + "/traits", "1.36", "", 406, 'A', "1.37"},
		{"PUT", id + "/traits", "1.36", "{}", 405, 'B', ""},
		{"DELETE", id + "/traits", "1.36", "", 404, 'B', ""},
		{"GET", id + "/vifs", "1.27", "", 404, 'B', ""},
		{"GET", id + "/history", "1.77", "", 404, 'B', ""},
		{"PUT", id + "/management/inject_nmi", "1.28", "{}", 404, 'A', "Resource could not be found."},
		{"GET", "/v1/conductors", "1.48", "", 404, 'A', "Resource could not be found."},
		{"GET", "/v1/shards", "1.81", "", 404, 'B', "The API version does not allow shards"},
		{"PUT", id + "/states/raid", "1.11", "{}", 406, 'A', "1.12"},
		{"PUT", id + "/states/boot_mode", "1.75", "{}", 404, 'A', ""},
		{"POST", id + "/vmedia", "1.88", "{}", 404, 'B', ""},
		// Nodes that are not there.
		{"GET", "/v1/nodes/rack9", "1.115", "", 404, 'A', "Node rack9 could not be found."},
		{"GET", "/v1/nodes/rack7-u12", "1.4", "", 404, 'A', "Node rack7-u12 could not be found."},
		{"PUT", "/v1/nodes/rack9/states/power", "1.115", `{"target":"power on"}`, 404, 'A', "Node rack9 could not be found."},
		{"DELETE", "/v1/nodes", "1.115", "", 400, 'A', "Missing mandatory parameter: node_ident"},
		{"PATCH", "/v1/nodes", "1.115", "[]", 400, 'A', "Missing mandatory parameter: node_ident"},
		{"GET", id + "/zzz", "1.115", "", 400, 'A', "Field zzz is not a valid field."},
		{"GET", id + "/inventory", "1.115", "", 404, 'A', "inventory"},
		{"GET", id + "/allocation", "1.115", "", 404, 'A', "allocation"},
		{"GET", id + "/bios/x", "1.115", "", 404, 'A', "BIOS setting 'x'"},
		{"GET", id + "/history/" + samplePort, "1.115", "", 404, 'A', samplePort},
		{"GET", "/v1/nodes/validate", "1.115", "", 400, 'A', "Missing mandatory parameter: node"},
		// POST nodes.
		{"POST", "/v1/nodes", "1.115", `{}`, 400, 'A', "Schema error for node: 'driver' is a required property"},
		{"POST", "/v1/nodes", "1.115", `{"driver":"nix"}`, 400, 'A', "No valid host was found. Reason: No conductor service registered which supports driver nix"},
		{"POST", "/v1/nodes", "1.115", `{"driver":"ipmi","traits":[]}`, 400, 'A', "Additional properties are not allowed ('traits' was unexpected)"},
		{"POST", "/v1/nodes", "1.115", `{"driver":"ipmi","provision_state":"active"}`, 400, 'A', "provision_state"},
		{"POST", "/v1/nodes", "1.115", `{"driver":"ipmi","protected":true}`, 400, 'A', "protected"},
		{"POST", "/v1/nodes", "1.115", `{"driver":7}`, 400, 'A', "driver"},
		{"POST", "/v1/nodes", "1.115", `{"driver":"ipmi","extra":[]}`, 400, 'A', "extra"},
		{"POST", "/v1/nodes", "1.115", `{"driver":"ipmi","uuid":"x"}`, 400, 'A', "Expected a UUID"},
		{"POST", "/v1/nodes", "1.115", `{"driver":"ipmi","name":"detail"}`, 400, 'A', "invalid name 'detail'"},
		{"POST", "/v1/nodes", "1.115", `{"driver":"ipmi","name":"a b"}`, 400, 'A', "invalid name 'a b'"},
		{"POST", "/v1/nodes", "1.115", `{"driver":"ipmi","name":""}`, 400, 'A', "invalid name"},
		{"POST", "/v1/nodes", "1.115", `{"driver":"ipmi","name":"` + samplePort + `"}`, 400, 'A', "UUID"},
		{"POST", "/v1/nodes", "1.9", `{"driver":"ipmi","name":"a~b"}`, 400, 'A', "host name"},
		{"POST", "/v1/nodes", "1.115", `{"driver":"ipmi","name":"rack7-u12"}`, 409, 'A', "already exists"},
		{"POST", "/v1/nodes", "1.115", `{"driver":"ipmi","uuid":"` + sampleNode + `"}`, 409, 'A', "already exists"},
		{"POST", "/v1/nodes", "1.4", `{"driver":"ipmi","name":"x"}`, 406, 'A', "1.5"},
		{"POST", "/v1/nodes", "1.115", `{"driver":"ipmi","chassis_uuid":"` + samplePort + `"}`, 400, 'A', "Chassis"},
		{"POST", "/v1/nodes", "1.115", `{"driver":"ipmi","parent_node":"nix"}`, 400, 'A', "Node nix could not be found."},
		{"POST", "/v1/nodes", "1.115", `{"driver":"ipmi","properties":{"memory_mb":"x"}}`, 400, 'A', "non-negative integers, but provided values are: memory_mb=x"},
		{"POST", "/v1/nodes", "1.115", `{"driver":"ipmi","maintenance":"maybe"}`, 400, 'A', "Unrecognized value 'maybe'"},
		{"POST", "/v1/nodes", "1.115", `{"driver":"ipmi","conductor_group":"a b"}`, 400, 'A', "conductor_group"},
		{"POST", "/v1/nodes", "1.115", `{"driver":"ipmi","resource_class":"` + strings.Repeat("x", 81) + `"}`, 400, 'A', "too long"},
		{"POST", "/v1/nodes?x=1", "1.115", `{"driver":"ipmi"}`, 400, 'A', "Unexpected arguments: x"},
		{"POST", "/v1/nodes", "1.115", `{"driver"`, 400, 'A', "Malformed JSON"},
		{"POST", "/v1/nodes", "1.115", `{"driver":"ipmi"} x`, 400, 'A', "Malformed JSON"},
		{"POST", "/v1/nodes", "1.115", `[]`, 400, 'A', "wanted a JSON object"},
		{"POST", "/v1/nodes", "1.115", `{"driver":"ipmi","extra":` + strings.Repeat(`{"a":`, 25) + "1" + strings.Repeat("}", 25) + `}`, 400, 'D', "nested too deeply"},
		// Power: spec power.md section 1.
		{"PUT", id + "/states/power", "1.115", ``, 400, 'A', "Missing mandatory parameter: target"},
		{"PUT", id + "/states/power", "1.115", `{"target":"power on","bogus":1}`, 400, 'A', "Unexpected arguments: bogus"},
		{"PUT", id + "/states/power", "1.26", `{"target":"soft power off"}`, 406, 'A', "1.27"},
		{"PUT", id + "/states/power", "1.26", `{"target":"nix","timeout":1}`, 406, 'A', "1.27"},
		{"PUT", id + "/states/power", "1.26", `{"target":"power on","timeout":0}`, 400, 'A', "timeout"},
		{"PUT", id + "/states/power", "1.27", `{"target":"power on","timeout":0.5}`, 400, 'A', "timeout"},
		{"PUT", id + "/states/power", "1.27", `{"target":"power on","timeout":1e300}`, 400, 'A', "timeout"},
		{"PUT", id + "/states/power", "1.27", `{"target":"nix","timeout":0}`, 400, 'A', "timeout"},
		{"PUT", id + "/states/power", "1.27", `{"target":"power on","timeout":"x"}`, 400, 'A', "Expected an integer for timeout: x"},
		{"PUT", id + "/states/power", "1.27", `{"target":"nix"}`, 400, 'A', "Invalid power state 'nix'"},
		// Provision: spec fsm.json request_check_order.
		{"PUT", id + "/states/provision", "1.3", `{"target":"manage"}`, 406, 'A', "1.4"},
		{"PUT", id + "/states/provision", "1.72", `{"target":"deploy"}`, 406, 'A', "1.73"},
		{"PUT", id + "/states/provision", "1.115", `{"target":"nix"}`, 400, 'A', "could not be understood"},
		{"PUT", id + "/states/provision", "1.115", `{"target":"provide"}`, 400, 'A', `"provide" can not be performed`},
		{"PUT", id + "/states/provision", "1.115", `{"target":"manage","configdrive":"http://x/y"}`, 400, 'A', "config drive"},
		{"PUT", id + "/states/provision", "1.55", `{"target":"active","configdrive":{}}`, 400, 'A', "1.56"},
		{"PUT", id + "/states/provision", "1.58", `{"target":"active","configdrive":{"vendor_data":{}}}`, 400, 'A', "1.59"},
		{"PUT", id + "/states/provision", "1.115", `{"target":"active","configdrive":"!!"}`, 400, 'A', "base64"},
		{"PUT", id + "/states/provision", "1.115", `{"target":"active","configdrive":{"x":1}}`, 400, 'A', "'x' was unexpected"},
		{"PUT", id + "/states/provision", "1.68", `{"target":"active","deploy_steps":[]}`, 406, 'A', "1.69"},
		{"PUT", id + "/states/provision", "1.115", `{"target":"manage","deploy_steps":[]}`, 400, 'A', "deploy_steps"},
		{"PUT", id + "/states/provision", "1.115", `{"target":"active","clean_steps":[]}`, 400, 'A', "clean_steps"},
		{"PUT", id + "/states/provision", "1.115", `{"target":"active","deploy_steps":[{"interface":"bios","step":"x"}]}`, 400, 'A', "required property"},
		{"PUT", id + "/states/provision", "1.115", `{"target":"clean"}`, 400, 'A', `"clean_steps" is required`},
		{"PUT", id + "/states/provision", "1.115", `{"target":"clean","clean_steps":[{"interface":"nix","step":"x"}]}`, 400, 'A', "interface"},
		{"PUT", id + "/states/provision", "1.115", `{"target":"service"}`, 400, 'A', `"service_steps" is required`},
		{"PUT", id + "/states/provision", "1.115", `{"target":"rescue","rescue_password":" "}`, 400, 'A', "rescue_password"},
		{"PUT", id + "/states/provision", "1.115", `{"target":"active","rescue_password":"x"}`, 400, 'A', "rescue_password"},
		{"PUT", id + "/states/provision", "1.69", `{"target":"clean","clean_steps":[],"disable_ramdisk":true}`, 406, 'A', "1.70"},
		{"PUT", id + "/states/provision", "1.107", `{"target":"service","service_steps":[],"disable_ramdisk":true}`, 406, 'A', "1.108"},
		{"PUT", id + "/states/provision", "1.115", `{"target":"active","disable_ramdisk":true}`, 400, 'A', "disable_ramdisk"},
		{"PUT", id + "/states/provision", "1.91", `{"target":"clean","runbook":"x"}`, 406, 'A', "1.92"},
		{"PUT", id + "/states/provision", "1.115", `{"target":"clean","runbook":"x"}`, 404, 'A', "runbook"},
		// Other sub-resources.
		{"PUT", id + "/maintenance", "1.115", `{"why":"x"}`, 400, 'A', "Unexpected arguments: why"},
		{"PUT", id + "/states/console", "1.115", `{"enabled":"maybe"}`, 400, 'A', "Invalid enabled"},
		{"PUT", id + "/states/console", "1.115", `{"enabled":true}`, 400, 'A', "does not support console"},
		{"PUT", id + "/states/boot_mode", "1.115", `{"target":"x"}`, 400, 'A', "Invalid boot mode"},
		{"PUT", id + "/states/secure_boot", "1.115", `{"target":"maybe"}`, 400, 'A', "Unrecognized value 'maybe'"},
		{"PUT", id + "/states/raid", "1.115", `{"logical_disks":[]}`, 404, 'A', "does not support raid"},
		{"GET", id + "/management/indicators", "1.115", "", 400, 'A', "indicators"},
		{"POST", id + "/vmedia", "1.115", `{}`, 400, 'A', "does not support"},
		{"POST", id + "/vendor_passthru?method=m1", "1.115", `{}`, 400, 'A', "No handler for method m1"},
		{"DELETE", id + "/vendor_passthru/m1", "1.115", ``, 400, 'A', "No handler for method m1"},
		{"PUT", id + "/traits", "1.115", `{"traits":["gold"]}`, 400, 'A', "gold"},
		{"PUT", id + "/traits/CUSTOM_X", "1.115", `{}`, 400, 'A', "No body"},
		{"DELETE", id + "/traits/CUSTOM_X", "1.115", ``, 404, 'A', "CUSTOM_X"},
		{"POST", id + "/vifs", "1.66", `{"id":"x","port_uuid":"y"}`, 406, 'A', "1.67"},
		{"POST", id + "/vifs", "1.115", `{"id":"x","port_uuid":"y","portgroup_uuid":"z"}`, 400, 'A', "both"},
		// Lists.
		{"GET", "/v1/nodes?limit=0", "1.115", "", 400, 'A', "Limit must be positive"},
		{"GET", "/v1/nodes?limit=x", "1.115", "", 400, 'A', "integer"},
		{"GET", "/v1/nodes?marker=x", "1.115", "", 400, 'A', "Expected a UUID"},
		{"GET", "/v1/nodes?marker=" + samplePort, "1.115", "", 404, 'A', "could not be found"},
		{"GET", "/v1/nodes?sort_key=extra", "1.115", "", 400, 'A', `The sort_key value "extra" is an invalid field for sorting`},
		{"GET", "/v1/nodes?sort_key=owner", "1.49", "", 406, 'A', "1.50"},
		{"GET", "/v1/nodes?sort_dir=up", "1.115", "", 400, 'A', "Invalid sort direction"},
		{"GET", "/v1/nodes?fields=nix", "1.115", "", 400, 'A', "Field nix is not a valid field."},
		{"GET", "/v1/nodes?fields=ports", "1.115", "", 400, 'A', "Field ports is not a valid field."},
		{"GET", "/v1/nodes?fields=health", "1.108", "", 406, 'A', "1.109"},
		{"GET", "/v1/nodes?fields=uuid", "1.7", "", 406, 'A', "1.8"},
		{"GET", "/v1/nodes?detail=true", "1.42", "", 400, 'A', "1.43"},
		{"GET", "/v1/nodes?detail=true&fields=uuid", "1.115", "", 400, 'A', "Can not specify ?detail=True and fields in the same request."},
		{"GET", "/v1/nodes/detail?fields=uuid", "1.115", "", 400, 'A', "Unexpected arguments: fields"},
		{"GET", "/v1/nodes?health=OK", "1.115", "", 400, 'A', "Unexpected arguments: health"},
		{"GET", "/v1/nodes?provision_state=nix", "1.115", "", 400, 'A', "not valid"},
		{"GET", "/v1/nodes?provision_state=active", "1.8", "", 406, 'A', "1.9"},
		{"GET", "/v1/nodes?fault=nix", "1.115", "", 400, 'A', "nix"},
		{"GET", "/v1/nodes?associated=maybe", "1.115", "", 400, 'A', "Invalid associated"},
		{"GET", "/v1/nodes?instance_uuid=x", "1.115", "", 400, 'A', "UUID"},
		// Ports.
		{"POST", "/v1/ports", "1.115", `{"node_uuid":"` + sampleNode + `"}`, 400, 'A', "'address' is a required property"},
		{"POST", "/v1/ports", "1.115", `{"address":"52:54:00:00:00:01"}`, 400, 'A', "'node_uuid' is a required property"},
		{"POST", "/v1/ports", "1.115", `{"address":"x","node_uuid":"` + sampleNode + `"}`, 400, 'A', "MAC address"},
		{"POST", "/v1/ports", "1.115", `{"address":"52:54:00:00:00:01","node_uuid":"` + samplePort + `"}`, 400, 'A', "could not be found"},
		{"POST", "/v1/ports", "1.93", `{"address":"52:54:00:00:00:01","node_ident":"rack7-u12"}`, 406, 'A', "1.94"},
		{"POST", "/v1/ports", "1.115", `{"address":"52:54:00:00:00:01","node_uuid":"` + sampleNode + `","portgroup_uuid":"` + samplePort + `"}`, 400, 'A', "Portgroup"},
		{"GET", "/v1/ports/52:54:00:12:34:56", "1.115", "", 400, 'A', "52:54:00:12:34:56"},
		{"GET", "/v1/ports/eth0", "1.87", "", 400, 'A', "UUID"},
		{"GET", "/v1/ports/eth0", "1.88", "", 404, 'A', "Port eth0 could not be found."},
		{"GET", "/v1/ports?node=nix", "1.115", "", 404, 'A', "nix"},
		{"GET", "/v1/ports?node=rack7-u12&shard=a", "1.115", "", 403, 'A', "Only one"},
		{"GET", "/v1/ports?address=x", "1.115", "", 400, 'A', "MAC"},
		{"PATCH", "/v1/ports/" + samplePort, "1.115", `[{"op":"remove","path":"/address"}]`, 400, 'A', "required"},
		{"PATCH", "/v1/ports/" + samplePort, "1.115", `[{"op":"add","path":"/uuid","value":"x"}]`, 400, 'A', "Cannot patch /uuid"},
		// Drivers and conductors.
		{"GET", "/v1/drivers/nix", "1.115", "", 404, 'A', "Could not find the following driver(s) or hardware type(s): nix."},
		{"GET", "/v1/drivers/properties?driver_name=nix", "1.115", "", 404, 'A', "The driver 'nix' is unknown."},
		{"GET", "/v1/drivers/ipmi/raid/logical_disk_properties", "1.115", "", 404, 'A', "raid"},
		{"GET", "/v1/drivers?detail=true", "1.29", "", 406, 'A', "1.30"},
		{"GET", "/v1/drivers?type=x", "1.115", "", 400, 'A', "driver type"},
		{"GET", "/v1/conductors/nix", "1.115", "", 404, 'A', "Conductor nix"},
	}
	w := newWorld(t)
	w.seed()
	for _, row := range rows {
		name := row.method + " " + row.path + " at " + row.minor
		a := w.at(row.minor).do(row.method, row.path, row.body)
		if a.StatusCode != row.status {
			t.Errorf("%s %.80s: status %d, wanted %d: %s", name, row.body, a.StatusCode, row.status, a.text)
			continue
		}
		var got string
		switch row.form {
		case 'A':
			f := a.fault(t)
			got, _ = f["faultstring"].(string)
			if f["faultcode"] != "Client" || f["debuginfo"] != nil {
				t.Errorf("%s: the fault is %v", name, f)
			}
		case 'B':
			f := a.fault(t)
			got, _ = f["description"].(string)
			if f["code"] != float64(row.status) || f["title"] != http.StatusText(row.status) {
				t.Errorf("%s: the error is %v", name, f)
			}
		case 'D':
			got, _ = a.get("faultstring").(string)
		}
		if !strings.Contains(got, row.text) {
			t.Errorf("%s %.80s: the text is %q, wanted %q in it", name, row.body, got, row.text)
		}
		if a.Header.Get("X-OpenStack-Ironic-API-Maximum-Version") != "1.115" || a.Header.Get("X-OpenStack-Ironic-API-Minimum-Version") != "1.1" {
			t.Errorf("%s: the version range is missing in %v", name, a.Header)
		}
		if got, want := a.Header.Get("X-OpenStack-Ironic-API-Version"), row.minor; got != want && !(strings.Contains(a.text, "ersion") && row.status == 406 && got == "") {
			t.Errorf("%s: answered version %q, wanted %q", name, got, want)
		}
		if id := a.Header.Get("Openstack-Request-Id"); !strings.HasPrefix(id, "req-") || id != a.Header.Get("x-openstack-request-id") {
			t.Errorf("%s: the request id is %q", name, id)
		}
		if row.status == 405 && a.Header.Get("Allow") == "" {
			t.Errorf("%s: 405 without Allow", name)
		}
	}
	if got := w.do("HEAD", "/v1/nodes", "").Header.Get("Allow"); got != "DELETE, GET, PATCH, POST" {
		t.Errorf("Allow of /v1/nodes is %q", got)
	}
	for _, m := range w.owner.asked { // nothing of the above changed anything
		if _, ok := m.(node.DeleteNode); ok {
			t.Errorf("a refused request sent %s", m.MsgName())
		}
	}
}

// Each kind of refusal has its status, by one table.
func TestKinds(t *testing.T) {
	rows := map[node.Kind][2]int{ // of PUT power, of DELETE node
		node.Invalid: {400, 400}, node.Unsupported: {400, 400}, node.Forbidden: {403, 403}, node.NotFound: {404, 404},
		node.NotAcceptable: {406, 406}, node.Exists: {409, 409}, node.Conflict: {409, 409}, node.Locked: {409, 409},
		node.Stale: {409, 409}, node.Internal: {500, 500}, node.Quarantined: {500, 500}, node.Unavailable: {503, 503},
		node.NoHost: {404, 400}, node.Kind("unheard of"): {500, 500},
	}
	w := newWorld(t)
	w.seed()
	for kind, want := range rows {
		w.owner.before = func(string, node.Msg) (any, error, bool) {
			return nil, fmt.Errorf("wrapped: %w", &node.Error{Kind: kind, Text: "this is why"}), true
		}
		for i, a := range []answer{
			w.do("PUT", "/v1/nodes/rack7-u12/states/power", `{"target":"power on"}`),
			w.do("DELETE", "/v1/nodes/rack7-u12", ""),
		} {
			f := a.fault(t)
			code := map[bool]string{true: "Server", false: "Client"}[want[i] >= 500]
			if a.StatusCode != want[i] || f["faultstring"] != "this is why" || f["faultcode"] != code {
				t.Errorf("kind %q: status %d %v, wanted %d %s", kind, a.StatusCode, f, want[i], code)
			}
			if (a.Header.Get("Retry-After") != "") != (want[i] == 503) {
				t.Errorf("kind %q: Retry-After is %q", kind, a.Header.Get("Retry-After"))
			}
		}
	}
}

func TestPanicIsAnAnswer(t *testing.T) {
	w := newWorld(t)
	w.seed()
	w.owner.before = func(string, node.Msg) (any, error, bool) { panic("boom") }
	a := w.want(500, "PUT", "/v1/nodes/rack7-u12/maintenance", "")
	if f := a.fault(t); f["faultcode"] != "Server" || strings.Contains(a.text, "boom") {
		t.Errorf("the answer is %s", a.text)
	}
	w.owner.before = nil
	w.want(200, "GET", "/v1/nodes/rack7-u12", "")
}

func TestLimits(t *testing.T) {
	w := newWorld(t)
	w.seed()
	big := strings.Repeat("x", 1<<20)
	a := w.want(413, "POST", "/v1/nodes", `{"driver":"ipmi","description":"`+big+`"}`)
	if a.get("faultcode") != "Client" || a.get("error_message") != nil {
		t.Errorf("413 is %s", a.text)
	}
	w.want(413, "PUT", "/v1/nodes/rack7-u12/maintenance", `{"reason":"`+big+`"}`)
	if a := w.raw("POST /v1/nodes HTTP/1.1\r\nHost: h\r\nContent-Length: 5000000\r\n\r\n"); a.StatusCode != 413 || !strings.Contains(a.text, "too large") {
		t.Errorf("a huge body is answered with %d %s before it is read", a.StatusCode, a.text)
	}
	// A configdrive may be larger; here it is refused for what it is.
	w.want(400, "PUT", "/v1/nodes/rack7-u12/states/provision", `{"target":"active","configdrive":"!`+big+`"}`)
	a = w.raw("GET /v1/nodes HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("y", 20<<10) + "\r\n\r\n")
	if a.StatusCode != 431 {
		t.Errorf("a large header is answered with %d", a.StatusCode)
	}
	if a := w.raw("GET /v1/nodes/%zz HTTP/1.1\r\nHost: h\r\n\r\n"); a.StatusCode != 400 || !strings.Contains(a.text, "escape") {
		t.Errorf("a broken escape is answered with %d %s", a.StatusCode, a.text)
	}
	if a := w.raw("rubbish\r\n\r\n"); a.StatusCode != 400 {
		t.Errorf("rubbish is answered with %d", a.StatusCode)
	}
}

func TestHealth(t *testing.T) {
	h := &ready{}
	w := newWorld(t, func(c *httpapi.Config) {
		c.Health = h
		c.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "conductor_nodes 1\n") })
	})
	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ready\n", "/metrics": "conductor_nodes 1\n"} {
		a := w.want(200, "GET", path, "")
		if a.text != want || a.Header.Get("X-OpenStack-Ironic-API-Version") != "" {
			t.Errorf("%s is %q with %v", path, a.text, a.Header)
		}
	}
	h.err = errors.New("shutting down")
	if a := w.want(503, "GET", "/readyz", ""); a.text != "shutting down\n" {
		t.Errorf("/readyz says %q", a.text)
	}
	w.want(200, "GET", "/healthz", "")
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"ferrite/node"
)

// One row a rule of spec api-rules.md section 5; each begins with the node of the samples, in state available.
func TestPatchRules(t *testing.T) {
	rows := []struct {
		name, minor, body string
		status            int
		text              string         // part of the refusal
		want              map[string]any // keys of the reply
	}{
		{"empty", "1.115", `[]`, 200, "", map[string]any{"name": "rack7-u12"}},
		{"no list", "1.115", `{}`, 400, "wanted type 'array'", nil},
		{"test", "1.115", `[{"op":"test","path":"/name","value":"x"}]`, 400, "is not one of", nil},
		{"move", "1.115", `[{"op":"move","from":"/name","path":"/owner"}]`, 400, "", nil},
		{"no path", "1.115", `[{"op":"add","value":1}]`, 400, "path", nil},
		{"no value", "1.115", `[{"op":"add","path":"/name"}]`, 400, "value is missing", nil},
		{"extra key", "1.115", `[{"op":"remove","path":"/name","x":1}]`, 400, "'x' was unexpected", nil},
		{"dot", "1.115", `[{"op":"add","path":"/extra/a.b","value":1}]`, 400, "does not match", nil},
		{"slash at the end", "1.115", `[{"op":"add","path":"/extra/","value":1}]`, 400, "does not match", nil},
		{"escape, old", "1.97", `[{"op":"add","path":"/extra/a~1b","value":1}]`, 400, "does not match", nil},
		{"escape", "1.98", `[{"op":"add","path":"/extra/a~1b~0","value":1}]`, 200, "", map[string]any{"extra": map[string]any{"a/b~": 1.0}}},
		{"broken escape", "1.98", `[{"op":"add","path":"/extra/a~2","value":1}]`, 400, "does not match", nil},
		{"uuid", "1.115", `[{"op":"replace","path":"/uuid","value":"x"}]`, 400, "Cannot patch /uuid. Only the following can be updated: automated_clean, bios_interface", nil},
		{"power_state", "1.115", `[{"op":"add","path":"/power_state","value":"power on"}]`, 400, "Cannot patch /power_state", nil},
		{"traits", "1.115", `[{"op":"add","path":"/traits","value":[]}]`, 400, "Cannot patch /traits", nil},
		{"maintenance_reason", "1.115", `[{"op":"add","path":"/maintenance_reason","value":"x"}]`, 400, "Cannot patch", nil},
		{"console_enabled", "1.115", `[{"op":"add","path":"/console_enabled","value":true}]`, 400, "Cannot patch", nil},
		{"newer field", "1.49", `[{"op":"add","path":"/owner","value":"x"}]`, 406, "1.50", nil},
		{"newer field removed", "1.49", `[{"op":"remove","path":"/owner"}]`, 200, "", nil},
		{"in order", "1.115", `[{"op":"add","path":"/extra/a","value":1},{"op":"replace","path":"/extra/a","value":2},{"op":"add","path":"/extra/b","value":3},{"op":"remove","path":"/extra/b"}]`, 200, "", map[string]any{"extra": map[string]any{"a": 2.0}}},
		{"whole or not at all", "1.115", `[{"op":"add","path":"/extra/a","value":1},{"op":"remove","path":"/extra/nix"}]`, 400, "Couldn't apply patch 'remove /extra/nix'. Reason: member 'nix' not found", nil},
		{"add replaces", "1.115", `[{"op":"add","path":"/properties/cpu_arch","value":"arm"}]`, 200, "", map[string]any{"properties": map[string]any{"cpu_arch": "arm"}}},
		{"replace missing", "1.115", `[{"op":"replace","path":"/extra/a","value":1}]`, 400, "not found", nil},
		{"add below missing", "1.115", `[{"op":"add","path":"/extra/a/b","value":1}]`, 400, "not found", nil},
		{"nested", "1.115", `[{"op":"add","path":"/extra/a","value":{"b":{"c":[1,2]}}},{"op":"add","path":"/extra/a/b/c/1","value":9},{"op":"add","path":"/extra/a/b/c/-","value":8}]`, 200, "", map[string]any{"extra": map[string]any{"a": map[string]any{"b": map[string]any{"c": []any{1.0, 9.0, 2.0, 8.0}}}}}},
		{"list remove and replace", "1.115", `[{"op":"add","path":"/extra/l","value":[1,2,3]},{"op":"remove","path":"/extra/l/0"},{"op":"replace","path":"/extra/l/1","value":{"k":1}},{"op":"replace","path":"/extra/l/1/k","value":7}]`, 200, "", map[string]any{"extra": map[string]any{"l": []any{2.0, map[string]any{"k": 7.0}}}}},
		{"list end", "1.115", `[{"op":"add","path":"/extra/l","value":[1]},{"op":"remove","path":"/extra/l/1"}]`, 400, "out of range", nil},
		{"list beyond", "1.115", `[{"op":"add","path":"/extra/l","value":[1]},{"op":"add","path":"/extra/l/2","value":1}]`, 400, "out of range", nil},
		{"list name", "1.115", `[{"op":"add","path":"/extra/l","value":[1]},{"op":"add","path":"/extra/l/x","value":1}]`, 400, "not a valid list index", nil},
		{"list zero padded", "1.115", `[{"op":"add","path":"/extra/l","value":[1]},{"op":"remove","path":"/extra/l/00"}]`, 400, "not a valid list index", nil},
		{"into a number", "1.115", `[{"op":"add","path":"/extra/a","value":1},{"op":"add","path":"/extra/a/b","value":1}]`, 400, "no members", nil},
		{"into a scalar field", "1.115", `[{"op":"add","path":"/name/x","value":1}]`, 400, "no members", nil},
		{"remove name", "1.115", `[{"op":"remove","path":"/name"}]`, 200, "", map[string]any{"name": nil}},
		{"null name", "1.115", `[{"op":"replace","path":"/name","value":null}]`, 400, "use op remove", nil},
		{"reserved name", "1.115", `[{"op":"replace","path":"/name","value":"states"}]`, 400, "invalid name 'states'", nil},
		{"remove driver", "1.115", `[{"op":"remove","path":"/driver"}]`, 400, "driver is a required property", nil},
		{"remove interface", "1.115", `[{"op":"remove","path":"/deploy_interface"}]`, 200, "", map[string]any{"deploy_interface": "fake"}},
		{"unknown interface", "1.115", `[{"op":"replace","path":"/deploy_interface","value":"nix"}]`, 400, "nix", nil},
		{"remove object", "1.115", `[{"op":"remove","path":"/properties"}]`, 200, "", map[string]any{"properties": map[string]any{}}},
		{"null object", "1.115", `[{"op":"replace","path":"/properties","value":null}]`, 200, "", map[string]any{"properties": map[string]any{}}},
		{"object is a list", "1.115", `[{"op":"replace","path":"/extra","value":[]}]`, 400, "wanted type 'object'", nil},
		{"remove chassis, old", "1.24", `[{"op":"remove","path":"/chassis_uuid"}]`, 400, "1.25", nil},
		{"remove chassis", "1.25", `[{"op":"remove","path":"/chassis_uuid"}]`, 200, "", map[string]any{"chassis_uuid": nil}},
		{"chassis", "1.115", `[{"op":"add","path":"/chassis_uuid","value":"` + samplePort + `"}]`, 400, "Chassis", nil},
		{"bool as string", "1.115", `[{"op":"replace","path":"/maintenance","value":"true"}]`, 200, "", map[string]any{"maintenance": true}},
		{"bad bool", "1.115", `[{"op":"replace","path":"/maintenance","value":"maybe"}]`, 400, "Unrecognized value 'maybe'", nil},
		{"remove bool", "1.115", `[{"op":"remove","path":"/maintenance"}]`, 200, "", map[string]any{"maintenance": false}},
		{"automated_clean", "1.115", `[{"op":"add","path":"/automated_clean","value":"no"}]`, 200, "", map[string]any{"automated_clean": false}},
		{"instance_uuid", "1.115", `[{"op":"add","path":"/instance_uuid","value":"x"}]`, 400, "Expected a UUID", nil},
		{"conductor_group", "1.115", `[{"op":"add","path":"/conductor_group","value":"Rack-1"}]`, 200, "", map[string]any{"conductor_group": "rack-1"}},
		{"memory_mb", "1.115", `[{"op":"add","path":"/properties/memory_mb","value":-1}]`, 400, "memory_mb=-1", nil},
		{"memory_mb as text", "1.115", `[{"op":"add","path":"/properties/memory_mb","value":"4096"}]`, 200, "", nil},
		{"parent", "1.115", `[{"op":"add","path":"/parent_node","value":"rack7-u12"}]`, 400, "its own parent", nil},
		{"mask is stored", "1.115", `[{"op":"add","path":"/driver_info/ipmi_password","value":"******"}]`, 200, "", map[string]any{"driver_info": map[string]any{"ipmi_address": "10.9.8.7", "ipmi_username": "op", "ipmi_password": "******"}}},
		{"reset without driver", "1.115", `[{"op":"add","path":"/extra/a","value":1}]?reset_interfaces=true`, 400, "reset_interfaces", nil},
		{"reset too new", "1.44", `[{"op":"replace","path":"/driver","value":"fake-hardware"}]?reset_interfaces=true`, 406, "1.45", nil},
		{"reset", "1.115", `[{"op":"replace","path":"/driver","value":"fake-hardware"}]?reset_interfaces=true`, 200, "", map[string]any{"driver": "fake-hardware", "power_interface": "fake"}},
		{"network_data", "1.115", `[{"op":"add","path":"/network_data","value":{"links":{}}}]`, 400, "network_data", nil},
		{"protected", "1.115", `[{"op":"add","path":"/protected","value":true}]`, 409, "", nil},
		{"retired", "1.115", `[{"op":"add","path":"/retired","value":true}]`, 409, "", nil},
		{"reason alone", "1.115", `[{"op":"add","path":"/retired_reason","value":"old"}]`, 400, "", nil},
	}
	one := newWorld(t)
	one.seed()
	fresh, _ := one.store.Node(sampleNode)
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			w := one.at(row.minor)
			w.t = t
			w.rewrite(fresh)
			before, _ := w.store.Node(sampleNode)
			body, query, _ := strings.Cut(row.body, "]?")
			if query != "" {
				body, query = body+"]", "?"+query
			}
			a := w.want(row.status, "PATCH", "/v1/nodes/"+sampleNode+query, body)
			if row.status != 200 {
				if text, _ := a.fault(t)["faultstring"].(string); !strings.Contains(text, row.text) {
					t.Errorf("the text is %q, wanted %q in it", text, row.text)
				}
				if after, _ := w.store.Node(sampleNode); after != before {
					t.Error("a refused patch changed the record")
				}
				return
			}
			for k, want := range row.want {
				if got := a.get(k); !reflect.DeepEqual(got, want) {
					t.Errorf("%s is %v, wanted %v", k, got, want)
				}
			}
		})
	}
}

// A node that changed between reading and writing is read again, five tries in all.
func TestPatchOfAMovingNode(t *testing.T) {
	const body = `[{"op":"add","path":"/extra/mine","value":1}]`
	w := newWorld(t)
	w.seed()
	times := 0
	w.owner.before = func(id string, m node.Msg) (any, error, bool) {
		if _, ok := m.(node.UpdateNode); !ok || times == 0 {
			return nil, nil, false
		}
		times--
		n, _ := w.store.Node(id) // somebody else was faster
		c := n.Clone()
		c.Extra, c.Outer = node.With(c.Extra, "theirs", float64(times)), c.Outer+1
		w.rewrite(c)
		return nil, nil, false
	}
	times = 4
	a := w.want(200, "PATCH", "/v1/nodes/rack7-u12", body)
	if got, want := a.get("extra"), map[string]any{"mine": 1.0, "theirs": 0.0}; !reflect.DeepEqual(got, any(want)) {
		t.Errorf("extra is %v, wanted %v", got, want)
	}
	times = 5
	w.want(409, "PATCH", "/v1/nodes/rack7-u12", body)
	if times != 0 {
		t.Errorf("%d tries were left, wanted 0", times)
	}
}

// ETag counts what clients can see; If-Match makes a PATCH depend on it (P7).
func TestIfMatch(t *testing.T) {
	w := newWorld(t)
	w.seed()
	tag := w.want(200, "GET", "/v1/nodes/rack7-u12", "").Header.Get("ETag")
	a := w.want(200, "PATCH", "/v1/nodes/rack7-u12", `[{"op":"add","path":"/extra/a","value":1}]`, "If-Match: "+tag)
	if next := a.Header.Get("ETag"); next == tag || next == "" {
		t.Errorf("ETag went from %s to %s", tag, next)
	}
	w.want(412, "PATCH", "/v1/nodes/rack7-u12", `[{"op":"add","path":"/extra/a","value":2}]`, "If-Match: "+tag)
}

// Secrets of every object field that may hold one are masked, at any depth, in every form of answer.
func TestSecretsAreMasked(t *testing.T) {
	w := newWorld(t)
	id := w.create(`{"driver":"fake-hardware","driver_info":{"ipmi_password":"geheim1","deep":[{"snmp_auth_key":"geheim2"}]},"instance_info":{"configdrive":"geheim3","image_url":"http://x/geheim4"}}`)
	w.want(202, "PUT", "/v1/nodes/"+id+"/states/provision", `{"target":"manage"}`)
	for _, path := range []string{"/v1/nodes/" + id, "/v1/nodes/detail", "/v1/nodes?fields=driver_info,instance_info", "/v1/nodes/" + id + "/driver_info"} {
		if a := w.want(200, "GET", path, ""); strings.Contains(a.text, "geheim") || strings.Count(a.text, "******") == 0 {
			t.Errorf("%s shows %s", path, a.text)
		}
	}
	a := w.want(400, "PATCH", "/v1/nodes/"+id, `[{"op":"add","path":"/driver_info/ipmi_password/x","value":"geheim5"}]`)
	w.do("PUT", "/v1/nodes/"+id+"/states/provision?rescue_password=geheim6", `{"target":"rescue"}`)
	if strings.Contains(a.text, "geheim") || strings.Contains(w.audit.String(), "geheim") {
		t.Errorf("a secret is in %s or in %s", a.text, w.audit)
	}
	n, _ := w.store.Node(id)
	if n.DriverInfo["ipmi_password"] != "geheim1" {
		t.Errorf("stored is %v", n.DriverInfo)
	}
}

// Each change leaves one line that says who, what and how it ended; reads leave none.
func TestAudit(t *testing.T) {
	w := newWorld(t)
	w.seed()
	w.want(200, "GET", "/v1/nodes", "")
	a := w.want(202, "PUT", "/v1/nodes/rack7-u12/maintenance", `{"reason":"fan"}`)
	w.want(404, "DELETE", "/v1/nodes/rack9", "")
	lines := strings.Split(strings.TrimSpace(w.audit.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("the audit has %d lines, wanted 2: %s", len(lines), w.audit)
	}
	var first map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]any{
		"user": "anonymous", "method": "PUT", "path": "/v1/nodes/rack7-u12/maintenance", "node": sampleNode, "status": 202.0,
		"request_id": a.Header.Get("Openstack-Request-Id"),
	} {
		if first[k] != want {
			t.Errorf("%s is %v, wanted %v", k, first[k], want)
		}
	}
}

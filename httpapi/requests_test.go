// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"context"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"ferrite/httpapi"
	"ferrite/node"
)

func TestVersionsAndHeaders(t *testing.T) {
	w := newWorld(t)
	w.seed()
	w.minor = ""
	rows := []struct {
		headers []string
		want    string
	}{
		{nil, "1.1"},
		{[]string{"X-OpenStack-Ironic-API-Version: "}, "1.1"},
		{[]string{"X-OpenStack-Ironic-API-Version:  1.30 "}, "1.30"},
		{[]string{"X-OpenStack-Ironic-API-Version: LATEST"}, "1.115"},
		{[]string{"OpenStack-API-Version: baremetal 1.82"}, "1.82"},
		{[]string{"OpenStack-API-Version: compute 2.90, baremetal 1.82"}, "1.82"},
		{[]string{"OpenStack-API-Version: compute 2.90"}, "1.1"},
		{[]string{"OpenStack-API-Version: baremetal 1.109", "X-OpenStack-Ironic-API-Version: 1.109"}, "1.109"},
	}
	for _, row := range rows {
		a := w.want(200, "GET", "/v1/nodes", "", row.headers...)
		if got := a.Header.Get("X-OpenStack-Ironic-API-Version"); got != row.want {
			t.Errorf("%v is answered at %s, wanted %s", row.headers, got, row.want)
		}
	}
	w.minor = "1.115"
	for _, method := range []string{"GET", "POST", "DELETE", "PATCH"} {
		if a := w.want(200, method, "/", ""); a.get("default_version") == nil {
			t.Errorf("%s / is %s", method, a.text)
		}
	}
	if a := w.want(200, "HEAD", "/v1", ""); a.text != "" {
		t.Errorf("HEAD /v1 has a body: %s", a.text)
	}
	if a := w.want(200, "OPTIONS", "/v1/nodes", ""); a.text != "" {
		t.Errorf("OPTIONS has a body: %s", a.text)
	}
	// Header names are spelled as Ironic spells them; some clients read raw bytes.
	a := w.raw("GET /v1/nodes HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	if a.StatusCode != 200 || a.Header.Get("Server") != "" {
		t.Errorf("raw: %v", a.Header)
	}
}

func TestLinksFollowTheHost(t *testing.T) {
	w := newWorld(t)
	w.seed()
	self := func(a answer) string {
		l, _ := a.list("links")[0].(map[string]any)
		s, _ := l["href"].(string)
		return s
	}
	a := w.raw("GET /v1/nodes/" + sampleNode + " HTTP/1.1\r\nHost: api.example:80\r\nConnection: close\r\n\r\n")
	if !strings.Contains(a.text, `"http://api.example:80/v1/nodes/`+sampleNode+`"`) {
		t.Errorf("links are %s", a.text)
	}
	p := newWorld(t, func(c *httpapi.Config) { c.PublicEndpoint = "https://public:443/v1/" })
	p.seed()
	if got := self(p.want(200, "GET", "/v1/nodes/"+sampleNode, "")); got != "https://public:443/v1/nodes/"+sampleNode {
		t.Errorf("self is %s", got)
	}
}

func TestJSONSuffix(t *testing.T) {
	w := newWorld(t)
	plain := w.create(`{"driver":"fake-hardware","name":"rack"}`)
	w.at("1.91").want(404, "GET", "/v1/nodes/rack.json", "")
	w.at("latest").want(404, "GET", "/v1/nodes/rack.json", "")
	if a := w.at("1.90").want(200, "GET", "/v1/nodes/rack.json", ""); a.get("uuid") != plain {
		t.Errorf("rack.json is %s", a.text)
	}
	w.at("1.1").want(200, "GET", "/v1/nodes/"+plain+".json", "")
	w.at("").want(404, "GET", "/v1/nodes/"+plain+".json", "")
	dotted := w.create(`{"driver":"fake-hardware","name":"other.json"}`)
	for _, minor := range []string{"1.90", "1.91", "latest"} {
		if a := w.at(minor).want(200, "GET", "/v1/nodes/other.json", ""); a.get("uuid") != dotted {
			t.Errorf("other.json at %s is %s", minor, a.text)
		}
	}
}

// What the owner is asked, for each way of asking it.
func TestMessages(t *testing.T) {
	w := newWorld(t)
	w.seed()
	w.owner.before = func(string, node.Msg) (any, error, bool) { return nil, nil, true }
	const id = "/v1/nodes/rack7-u12"
	step := []node.StepSpec{{Interface: "bios", Step: "x", Args: map[string]any{"a": 1.0}}}
	rows := []struct {
		method, path, body string
		status             int
		location           string
		want               node.Msg
	}{
		{"PUT", id + "/states/power?target=power%20off", "", 202, id + "/states", node.SetPower{Target: node.PowerOff}},
		{"PUT", id + "/states/power?timeout=7", `{"target":"soft rebooting"}`, 202, id + "/states", node.SetPower{Target: node.SoftRebooting, Timeout: 7 * time.Second}},
		{"PUT", id + "/states/power", `{"target":"power on","timeout":1.5}`, 202, id + "/states", node.SetPower{Target: node.PowerOn, Timeout: time.Second}},
		{"PUT", "/nodes/" + sampleNode + "/states/power/", `{"target":"power on","timeout":null}`, 202, "/v1/nodes/" + sampleNode + "/states", node.SetPower{Target: node.PowerOn}},
		{"PUT", id + "/states/provision", `{"target":"manage"}`, 202, id + "/states", node.SetProvision{Verb: "manage"}},
		{"PUT", id + "/states/provision", `{"target":"active","configdrive":{"meta_data":{}},"deploy_steps":[{"interface":"bios","step":"x","args":{"a":1},"priority":80}]}`, 202, id + "/states", node.SetProvision{
			Verb: "active", Configdrive: map[string]any{"meta_data": map[string]any{}}, DeploySteps: []node.StepSpec{{Interface: "bios", Step: "x", Priority: 80, Args: map[string]any{"a": 1.0}}},
		}},
		{"PUT", id + "/states/provision", `{"target":"rebuild","configdrive":"https://x/y"}`, 202, id + "/states", node.SetProvision{Verb: "rebuild", Configdrive: "https://x/y"}},
		{"PUT", id + "/states/provision", `{"target":"clean","clean_steps":[{"interface":"bios","step":"x","args":{"a":1}}],"disable_ramdisk":"true"}`, 202, id + "/states", node.SetProvision{Verb: "clean", CleanSteps: step, DisableRamdisk: true}},
		{"PUT", id + "/states/provision", `{"target":"service","service_steps":[{"interface":"bios","step":"x","args":{"a":1}}]}`, 202, id + "/states", node.SetProvision{Verb: "service", ServiceSteps: step}},
		{"PUT", id + "/states/provision", `{"target":"rescue","rescue_password":"x"}`, 202, id + "/states", node.SetProvision{Verb: "rescue", RescuePassword: "x"}},
		{"PUT", id + "/states/console", `{"enabled":"yes"}`, 202, id + "/states/console", node.SetConsole{Enabled: true}},
		{"PUT", id + "/maintenance", `{"reason":null}`, 202, "", node.SetMaintenance{On: true}},
		{"PUT", id + "/maintenance?reason=fan", ``, 202, "", node.SetMaintenance{On: true, Reason: "fan"}},
		{"DELETE", id + "/maintenance", ``, 202, "", node.SetMaintenance{}},
		{"PUT", id + "/management/boot_device", `{"boot_device":"disk","persistent":true}`, 204, "", node.SetBootDevice{Device: "disk", Persistent: true}},
		{"PUT", id + "/management/boot_device?boot_device=pxe", ``, 204, "", node.SetBootDevice{Device: "pxe"}},
		{"PUT", id + "/management/inject_nmi", `{}`, 204, "", node.InjectNMI{}},
		{"PUT", id + "/traits", `{"traits":["HW_CPU_X86_VMX","CUSTOM_B","CUSTOM_B"]}`, 204, "", node.SetTraits{Traits: []string{"CUSTOM_B", "HW_CPU_X86_VMX"}}},
		{"PUT", id + "/traits/CUSTOM_A", ``, 204, id + "/traits/CUSTOM_A", node.SetTraits{Add: "CUSTOM_A"}},
		{"DELETE", id + "/traits/CUSTOM_GOLD", ``, 204, "", node.SetTraits{Remove: "CUSTOM_GOLD"}},
		{"DELETE", id + "/traits", ``, 204, "", node.SetTraits{Traits: []string{}}},
		{"DELETE", id, ``, 204, "", node.DeleteNode{}},
		{"POST", id + "/vifs", `{"id":"x"}`, 204, "", nil},
		{"DELETE", id + "/vifs/x", ``, 204, "", nil},
		{"PUT", id + "/traits/CUSTOM_GOLD", ``, 204, id + "/traits/CUSTOM_GOLD", node.SetTraits{Add: "CUSTOM_GOLD"}}, // there already: still an update, as Ironic tells it
	}
	for _, row := range rows {
		w.owner.asked = nil
		a := w.want(row.status, row.method, row.path, row.body)
		if a.text != "" || a.Header.Get("Content-Type") != "" {
			t.Errorf("%s %s: body %q, content type %q", row.method, row.path, a.text, a.Header.Get("Content-Type"))
		}
		if got := strings.TrimPrefix(a.Header.Get("Location"), "http://h:6385"); got != row.location {
			t.Errorf("%s %s: Location is %q, wanted %q", row.method, row.path, got, row.location)
		}
		var want []node.Msg
		if row.want != nil {
			want = []node.Msg{row.want}
		}
		if !reflect.DeepEqual(w.owner.asked, want) {
			t.Errorf("%s %s %s: asked %+v, wanted %+v", row.method, row.path, row.body, w.owner.asked, want)
		}
	}
}

// While an operation is under way, others get 409 in Ironic's words (S8); reads go on.
func TestLocked(t *testing.T) {
	w := newWorld(t)
	w.seed()
	w.owner.open = true
	w.want(202, "PUT", "/v1/nodes/rack7-u12/states/power", `{"target":"power on"}`)
	n := w.want(200, "GET", "/v1/nodes/rack7-u12", "")
	if n.get("reservation") != "cond-a" || n.get("target_power_state") != "power on" {
		t.Errorf("the node is %s", n.text)
	}
	data, err := os.ReadFile("testdata/11-error-locked-409.json")
	if err != nil {
		t.Fatal(err)
	}
	var sample map[string]string
	var fault map[string]any
	if err := json.Unmarshal(data, &sample); err != nil || json.Unmarshal([]byte(sample["error_message"]), &fault) != nil {
		t.Fatal("the sample is no fault")
	}
	for _, row := range [][3]string{
		{"PUT", "/states/power", `{"target":"power off"}`},
		{"PUT", "/states/provision", `{"target":"inspect"}`},
		{"PUT", "/maintenance", ``},
		{"DELETE", "/maintenance", ``},
		{"PATCH", "", `[{"op":"add","path":"/extra/a","value":1}]`},
		{"PUT", "/traits", `{"traits":[]}`},
	} {
		a := w.want(409, row[0], "/v1/nodes/rack7-u12"+row[1], row[2])
		got, _ := a.fault(t)["faultstring"].(string)
		if want, _ := fault["faultstring"].(string); !strings.HasPrefix(got, want) {
			t.Errorf("%v: the text is %q, wanted it to begin %q", row, got, want)
		}
	}
}

// Without quorum reads wait, then are 503; when asked for, they are stale and say so; writes stay 503 (R4).
func TestWithoutQuorum(t *testing.T) {
	w := newWorld(t, func(c *httpapi.Config) { c.StaleAfter = time.Hour })
	w.seed()
	w.store.SetQuorum(false)
	a := w.want(503, "GET", "/v1/nodes/rack7-u12", "")
	if a.Header.Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
	if a := w.want(200, "GET", "/v1/nodes/rack7-u12", "", "Ferrite-Stale: 1"); a.Header.Get("Ferrite-Stale") == "" {
		t.Error("a stale answer does not say so")
	}
	w.want(503, "PUT", "/v1/nodes/rack7-u12/maintenance", "", "Ferrite-Stale: 1")
	w.want(200, "GET", "/v1/drivers", "")
	w.store.SetQuorum(true)
	if a := w.want(200, "GET", "/v1/nodes/rack7-u12", ""); a.Header.Get("Ferrite-Stale") != "" {
		t.Error("a confirmed answer calls itself stale")
	}
}

// A command that takes too long is 503: its outcome is not known.
func TestSlowCommand(t *testing.T) {
	w := newWorld(t, func(c *httpapi.Config) { c.Commands, c.CommandWait = slow{}, time.Millisecond })
	w.seed()
	w.want(503, "PUT", "/v1/nodes/rack7-u12/maintenance", "")
}

type slow struct{}

func (slow) Do(ctx context.Context, _ string, _ node.Meta, _ node.Msg) (any, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// The owner hears who asked, at which version, under which id.
func TestMeta(t *testing.T) {
	var meta node.Meta
	w := newWorld(t, func(c *httpapi.Config) { c.Commands = listener{&meta} })
	w.seed()
	a := w.at("1.50").want(204, "DELETE", "/v1/nodes/rack7-u12", "")
	if want := (node.Meta{RequestID: a.Header.Get("Openstack-Request-Id"), Minor: 50}); meta != want {
		t.Errorf("meta is %+v, wanted %+v", meta, want)
	}
	// A caller that follows what it does through several services brings an id of its own; anything else is passed over.
	const callers = "req-01234567-89ab-cdef-0123-456789abcdef"
	for _, id := range []string{callers, "", callers + "0", "req-", strings.ToUpper(callers), "req-0123456789abcdef0123456789abcdef0123", "req-01234567-89ab-cdef-0123-456789abcde\""} {
		a := w.want(204, "DELETE", "/v1/nodes/rack7-u12", "", "X-Openstack-Request-Id: "+id)
		own := a.Header.Get("Openstack-Request-Id")
		if want := map[bool]string{true: callers, false: own}[id == callers]; meta.RequestID != want || own == callers {
			t.Errorf("asked with id %q: the owner hears %q, wanted %q", id, meta.RequestID, want)
		}
	}
}

type listener struct{ meta *node.Meta }

func (l listener) Do(_ context.Context, _ string, meta node.Meta, _ node.Msg) (any, error) {
	*l.meta = meta
	return nil, nil
}

// Below 1.11 a new node is available, from there on enrolled.
func TestInitialState(t *testing.T) {
	w := newWorld(t)
	for minor, want := range map[string]any{"1.10": "available", "1.11": "enroll", "1.1": nil} {
		if got := w.at(minor).want(201, "POST", "/v1/nodes", `{"driver":"fake-hardware"}`).get("provision_state"); got != want {
			t.Errorf("at %s a new node is %v, wanted %v", minor, got, want)
		}
	}
	parent := w.create(`{"driver":"fake-hardware","name":"parent","owner":"o","console_enabled":true,"boot_mode":"uefi"}`)
	a := w.want(201, "POST", "/v1/nodes", `{"driver":"fake-hardware","parent_node":"parent","conductor_group":"","automated_clean":null,"name":null}`)
	if a.get("parent_node") != parent {
		t.Errorf("the child is %s", a.text)
	}
}

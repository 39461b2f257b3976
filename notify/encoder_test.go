// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"encoding/json"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ferrite/inventory"
	"ferrite/node"
)

// spec is testdata/notifications.json, the list that Ironic's code was read into.
type spec struct {
	Events []struct {
		Object, Action, Publisher, Payload string
		EventTypes                         []string          `json:"event_types"`
		Levels                             map[string]string `json:"levels"`
	}
	Payloads map[string]struct {
		Version, Extends string
		Fields           map[string]string
		ExtraFields      map[string]string `json:"extra_fields"`
	}
}

func readSpec(t *testing.T) spec {
	t.Helper()
	b, err := os.ReadFile("testdata/notifications.json")
	if err != nil {
		t.Fatal(err)
	}
	var s spec
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// fieldsOf are the names and types of a payload's fields, inherited ones included.
func (s spec) fieldsOf(payload string) map[string]string {
	p := s.Payloads[payload]
	all := map[string]string{}
	if p.Extends != "" {
		all = s.fieldsOf(p.Extends)
	}
	for _, m := range []map[string]string{p.Fields, p.ExtraFields} {
		for k, v := range m {
			all[k] = v
		}
	}
	return all
}

type envelope struct {
	MessageID string `json:"message_id"`
	Publisher string `json:"publisher_id"`
	EventType string `json:"event_type"`
	Priority  string
	Timestamp string
	Payload   struct {
		Name      string         `json:"ironic_object.name"`
		Namespace string         `json:"ironic_object.namespace"`
		Version   string         `json:"ironic_object.version"`
		Data      map[string]any `json:"ironic_object.data"`
	}
}

func decode(t fataler, body []byte) envelope {
	t.Helper()
	var e envelope
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return e
}

type fataler interface {
	Helper()
	Fatalf(string, ...any)
}

var at = time.Date(2016, 1, 26, 20, 41, 3, 123456789, time.UTC)

// fullNode has a value in every field that a payload shows.
func fullNode() *node.Node {
	yes := true
	n := &node.Node{
		UUID: "1be26c0b-03f2-4d2e-ae87-c02d7f33c123", Name: "rack1", Driver: "ipmi",
		DriverInfo:   map[string]any{"ipmi_address": "10.0.0.1", "ipmi_password": "pa55", "deep": map[string]any{"list": []any{map[string]any{"auth_token": "pa55", "x": 1.5}}}},
		Properties:   map[string]any{"memory_mb": json.Number("4096"), "cpu_arch": "x86_64"},
		InstanceInfo: map[string]any{"image_url": "http://pa55", "image_source": "uuid", "root_gb": 10.0},
		Extra:        map[string]any{"a": []any{nil, true, "x", int64(7), map[string]any(nil)}},
		InstanceUUID: "a", ChassisUUID: "b", ResourceClass: "gold", ConductorGroup: "g", Description: "d", PlacedOwner: "p", Lessee: "l",
		Traits: []string{"CUSTOM_A", "CUSTOM_B"}, Interfaces: map[string]string{},
		Maintenance: true, MaintenanceReason: "why", Fault: node.FaultPower, Protected: true, ProtectedReason: "pr", Retired: true, RetiredReason: "rr", DisablePowerOff: true,
		PowerState: node.PowerOn, TargetPowerState: node.PowerOff, ProvisionState: node.Deploying, TargetProvisionState: node.Active,
		LastError: "bad", DriverInternalInfo: map[string]any{"agent_secret_token": "pa55", "agent_version": "1"}, BootMode: "uefi", SecureBoot: &yes,
		ConsoleEnabled: true, CleanStep: map[string]any{"step": "erase"}, DeployStep: map[string]any{"step": "deploy"},
		CreatedAt: at, UpdatedAt: at, ProvisionUpdatedAt: at, InspectionStartedAt: at, InspectionFinishedAt: at,
	}
	for _, k := range []string{"bios", "boot", "console", "deploy", "inspect", "management", "network", "power", "raid", "rescue", "storage", "vendor"} {
		n.Interfaces[k] = k + "-tool"
	}
	return n
}

func fullPort() *inventory.Port {
	return &inventory.Port{
		UUID: "u", NodeUUID: "n", Address: "52:54:00:00:00:01", Name: "eth0", Description: "d", Vendor: "v", Category: "c",
		PhysicalNetwork: "net", PortgroupUUID: "pg", Extra: map[string]any{"vif": "x"}, LocalLinkConnection: map[string]any{"port_id": "1"},
		PXEEnabled: true, IsSmartNIC: true, DynamicPortgroup: true, CreatedAt: at, UpdatedAt: at,
	}
}

func notice(object, action string, s node.Status, full bool) node.Notice {
	n := node.Notice{Object: object, Action: action, Status: s, At: at, Node: &node.Node{UUID: "u"}}
	if object == "port" {
		n.Other = &inventory.Port{UUID: "u", NodeUUID: "n"}
	}
	if object == "chassis" {
		n.Other = &inventory.Chassis{UUID: "u"}
	}
	if !full {
		return n
	}
	n.Node = fullNode()
	n.ToPower, n.FromPower, n.Event, n.PrevState, n.PrevTarget = node.SoftPowerOff, node.PowerError, "done", node.Deploying, node.Active
	if object == "port" {
		n.Other = fullPort()
	}
	if object == "chassis" {
		n.Other = &inventory.Chassis{UUID: "u", Description: "d", Extra: map[string]any{"a": "b"}, CreatedAt: at, UpdatedAt: at}
	}
	return n
}

// TestFamilies holds every family, status, priority, payload name, version, field and type against the list, once with
// all fields set and once with none.
func TestFamilies(t *testing.T) {
	s := readSpec(t)
	enc := &Encoder{Host: "host1", Level: "debug"}
	seen := 0
	for _, ev := range s.Events {
		if ev.Object != "node" && ev.Object != "port" && ev.Object != "chassis" {
			continue
		}
		for _, eventType := range ev.EventTypes {
			status := eventType[strings.LastIndex(eventType, ".")+1:]
			level := ev.Levels[status]
			for _, full := range []bool{true, false} {
				n := notice(ev.Object, ev.Action, node.Status(status), full)
				n.API = strings.HasPrefix(ev.Publisher, "ironic-api.")
				msgs, err := enc.Encode(n)
				if err != nil || len(msgs) != 1 {
					t.Fatalf("%s: %d messages, %v", eventType, len(msgs), err)
				}
				if want := DefaultTopic + "." + level + "." + eventType; msgs[0].Subject != want {
					t.Errorf("subject %s, want %s", msgs[0].Subject, want)
				}
				e := decode(t, Finish(msgs[0].Body, 7, 1))
				if e.EventType != eventType || e.Priority != strings.ToUpper(level) || e.Publisher != strings.Replace(ev.Publisher, "<host>", "host1", 1) ||
					e.Timestamp != "2016-01-26 20:41:03.123456" || e.MessageID != MessageID(7, 1) {
					t.Errorf("%s: envelope %+v", eventType, e)
				}
				if e.Payload.Name != ev.Payload || e.Payload.Namespace != "ironic" || e.Payload.Version != s.Payloads[ev.Payload].Version {
					t.Errorf("%s: payload %s %s", eventType, e.Payload.Name, e.Payload.Version)
				}
				checkFields(t, eventType, s.fieldsOf(ev.Payload), e.Payload.Data, full)
				if strings.Contains(string(msgs[0].Body), "pa55") {
					t.Errorf("%s: a secret in %s", eventType, msgs[0].Body)
				}
			}
			seen++
		}
	}
	if seen != len(events) || seen == 0 {
		t.Errorf("the list has %d events of ours, the table %d", seen, len(events))
	}
}

func checkFields(t *testing.T, what string, want map[string]string, got map[string]any, full bool) {
	t.Helper()
	for name, typ := range want {
		v, ok := got[name]
		if !ok {
			t.Errorf("%s: no field %s", what, name)
			continue
		}
		if v == nil {
			if full || !strings.HasSuffix(typ, "?") {
				t.Errorf("%s: %s is null", what, name)
			}
			continue
		}
		if full && isZero(v) {
			t.Errorf("%s: %s is not taken from the object: %v", what, name, v)
		}
		if !hasType(strings.TrimSuffix(typ, "?"), v) {
			t.Errorf("%s: %s is %T %v, want %s", what, name, v, v, typ)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: field %s is not Ironic's", what, name)
		}
	}
}

func isZero(v any) bool {
	switch v := v.(type) {
	case string:
		return v == ""
	case bool:
		return !v
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	return false
}

func hasType(typ string, v any) bool {
	switch typ {
	case "string", "uuid", "mac":
		_, ok := v.(string)
		return ok
	case "datetime":
		s, _ := v.(string)
		_, err := time.Parse("2006-01-02T15:04:05Z", s)
		return err == nil
	case "boolean":
		_, ok := v.(bool)
		return ok
	case "object":
		_, ok := v.(map[string]any)
		return ok
	case "list[string]":
		_, ok := v.([]any)
		return ok
	}
	return false
}

// TestValues spot-checks that a field shows its own value and not a neighbour's.
func TestValues(t *testing.T) {
	enc := &Encoder{Host: "h", Level: "info"}
	data := func(object, action string, s node.Status) map[string]any {
		msgs, err := enc.Encode(notice(object, action, s, true))
		if err != nil {
			t.Fatal(err)
		}
		return decode(t, msgs[0].Body).Payload.Data
	}
	crud := data("node", "update", node.End)
	for _, k := range []string{"bios", "boot", "console", "deploy", "inspect", "management", "network", "power", "raid", "rescue", "storage", "vendor"} {
		if crud[k+"_interface"] != k+"-tool" {
			t.Errorf("%s_interface is %v", k, crud[k+"_interface"])
		}
	}
	for k, want := range map[string]any{
		"name": "rack1", "owner": "p", "lessee": "l", "power_state": "power on", "target_power_state": "power off", "provision_state": "deploying",
		"target_provision_state": "active", "created_at": "2016-01-26T20:41:03Z", "traits": []any{"CUSTOM_A", "CUSTOM_B"}, "fault": "power failure",
		"chassis_uuid": "b", "maintenance_reason": "why", "protected_reason": "pr", "retired_reason": "rr", "description": "d", "conductor_group": "g",
		"driver_info": map[string]any{
			"ipmi_address": "10.0.0.1", "ipmi_password": "******",
			"deep": map[string]any{"list": []any{map[string]any{"auth_token": "******", "x": 1.5}}},
		},
		"instance_info": map[string]any{"image_url": "******", "image_source": "uuid", "root_gb": 10.0},
		"properties":    map[string]any{"memory_mb": 4096.0, "cpu_arch": "x86_64"},
		"extra":         map[string]any{"a": []any{nil, true, "x", 7.0, nil}},
	} {
		if !reflect.DeepEqual(crud[k], want) {
			t.Errorf("%s is %v, want %v", k, crud[k], want)
		}
	}
	prov := data("node", "provision_set", node.Success)
	for k, want := range map[string]any{
		"event": "done", "previous_provision_state": "deploying", "previous_target_provision_state": "active",
		"driver_internal_info": map[string]any{"agent_secret_token": "******", "agent_version": "1"},
	} {
		if !reflect.DeepEqual(prov[k], want) {
			t.Errorf("%s is %v, want %v", k, prov[k], want)
		}
	}
	if v := data("node", "power_set", node.Start)["to_power"]; v != "soft power off" {
		t.Errorf("to_power is %v", v)
	}
	if v := data("node", "power_state_corrected", node.Success)["from_power"]; v != "error" {
		t.Errorf("from_power is %v", v)
	}
	port := data("port", "create", node.End)
	for k, want := range map[string]any{"address": "52:54:00:00:00:01", "name": "eth0", "node_uuid": "n", "uuid": "u", "portgroup_uuid": "pg", "vendor": "v", "category": "c", "physical_network": "net"} {
		if port[k] != want {
			t.Errorf("port %s is %v, want %v", k, port[k], want)
		}
	}
}

// TestLevel: unset sends nothing, otherwise what is at least the option's level (spec notifications.md section 1).
func TestLevel(t *testing.T) {
	for _, c := range []struct {
		level       string
		info, error int
	}{
		{"", 0, 0}, {"unset", 0, 0}, {"debug", 1, 1}, {"info", 1, 1}, {"warning", 0, 1}, {"error", 0, 1}, {"critical", 0, 0},
	} {
		enc := &Encoder{Host: "h", Level: c.level}
		a, err1 := enc.Encode(notice("node", "power_set", node.Start, false))
		b, err2 := enc.Encode(notice("node", "power_set", node.Failure, false))
		if err1 != nil || err2 != nil || len(a) != c.info || len(b) != c.error {
			t.Errorf("level %q: %d info (%v), %d error (%v)", c.level, len(a), err1, len(b), err2)
		}
		if want := c.level != "" && c.level != "unset"; enc.Enabled() != want {
			t.Errorf("level %q: Enabled is %v", c.level, !want)
		}
	}
}

func TestTopics(t *testing.T) {
	enc := &Encoder{Host: "h", Level: "info", Topics: []string{"one", "two.three"}}
	msgs, err := enc.Encode(notice("port", "delete", node.Failure, true))
	if err != nil {
		t.Fatal(err)
	}
	var subjects []string
	for _, m := range msgs {
		subjects = append(subjects, m.Subject)
		if m.Node != "n" {
			t.Errorf("header names node %q", m.Node)
		}
	}
	if want := []string{"one.error.baremetal.port.delete.error", "two.three.error.baremetal.port.delete.error"}; !slices.Equal(subjects, want) {
		t.Errorf("subjects %v, want %v", subjects, want)
	}
}

func TestRefused(t *testing.T) {
	for what, e := range map[string]*Encoder{
		"notification_level":                  {Level: "loud"},
		"notification_format":                 {Level: "info", Format: "xml"},
		"versioned_notifications_topics: \"a": {Level: "info", Topics: []string{"a b"}},
		"versioned_notifications_topics: \"*": {Level: "info", Topics: []string{"*"}},
		"versioned_notifications_topics: \">": {Level: "info", Topics: []string{">"}},
		"empty part":                          {Level: "info", Topics: []string{"a..b"}},
		"wanted words joined":                 {Level: "info", Topics: []string{""}},
		"begins with $":                       {Level: "info", Topics: []string{"$SYS.x"}},
	} {
		_, err := e.Encode(notice("node", "create", node.Start, false))
		if err == nil || !strings.Contains(err.Error(), what) || e.Check() == nil {
			t.Errorf("wanted an error with %q, found %v", what, err)
		}
	}
	e := &Encoder{Level: "info"}
	for what, n := range map[string]node.Notice{
		"baremetal.node.power_set.success": {Object: "node", Action: "power_set", Status: node.Success, Node: &node.Node{}},
		"baremetal.rack.create.start":      {Object: "rack", Action: "create", Status: node.Start},
		"Notice.Node":                      {Object: "node", Action: "create", Status: node.Start},
		"inventory.Port":                   {Object: "port", Action: "create", Status: node.Start, Node: &node.Node{}},
		"found *inventory.Port":            {Object: "port", Action: "create", Status: node.Start, Other: (*inventory.Port)(nil)},
	} {
		if _, err := e.Encode(n); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("wanted an error with %q, found %v", what, err)
		}
	}
}

// TestOslo: the wrapper's string is the envelope, id included.
func TestOslo(t *testing.T) {
	n := notice("node", "provision_set", node.Failure, true)
	n.Node.LastError = "quote \" back \\ line\nend \u2028 é"
	msgs, err := (&Encoder{Host: "h", Level: "info", Format: Oslo}).Encode(n)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := (&Encoder{Host: "h", Level: "info"}).Encode(n)
	if err != nil {
		t.Fatal(err)
	}
	if inner := unwrap(t, Finish(msgs[0].Body, 9, 2)); inner != string(Finish(plain[0].Body, 9, 2)) {
		t.Errorf("oslo.message is %s", inner)
	}
	if got := decode(t, plain[0].Body).Payload.Data["last_error"]; got != n.Node.LastError {
		t.Errorf("last_error is %q", got)
	}
}

func unwrap(t fataler, body []byte) string {
	t.Helper()
	var w map[string]string
	if err := json.Unmarshal(body, &w); err != nil || len(w) != 2 || w["oslo.version"] != "2.0" {
		t.Fatalf("%v in %s", err, body)
	}
	return w["oslo.message"]
}

// TestMaskLikeNode: secrets are hidden exactly where node.Mask hides them.
func TestMaskLikeNode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := object0().Draw(t, "driver_info")
		n := notice("node", "create", node.End, false)
		n.Node.DriverInfo = m
		msgs, err := (&Encoder{Host: "h", Level: "info"}).Encode(n)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]any{}
		b, err := json.Marshal(node.Mask(m))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatal(err)
		}
		if got := decode(t, msgs[0].Body).Payload.Data["driver_info"]; !reflect.DeepEqual(got, any(want)) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

// TestAlwaysJSON: whatever a node holds, the finished body is JSON in both formats and holds the text as it was.
func TestAlwaysJSON(t *testing.T) {
	all := make([]eventKey, 0, len(events))
	for k := range events {
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b eventKey) int { return strings.Compare(events[a].eventType, events[b].eventType) })
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.SampledFrom(all).Draw(t, "event")
		n := notice(k.object, k.action, k.status, true)
		n.Node.LastError = rapid.String().Draw(t, "last_error")
		n.Node.Extra = object0().Draw(t, "extra")
		n.Node.MaintenanceReason = string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
		format := rapid.SampledFrom([]string{Bare, Oslo}).Draw(t, "format")
		host := rapid.String().Draw(t, "host")
		msgs, err := (&Encoder{Host: host, Level: "info", Format: format}).Encode(n)
		if err != nil {
			t.Fatal(err)
		}
		rev := node.Rev(rapid.Uint64().Draw(t, "rev"))
		body := Finish(msgs[0].Body, rev, 3)
		if format == Oslo {
			body = []byte(unwrap(t, body))
		}
		e := decode(t, body)
		if e.MessageID != MessageID(rev, 3) || e.Publisher != "ironic-conductor."+host {
			t.Fatalf("envelope %+v", e)
		}
		if k.object == "node" {
			if got, _ := e.Payload.Data["last_error"].(string); got != n.Node.LastError {
				t.Fatalf("last_error %q, want %q", got, n.Node.LastError)
			}
		}
	})
}

// object0 draws JSON objects with secret keys, deep nesting, odd numbers and types beyond JSON's.
func object0() *rapid.Generator[map[string]any] {
	key := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"ipmi_password", "Auth_Token", "image_url", "x", "configdrive"}))
	leaf := rapid.OneOf(
		rapid.Map(rapid.String(), func(s string) any { return s }),
		rapid.Map(rapid.Bool(), func(b bool) any { return b }),
		rapid.Map(rapid.Float64(), func(f float64) any { return f }),
		rapid.Map(rapid.Int(), func(i int) any { return i }),
		rapid.Map(rapid.Int32(), func(i int32) any { return i }),
		rapid.Map(rapid.SliceOf(rapid.String()), func(l []string) any { return append([]string{}, l...) }),
		rapid.Map(rapid.MapOf(key, rapid.String()), func(m map[string]string) any { return m }),
		rapid.SampledFrom([]any{nil, json.Number("12345678901234567890"), json.Number("-1.5e3")}),
	)
	level := leaf
	for range 3 {
		level = rapid.OneOf(leaf,
			rapid.Map(rapid.MapOfN(key, level, 0, 4), func(m map[string]any) any { return m }),
			rapid.Map(rapid.SliceOfN(level, 0, 4), func(l []any) any { return append([]any{}, l...) }))
	}
	return rapid.MapOfN(key, level, 0, 5)
}

// TestNoNumber: values that JSON cannot hold become null instead of breaking the body.
func TestNoNumber(t *testing.T) {
	n := notice("node", "create", node.End, false)
	n.Node.Extra = map[string]any{"nan": math.NaN(), "inf": math.Inf(1), "number": json.Number("x"), "empty": json.Number(""), "string": json.Number(`"s"`), "chan": make(chan int)}
	msgs, err := (&Encoder{Host: "h", Level: "info"}).Encode(n)
	if err != nil {
		t.Fatal(err)
	}
	extra := decode(t, msgs[0].Body).Payload.Data["extra"].(map[string]any)
	for k := range n.Node.Extra {
		if v, ok := extra[k]; !ok || v != nil {
			t.Errorf("%s is %v, want null", k, v)
		}
	}
}

// TestIDs: an id follows from the place alone, differs for every place, and is a version 5 UUID (N2).
func TestIDs(t *testing.T) {
	seen := map[string]string{}
	for rev := node.Rev(0); rev < 200; rev++ {
		for i := range 20 {
			id := MessageID(rev, i)
			if other, ok := seen[id]; ok {
				t.Fatalf("%s and %s share %s", other, Place(rev, i), id)
			}
			seen[id] = Place(rev, i)
			if id != MessageID(rev, i) || len(id) != 36 || id[14] != '5' {
				t.Fatalf("id %s", id)
			}
		}
	}
	for in, want := range map[string]string{
		`{}`: `{"message_id":"` + MessageID(1, 0) + `"}`, `{"a":1}`: `{"message_id":"` + MessageID(1, 0) + `","a":1}`, ``: ``, `[1]`: `[1]`,
	} {
		if got := string(Finish([]byte(in), 1, 0)); got != want {
			t.Errorf("Finish(%s) = %s, want %s", in, got, want)
		}
	}
}

// TestAllocs: encoding is on the path of a commit; it may build the body and the slice of messages and nothing else.
func TestAllocs(t *testing.T) {
	for _, format := range []string{Bare, Oslo} {
		enc := &Encoder{Host: "h", Level: "info", Format: format}
		n := notice("node", "provision_set", node.End, true)
		encode := func() {
			if _, err := enc.Encode(n); err != nil {
				t.Fatal(err)
			}
		}
		encode()
		if got := testing.AllocsPerRun(200, encode); got > 3 && !raceEnabled { // 2, and one now and then when the pool was emptied
			t.Errorf("%s: %.1f allocations, want 2", format, got)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, format := range []string{Bare, Oslo} {
		b.Run(format, func(b *testing.B) {
			enc := &Encoder{Host: "h", Level: "info", Format: format}
			n := notice("node", "power_set", node.End, true)
			b.ReportAllocs()
			for b.Loop() {
				msgs, err := enc.Encode(n)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(len(msgs[0].Body)))
			}
		})
	}
}

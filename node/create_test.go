// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"reflect"
	"testing"
	"time"
)

// TestCreateTakesNoSystemFields: what the conductor keeps cannot be given by who creates a node.
func TestCreateTakesNoSystemFields(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	env := Env{Now: now, Self: Owner{Name: "c1", Incarnation: 1}, Policy: DefaultPolicy()}
	asked := &Node{
		UUID: "n1", Driver: "fake-hardware", PowerState: PowerOn, TargetPowerState: PowerOn, TargetProvisionState: Active,
		LastError: "x", Intent: &Intent{ID: "op"}, Owner: Owner{Name: "c9", Incarnation: 9, Epoch: 9}, SyncFails: 3, Outer: 8,
		Rev: 7, Created: 7, CreatedAt: now.Add(time.Hour), UpdatedAt: now, ProvisionUpdatedAt: now,
	}
	before := *asked
	d, err := Step(env, nil, CreateNode{Node: asked})
	if err != nil {
		t.Fatal(err)
	}
	want := &Node{
		UUID: "n1", Driver: "fake-hardware", Interfaces: d.Node.Interfaces, ProvisionState: Enroll, CreatedAt: now,
		Owner: Owner{Name: "c1", Incarnation: 1, Epoch: 1}, Outer: 1,
	}
	if !reflect.DeepEqual(d.Node, want) {
		t.Errorf("got  %+v\nwant %+v", d.Node, want)
	}
	if !d.Create || d.Reply != d.Node {
		t.Errorf("decision %+v", d)
	}
	if start := d.Notices[0].Node; !start.CreatedAt.IsZero() {
		t.Errorf("start shows created_at %s; wanted none yet", start.CreatedAt)
	}
	if !reflect.DeepEqual(before, *asked) {
		t.Error("the message was written to")
	}
}

func TestCreateNeedsAnEnabledHardwareType(t *testing.T) {
	p := DefaultPolicy()
	p.HardwareTypes = []string{"ipmi", "redfish"}
	for driver, want := range map[string]Kind{"ipmi": "", "fake-hardware": NoHost, "redfish": NoHost, "": NoHost} {
		d, err := Step(Env{Policy: p}, nil, CreateNode{Node: &Node{UUID: "n1", Driver: driver}})
		got := Kind("")
		if err != nil {
			got = kindOf(err)
		}
		if got != want {
			t.Errorf("driver %q: %v (%s), wanted %q", driver, err, got, want)
		}
		if err != nil && len(d.Notices) > 0 {
			t.Errorf("driver %q: %d notices; no conductor is found before the start event", driver, len(d.Notices))
		}
	}
}

// TestDefaultInterfaces: the configured default comes first where the driver supports it, else the type's best enabled.
func TestDefaultInterfaces(t *testing.T) {
	h, _ := FindHardware("ipmi")
	for _, c := range []struct {
		kind       string
		enabled    []string
		configured string
		want       string
	}{
		{"deploy", []string{"direct", "fake"}, "", "fake"},
		{"deploy", []string{"direct", "fake"}, "direct", "direct"},
		{"deploy", []string{"direct", "fake"}, "ansible", "fake"},   // not enabled
		{"power", []string{"ipmitool", "fake"}, "fake", "ipmitool"}, // not supported
		{"power", []string{"fake"}, "", ""},
	} {
		got := h.Default(c.kind, map[string][]string{c.kind: c.enabled}, map[string]string{c.kind: c.configured})
		if got != c.want {
			t.Errorf("%+v: got %q", c, got)
		}
	}
}

// TestStepWithoutNode: only creation needs none.
func TestStepWithoutNode(t *testing.T) {
	if _, err := Step(Env{}, nil, DeleteNode{}); kindOf(err) != NotFound {
		t.Errorf("delete of nothing: %v", err)
	}
	if _, err := Step(Env{}, &Node{UUID: "n1"}, GetBootDevice{}); kindOf(err) != Internal {
		t.Errorf("a message without a rule: %v", err)
	}
}

// TestNothingUnstoredHasATime: the error of an object that was never stored shows created_at null (spec notifications.md
// section 2), whether the rules or the store refused it. // N1
func TestNothingUnstoredHasATime(t *testing.T) {
	at := time.Date(2026, 5, 1, 9, 0, 0, 0, time.UTC)
	env := Env{Now: at, Self: Owner{Name: "c1"}, Policy: DefaultPolicy()}
	env.Policy.HardwareTypes, env.Policy.Enabled = []string{"fake-hardware"}, EnabledInterfaces()
	given := func(in map[string]string) CreateNode {
		return CreateNode{Node: &Node{UUID: "n1", Name: "rack1", Driver: "fake-hardware", Interfaces: in, CreatedAt: at.Add(-time.Hour), UpdatedAt: at}}
	}
	created, err := Step(env, nil, given(nil))
	if err != nil {
		t.Fatal(err)
	}
	there, taken := Step(env, &Node{UUID: "n1", Name: "older", CreatedAt: at.Add(-time.Hour)}, given(nil))
	bad, invalid := Step(env, nil, given(map[string]string{"power": "steam"}))
	if kindOf(taken) != Exists || kindOf(invalid) != Invalid {
		t.Fatalf("refused with %v and %v; wanted exists and invalid", taken, invalid)
	}
	for what, got := range map[string][]Notice{"store": Unstored(created.Notices), "same uuid": there.Notices, "rules": bad.Notices} {
		if len(got) != 2 || got[0].Status != Start || got[1].Status != Failure || got[1].Action != "create" || !got[1].API {
			t.Errorf("%s: told %+v; wanted create.start and create.error", what, got)
			continue
		}
		for _, x := range got {
			if x.Node.Name != "rack1" || !x.Node.CreatedAt.IsZero() || !x.Node.UpdatedAt.IsZero() {
				t.Errorf("%s: %s shows %q created %s; wanted rack1 without times", what, x.Status, x.Node.Name, x.Node.CreatedAt)
			}
		}
	}
	if created.Notices[1].Status != End || created.Notices[1].Node.CreatedAt != at {
		t.Errorf("the decision's own end was changed: %+v", created.Notices[1])
	}
	changed := Unstored([]Notice{{Action: "provision_set", Status: End}, {Action: "update", Status: Start, API: true, Other: "new"}, {Action: "update", Status: End, API: true, Other: "stored"}})
	if len(changed) != 2 || changed[1].Other != "new" || changed[1].Status != Failure {
		t.Errorf("an update became %+v; wanted start and error with the new values", changed)
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"ferrite/node"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func env() node.Env {
	return node.Env{Now: noon, Self: node.Owner{Name: "c1", Incarnation: 1}, Policy: node.DefaultPolicy()}
}

func aNode(s node.State) *node.Node { return &node.Node{UUID: "n1", ProvisionState: s} }

// aPort is a stored port of node n1.
func aPort() *Port {
	p := Defaults()
	p.UUID, p.NodeUUID, p.Address, p.Rev, p.CreatedAt = "p1", "n1", "52:54:00:00:00:01", 7, noon.Add(-time.Hour)
	p.LocalLinkConnection = map[string]any{"port_id": "1"}
	return p
}

// TestCreateOfATakenUUID: the error shows the port that was wanted, which has no time of creation. // N1
func TestCreateOfATakenUUID(t *testing.T) {
	p := *aPort()
	p.Address = "52:54:00:00:00:99"
	d, err := Step(env(), aNode(node.Manageable), aPort(), CreatePort{Port: &p})
	if kindOf(err) != node.Exists || told(d) != "port.create.start port.create.error" || d.Port != nil {
		t.Fatalf("refused with %v, told %s", err, told(d))
	}
	for _, x := range d.Notices {
		if got := x.Other.(*Port); !got.CreatedAt.IsZero() || got.Address != p.Address {
			t.Errorf("%s shows %+v; wanted the new port without a time of creation", x.Status, got)
		}
	}
}

// change is an UpdatePort that sets fields of a copy.
func change(p *Port, set func(*Port), fields ...string) UpdatePort {
	want := *p
	set(&want)
	return UpdatePort{Want: &want, Changed: fields}
}

// told words notices: "port.update.start port.update.end".
func told(d Decision) string {
	var w []string
	for _, x := range d.Notices {
		w = append(w, fmt.Sprintf("%s.%s.%s", x.Object, x.Action, x.Status))
	}
	return strings.Join(w, " ")
}

func kindOf(err error) node.Kind {
	var e *node.Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

func TestCreatePort(t *testing.T) {
	p := Defaults()
	p.UUID, p.Address, p.NodeUUID, p.Name = "p1", "52:54:00:CF:2D:31", "by any name", "eth0"
	n := aNode(node.Active)
	n.Intent = &node.Intent{Verb: "set power", Owner: node.Owner{Name: "c1"}} // create takes no lock
	d, err := Step(env(), n, nil, CreatePort{Port: p})
	if err != nil {
		t.Fatal(err)
	}
	if !d.Create || d.Delete || d.Reply != d.Port {
		t.Errorf("decision %+v", d)
	}
	if d.Port.Address != "52:54:00:cf:2d:31" || d.Port.NodeUUID != "n1" || !d.Port.CreatedAt.Equal(noon) || !d.Port.UpdatedAt.IsZero() {
		t.Errorf("port %+v", d.Port)
	}
	if !d.Port.PXEEnabled || !d.Port.DynamicPortgroup || d.Port.IsSmartNIC {
		t.Errorf("defaults: %+v", d.Port)
	}
	if told(d) != "port.create.start port.create.end" {
		t.Errorf("told %s", told(d))
	}
	start, end := d.Notices[0].Other.(*Port), d.Notices[1].Other.(*Port)
	if !start.CreatedAt.IsZero() || !end.CreatedAt.Equal(noon) || d.Notices[0].Node != n || !d.Notices[0].API || !d.Notices[0].At.Equal(noon) {
		t.Errorf("notices: start %+v, end %+v", start, end)
	}
	if p.Address != "52:54:00:CF:2D:31" || p.NodeUUID != "by any name" {
		t.Error("the message was written to")
	}
}

func TestMACAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"52:54:00:CF:2D:31":    "52:54:00:cf:2d:31",
		"aa:bb:cc:dd:ee:ff":    "aa:bb:cc:dd:ee:ff",
		"":                     "",
		"aa-bb-cc-dd-ee-ff":    "",
		"aabbccddeeff":         "",
		"aa:bb:cc:dd:ee":       "",
		"aa:bb:cc:dd:ee:ff:00": "",
		"gg:bb:cc:dd:ee:ff":    "",
		"aa:bb:cc:dd:ee:ff\n":  "",
	} {
		got, err := NormalizeMAC(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("NormalizeMAC(%q) = %q, %v; wanted %q", in, got, err, want)
		}
		if err != nil && !strings.Contains(err.Error(), fmt.Sprintf("%q", in)) {
			t.Errorf("NormalizeMAC(%q): the error does not say what was found: %v", in, err)
		}
		if _, err := Step(env(), aNode(node.Enroll), nil, CreatePort{Port: &Port{Address: in}}); (kindOf(err) == node.Invalid) != (want == "") {
			t.Errorf("create with %q: %v", in, err)
		}
	}
}

// TestWhatMayChange is the table of what may change on a node of which kind (spec api-endpoints.md Ports,
// conductor-rpc.md update_port).
func TestWhatMayChange(t *testing.T) {
	changes := map[string]UpdatePort{
		"address":               change(aPort(), func(p *Port) { p.Address = "52:54:00:00:00:02" }, "address"),
		"pxe_enabled":           change(aPort(), func(p *Port) { p.PXEEnabled = false }, "pxe_enabled"),
		"local_link_connection": change(aPort(), func(p *Port) { p.LocalLinkConnection = nil }, "local_link_connection"),
		"physical_network":      change(aPort(), func(p *Port) { p.PhysicalNetwork = "net" }, "physical_network"),
		"portgroup_uuid":        change(aPort(), func(p *Port) { p.PortgroupUUID = "g" }, "portgroup_uuid"),
		"node_uuid":             change(aPort(), func(p *Port) { p.NodeUUID = "n2" }, "node_uuid"),
		"extra":                 change(aPort(), func(p *Port) { p.Extra = map[string]any{"a": 1} }, "extra"),
		"name":                  change(aPort(), func(p *Port) { p.Name = "eth0" }, "name"),
		"same pxe_enabled":      change(aPort(), func(*Port) {}, "pxe_enabled", "address", "node_uuid"),
	}
	always := []string{"extra", "name", "same pxe_enabled"}
	all := append([]string{"address", "pxe_enabled", "local_link_connection", "physical_network", "portgroup_uuid", "node_uuid"}, always...)
	for _, c := range []struct {
		about string
		node  func() *node.Node
		may   []string
	}{
		{"enroll", func() *node.Node { return aNode(node.Enroll) }, all},
		{"manageable", func() *node.Node { return aNode(node.Manageable) }, all},
		{"inspect wait", func() *node.Node { return aNode(node.InspectWait) }, all},
		{"available", func() *node.Node { return aNode(node.Available) }, append([]string{"address"}, always...)},
		{"active", func() *node.Node { return aNode(node.Active) }, always},
		{"with instance", func() *node.Node {
			n := aNode(node.Available)
			n.InstanceUUID = "i"
			return n
		}, always},
		{"active, in maintenance", func() *node.Node {
			n := aNode(node.Active)
			n.Maintenance = true
			return n
		}, all},
		{"locked", func() *node.Node {
			n := aNode(node.Enroll)
			n.Maintenance, n.Intent = true, &node.Intent{Verb: "set power", Owner: node.Owner{Name: "c9"}}
			return n
		}, nil},
	} {
		for field, m := range changes {
			may := false
			for _, f := range c.may {
				may = may || f == field
			}
			d, err := Step(env(), c.node(), aPort(), m)
			if (err == nil) != may {
				t.Errorf("%s: change of %s: %v", c.about, field, err)
				continue
			}
			if err != nil {
				want := node.Conflict
				if c.about == "locked" {
					want = node.Locked
				}
				if kindOf(err) != want || d.Port != nil || told(d) != "port.update.start port.update.error" {
					t.Errorf("%s: change of %s: %v, told %s", c.about, field, err, told(d))
				}
				continue
			}
			if told(d) != "port.update.start port.update.end" || d.Create || d.Delete || d.Reply != d.Port {
				t.Errorf("%s: change of %s: %+v", c.about, field, d)
			}
			changed := field != "same pxe_enabled"
			if d.Port.UpdatedAt.Equal(noon) != changed {
				t.Errorf("%s: change of %s: updated_at %s", c.about, field, d.Port.UpdatedAt)
			}
		}
	}
}

func TestUpdatePort(t *testing.T) {
	old := aPort()
	m := change(old, func(p *Port) { p.Address, p.Vendor, p.Name = "52:54:00:00:00:AA", "acme", "not named" }, "address", "vendor")
	before := *old
	d, err := Step(env(), aNode(node.Enroll), old, m)
	if err != nil {
		t.Fatal(err)
	}
	if d.Port.Address != "52:54:00:00:00:aa" || d.Port.Vendor != "acme" || d.Port.Name != "" {
		t.Errorf("port %+v", d.Port)
	}
	if start := d.Notices[0].Other.(*Port); start.Vendor != "acme" || !start.UpdatedAt.IsZero() {
		t.Errorf("start must show the new values, not yet stored: %+v", start)
	}
	if !reflect.DeepEqual(before, *old) {
		t.Error("Step changed its input")
	}
}

func TestRefusedPortChanges(t *testing.T) {
	vif := aPort()
	vif.InternalInfo = map[string]any{"tenant_vif_port_id": "v1"}
	stale := change(aPort(), func(p *Port) { p.Name, p.Rev = "x", 6 }, "name")
	maintenance := aNode(node.Active)
	maintenance.Maintenance = true
	busy := aNode(node.Manageable)
	busy.Intent = &node.Intent{Verb: "verify", Phase: "verify", Owner: node.Owner{Name: "c9"}, Since: noon}
	for _, c := range []struct {
		about string
		node  *node.Node
		old   *Port
		msg   node.Msg
		kind  node.Kind
		told  string
	}{
		{"changed meanwhile", aNode(node.Enroll), aPort(), stale, node.Stale, ""},
		{"unknown field", aNode(node.Enroll), aPort(), change(aPort(), func(*Port) {}, "uuid"), node.Invalid, ""},
		{"no MAC address", aNode(node.Enroll), aPort(), change(aPort(), func(p *Port) { p.Address = "x" }, "address"), node.Invalid, ""},
		{"no such port", aNode(node.Enroll), nil, change(aPort(), func(*Port) {}, "name"), node.NotFound, ""},
		{"no such port to delete", aNode(node.Enroll), nil, DeletePort{UUID: "p9"}, node.NotFound, ""},
		{"another message", aNode(node.Enroll), nil, node.Activated{}, node.Internal, ""},
		{"MAC of a port with VIF", aNode(node.Available), vif, change(vif, func(p *Port) { p.Address = "52:54:00:00:00:02" }, "address"), node.Conflict, "port.update.start port.update.error"},
		{"deletion of a port with VIF", aNode(node.Available), vif, DeletePort{UUID: "p1"}, node.Conflict, "port.delete.start port.delete.error"},
		{"deletion while locked", busy, aPort(), DeletePort{UUID: "p1"}, node.Locked, "port.delete.start port.delete.error"},
		{"deletion", aNode(node.Active), aPort(), DeletePort{UUID: "p1"}, "", "port.delete.start port.delete.end"},
		{"deletion with VIF in maintenance", maintenance, vif, DeletePort{UUID: "p1"}, "", "port.delete.start port.delete.end"},
	} {
		d, err := Step(env(), c.node, c.old, c.msg)
		if kindOf(err) != c.kind || told(d) != c.told {
			t.Errorf("%s: %v (%s), told %q; wanted %q, %q", c.about, err, kindOf(err), told(d), c.kind, c.told)
		}
		if err != nil && d.Port != nil || err == nil && (!d.Delete || d.Port != c.old || d.Reply != nil) {
			t.Errorf("%s: %+v", c.about, d)
		}
	}
	_, err := Step(env(), busy, aPort(), DeletePort{UUID: "p1"})
	for _, word := range []string{"n1", "c9", "verify", "2026-01-01T12:00:00Z"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("a locked node's refusal does not say %q: %v", word, err)
		}
	}
}

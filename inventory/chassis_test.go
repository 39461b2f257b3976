// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"strings"
	"testing"
	"time"

	"ferrite/node"
)

// TestChassisRules: one row a message; what is committed, what is told, with which times.
func TestChassisRules(t *testing.T) {
	there := &Chassis{UUID: "c1", Description: "row 3", Extra: map[string]any{"a": 1.0}, CreatedAt: noon.Add(-time.Hour), Rev: 7, Created: 3}
	edited := *there
	edited.Description = "row 4"
	stale := edited
	stale.Rev = 6
	for _, c := range []struct {
		name  string
		old   *Chassis
		nodes int
		m     node.Msg
		kind  node.Kind
		told  string
	}{
		{"create", nil, 0, CreateChassis{&Chassis{UUID: "c1", CreatedAt: noon.Add(time.Hour), Rev: 9}}, "", "create.start create.end"},
		{"taken", there, 0, CreateChassis{&Chassis{UUID: "c1"}}, node.Exists, "create.start create.error"},
		{"update", there, 5, UpdateChassis{&edited, []string{"description"}}, "", "update.start update.end"},
		{"nothing", there, 5, UpdateChassis{there, nil}, "", "update.start update.end"},
		{"stale", there, 5, UpdateChassis{&stale, []string{"description"}}, node.Stale, ""},
		{"no field", there, 5, UpdateChassis{&edited, []string{"uuid"}}, node.Invalid, ""},
		{"update none", nil, 0, UpdateChassis{&edited, nil}, node.NotFound, ""},
		{"delete", there, 0, DeleteChassis{"c1"}, "", "delete.start delete.end"},
		{"not empty", there, 2, DeleteChassis{"c1"}, node.Invalid, "delete.start delete.error"},
		{"delete none", nil, 0, DeleteChassis{"c1"}, node.NotFound, ""},
		{"of a port", there, 0, DeletePort{"c1"}, node.Internal, ""},
	} {
		d, err := StepChassis(env(), c.old, c.nodes, c.m)
		var words []string
		for _, x := range d.Notices {
			words = append(words, x.Action+"."+string(x.Status))
			if x.Object != "chassis" || !x.API || x.Node != nil || !x.At.Equal(noon) {
				t.Errorf("%s: notice %+v", c.name, x)
			}
		}
		if kindOf(err) != c.kind || (err != nil) != (c.kind != "") || strings.Join(words, " ") != c.told {
			t.Errorf("%s: %v, told %q; wanted %q, %q", c.name, err, words, c.kind, c.told)
		}
		if (d.Chassis != nil) != (err == nil) || d.Delete != (c.name == "delete") {
			t.Errorf("%s: decision %+v", c.name, d)
		}
	}
	made, _ := StepChassis(env(), nil, 0, CreateChassis{&Chassis{UUID: "c1"}})
	if first, last := made.Notices[0].Other.(*Chassis), made.Notices[1].Other.(*Chassis); !first.CreatedAt.IsZero() || !last.CreatedAt.Equal(noon) || !made.Chassis.CreatedAt.Equal(noon) || made.Chassis.Rev != 0 {
		t.Errorf("create shows %+v, then %+v", first, last)
	}
	done, _ := StepChassis(env(), there, 0, UpdateChassis{&edited, []string{"description"}})
	if first := done.Notices[0].Other.(*Chassis); first.Description != "row 4" || !first.UpdatedAt.IsZero() || !done.Chassis.UpdatedAt.Equal(noon) || there.Description != "row 3" {
		t.Errorf("update shows %+v, stores %+v", first, done.Chassis)
	}
	if same, _ := StepChassis(env(), there, 0, UpdateChassis{there, []string{"extra"}}); !same.Chassis.UpdatedAt.IsZero() {
		t.Errorf("an update without change has updated_at %s", same.Chassis.UpdatedAt)
	}
}

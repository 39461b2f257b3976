// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"ferrite/inventory"
	"ferrite/node"
	"ferrite/notify"
	"ferrite/persistence"
)

// TestChassisInTheLog: stored with its notifications in one entry, in order, under its revision; secrets sealed with it.
func TestChassisInTheLog(t *testing.T) { // N1, S5
	s := persistence.NewMemory(persistence.MemoryOptions{})
	t.Cleanup(func() { _ = s.Close() })
	c := &chassis{store: s, encode: &notify.Encoder{Host: "c1", Level: "info"}, log: slog.New(slog.DiscardHandler)}
	ctx := context.Background()
	change := func(m node.Msg) *inventory.Chassis {
		t.Helper()
		x, err := c.Change(ctx, node.Meta{}, m)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	for _, id := range []string{"b", "a", "c"} {
		change(inventory.CreateChassis{Chassis: &inventory.Chassis{UUID: id, Extra: map[string]any{"n": 1.0}}})
	}
	var order []string
	for _, x := range c.ListChassis() {
		order = append(order, x.UUID)
	}
	if strings.Join(order, "") != "bac" {
		t.Errorf("listed %v; wanted the order of creation", order)
	}
	first, _ := c.Chassis("a")
	want := *first
	want.Description = "row 3"
	done := change(inventory.UpdateChassis{Want: &want, Changed: []string{"description"}})
	if got, _ := c.Chassis("a"); got.Description != "row 3" || got.Rev != done.Rev || got.Created != first.Created || got.Rev == first.Rev {
		t.Errorf("stored %+v, answered %+v", got, done)
	}
	for what, m := range map[string]node.Msg{
		"stale": inventory.UpdateChassis{Want: &want, Changed: []string{"description"}}, "exists": inventory.CreateChassis{Chassis: &want},
		"not_found": inventory.DeleteChassis{UUID: "z"},
	} {
		var e *node.Error
		if _, err := c.Change(ctx, node.Meta{}, m); !errors.As(err, &e) {
			t.Errorf("%s: %v", what, err)
		}
	}
	behind(t, s, "n1", "192.0.2.1")
	change(inventory.DeleteChassis{UUID: "a"})
	if _, ok := c.Chassis("a"); ok || len(c.ListChassis()) != 2 {
		t.Error("it is still there")
	}
	out, err := s.Outbox(ctx, 0, -1, 100)
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, e := range out {
		var body struct {
			Type    string `json:"event_type"`
			Payload struct {
				Data struct{ UUID string } `json:"ironic_object.data"`
			}
		}
		if err := json.Unmarshal(notify.Finish(e.Body, e.Rev, e.Index), &body); err != nil {
			t.Fatal(err)
		}
		if body.Payload.Data.UUID == "a" && !strings.HasSuffix(body.Type, ".error") {
			told = append(told, strings.TrimPrefix(body.Type, "baremetal.chassis."))
		}
	}
	if got := strings.Join(told, " "); !strings.HasPrefix(got, "create.start create.end update.start update.end") || !strings.HasSuffix(got, "delete.start delete.end") {
		t.Errorf("told %s", got)
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"ferrite/bmc"
	"ferrite/node"
)

// door is a BMC that knows one password.
type door struct {
	*machine
	password string
	dead     bool
	full     error  // it lives, but takes no login
	whom     string // of this password
	tried    []string
}

func (d *door) PowerState(_ context.Context, n *node.Node) (node.PowerState, error) {
	var out error
	d.set(func() {
		p, _ := n.DriverInfo["ipmi_password"].(string)
		d.tried = append(d.tried, p)
		switch {
		case d.dead:
			out = &bmc.Error{Command: "power status", Err: errors.New("no answer")}
		case d.full != nil && p == d.whom:
			out = d.full
		case p != d.password:
			out = &bmc.Error{Command: "power status", Auth: true, Err: errors.New("wrong password")}
		}
	})
	return node.PowerOff, out
}

func TestANewLoginIsTriedBeforeTheOldOneIsDropped(t *testing.T) { // L3
	for _, row := range []struct {
		name        string
		knows       string // by the BMC
		dead        bool
		maintenance bool
		full        error
		whom        string    // takes no login of this password, "" = the new one
		wrong       node.Kind // wanted: refused so, "" = not
		tried       string    // passwords that the BMC saw
	}{
		{name: "changed at the BMC before", knows: "new", tried: "new"},
		{name: "not yet changed at the BMC", knows: "old", wrong: node.Invalid, tried: "new old"},
		{name: "neither is known", knows: "other", tried: "new old"},
		{name: "no answer", knows: "old", dead: true, tried: "new"},
		{name: "no session slot", knows: "new", full: &bmc.Error{Err: fmt.Errorf("%w: %w", context.DeadlineExceeded, bmc.ErrNoSlot)}, wrong: node.Conflict, tried: "new"},
		{name: "no session slot for the old one", knows: "old", full: &bmc.Error{Err: fmt.Errorf("%w: %w", context.DeadlineExceeded, bmc.ErrNoSlot)}, whom: "old", wrong: node.Conflict, tried: "new old"},
		{name: "busy", knows: "new", full: &bmc.Error{Err: fmt.Errorf("%w: %w", context.DeadlineExceeded, bmc.ErrBusy)}, wrong: node.Conflict, tried: "new"},
		{name: "left alone", knows: "new", full: &bmc.Error{Unasked: true, Err: errors.New("our own code failed")}, wrong: node.Conflict, tried: "new"},
		{name: "in maintenance", knows: "old", maintenance: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := &door{password: "old"}
			w := newWorld(t, func(c *Config) {
				drv := c.Drivers["ipmitool"]
				drv.NewLogin = func(n, changed *node.Node) bool {
					return n.DriverInfo["ipmi_password"] != changed.DriverInfo["ipmi_password"]
				}
				drv.Power = d
			})
			d.machine = w.m
			id := w.create(func(n *node.Node) { n.DriverInfo["ipmi_password"] = "old" })
			w.must(id, node.SetProvision{Verb: "manage"})
			w.wait(id, "manageable", func(n *node.Node) bool { return n.ProvisionState == node.Manageable && idle(n) })
			if row.maintenance {
				w.must(id, node.SetMaintenance{On: true})
			}
			d.set(func() {
				d.password, d.dead, d.full, d.whom, d.tried = row.knows, row.dead, row.full, cmp.Or(row.whom, "new"), nil
			})
			n, _ := w.store.Node(id)
			want := n.Clone()
			want.DriverInfo = map[string]any{"ipmi_address": "127.0.0.9", "ipmi_password": "new"}
			_, err := w.do(id, node.UpdateNode{Base: n.Outer, Want: want, Changed: []string{"driver_info"}})
			var e *node.Error
			if errors.As(err, &e) && e.Kind != row.wrong || (err != nil) != (row.wrong != "") {
				t.Errorf("answered %v", err)
			}
			var tried string
			d.set(func() { tried = strings.Join(d.tried, " ") })
			if tried != row.tried {
				t.Errorf("the BMC saw %q, wanted %q", tried, row.tried)
			}
			n, _ = w.store.Node(id)
			if got := n.DriverInfo["ipmi_password"]; (got == "old") != (row.wrong != "") {
				t.Errorf("stored password %v", got)
			}
			var ev string
			until(t, "its events", func() bool { // those of a refusal are written behind the answer
				ev = strings.Join(w.events(id), " ")
				return strings.Contains(ev, "node.update.end") || strings.Contains(ev, "node.update.error")
			})
			if (row.wrong != "") != strings.Contains(ev, "node.update.error") || strings.Count(ev, "node.update.start") != 1 {
				t.Errorf("events %s", ev)
			}
		})
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"ferrite/bmc"
	"ferrite/node"
)

// refusedAs is the error of a reading whose login the BMC has refused so often.
func refusedAs(at time.Time, times int, unasked bool) error {
	return &bmc.Error{Command: "power status", Auth: true, Unasked: unasked, Refused: &node.Refusal{At: at, Times: times}, Err: errors.New("unknown user")}
}

// A refused login is in the record: once for each refusal, not for each reading, with the failure that it is. Readings that
// were not asked count as failures only when the login was refused again; one that is let in ends it.
func TestARefusedLoginIsRecorded(t *testing.T) { // P1, P2
	w := newWorld(t, nil)
	id := w.create(nil)
	w.must(id, node.SetProvision{Verb: "manage"})
	w.wait(id, "manageable", func(n *node.Node) bool { return n.ProvisionState == node.Manageable && idle(n) })
	answers := func(err error) { w.m.set(func() { w.m.readErr = err }) }
	settle := func() *node.Node {
		t.Helper()
		w.round(id)
		_, _ = w.do(id, node.RenewPermit{Op: "none"}) // refused, in its turn
		n, _ := w.store.Node(id)
		return n
	}
	at := time.Now().UTC()
	answers(refusedAs(at, 1, false))
	w.round(id)
	first := w.wait(id, "the refusal", func(n *node.Node) bool { return n.Refused != nil })
	if first.SyncFails != 1 || first.Refused.Times != 1 || !first.Refused.At.Equal(at) {
		t.Errorf("recorded %d failures, %+v: wanted both in one commit", first.SyncFails, first.Refused)
	}
	answers(refusedAs(at, 1, true))
	for range 10 {
		if n := settle(); n.Rev != first.Rev {
			t.Fatalf("a BMC that was not asked was written about: %d failures, %+v", n.SyncFails, n.Refused)
		}
	}
	answers(&bmc.Error{Unasked: true, Err: bmc.ErrNoSlot})
	if n := settle(); n.Rev != first.Rev {
		t.Fatalf("a BMC with a full session table that was not asked counts: %d failures", n.SyncFails)
	}
	again := at.Add(5 * time.Minute)
	answers(refusedAs(again, 2, false))
	for i := 2; i <= 4; i++ {
		w.round(id)
		n := w.wait(id, fmt.Sprintf("%d failures", i), func(n *node.Node) bool { return n.SyncFails == i })
		if n.Refused.Times != 2 || !n.Refused.At.Equal(again) {
			t.Errorf("recorded %+v", n.Refused)
		}
		answers(refusedAs(again, 2, true)) // nobody asks for hours, and that is known
	}
	lost, _ := w.store.Node(id)
	if !lost.Maintenance || lost.Fault != node.FaultPower {
		t.Fatalf("a login that is settled as refused: %+v", lost)
	}
	for range 5 {
		if n := settle(); n.Rev != lost.Rev {
			t.Fatal("a resting node in power failure was written")
		}
	}
	answers(refusedAs(again.Add(4*time.Hour), 3, false))
	w.round(id)
	w.wait(id, "a refusal in power failure", func(n *node.Node) bool { return n.Refused.Times == 3 && n.Maintenance })
	answers(nil)
	w.round(id)
	w.wait(id, "recovery", func(n *node.Node) bool { return !n.Maintenance && n.Refused == nil })
}

// Another login ends what is known of the old one; what has nothing to do with it does not. No client sees any of it.
func TestAnotherLoginIsNotRefusedYet(t *testing.T) { // P7
	for _, row := range []struct {
		name   string
		change func(n *node.Node)
		ends   bool
	}{
		{"password", func(n *node.Node) { n.DriverInfo = node.With(n.DriverInfo, "ipmi_password", "new") }, true},
		{"address", func(n *node.Node) { n.DriverInfo = node.With(n.DriverInfo, "ipmi_address", "127.0.0.8") }, true},
		{"vendor", func(n *node.Node) { n.Properties = node.With(n.Properties, "vendor", "intel") }, true},
		{"terminal port", func(n *node.Node) { n.DriverInfo = node.With(n.DriverInfo, "ipmi_terminal_port", 4000) }, false},
		{"memory", func(n *node.Node) { n.Properties = node.With(n.Properties, "memory_mb", 4096) }, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t, nil)
			id := w.create(nil)
			w.must(id, node.SetProvision{Verb: "manage"})
			before := w.wait(id, "manageable", func(n *node.Node) bool { return n.ProvisionState == node.Manageable && idle(n) })
			w.m.set(func() { w.m.readErr = refusedAs(time.Now(), 1, false) })
			w.round(id)
			n := w.wait(id, "the refusal", func(n *node.Node) bool { return n.Refused != nil })
			if n.Outer != before.Outer {
				t.Error("a refused login changes what clients see")
			}
			want := n.Clone()
			row.change(want)
			w.must(id, node.UpdateNode{Base: n.Outer, Want: want, Changed: []string{"driver_info", "properties"}})
			if n, _ = w.store.Node(id); (n.Refused == nil) != row.ends {
				t.Errorf("recorded after it: %+v", n.Refused)
			}
		})
	}
}

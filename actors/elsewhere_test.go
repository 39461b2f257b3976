// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"ferrite/node"
	"ferrite/persistence"
)

// spread makes a rack of nodes that several conductors look after: this one has the first of them. The others' nodes are
// in the store, where their conductors write.
func spread(t *testing.T, mine, theirs int) (w *world, ids []string, ms []*machine) {
	w, ids, ms = rackWith(t, mine, func(c *Config) {
		c.Wanted = func(n *node.Node) bool { return n.Extra["of"] == nil }
	})
	for i := range theirs {
		w.theirs(i, 0)
	}
	return w, ids, ms
}

// theirs writes another conductor's node, with so many readings that failed.
func (w *world) theirs(i, fails int) {
	w.t.Helper()
	id := fmt.Sprintf("%08d-2222-4222-8222-222222222222", i)
	n := &node.Node{
		UUID: id, Driver: "ipmi", ProvisionState: node.Manageable, PowerState: node.PowerOff, SyncFails: fails, Interfaces: map[string]string{"power": "ipmitool"},
		Extra: map[string]any{"of": "c2"}, DriverInfo: map[string]any{"ipmi_address": fmt.Sprintf("192.0.2.%d", 101+i)},
	}
	key := persistence.Key{Kind: persistence.KindNode, ID: id}
	cond := persistence.Cond{Key: key}
	if old, ok := w.store.Node(id); ok {
		cond.Rev = old.Rev
	}
	if _, err := w.store.Commit(context.Background(), persistence.Tx{If: []persistence.Cond{cond}, Put: []persistence.Put{{Key: key, Value: n}}}); err != nil {
		w.t.Fatal(err)
	}
}

// Each of three conductors sees a third of a rack that fails, too little to tell. Together they have it.
func TestASubnetOfSeveralConductors(t *testing.T) {
	w, ids, ms := spread(t, 8, 16)
	for _, m := range ms {
		m.set(func() { m.readErr = errors.New("no answer") })
	}
	for i := range 4 { // as many of theirs as have been written when it begins: 4 and 8 of 24
		w.theirs(i, 1)
	}
	w.rounds(1, ids)
	until(t, "the subnet to be down", func() bool { return w.f.Stats().SubnetsDown == 1 })
	w.rounds(6, ids)
	for i, id := range ids {
		if n, _ := w.store.Node(id); n.Maintenance || n.PowerState != node.PowerOff {
			t.Errorf("node %d: maintenance %v, power state %q", i, n.Maintenance, n.PowerState)
		}
	}
	for _, m := range ms[1:] { // one of a small share may be dead
		m.set(func() { m.readErr = nil })
	}
	w.rounds(2, ids)
	until(t, "the subnet to be up", func() bool { return w.f.Stats().SubnetsDown == 0 })
}

// All of a small share fail, and nobody else's: these are machines.
func TestAShareThatFailsAlone(t *testing.T) {
	w, ids, ms := spread(t, 4, 20)
	for _, m := range ms {
		m.set(func() { m.readErr = errors.New("no answer") })
	}
	until(t, "maintenance", func() bool {
		w.rounds(1, ids)
		for _, id := range ids {
			if n, _ := w.store.Node(id); !n.Maintenance {
				return false
			}
		}
		return true
	})
	if n := w.f.Stats().SubnetsDown; n != 0 || len(w.subnetEvents()) != 0 {
		t.Errorf("%d subnets down, events %v", n, w.subnetEvents())
	}
}

// Too few nodes in all are no rack, however many conductors they have.
func TestAFewNodesOfSeveralConductors(t *testing.T) {
	w, ids, ms := spread(t, 8, 11)
	for i := range 11 {
		w.theirs(i, 1)
	}
	for _, m := range ms {
		m.set(func() { m.readErr = errors.New("no answer") })
	}
	until(t, "maintenance", func() bool {
		w.rounds(1, ids)
		n, _ := w.store.Node(ids[0])
		return n.Maintenance
	})
}

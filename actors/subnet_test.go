// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"ferrite/bmc"
	"ferrite/node"
)

// rackOf makes a world of nodes in one /24, each on a machine of its own.
func rackOf(t *testing.T, nodes int) (w *world, ids []string, ms []*machine) {
	return rackWith(t, nodes, func(*Config) {})
}

func rackWith(t *testing.T, nodes int, change func(*Config)) (w *world, ids []string, ms []*machine) {
	r := &rack{machine: &machine{}, m: map[string]*machine{}}
	w = newWorld(t, func(c *Config) {
		d := c.Drivers["ipmitool"]
		d.Power, d.Boot, d.Poller = r, r, r
		c.SubnetTopic = "ferrite"
		c.Policy.MaxRetries, c.Policy.ForcePower = 2, false
		change(c)
	})
	for i := range nodes {
		id := fmt.Sprintf("%08d-1111-4111-8111-111111111111", i)
		m := &machine{power: node.PowerOff}
		r.m[id] = m
		ids, ms = append(ids, id), append(ms, m)
	}
	for i, id := range ids {
		w.must(id, node.CreateNode{Node: &node.Node{UUID: id, Driver: "ipmi", DriverInfo: map[string]any{"ipmi_address": fmt.Sprintf("192.0.2.%d", 1+i)}}})
		w.must(id, node.SetProvision{Verb: "manage"})
		w.wait(id, "manageable", func(n *node.Node) bool { return n.ProvisionState == node.Manageable && idle(n) })
	}
	until(t, "the sweep to know all", func() bool { return w.round(ids[0]) == nodes })
	return w, ids, ms
}

// rounds sweeps so often, each time after everything has settled.
func (w *world) rounds(n int, ids []string) {
	for range n {
		w.f.Sweep().Round(context.Background(), int64(len(ids)))
		for _, id := range ids {
			_, _ = w.do(id, node.RenewPermit{Op: "none"}) // refused, in its turn
		}
	}
}

func (w *world) subnetEvents() (out []string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	all, err := w.store.Outbox(ctx, 0, 0, 10000)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range all {
		if strings.HasPrefix(e.Subject, "ferrite.") {
			out = append(out, e.Subject)
		}
	}
	return out
}

// A switch fails: the nodes behind it keep their power state and stay out of maintenance; one event tells of it.
func TestASubnetThatFailsIsNotItsMachines(t *testing.T) {
	w, ids, ms := rackOf(t, 30)
	for _, m := range ms {
		m.set(func() { m.readErr = errors.New("no answer") })
	}
	w.rounds(8, ids)
	for i, id := range ids {
		if n, _ := w.store.Node(id); n.Maintenance || n.PowerState != node.PowerOff || n.SyncFails > 1 {
			t.Errorf("node %d: maintenance %v, power state %q, %d failures", i, n.Maintenance, n.PowerState, n.SyncFails)
		}
	}
	if s := w.f.Stats(); s.SubnetsDown != 1 || s.Frozen == 0 {
		t.Errorf("%d subnets down, %d readings frozen", s.SubnetsDown, s.Frozen)
	}
	for i, id := range ids {
		if n, _ := w.store.Node(id); !w.f.Sweep().Silent(id) || !strings.HasSuffix(w.f.Sweep().Net(n), "/24") {
			t.Errorf("node %d is not known to be silent, in %q", i, w.f.Sweep().Net(n))
		}
	}
	ms[0].set(func() { ms[0].readErr, ms[0].power = nil, node.PowerOn }) // the first one is back, and not as it was
	w.rounds(2, ids)
	if n, _ := w.store.Node(ids[0]); n.PowerState != node.PowerOff {
		t.Errorf("a power state was followed while the subnet was down: %q", n.PowerState)
	}
	w.must(ids[1], node.SetMaintenance{On: true, Reason: "mine"}) // a commit in between disturbs no count
	w.must(ids[1], node.SetMaintenance{})
	for _, m := range ms {
		m.set(func() { m.readErr = nil })
	}
	w.rounds(3, ids)
	w.wait(ids[0], "followed again", func(n *node.Node) bool { return n.PowerState == node.PowerOn })
	if s := w.f.Stats(); s.SubnetsDown != 0 {
		t.Errorf("%d subnets down in the end", s.SubnetsDown)
	}
	if w.f.Sweep().Silent(ids[1]) || w.f.Sweep().Silent("nobody") {
		t.Error("a BMC that answers again, or one that nobody knows, counts as silent")
	}
	until(t, "its end to be told", func() bool { return len(w.subnetEvents()) >= 2 })
	if got := strings.Join(w.subnetEvents(), " "); got != "ferrite.error.ferrite.bmc_subnet.down ferrite.info.ferrite.bmc_subnet.up" {
		t.Errorf("events %s", got)
	}
}

// What counts as the failure of a subnet: more than 30 % of at least 20 nodes, until at most 10 % fail.
func TestWhatIsAFailureOfASubnet(t *testing.T) {
	failing := func(nodes, bad int) (*subnet, []*stake) {
		u := &subnet{f: sweepOnTable(t, 0, nil).fleet, name: "192.0.2.0/24"}
		all := make([]*stake, nodes)
		for i := range all {
			all[i] = &stake{}
			u.count(all[i], true)
		}
		for _, e := range all[:bad] {
			u.answered(e, false)
		}
		return u, all
	}
	for _, x := range []struct {
		nodes, bad int
		down       bool
	}{{19, 19, false}, {20, 6, false}, {20, 7, true}, {30, 9, false}, {30, 10, true}, {100, 30, false}, {100, 31, true}, {250, 250, true}} {
		u, all := failing(x.nodes, x.bad)
		if u.down.Load() != x.down || u.answered(all[0], false) != x.down {
			t.Errorf("%d of %d nodes fail: down %v, wanted %v", x.bad, x.nodes, u.down.Load(), x.down)
		}
	}
	u, all := failing(100, 40)
	for i, e := range all[:40] {
		if frozen := u.answered(e, true); frozen != (40-i-1 > 10) {
			t.Errorf("%d of 100 still fail: frozen %v", 40-i-1, frozen)
		}
	}
	// Nothing is frozen for ever.
	u, all = failing(100, 40)
	u.since = u.since.Add(-subnetFreeze - time.Second)
	if u.answered(all[0], false) || !u.down.Load() {
		t.Errorf("after an hour: down %v, and still frozen", u.down.Load())
	}
}

// A few dead BMCs are dead BMCs.
func TestAFewFailuresAreTheMachines(t *testing.T) {
	w, ids, ms := rackOf(t, 30)
	for _, m := range ms[:9] { // 30 %, not more
		m.set(func() { m.readErr = errors.New("no answer") })
	}
	w.rounds(6, ids)
	for i, id := range ids {
		if n, _ := w.store.Node(id); n.Maintenance != (i < 9) {
			t.Errorf("node %d: maintenance %v after %d failures", i, n.Maintenance, n.SyncFails)
		}
	}
	if s := w.f.Stats(); s.SubnetsDown != 0 || len(w.subnetEvents()) != 0 {
		t.Errorf("%d subnets down, events %v", s.SubnetsDown, w.subnetEvents())
	}
}

// Without retries a rack that fails is one all the same: no node is given up on at the first reading of its turn that fails. A few
// dead ones go to maintenance at the second, and where there are few nodes at the first.
func TestASubnetThatFailsWithoutRetries(t *testing.T) {
	none := func(c *Config) { c.Policy.MaxRetries = 0 }
	kept := func(w *world, ids []string, rounds, dead int) {
		t.Helper()
		w.rounds(rounds, ids)
		for i, id := range ids {
			if n, _ := w.store.Node(id); n.Maintenance != (i < dead) {
				t.Errorf("node %d of %d: maintenance %v after %d rounds", i, len(ids), n.Maintenance, rounds)
			}
		}
	}
	silent := func(ms []*machine) {
		for _, m := range ms {
			m.set(func() { m.readErr = errors.New("no answer") })
		}
	}
	w, ids, ms := rackWith(t, 60, none)
	silent(ms[:25])
	kept(w, ids, 6, 0)
	if n := w.f.Stats().SubnetsDown; n != 1 {
		t.Errorf("%d subnets down: wanted 1", n)
	}
	w, ids, ms = rackWith(t, 30, none)
	silent(ms[:2])
	kept(w, ids, 1, 0)
	kept(w, ids, 1, 2)
	ms[5].set(func() { ms[5].readErr = errors.New("no answer") }) // one reading that fails between others that do not
	kept(w, ids, 1, 2)
	ms[5].set(func() { ms[5].readErr = nil })
	kept(w, ids, 1, 2)
	ms[5].set(func() { ms[5].readErr = errors.New("no answer") })
	kept(w, ids, 1, 2)
	w, ids, ms = rackWith(t, 19, none)
	silent(ms[:3])
	kept(w, ids, 1, 3)
}

// A rack whose BMCs refuse the login has a network: these are the nodes' own failures.
func TestRefusedLoginsAreNoFailureOfASubnet(t *testing.T) {
	w, ids, ms := rackOf(t, 30)
	for _, m := range ms {
		m.set(func() {
			m.readErr = &bmc.Error{Command: "power status", Auth: true, Err: errors.New("the BMC refused the login")}
		})
	}
	w.rounds(6, ids)
	for i, id := range ids {
		if n, _ := w.store.Node(id); !n.Maintenance || !strings.Contains(n.LastError, "refused the login") {
			t.Errorf("node %d: maintenance %v after %d failures: %s", i, n.Maintenance, n.SyncFails, n.LastError)
		}
	}
	if s := w.f.Stats(); s.SubnetsDown != 0 || len(w.subnetEvents()) != 0 {
		t.Errorf("%d subnets down, events %v", s.SubnetsDown, w.subnetEvents())
	}
}

func TestSubnetOf(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.7": "192.0.2.0/24", "2001:db8::1:7": "2001:db8::/64", "bmc7.example": "", "": "",
	} {
		n := &node.Node{Interfaces: map[string]string{"power": "ipmitool"}, DriverInfo: map[string]any{"ipmi_address": address}}
		if got, _ := subnetOf(n); got != want {
			t.Errorf("%q is in %q, wanted %q", address, got, want)
		}
	}
}

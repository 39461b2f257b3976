// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"ferrite/bmc"
	"ferrite/node"
)

var errNoName = errors.New("no such host")

// dns is what names are; it is the driver of BMCs that have one, too.
type dns struct {
	*rack
	mu  sync.Mutex // guards below
	is  map[string]netip.Addr
	out bool
}

func (d *dns) set(fn func()) { d.mu.Lock(); defer d.mu.Unlock(); fn() }

func (d *dns) Prepare(n *node.Node) (bmc.Handle, error) {
	host, _ := n.DriverInfo["ipmi_address"].(string)
	if _, err := netip.ParseAddr(host); err == nil {
		return d.m[n.UUID], nil
	}
	return &namedMachine{d: d, host: host, machine: d.m[n.UUID]}, nil
}

// namedMachine is a machine by its name.
type namedMachine struct {
	*machine
	d    *dns
	host string
	at   netip.Addr // owned by who polls
}

func (m *namedMachine) Address() netip.Addr { return m.at }

func (m *namedMachine) Poll(to bmc.Sink) {
	m.d.mu.Lock()
	m.at = m.d.is[m.host]
	if m.d.out {
		m.at = netip.Addr{}
	}
	m.d.mu.Unlock()
	if !m.at.IsValid() {
		to.PowerPolled(node.PowerUnknown, errNoName)
		return
	}
	m.machine.Poll(to)
}

// namedRack makes nodes whose BMCs are given by name, all in one /24, and one more whose BMC is given by address.
func namedRack(t *testing.T, nodes int, change func(*Config)) (w *world, ids []string, ms []*machine, d *dns) {
	d = &dns{is: map[string]netip.Addr{}}
	w, all, ms := rackWith(t, nodes+1, func(c *Config) {
		p := c.Drivers["ipmitool"]
		r, _ := p.Power.(*rack)
		d.rack, p.Poller, c.Hints = r, d, true
		if change != nil {
			change(c)
		}
	})
	for i, id := range all[:nodes] {
		host := fmt.Sprintf("bmc%d.example", i)
		d.set(func() { d.is[host] = netip.AddrFrom4([4]byte{198, 51, 100, byte(1 + i)}) })
		n, _ := w.store.Node(id)
		want := n.Clone()
		want.DriverInfo = map[string]any{"ipmi_address": host}
		w.must(id, node.UpdateNode{Base: n.Outer, Want: want, Changed: []string{"driver_info"}})
	}
	ids = all
	w.rounds(1, ids)
	return w, ids, ms, d
}

func (w *world) nets() (out string) {
	s := w.f.Sweep()
	for _, name := range []string{"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", namesNet} {
		nodes, failing := s.figures(name)
		out += fmt.Sprintf(" %d/%d", failing, nodes)
	}
	return out[1:]
}

// A rack of BMCs with names fails as one of BMCs with addresses does.
func TestNamedBMCsHaveASubnet(t *testing.T) {
	w, ids, ms, d := namedRack(t, 25, nil)
	if got := w.nets(); got != "0/1 0/25 0/0 0/25" {
		t.Fatalf("failing nodes of nodes: %s", got)
	}
	if got := fmt.Sprint(w.f.Sweep().Demand().Subnets); got != "map[192.0.2.0/24:1 198.51.100.0/24:25]" {
		t.Errorf("readings are asked for in %s", got)
	}
	for _, m := range ms[:25] {
		m.set(func() { m.readErr = errors.New("no answer") })
	}
	w.rounds(6, ids)
	for i, id := range ids {
		if n, _ := w.store.Node(id); n.Maintenance || n.PowerState != node.PowerOff {
			t.Errorf("node %d: maintenance %v, power state %q", i, n.Maintenance, n.PowerState)
		}
	}
	if got := w.nets(); got != "0/1 25/25 0/0 0/25" || w.f.Stats().SubnetsDown != 1 {
		t.Errorf("failing nodes of nodes: %s, %d subnets down", got, w.f.Stats().SubnetsDown)
	}
	for i, m := range ms[:25] { // they are moved to another rack
		m.set(func() { m.readErr = nil })
		d.set(func() { d.is[fmt.Sprintf("bmc%d.example", i)] = netip.AddrFrom4([4]byte{203, 0, 113, byte(1 + i)}) })
	}
	w.rounds(2, ids)
	if got := w.nets(); got != "0/1 0/0 0/25 0/25" || w.f.Stats().SubnetsDown != 0 {
		t.Errorf("failing nodes of nodes: %s, %d subnets down", got, w.f.Stats().SubnetsDown)
	}
	// A trap is known by the address that the name was last.
	if n, _ := w.f.Sweep().Hint(netip.MustParseAddr("203.0.113.7")); n != 1 {
		t.Errorf("%d nodes are at the address that a name is now: wanted 1", n)
	}
	if n, _ := w.f.Sweep().Hint(netip.MustParseAddr("198.51.100.7")); n != 0 {
		t.Errorf("%d nodes are at the address that a name was: wanted none", n)
	}
	// One that gets an address is no name any more, one that goes is counted nowhere.
	n, _ := w.store.Node(ids[0])
	want := n.Clone()
	want.DriverInfo = map[string]any{"ipmi_address": "192.0.2.99"}
	w.must(ids[0], node.UpdateNode{Base: n.Outer, Want: want, Changed: []string{"driver_info"}})
	w.must(ids[1], node.DeleteNode{})
	w.rounds(1, ids[:1])
	if got := w.nets(); got != "0/2 0/0 0/23 0/23" {
		t.Errorf("failing nodes of nodes: %s", got)
	}
}

// An outage of DNS is no failure of machines, nor of the subnet in which they are. Those whose name is known go on.
func TestNamesThatAreLost(t *testing.T) {
	w, ids, ms, d := namedRack(t, 25, nil)
	d.set(func() { d.out = true })
	w.rounds(6, ids)
	ms[25].set(func() { ms[25].power = node.PowerOn }) // the one with an address
	w.rounds(2, ids)
	for i, id := range ids[:25] {
		if n, _ := w.store.Node(id); n.Maintenance || n.PowerState != node.PowerOff || n.SyncFails > 2 {
			t.Errorf("node %d: maintenance %v, power state %q, %d failures", i, n.Maintenance, n.PowerState, n.SyncFails)
		}
	}
	w.wait(ids[25], "followed", func(n *node.Node) bool { return n.PowerState == node.PowerOn })
	if got := w.nets(); got != "0/1 0/25 0/0 25/25" || w.f.Stats().SubnetsDown != 1 {
		t.Errorf("failing nodes of nodes: %s, %d networks down", got, w.f.Stats().SubnetsDown)
	}
	d.set(func() { d.out = false })
	w.rounds(2, ids)
	if got := w.nets(); got != "0/1 0/25 0/0 0/25" || w.f.Stats().SubnetsDown != 0 {
		t.Errorf("failing nodes of nodes: %s, %d networks down", got, w.f.Stats().SubnetsDown)
	}
	until(t, "its end to be told", func() bool { return len(w.subnetEvents()) >= 2 })
	if got := strings.Join(w.subnetEvents(), " "); got != "ferrite.error.ferrite.bmc_subnet.down ferrite.info.ferrite.bmc_subnet.up" {
		t.Errorf("events %s", got)
	}
}

// A few names are wrong: these are their nodes' own failures. Where many have names that shows a moment later.
func TestAFewNamesThatAreLost(t *testing.T) {
	for _, nodes := range []int{12, 25} {
		w, ids, _, d := namedRack(t, nodes, nil)
		bad := map[int]int{12: 12, 25: 3}[nodes]
		d.set(func() {
			for i := range bad {
				delete(d.is, fmt.Sprintf("bmc%d.example", i))
			}
		})
		w.rounds(6, ids)
		if n, _ := w.store.Node(ids[0]); n.Maintenance != (nodes < subnetLeast) {
			t.Errorf("of %d names: maintenance %v at once", nodes, n.Maintenance)
		}
		s := w.f.Sweep()
		s.mu.Lock()
		for _, e := range s.all {
			if x := e.named.Load(); x != nil {
				x.mu.Lock()
				if !x.lost.IsZero() {
					x.lost = x.lost.Add(-namesHold - time.Second)
				}
				x.mu.Unlock()
			}
		}
		s.mu.Unlock()
		w.rounds(2, ids)
		for i, id := range ids {
			if n, _ := w.store.Node(id); n.Maintenance != (i < bad) {
				t.Errorf("of %d names, node %d: maintenance %v after %d failures", nodes, i, n.Maintenance, n.SyncFails)
			}
		}
		if n := w.f.Stats().SubnetsDown; n != 0 || len(w.subnetEvents()) != 0 {
			t.Errorf("of %d names: %d networks down, events %v", nodes, n, w.subnetEvents())
		}
	}
}

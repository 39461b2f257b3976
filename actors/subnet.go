// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"ferrite/node"
)

// When many BMCs of one subnet stop answering at once (whichever conductors look after them, see elsewhere.go), it is the network that failed, not the machines: nobody's power
// record is touched, no node goes to maintenance, nothing is switched, until most of them answer again. That is not for
// ever: BMCs that stay away are what they seem to be.
const (
	subnetLeast  = 20        // nodes in power sync, for a share to mean something
	subnetDown   = 30        // percent of them that fail: it begins
	subnetUp     = 10        // percent: it is over
	subnetFreeze = time.Hour // how long power states are frozen at most
)

// subnet is a /24 of IPv4 or a /64 of IPv6 with BMCs in it.
type subnet struct {
	f    *Fleet
	name string

	down atomic.Bool // written under mu

	mu      sync.Mutex // guards below, and entry.synced; entry.failing is written under it
	synced  int        // nodes in power sync
	failing int        // those of them whose last reading failed
	since   time.Time  // when it went down last; zero = never
	wall    time.Time  // the same by the wall clock
	until   time.Time  // when it came up last
	late    bool       // it has been down for longer than states are frozen
	lost    bool       // nodes that failed have left since it went down: somebody else is to say how they do
}

// subnetOf names the subnet of a node's BMC, and its address; "" = it is a name, or there is none.
func subnetOf(n *node.Node) (string, netip.Addr) {
	at, err := netip.ParseAddrPort(node.Endpoint(n))
	if err != nil {
		return "", netip.Addr{}
	}
	bits := 24
	if at.Addr().Is6() {
		bits = 64
	}
	p, err := at.Addr().WithZone("").Prefix(bits)
	if err != nil {
		return "", netip.Addr{}
	}
	return p.String(), at.Addr().Unmap()
}

// locate puts an entry into the subnet that its record names now.
func (s *Sweep) locate(e *entry, n *node.Node) {
	name, addr := subnetOf(n)
	s.moved(e, addr)
	at := e.subnet.Load()
	if at == nil && name == "" || at != nil && at.name == name {
		return
	}
	if at != nil {
		at.count(e, false)
	}
	if name == "" {
		e.subnet.Store(nil)
		return
	}
	s.nets.mu.Lock()
	defer s.nets.mu.Unlock()
	if s.nets.all == nil {
		s.nets.all = map[string]*subnet{}
	}
	if at = s.nets.all[name]; at == nil {
		at = &subnet{f: s.f, name: name}
		s.nets.all[name] = at
	}
	e.subnet.Store(at)
}

// nets are the subnets that a sweep has ever seen: as many as there are, not as there are nodes.
type nets struct {
	mu    sync.Mutex // guards all
	all   map[string]*subnet
	poked chan struct{} // holds 1
}

// count takes a node into power sync or out of it.
func (u *subnet) count(e *entry, synced bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if e.synced != synced {
		e.synced = synced
		u.synced += map[bool]int{true: 1, false: -1}[synced]
	}
	if !synced && e.failing.Load() {
		e.failing.Store(false)
		u.failing--
		u.lost = true
	}
	u.judge()
}

// answered notes whether a node's reading came; it reports whether nothing may follow from it now.
func (u *subnet) answered(e *entry, yes bool) (frozen bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if e.synced && e.failing.Load() == yes {
		e.failing.Store(!yes)
		u.failing += map[bool]int{true: -1, false: 1}[yes]
	}
	u.judge()
	return u.down.Load() && !u.late
}

// judge begins and ends a failure of the whole subnet. mu is held.
func (u *subnet) judge() {
	down := u.down.Load()
	switch {
	case !down && u.failing*100 > u.synced*subnetDown && u.many():
		u.since, u.wall, u.late, u.lost = time.Now(), u.f.cfg.Clock(), false, false
		u.down.Store(true)
		u.f.stats.subnets.Add(1)
		u.tell("down")
	case down && u.failing <= max(u.synced*subnetUp/100, min(1, u.synced*subnetDown/100)): // of a small share one may be dead
		u.down.Store(false)
		u.until = time.Now()
		u.f.stats.subnets.Add(-1)
		u.tell("up")
	case down && !u.late && time.Since(u.since) > subnetFreeze:
		u.late = true
		u.tell("late")
	}
}

// many reports whether what fails is more than some machines: this conductor's share of the subnet is large enough to tell,
// or it is with the shares of the others. mu is held.
func (u *subnet) many() bool {
	if u.synced >= subnetLeast {
		return true
	}
	rest, known := u.f.sweep.others(u)
	nodes := u.synced + rest.nodes
	return known && nodes >= subnetLeast && (u.failing+rest.failing)*100 > nodes*subnetDown
}

// tell writes a log line of this conductor's share, and has the failure told if no other conductor has. mu is held.
func (u *subnet) tell(what string) {
	u.f.cfg.Logger.Warn("many BMCs of a subnet failed at once", "subnet", u.name, "is", what, "failing", u.failing, "nodes", u.synced, "note", netEventWords[what].text)
	u.f.sweep.nets.poke()
}

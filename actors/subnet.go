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

// subnet is a /24 of IPv4 or a /64 of IPv6 with BMCs in it, or namesNet.
type subnet struct {
	f    *Fleet
	name string

	down atomic.Bool // written under mu

	mu      sync.Mutex // guards below, and stake.synced; stake.failing is written under it
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
	return subnetAt(at.Addr()), at.Addr().Unmap()
}

// subnetAt names the subnet of an address.
func subnetAt(at netip.Addr) string {
	bits := 24
	if at.Is6() {
		bits = 64
	}
	p, err := at.WithZone("").Prefix(bits)
	if err != nil {
		return ""
	}
	return p.String()
}

// stake is a node's place in a network.
type stake struct {
	subnet  atomic.Pointer[subnet] // nil = not known
	failing atomic.Bool            // counted there as failing; written under subnet.mu
	synced  bool                   // counted there as in power sync; guarded by subnet.mu
}

// locate puts an entry into the subnet that its record names now. One with a name stays where that has led.
func (s *Sweep) locate(e *entry, n *node.Node) {
	name, addr := subnetOf(n)
	host := ""
	if name == "" {
		host = node.Endpoint(n)
	}
	x := e.named.Load()
	if x != nil && x.host == host {
		return
	}
	if x != nil {
		e.named.Store(nil)
		x.leave()
	}
	s.moved(e, addr)
	s.settle(e, name)
	if host != "" {
		x = &naming{host: host}
		x.subnet.Store(s.nets.get(s.f, namesNet))
		e.named.Store(x)
	}
}

// settle makes a subnet an entry's, "" = none. The entry is counted there by whoever calls.
func (s *Sweep) settle(e *entry, name string) {
	at := e.subnet.Load()
	if at == nil && name == "" || at != nil && at.name == name {
		return
	}
	if at != nil {
		at.count(&e.stake, false)
	}
	if name == "" {
		e.subnet.Store(nil)
		return
	}
	e.subnet.Store(s.nets.get(s.f, name))
}

// counted notes whether an entry is in power sync.
func (s *Sweep) counted(e *entry, synced bool) {
	if x := e.named.Load(); x != nil {
		x.takes(e, synced)
	} else if net := e.subnet.Load(); net != nil {
		net.count(&e.stake, synced)
	}
}

// nets are the subnets that a sweep has ever seen: as many as there are, not as there are nodes.
type nets struct {
	mu    sync.Mutex // guards all
	all   map[string]*subnet
	poked chan struct{} // holds 1
}

// get is a subnet by its name.
func (n *nets) get(f *Fleet, name string) *subnet {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.all == nil {
		n.all = map[string]*subnet{}
	}
	at := n.all[name]
	if at == nil {
		at = &subnet{f: f, name: name}
		n.all[name] = at
	}
	return at
}

// count takes a node into power sync or out of it.
func (u *subnet) count(e *stake, synced bool) {
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
func (u *subnet) answered(e *stake, yes bool) (frozen bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if e.synced && e.failing.Load() == yes {
		e.failing.Store(!yes)
		u.failing += map[bool]int{true: -1, false: 1}[yes]
	}
	u.judge()
	return u.down.Load() && !u.late
}

// early reports whether a failure comes too soon to tell a node's from its network's, where there are enough nodes for one: it is
// the first in turn that this conductor sees, however many retries there are (power_state_sync_max_retries 0, or a node that
// is taken over with all of them used up). All others that fail with it have been read at the next one.
func (e *entry) early(where netip.Addr, named bool, turns uint32, err error) bool {
	if named && !where.IsValid() {
		return e.named.Load().early()
	}
	net := e.subnet.Load()
	return net != nil && turns < 2 && !denied(err) && net.crowd()
}

// crowd reports whether there are enough nodes, of all conductors, for a failure of the whole network; unknown = yes.
func (u *subnet) crowd() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.synced >= subnetLeast {
		return true
	}
	rest, known := u.f.sweep.others(u)
	return !known || u.synced+rest.nodes >= subnetLeast
}

// frozen reports whether nothing may follow from readings here now.
func (u *subnet) frozen() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
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
	title := "many BMCs of a subnet failed at once"
	if u.name == namesNet {
		title = "many host names of BMCs could not be resolved"
	}
	u.f.cfg.Logger.Warn(title, "subnet", u.name, "is", what, "failing", u.failing, "nodes", u.synced, "note", netEventText(u.name, what))
	u.f.sweep.nets.poke()
}

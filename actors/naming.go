// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"net/netip"
	"sync"
	"time"

	"ferrite/bmc"
	"ferrite/node"
)

// A BMC may be given by its host name. Where it is shows with each reading, and the node is counted in the subnet of that
// address from then on. Names that cannot be resolved say nothing about machines, nor about the subnet in which they were: all
// nodes with a name are a network of their own besides, which fails as others do.

// namesNet is the name of that network.
const namesNet = "names"

// namesHold is how long a name must have been lost before its node goes to maintenance, where many nodes have names. Drivers
// remember what names are for some minutes, so that an outage of DNS shows with one name after the other.
const namesHold = 2 * time.Minute

// naming is what an entry has whose BMC is given by name.
type naming struct {
	stake        // in namesNet
	host  string // with the port

	mu   sync.Mutex // guards below, and in which subnet the entry is
	gone bool       // its node has left, or has another address
	sync bool       // the node is in power sync
	at   netip.Addr // what the name was last, zero = it was never resolved
	lost time.Time  // since when it cannot be resolved, zero = it can
}

// address is where the reading that just ended found the BMC; named false = it was not given by name.
func (e *entry) address() (at netip.Addr, named bool) {
	if e.named.Load() == nil {
		return at, false
	}
	h, ok := e.polled.(bmc.Named)
	if !ok {
		return at, false
	}
	return h.Address(), true
}

// unheard notes that a reading failed which found the BMC there; it reports whether nothing may follow from it now.
func (e *entry) unheard(where netip.Addr, named bool, err error) (frozen bool) {
	if named {
		frozen = e.s.resolved(e, where)
	}
	if net := e.subnet.Load(); net != nil && (!named || where.IsValid()) {
		frozen = net.answered(&e.stake, denied(err))
	}
	return frozen
}

// resolved takes in what an entry's name was at a reading, zero = it could not be resolved. It reports whether nothing may
// follow from that failure now.
func (s *Sweep) resolved(e *entry, at netip.Addr) (frozen bool) {
	x := e.named.Load()
	if x == nil {
		return false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.gone {
		return false
	}
	if !at.IsValid() {
		if x.lost.IsZero() {
			x.lost = time.Now()
		}
		frozen = x.subnet.Load().answered(&x.stake, false)
		site := e.subnet.Load() // if that is cut off, so may be its names
		return frozen || site != nil && site.frozen()
	}
	x.lost = time.Time{}
	if x.failing.Load() {
		x.subnet.Load().answered(&x.stake, true)
	}
	if at == x.at {
		return false
	}
	x.at = at
	s.moved(e, at)
	s.settle(e, subnetAt(at))
	if net := e.subnet.Load(); net != nil {
		net.count(&e.stake, x.sync)
	}
	return false
}

// takes counts a node in or out, in namesNet and where its BMC is.
func (x *naming) takes(e *entry, synced bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.sync = synced
	x.subnet.Load().count(&x.stake, synced)
	if net := e.subnet.Load(); net != nil {
		net.count(&e.stake, synced)
	}
}

// leave takes an entry out of namesNet for good.
func (x *naming) leave() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.gone = true
	x.subnet.Load().count(&x.stake, false)
}

// down reports whether names fail as a whole; nil = the BMC has none.
func (x *naming) down() bool { return x != nil && x.subnet.Load().down.Load() }

// early reports whether a name has been lost too shortly to tell whether it is alone in that; nil has none.
func (x *naming) early() bool {
	if x == nil {
		return false
	}
	x.mu.Lock()
	at := x.lost
	x.mu.Unlock()
	return time.Since(at) < namesHold && x.subnet.Load().crowd()
}

// networkOf is what a record says of a node's network: the subnet of its BMC or, if that has a name, namesNet.
func networkOf(n *node.Node) string {
	name, _ := subnetOf(n)
	if name == "" && node.Endpoint(n) != "" {
		return namesNet
	}
	return name
}

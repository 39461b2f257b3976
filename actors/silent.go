// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import "ferrite/node"

// Silent reports whether a node's BMC is known not to answer: its last reading failed, whatever its record says (which stays
// as it is while a subnet is frozen), or its subnet is down and it was not heard since. A node that the sweep does not read
// is not silent.
func (s *Sweep) Silent(uuid string) bool {
	s.mu.Lock()
	e := s.all[uuid]
	s.mu.Unlock()
	if e == nil || e.mode.Load() == modeSkip || e.recorded.Load() {
		return false
	}
	if e.missed.Load() > 0 || e.failing.Load() {
		return true
	}
	net := e.subnet.Load()
	if net == nil || !net.down.Load() {
		return false
	}
	net.mu.Lock()
	defer net.mu.Unlock()
	return net.down.Load() && e.seen.Load() < net.since.UnixNano()
}

// Net names the network that a node's BMC is in: those of one fail together. "" = it is not known.
func (s *Sweep) Net(n *node.Node) string {
	s.mu.Lock()
	e := s.all[n.UUID]
	s.mu.Unlock()
	if e != nil {
		if net := e.subnet.Load(); net != nil {
			return net.name
		}
	}
	name, _ := subnetOf(n)
	return name
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import "time"

// Demand is what the sweep asks for: one reading of each of its nodes in each interval.
type Demand struct {
	Interval time.Duration
	Nodes    int            // in power sync, whose power a BMC tells
	Subnets  map[string]int // of them, by the /24 or /64 of their BMC, of a name by what it was last
}

// Demand counts them now; without power sync there is none.
func (s *Sweep) Demand() Demand {
	d := Demand{Interval: s.f.live.Load().SyncInterval, Subnets: map[string]int{}}
	if d.Interval <= 0 {
		return d
	}
	s.mu.Lock()
	for _, e := range s.all {
		if e.mode.Load() == modeSync && !e.recorded.Load() {
			d.Nodes++
		}
	}
	s.mu.Unlock()
	s.nets.mu.Lock()
	defer s.nets.mu.Unlock()
	for name, u := range s.nets.all {
		u.mu.Lock()
		n := u.synced
		u.mu.Unlock()
		if n > 0 && name != namesNet {
			d.Subnets[name] = n
		}
	}
	return d
}

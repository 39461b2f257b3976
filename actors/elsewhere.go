// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"sync"
	"time"

	"ferrite/node"
)

// A subnet's nodes may be spread over several conductors, and each sees the failures of its own share alone. Of the others
// it knows what the log says: a node that has failed a reading has a count of that in its record. The shares are counted when
// somebody has to know, for all subnets at once, and not by whoever asks: that takes some milliseconds in a large fleet.

// part is what the other conductors have of a subnet.
type part struct{ nodes, failing int }

// elsewhere counts the shares of others.
type elsewhere struct {
	mu       sync.Mutex // guards below
	at       time.Time  // when by was counted
	by       map[string]part
	counting bool
	asked    map[*subnet]bool // are judged anew when that is done
}

// Shares are counted anew when they are older than an eighth of an interval, within these bounds.
const (
	sharesLeast = 50 * time.Millisecond
	sharesMost  = 10 * time.Second
)

// others are the rest of a subnet's nodes; ok false = that is not known yet, and the subnet is judged again when it is.
func (s *Sweep) others(u *subnet) (rest part, ok bool) {
	if s.f.alone {
		return part{}, true
	}
	e := &s.elsewhere
	e.mu.Lock()
	defer e.mu.Unlock()
	if time.Since(e.at) < s.sharesAge() {
		return e.by[u.name], true
	}
	if e.asked == nil {
		e.asked = map[*subnet]bool{}
	}
	e.asked[u] = true
	if !e.counting && s.f.begin() {
		e.counting = true
		go func() {
			defer s.f.running.Done()
			s.countOthers()
		}()
	}
	return part{}, false
}

// sharesAge is for how long shares are good.
func (s *Sweep) sharesAge() time.Duration {
	return min(max(s.f.live.Load().SyncInterval/8, sharesLeast), sharesMost)
}

// shares are the others', counted now if need be.
func (s *Sweep) shares() map[string]part {
	e := &s.elsewhere
	e.mu.Lock()
	by, old := e.by, time.Since(e.at) >= s.sharesAge()
	e.mu.Unlock()
	if old {
		by = s.countOthers()
	}
	return by
}

// countOthers looks through the records of all nodes that are not this conductor's.
func (s *Sweep) countOthers() map[string]part {
	by := map[string]part{}
	s.f.cfg.Store.Nodes(nil, func(n *node.Node) bool {
		if node.SyncSkipped(n) != "" || s.f.cfg.Wanted(n) {
			return true
		}
		name := networkOf(n) // what their names resolve to is known to them alone
		x := by[name]
		x.nodes++
		if n.SyncFails > 0 {
			x.failing++
		}
		by[name] = x
		return true
	})
	delete(by, "")
	e := &s.elsewhere
	e.mu.Lock()
	e.at, e.by, e.counting = time.Now(), by, false
	asked := e.asked
	e.asked = nil
	e.mu.Unlock()
	for u := range asked {
		u.mu.Lock()
		u.judge()
		u.mu.Unlock()
	}
	return by
}

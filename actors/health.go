// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"time"

	"ferrite/node"
)

// Health is what a node's sensors said when they were read last, whoever wanted to know; nil = they were not since this
// conductor looks after it, or it does not.
func (s *Sweep) Health(uuid string) *node.Health {
	s.mu.Lock()
	e := s.all[uuid]
	s.mu.Unlock()
	if e == nil {
		return nil
	}
	return e.health.Load()
}

// felt notes what a node's sensors said.
func (s *Sweep) felt(uuid string, all []node.Sensor) {
	s.mu.Lock()
	e := s.all[uuid]
	s.mu.Unlock()
	if e != nil {
		e.health.Store(node.HealthOf(all, time.Now()))
	}
}

// confirmed answers GetConfirmed.
func (s *Sweep) confirmed(uuid string, q node.GetConfirmed) node.Confirmed {
	if q.Hint {
		s.hintNode(uuid)
	}
	for _, at := range q.BMCs {
		s.Hint(at)
	}
	told := node.Confirmed{At: s.ConfirmedAt(uuid)}
	for _, other := range q.Nodes {
		if at := s.ConfirmedAt(other); !at.IsZero() {
			if told.All == nil {
				told.All = make(map[string]time.Time, len(q.Nodes))
			}
			told.All[other] = at
		}
	}
	if !q.Health {
		return told
	}
	told.Health = map[string]node.Health{}
	for _, id := range append([]string{uuid}, q.Nodes...) {
		if h := s.Health(id); h != nil {
			told.Health[id] = *h
		}
	}
	return told
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"fmt"
	"sync"

	"github.com/asynkron/protoactor-go/actor"

	"ferrite/node"
)

// Bounds of what waits. Users go before power sync: what the sweep finds takes turns, what users ask for is carried out
// at once or refused at once. Among users commands go before records and records before bulk: see share.
const (
	defaultMaxWaiting = 4096 // requests that wait for an answer, in all
	maxParked         = 64   // requests that wait for one node's lock
	maxQueued         = 256  // requests behind one node's commit
	maxSamples        = 256  // findings of the sweep that are with actors at a time; the next ones stand in line
)

// turns lets so many findings of the sweep through at a time. A node stands in line once, with its newest finding.
type turns struct {
	mu   sync.Mutex // guards all, and entry.late
	out  int
	line []*entry
}

// admit gives a finding to the node's actor when its turn has come.
func (f *Fleet) admit(e *entry, o *outcome) {
	t := &f.turns
	t.mu.Lock()
	if t.out >= maxSamples {
		if e.late == nil {
			t.line = append(t.line, e)
			f.stats.late.Add(1)
		}
		e.late = o
		t.mu.Unlock()
		return
	}
	t.out++
	t.mu.Unlock()
	o.turn = true
	if !f.post(e.uuid, e.pid, o) {
		f.settled(o)
	}
}

// turnOver lets the next finding through in the place of one that is settled.
func (f *Fleet) turnOver() {
	t := &f.turns
	for {
		t.mu.Lock()
		if len(t.line) == 0 {
			t.out--
			t.line = nil
			t.mu.Unlock()
			return
		}
		e := t.line[0]
		t.line = t.line[1:]
		o := e.late
		e.late = nil
		f.stats.late.Add(-1)
		t.mu.Unlock()
		o.turn = true
		if f.post(e.uuid, e.pid, o) {
			return
		}
	}
}

// post sends to a node's actor while it is on the map; after that nobody would read it.
func (f *Fleet) post(uuid string, pid *actor.PID, m any) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if p := f.pids[uuid]; p == nil || !p.Equal(pid) {
		return false
	}
	f.system.Root.Send(pid, m)
	return true
}

// share is how many may wait when the next one of a rank comes: the last quarter of a queue is closed to bulk, the last
// eighth to records, so that a command still finds a place when others fill the queue.
func share(most int, r node.Rank) int {
	switch r {
	case node.RankCommand:
		return most
	case node.RankBulk:
		return most - most/4
	default:
		return most - most/8
	}
}

// crowded refuses a request when as many wait as may. A release by force is what may end the crowd.
func (f *Fleet) crowded(uuid string, r node.Rank, m node.Msg) error {
	most, waiting := share(f.Settings().MaxWaiting, r), int(f.stats.waiting.Load())-1 // without this one
	if _, release := m.(node.Release); release || waiting < most {
		return nil
	}
	f.stats.shed.Add(1)
	return full(uuid, m, waiting, fmt.Sprintf("%d requests wait for their nodes already, as many as may before a further one of rank %s: nothing was done, send it again in a moment", most, r))
}

func full(uuid string, m node.Msg, ahead int, text string) error {
	return &node.Error{Op: m.MsgName(), Node: uuid, Kind: node.Unavailable, Text: text, Ahead: ahead}
}

// enqueue puts a message behind the commit under way; a node that is asked faster than it can answer refuses.
func (a *nodeActor) enqueue(m any) {
	if q, ok := m.(*call); ok && len(a.queue) >= share(maxQueued, q.meta.Rank) {
		if _, release := q.msg.(node.Release); !release {
			a.f.stats.shed.Add(1)
			q.answer(nil, full(a.uuid, q.msg, len(a.queue), fmt.Sprintf("%d requests wait for this node already: nothing was done, send it again in a moment", len(a.queue))))
			return
		}
	}
	a.queue = append(a.queue, m)
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ferrite/node"
	"ferrite/persistence"
)

// takeovers measures how long the nodes of a conductor that is gone take until they are active here. What came before, the
// time until its silence was noticed, is the gossip profile's.
type takeovers struct {
	mu     sync.Mutex // guards below
	gone   time.Time  // when a member was first seen gone whose nodes are not all active yet; zero = none
	turn   int        // counts Views, so that only the newest is waited for
	waits  bool       // nodes are being activated
	counts []uint64
	count  uint64
	sum    float64
}

// takeoverBuckets bound the histogram, in seconds.
var takeoverBuckets = []float64{0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30}

// takeoverMost is how long activation is waited for; a node that is deleted meanwhile would never be active.
const takeoverMost = time.Minute

// lost notes that a member is gone.
func (t *takeovers) lost() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone.IsZero() {
		t.gone = time.Now()
	}
}

// placed is told of each View once nodes are placed by it; if a member was lost it waits until all wanted nodes are active.
// One that had handed over leaves nothing to be gained.
func (t *takeovers) placed(c *Conductor, gained int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.turn++
	if gained == 0 && !t.waits {
		t.gone = time.Time{}
	}
	if t.gone.IsZero() {
		return
	}
	t.waits = true
	turn, began := t.turn, t.gone
	wanted := 0
	c.store.Nodes(nil, func(n *node.Node) bool {
		if c.placement.mine(n) {
			wanted++
		}
		return true
	})
	go func() {
		for time.Since(began) < takeoverMost && !c.stopping.Load() {
			if c.fleet.Sweep().Len() >= wanted {
				t.done(turn, time.Since(began))
				return
			}
			wait(context.Background(), 2*time.Millisecond)
		}
		t.done(turn, 0)
	}()
}

// done ends the measurement of a View; a newer one goes on by itself.
func (t *takeovers) done(turn int, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if turn != t.turn {
		return
	}
	t.gone, t.waits = time.Time{}, false
	if took == 0 {
		return
	}
	if t.counts == nil {
		t.counts = make([]uint64, len(takeoverBuckets))
	}
	t.count++
	t.sum += took.Seconds()
	for i, b := range takeoverBuckets {
		if took.Seconds() <= b {
			t.counts[i]++
		}
	}
}

// histogram is the measurements so far.
func (t *takeovers) histogram(desc *prometheus.Desc) (prometheus.Metric, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	buckets := make(map[float64]uint64, len(takeoverBuckets))
	for i, b := range takeoverBuckets {
		buckets[b] = 0
		if t.counts != nil {
			buckets[b] = t.counts[i]
		}
	}
	return prometheus.NewConstHistogram(desc, t.count, t.sum, buckets)
}

// clusterFigures are what a conductor among several counts.
type clusterFigures struct {
	log                   persistence.LogFigures
	members               int
	views                 uint64
	sent, served, refused uint64 // calls between conductors
	owned                 int
	silence               time.Duration // of the log's leader
}

func (c *Conductor) clusterFigures() clusterFigures {
	f := clusterFigures{members: len(overview{c}.view().Members), views: c.views.Load(), owned: c.fleet.Len(), silence: time.Since(c.store.LeaderContact())}
	if s, ok := c.store.(*persistence.Raft); ok {
		f.log = s.LogFigures()
	}
	if h := c.hop; h != nil {
		f.sent, f.served, f.refused = h.sent.Load(), h.served.Load(), h.refused.Load()
	}
	return f
}

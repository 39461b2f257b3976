// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ferrite/node"
	"ferrite/persistence"
)

// gated lets transactions that fit through only while the gate is open, and counts those that stand before it.
type gated struct {
	open   chan struct{}
	before atomic.Int64
}

func (g *gated) hook(persistence.Tx) persistence.Fault {
	g.before.Add(1)
	<-g.open
	return persistence.Fault{}
}

func TestTooManyRequestsAreRefused(t *testing.T) {
	const most, asked = 4, 20
	w := newWorld(t, func(c *Config) { c.MaxWaiting = most })
	id := w.create(nil)
	g := &gated{open: make(chan struct{})}
	w.store.SetHook(g.hook)
	var refused, served atomic.Int64
	var all sync.WaitGroup
	for range asked {
		all.Go(func() {
			var e *node.Error
			switch _, err := w.do(id, node.SetMaintenance{On: true}); {
			case err == nil:
				served.Add(1)
			case errors.As(err, &e) && e.Kind == node.Unavailable:
				refused.Add(1)
			default:
				t.Errorf("wanted an answer or a refusal, got %v", err)
			}
		})
	}
	until(t, "the refusals", func() bool { return refused.Load() >= asked-most })
	close(g.open)
	all.Wait()
	if served.Load() != most || w.f.Stats().Shed != asked-most {
		t.Errorf("%d served, %d refused, %d counted; wanted %d served", served.Load(), refused.Load(), w.f.Stats().Shed, most)
	}
	w.store.SetHook(nil)
	w.must(id, node.SetMaintenance{})
}

// When records fill the queue to their share, bulk and further records are refused, and commands still find a place.
func TestCommandsFindAPlaceWhereOthersDoNot(t *testing.T) {
	const most = 16
	w := newWorld(t, func(c *Config) { c.MaxWaiting = most })
	id := w.create(nil)
	g := &gated{open: make(chan struct{})}
	w.store.SetHook(g.hook)
	var all sync.WaitGroup
	ask := func(c node.Rank) error {
		_, err := w.f.Do(context.Background(), id, node.Meta{RequestID: "req-1", Minor: 90, Rank: c}, node.SetMaintenance{On: true})
		return err
	}
	waiting := int64(0)
	for _, c := range []struct {
		rank  node.Rank
		share int64
	}{{node.RankBulk, most - most/4}, {node.RankRecord, most - most/8}, {node.RankCommand, most}} {
		for ; waiting < c.share; waiting++ {
			all.Go(func() {
				if err := ask(c.rank); err != nil {
					t.Errorf("%s with room for it: %v", c.rank, err)
				}
			})
			until(t, "it to wait", func() bool { return w.f.Stats().Waiting == waiting+1 })
		}
		var e *node.Error
		if err := ask(c.rank); !errors.As(err, &e) || e.Kind != node.Unavailable || e.Ahead != int(c.share) {
			t.Errorf("%s behind %d: %#v, wanted a refusal that says how many wait", c.rank, c.share, err)
		}
	}
	close(g.open)
	all.Wait()
	w.store.SetHook(nil)
}

// A whole fleet that fails at once must not stand between users and the store (user before sync).
func TestFindingsTakeTurns(t *testing.T) {
	const nodes = maxSamples + 100
	w := newWorld(t, nil)
	var ids []string
	for range nodes {
		id := w.create(nil)
		w.must(id, node.SetProvision{Verb: "manage"})
		ids = append(ids, id)
	}
	for _, id := range ids {
		w.wait(id, "manageable", func(n *node.Node) bool { return n.ProvisionState == node.Manageable && idle(n) })
	}
	untilLong(t, time.Minute, "the sweep to know all", func() bool { return w.round(ids[0]) == nodes })
	w.m.set(func() { w.m.power = node.PowerOn }) // every plug is pulled, so to speak
	g := &gated{open: make(chan struct{})}
	w.store.SetHook(g.hook)
	w.f.Sweep().Round(context.Background(), nodes)
	until(t, "a line", func() bool { return w.f.Stats().Late == nodes-maxSamples })
	w.f.Sweep().Round(context.Background(), nodes) // a node stands in line once
	w.f.Sweep().Round(context.Background(), nodes)
	if late := w.f.Stats().Late; late > nodes {
		t.Errorf("%d stand in line, wanted each node once", late)
	}
	close(g.open)
	untilLong(t, 3*time.Minute, "all turns given back", func() bool { return w.turnsOut() == 0 && w.f.Stats().Late == 0 })
	for _, id := range ids {
		w.wait(id, "corrected or put back", func(n *node.Node) bool { return idle(n) && n.PowerState != "" })
	}
}

func (w *world) turnsOut() int {
	w.f.turns.mu.Lock()
	defer w.f.turns.mu.Unlock()
	return w.f.turns.out
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"ferrite/node"
	"ferrite/persistence"
)

// netTeller holds what this conductor sees of its subnets against what the log says of them, and writes the difference. It
// looks again and again rather than follow what happens: a write that fails, an election, a restart and a conductor that dies
// are then nothing special.
type netTeller struct {
	f     *Fleet
	dead  map[node.Owner]time.Time // conductors in records that do not live, and since when that is known here
	cut   bool                     // there was no contact to the log's leader at the last look
	heard time.Time                // when there was again; zero = there always was
	stuck bool                     // that something cannot be told was logged
}

const (
	netTellerLook     = time.Second            // between two looks
	netTellerAgain    = 100 * time.Millisecond // after somebody else was first
	netTellerPatience = 5 * time.Second        // for one write
	contactLost       = 2 * time.Second        // as S7 has it
)

// tellSubnets tells of failing subnets until ctx ends.
func (f *Fleet) tellSubnets(ctx context.Context) {
	t := &netTeller{f: f, dead: map[node.Owner]time.Time{}}
	for ctx.Err() == nil {
		pause := time.NewTimer(t.look(ctx))
		select {
		case <-ctx.Done():
		case <-f.sweep.nets.poked:
		case <-pause.C:
		}
		pause.Stop()
	}
}

// look writes what is to be written, and returns when to look again.
func (t *netTeller) look(ctx context.Context) time.Duration {
	f, now := t.f, time.Now()
	if cut := now.Sub(f.cfg.Store.LeaderContact()) > contactLost; cut || t.cut {
		if t.cut = cut; cut {
			return netTellerLook // nothing can be written
		}
		t.heard = now
	}
	events, here := f.netEvents(), map[string]*subnet{}
	for _, u := range f.sweep.nets.failed() {
		here[u.name] = u
	}
	if len(events) == 0 && len(here) == 0 {
		return netTellerLook
	}
	living := f.cfg.Members()
	t.count(now, events, living)
	names := map[string]bool{}
	for name := range events {
		names[name] = true
	}
	for name := range here {
		names[name] = true
	}
	again := netTellerLook
	for _, name := range slices.Sorted(maps.Keys(names)) {
		before := events[name]
		if before.rev != 0 && before.e == nil {
			continue
		}
		err := t.step(ctx, name, before, t.share(now, here[name], before.e, len(living) > 1))
		var conflict *persistence.Conflict
		switch {
		case ctx.Err() != nil:
			return again
		case errors.As(err, &conflict):
			again = netTellerAgain
		case err != nil && !t.stuck:
			t.stuck = true
			f.cfg.Logger.Warn("the failure of a subnet cannot be told yet, trying again", "subnet", name, "error", err)
		case err == nil:
			t.stuck = false
		}
	}
	return again
}

// count notes since when the conductors are dead that records name.
func (t *netTeller) count(now time.Time, events map[string]openEvent, living []node.Owner) {
	dead := map[node.Owner]time.Time{}
	for _, o := range events {
		if o.e == nil {
			continue
		}
		for name, incarnation := range o.e.Seen {
			who := node.Owner{Name: name, Incarnation: incarnation}
			if slices.Contains(living, who) || who == t.self() {
				continue
			}
			if dead[who] = t.dead[who]; dead[who].IsZero() {
				dead[who] = now
			}
		}
	}
	t.dead = dead
}

func (t *netTeller) self() node.Owner {
	return node.Owner{Name: t.f.cfg.Self.Name, Incarnation: t.f.cfg.Self.Incarnation}
}

// passed is how long it takes until new owners of nodes have read them: each has its turn once an interval.
func (t *netTeller) passed() time.Duration {
	return t.f.live.Load().SyncInterval + 2*t.f.cfg.SubnetSettle
}

// share is what this conductor sees of a subnet. Its end is said when no reading from before can fail any more, here or at
// another conductor, and when nodes that have left have been read by their new owners.
func (t *netTeller) share(now time.Time, u *subnet, e *netEvent, others bool) shareSeen {
	if u == nil {
		return shareSeen{over: true}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	quiet := now.Sub(u.until)
	seen := shareSeen{down: u.down.Load(), late: u.late, since: u.wall}
	switch {
	case seen.down && t.doubted(now, u, e):
		return shareSeen{}
	case seen.down:
	case !others:
		seen.over = true
	case u.lost:
		seen.over = quiet >= t.passed()
	default:
		seen.over = quiet >= t.f.cfg.SubnetSettle
	}
	return seen
}

// doubted reports whether it may have been this conductor that was cut off, and not the subnet: it had no contact to the log
// either. That is known when all nodes have been read since. mu of u is held.
func (t *netTeller) doubted(now time.Time, u *subnet, e *netEvent) bool {
	if e != nil && e.Seen[t.f.cfg.Self.Name] == t.f.cfg.Self.Incarnation {
		return false // said before
	}
	return u.since.Before(t.heard) && now.Sub(t.heard) < t.passed()
}

// step writes what follows from what is seen, if anything does.
func (t *netTeller) step(ctx context.Context, name string, before openEvent, mine shareSeen) error {
	f := t.f
	if before.e == nil && !mine.down {
		return nil
	}
	next, told := before.e.next(mine, t.self(), f.live.Load().SubnetTopic, func(who node.Owner) bool {
		at, dead := t.dead[who]
		return dead && time.Since(at) >= t.passed()
	})
	if before.e.same(next) {
		return nil
	}
	tx, err := f.netEventTx(name, before, next, told)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, netTellerPatience)
	defer cancel()
	if _, err := f.cfg.Store.Commit(ctx, tx); err != nil {
		return err
	}
	for _, what := range told {
		f.cfg.Logger.Warn("the failure of a subnet was told", "subnet", name, "is", what)
	}
	return nil
}

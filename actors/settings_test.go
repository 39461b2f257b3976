// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"ferrite/bmc"
	"ferrite/node"
	"ferrite/persistence"
)

// standing makes a sweep that nobody turns, with so many nodes on it.
func standing(t *testing.T, count int, cfg Config) *Sweep {
	t.Helper()
	store := persistence.NewMemory(persistence.MemoryOptions{})
	cfg.Store, cfg.Self, cfg.Policy = store, self(), node.DefaultPolicy()
	m := &machine{power: node.PowerOff}
	cfg.Drivers = map[string]*bmc.Driver{"ipmitool": m.driver()}
	f := New(cfg)
	t.Cleanup(func() { f.Close(); _ = store.Close() })
	for i := range count {
		id := fmt.Sprintf("11111111-1111-4111-8111-%012d", i)
		f.sweep.add(&node.Node{
			UUID: id, Driver: "ipmi", Interfaces: map[string]string{"power": "ipmitool"}, DriverInfo: map[string]any{"ipmi_address": "127.0.0.9"},
			ProvisionState: node.Active, PowerState: node.PowerOff, Rev: 1,
		}, nil)
	}
	return f.sweep
}

// places are the ticks at which nodes are due.
func (s *Sweep) places() map[string]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]uint64{}
	for id, e := range s.all {
		out[id] = e.due
	}
	return out
}

// TestAnotherIntervalMovesNobody: readings are as far apart on the wheel as before, so there is no burst; and the wheel goes
// on where it stands, at another speed.
func TestAnotherIntervalMovesNobody(t *testing.T) {
	for _, c := range []struct{ from, to time.Duration }{{time.Hour, time.Second}, {time.Second, time.Hour}, {45 * time.Second, 0}, {0, 45 * time.Second}} {
		s := standing(t, 200, Config{SyncInterval: c.from, RecoveryEvery: time.Minute})
		s.mu.Lock()
		s.advance(700) // in the middle of a round
		s.mu.Unlock()
		before, now := s.places(), s.now
		earliest := time.Now()
		s.retime(c.to, time.Minute)
		latest := time.Now()
		if s.tick != tickOf(c.to, time.Minute) || s.now != now || !maps.Equal(before, s.places()) {
			t.Errorf("%s to %s: tick %s, at %d after %d, nodes moved: %v", c.from, c.to, s.tick, s.now, now, !maps.Equal(before, s.places()))
		}
		if at := s.started.Add(time.Duration(s.now) * s.tick); at.Before(earliest) || at.After(latest) { //nolint:gosec // small
			t.Errorf("%s to %s: the wheel stands at %s, wanted now: it would turn at once, or not for a while", c.from, c.to, at.Sub(latest))
		}
		for id, due := range s.places() {
			if due <= s.now || due > s.now+roundTicks+2*jitterTick {
				t.Fatalf("%s is due in %d ticks, wanted within one turn", id, due-s.now)
			}
		}
	}
}

// TestAnotherIntervalIsNotForWhoIsGivenUpOn: their pauses are times, not turns.
func TestAnotherIntervalIsNotForWhoIsGivenUpOn(t *testing.T) {
	s := standing(t, 1, Config{SyncInterval: 512 * time.Second, RecoveryEvery: 300 * time.Second})
	for _, e := range s.all {
		e.mode.Store(modeRecover)
		s.unlink(e)
		e.due = s.now + 200
		s.insert(e)
		pause := 200 * s.tick
		s.retime(5120*time.Second, 300*time.Second)
		if got := time.Duration(e.due-s.now) * s.tick; got > pause || got < pause-s.tick { //nolint:gosec // small
			t.Errorf("%s left after another interval, wanted %s", got, pause)
		}
		s.retime(5120*time.Second, 20*time.Second)
		if got := time.Duration(e.due-s.now) * s.tick; got > max(20*time.Second, s.tick) { //nolint:gosec // small
			t.Errorf("%s left after another pause of 20 s", got)
		}
	}
}

func TestSettingsOfARunningFleet(t *testing.T) {
	w := newWorld(t, nil) // sync every hour
	id := w.create(nil)
	w.must(id, node.SetProvision{Verb: "manage"})
	w.wait(id, "manageable", func(n *node.Node) bool { return n.ProvisionState == node.Manageable && idle(n) })
	polls := func() (n int) { w.m.set(func() { n = w.m.polls }); return n }
	before := polls()
	s := w.f.Settings()
	s.SyncInterval = 100 * time.Millisecond
	s.Policy.ForcePower, s.Policy.Valid, s.Policy.HardwareTypes = false, time.Hour, nil
	w.m.set(func() { w.m.power = node.PowerOn }) // behind our back
	w.f.Update(s)
	w.wait(id, "the record corrected by the sweep", func(n *node.Node) bool { return n.PowerState == node.PowerOn })
	if got := w.m.sent(); got != "[]" {
		t.Errorf("commands %s: forced, although the policy is to believe", got)
	}
	until(t, "further rounds", func() bool { return polls() > before+3 })
	if got := w.f.policy(); got.Valid == time.Hour || len(got.HardwareTypes) == 0 {
		t.Errorf("what must not change has changed: %+v", got)
	}
	s.SyncInterval = 0
	w.f.Update(s)
	if asked := w.round(id); asked != 0 {
		t.Errorf("%d readings with sync_power_state_interval 0", asked)
	}
	s.SyncInterval = time.Hour
	w.f.Update(s)
	if asked := w.round(id); asked != 1 {
		t.Errorf("%d readings after the sync was switched on again", asked)
	}
	s.MaxWaiting = 0
	w.f.Update(s)
	if got := w.f.Settings().MaxWaiting; got != defaultMaxWaiting {
		t.Errorf("MaxWaiting %d", got)
	}
}

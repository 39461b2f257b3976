// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"math/rand/v2"
	"time"
)

// tickOf is the time between two slots of the wheel.
func tickOf(interval, recovery time.Duration) time.Duration {
	if interval <= 0 {
		interval = recovery // recovery goes on without power sync
	}
	return max(interval*turnShare/turnParts/roundTicks, minTick)
}

// retime turns the wheel at another speed from now on. Every node keeps its place on it, so that its next reading comes
// within one turn at the new speed, and readings are spread as before. Only what is given up on keeps its time, or gets a
// shorter one, anywhere in what it has to wait now.
func (s *Sweep) retime(interval, recovery time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, now := s.tick, tickOf(interval, recovery)
	s.tick = now
	s.started = time.Now().Add(-time.Duration(s.now) * now) //nolint:gosec // ticks of a process's life
	for _, e := range s.all {
		e.hintFrom = min(e.hintFrom, s.now+s.hintTicks())
		if e.mode.Load() != modeRecover || recovery <= 0 || e.due <= s.now {
			continue
		}
		left, most := time.Duration(e.due-s.now)*was, patience(recovery) //nolint:gosec // likewise
		if left > most {
			left = time.Duration(rand.Int64N(int64(most))) //nolint:gosec // spreads load, no secret
		}
		s.unlink(e)
		e.due = s.now + max(1, uint64(left/now)) //nolint:gosec // positive
		s.insert(e)
	}
	select {
	case s.retimed <- struct{}{}:
	default:
	}
}

// patience is for how long a BMC that is given up on is left alone: power_failure_recovery_interval, however often it has
// failed (spec power.md section 7). It is counted from one reading's beginning to the next one's, and is shorter by the share
// that turns are, so that none comes later than promised.
func patience(recovery time.Duration) time.Duration { return max(1, recovery*turnShare/turnParts) }

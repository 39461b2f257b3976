// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import "time"

// Some BMCs end sessions sooner than the standard's 60 s. One that has forgotten a kept session at two readings in a row, each
// of which costs 7 s and three lost packets, is taken to keep them half as long as lay between; so that at the usual pace each
// reading has a session of its own. After shortTime that is tried anew.
const (
	forgotMost = 2
	shortTime  = 4 * time.Hour
)

// idle is how long the BMC's session is taken to be open without traffic.
func (sh *shard) idle(r *record) time.Duration {
	if r.shortTill != 0 && sh.now < int64(r.shortTill)*int64(time.Second) {
		return min(sh.cfg.SessionIdle, time.Duration(r.short)*time.Millisecond)
	}
	return sh.cfg.SessionIdle
}

// missing notes that the session of a reading has got no answer.
func (sh *shard) missing(r *record) {
	if r.cur != nil {
		return
	}
	r.flags |= flagLost
	gap := max(time.Duration(sh.now-r.lastUse)-sh.patience(), tick)
	r.short = uint32(min(gap, sh.cfg.SessionIdle) / 2 / time.Millisecond) //nolint:gosec // minutes at most
}

// remembers judges by a reading that was answered: in a new session after silence in the old one, or in a kept one.
func (sh *shard) remembers(r *record) {
	switch {
	case !r.has(flagLost):
		if r.has(flagSteady) {
			r.forgot = 0
		}
	case r.forgot+1 < forgotMost:
		r.forgot++
	default:
		r.flags &^= flagSteady
		r.forgot, r.shortTill = 0, uint32((sh.now+int64(shortTime))/int64(time.Second)) //nolint:gosec // a century
	}
}

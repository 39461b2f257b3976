// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

// What a job does whose handshake, or whose command in a fresh session, got no answer (BMC.md section 6, point 3). Every job
// has one handshake more; a call that somebody waits for goes on with growing pauses until its caller gives up, as Ironic
// does until command_retry_timeout. So that a dead BMC holds neither a place in the window nor a reader of sensors for long,
// readings and calls that give way go on only when the BMC answers a question outside of a session, unless it has just been
// heard.
const (
	mostShakes  = 12 // Ironic's number of tries
	slowShakes  = 3  // those of a call that gives way
	mostDoubled = 3  // pauses between handshakes: none, then 2, 4, 8, 8 ... times the first timeout
	slowTries   = 2  // of a message to a BMC that nobody waits for and that may be dead
)

// insists reports whether the job may go on with another handshake although it has had its fresh one. What changes something and
// was sent does not: whether it was executed is for its caller to find out.
func (r *record) insists() bool {
	c := r.cur
	most := mostShakes
	if c != nil && c.slow {
		most = slowShakes
	}
	return c != nil && c.until != 0 && int(c.shakes) < most && !(c.mutating && c.state.Load() == callSent)
}

// anew goes on with the job after silence; it reports false when there is nothing left to try. heard says that the BMC has
// answered something in this handshake.
func (sh *shard) anew(r *record, why error, heard bool) bool {
	c := r.cur
	meek := c == nil || c.slow
	switch {
	case sh.leaving, r.has(flagFresh) && !r.insists(), meek && r.fails > 1: // it was in doubt before
		return false
	case meek && !heard && r.who.Value().quirks&quirkNoProbe == 0:
		r.flags |= flagDoubt
	case c != nil && c.slow && !heard && r.has(flagFresh):
		return false
	}
	if r.has(flagFresh) {
		sh.failPolls(r, why)
	}
	r.flags |= flagFresh
	if c == nil {
		sh.proceed(r)
		return true
	}
	c.held.Store(&why)
	if c.shakes++; c.shakes < 2 {
		sh.proceed(r)
		return true
	}
	r.stage = parting
	sh.wheel.set(r, sh.now, sh.within(c, sh.jittered(sh.cfg.Timeouts[0]<<min(c.shakes-1, mostDoubled))))
	return true
}

// tries is how often the outstanding message is sent.
func (sh *shard) tries(r *record) int {
	if r.cur != nil && r.cur.slow && !r.has(flagFresh) {
		return min(slowTries, len(sh.cfg.Timeouts))
	}
	return len(sh.cfg.Timeouts)
}

// withdrawn is the outcome of a call whose caller has gone.
func withdrawn(c *call) outcome {
	return outcome{err: errWithdrawn, unknown: c.mutating && c.state.Load() == callSent}
}

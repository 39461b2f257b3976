// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"math"
	"math/rand/v2"
)

// Day is what a simulated day of one cell came to.
type Day struct {
	Commits      int
	PeakRate     float64 // commits offered in the busiest second
	PeakBacklog  int     // commits that waited at the end of a second
	LongestWait  float64 // s that a commit waited for the log, at most
	BusySeconds  int     // in which the log did all it can, but for the election after the loss
	Readings     int
	ReadingsLate int     // that were made more than a tenth of an interval after they were due
	Every        float64 // s from one reading of a node to the next, on average
	LoginsTook   float64 // s from the loss of a conductor until its last BMC was logged in to
}

// Simulate lets a cell live through a day in steps of a second, all chance from the seed: changes that come at random, a wave
// of commands at eight o'clock, and the loss of a conductor in the middle of the wave, when the others must log in to its BMCs.
func Simulate(c Costs, d Demand, p Plan, seed uint64) Day {
	r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // simulation
	var out Day
	const day, wave = 86400, 8 * 3600
	lossAt := wave + int(d.WaveFor.Seconds()/2)
	steady := float64(p.Cell) * d.Writes / day
	extra := float64(p.Cell) * d.Wave * d.WaveWrites / d.WaveFor.Seconds()
	backlog, s := 0.0, newSweepModel(d, p)
	for t := range day {
		rate := steady
		if t >= wave && t < wave+int(d.WaveFor.Seconds()) {
			rate += extra
		}
		came := poisson(r, rate)
		can := c.Commits
		if t == lossAt {
			can *= max(0, 1-c.Detect) // if it led the log, nothing is written until another one does
			s.lose(t, c.Detect)
		}
		if s.second(t); s.firsts > 0 {
			out.LoginsTook = float64(t-lossAt) + 1
		}
		out.Commits += came
		out.PeakRate = max(out.PeakRate, float64(came))
		backlog += float64(came)
		if backlog >= can && t != lossAt {
			out.BusySeconds++
		}
		backlog = max(0, backlog-can)
		out.PeakBacklog = max(out.PeakBacklog, int(backlog))
		out.LongestWait = max(out.LongestWait, backlog/c.Commits)
	}
	out.Readings, out.ReadingsLate = int(s.made), int(s.late)
	if s.made > 0 {
		out.Every = float64(p.Cell) * day / s.made
	}
	return out
}

// sweepModel is the power sync of a cell: each node is due an interval after its last reading. Readings are made in the order in
// which they are due, as far as ipmi.rate allows, and those that need a login as far as ipmi.handshake_rate does too: the first
// one of a node at a new owner, and every one when sessions do not live from one to the next.
type sweepModel struct {
	p        Plan
	limit    float64   // readings a second
	step     int       // the interval, in whole seconds
	weight   float64   // for what that leaves out
	due      []float64 // by second, modulo step
	first    []float64 // those of a lost conductor's nodes
	from     int       // when those begin
	old, new waiting
	most     int // s that a reading may wait and is not late

	made, late float64
	firsts     float64 // made in the last second
}

// due is readings that are due at a second.
type due struct {
	at int
	n  float64
}

// waiting is readings that are due, the oldest first.
type waiting []due

// least is what is nothing.
const least = 1e-6

func (w *waiting) add(t int, n float64) {
	if n > least {
		*w = append(*w, due{t, n})
	}
}

// take makes the oldest readings, most at most.
func (w *waiting) take(most float64) due {
	k := due{(*w)[0].at, min(most, (*w)[0].n)}
	if (*w)[0].n -= k.n; (*w)[0].n <= least {
		*w = (*w)[1:]
	}
	return k
}

// lose takes a share away.
func (w waiting) lose(share float64) (lost float64) {
	for i := range w {
		lost += w[i].n * share
		w[i].n *= 1 - share
	}
	return lost
}

func newSweepModel(d Demand, p Plan) *sweepModel {
	m := &sweepModel{p: p, limit: p.Rate, step: max(1, int(d.Interval.Seconds()+0.5)), from: math.MaxInt}
	if !d.keeps() {
		m.limit = min(m.limit, p.Shakes)
	}
	m.weight = float64(m.step) / d.Interval.Seconds()
	m.most = max(1, m.step/10)
	m.due = make([]float64, m.step)
	for i := range m.due {
		m.due[i] = float64(p.Cell) * m.weight / float64(m.step)
	}
	return m
}

// lose spreads the first readings of a conductor's nodes over an interval, from when the others have noticed.
func (m *sweepModel) lose(t int, detect float64) {
	share := 1 / float64(m.p.Conductors)
	lost := m.old.lose(share)
	for i := range m.due {
		lost += m.due[i] * share
		m.due[i] *= 1 - share
	}
	m.first, m.from = make([]float64, m.step), t+int(math.Ceil(detect))
	for i := range m.first {
		m.first[i] = lost / float64(m.step)
	}
}

func (m *sweepModel) second(t int) {
	slot := t % m.step
	m.old.add(t, m.due[slot])
	m.due[slot] = 0
	if i := t - m.from; i >= 0 && i < len(m.first) {
		m.new.add(t, m.first[i])
	}
	left, logins, made := m.limit, m.p.Shakes, 0.0
	m.firsts = 0
	for left > least {
		q, most := &m.old, left
		if len(m.new) > 0 && logins > least && (len(m.old) == 0 || m.new[0].at <= m.old[0].at) {
			q, most = &m.new, min(left, logins)
		}
		if len(*q) == 0 {
			break
		}
		k := q.take(most)
		if t-k.at > m.most {
			m.late += k.n
		}
		if q == &m.new {
			logins, m.firsts = logins-k.n, m.firsts+k.n
		}
		left, made = left-k.n, made+k.n
	}
	m.made += made
	m.due[slot] += made // due again an interval later, with a session
}

// poisson draws how many come in a second.
func poisson(r *rand.Rand, mean float64) int {
	if mean > 50 { // the normal distribution is near enough
		return max(0, int(mean+math.Sqrt(mean)*r.NormFloat64()+0.5))
	}
	n, p, limit := 0, 1.0, math.Exp(-mean)
	for {
		if p *= r.Float64(); p <= limit {
			return n
		}
		n++
	}
}

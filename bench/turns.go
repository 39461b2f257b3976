// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import "fmt"

// contender is one of those that take turns.
type contender struct {
	row   *Row
	every int // takes part in every n-th round: slow ones less often
	round func() (sample, error)
}

// byWorker is a contender that is a worker; small fleets are asked several times a round, so that a clock tick does not show.
func byWorker(row *Row, h *helper, bmcs int, window int64, least int) contender {
	times := max(1, least/bmcs)
	return contender{row, 1, func() (sample, error) {
		a, err := h.ask(request{Do: "round", N: times, Window: window})
		if h.commits {
			row.add("commits_per_round", float64(a.Writes)/float64(times))
		}
		return a.Sample, err
	}}
}

// turns lets all contenders take their turns.
func turns(all []contender, rounds int, p Progress) error {
	for i := range rounds {
		for k, c := range all {
			if i%c.every != 0 {
				continue
			}
			s, err := c.round()
			if err != nil {
				return fmt.Errorf("%s: %w", c.row.Name, err)
			}
			c.row.add(figRate, s.Rate)
			c.row.add(figCPU, s.CPU)
			if s.Allocs > 0 || c.row.rounds["allocs"] != nil {
				c.row.add("allocs", s.Allocs)
			}
			p.step(i*len(all)+k+1, rounds*len(all))
		}
	}
	p.step(1, 1)
	for _, c := range all {
		if v := c.row.rounds["allocs"]; v != nil {
			a := SpreadOf(v).Median
			c.row.Allocs = &a
			delete(c.row.rounds, "allocs")
		}
	}
	return nil
}

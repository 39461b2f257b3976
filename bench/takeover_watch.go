// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// clock is when things happened after the kill, in seconds.
type clock struct {
	mu     sync.Mutex // guards below
	killed time.Time
	times  map[string][]float64
	gap    float64 // longest time between two good reads of one reader
	failed int     // reads that failed
}

func (c *clock) note(what string) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := time.Since(c.killed).Seconds()
	c.times[what] = append(c.times[what], t)
	return t
}

// curves are one kill's time line: when all survivors had noticed, and what share of the nodes was where it should be by then.
func (c *clock) curves(row *Row, sweep Curve) (out []Curve) {
	who, dashed := strings.TrimPrefix(row.Name, us+", "), row.Name == leaderDies
	who = strings.ReplaceAll(who, " of the log", "")
	noticed := slices.Max(c.times["detected"])
	out = append(out, Curve{Name: who + ": noticed", X: []float64{noticed, noticed}, Y: []float64{0, 1}, Colour: 7, Dashed: dashed})
	sweep.Name, sweep.Colour, sweep.Dashed = who+": in a sweep again", 2, dashed
	for _, x := range []struct {
		what, name string
		colour     int
	}{{"write", "accepts a write", 1}, {"ended", "open operations have ended", 3}} {
		if x.what == "ended" {
			out = append(out, sweep)
		}
		times := slices.Sorted(slices.Values(c.times[x.what]))
		if len(times) == 0 {
			continue
		}
		w := Curve{Name: who + ": " + x.name, X: []float64{0}, Y: []float64{0}, Colour: x.colour, Dashed: dashed}
		for i, t := range times {
			w.X, w.Y = append(w.X, t), append(w.Y, float64(i+1)/float64(len(times)))
		}
		out = append(out, w)
	}
	return out
}

// detect notes when a survivor says that the victim is not alive.
func (s *site) detect(ctx context.Context, c *clock, i int, victim string) {
	for end := time.Now().Add(time.Minute); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		var list struct {
			Conductors []struct {
				Hostname string `json:"hostname"`
				Alive    bool   `json:"alive"`
			} `json:"conductors"`
		}
		if s.get(i, "/v1/conductors", &list) != nil {
			continue
		}
		for _, x := range list.Conductors {
			if x.Hostname == victim && !x.Alive {
				c.note("detected")
				return
			}
		}
	}
}

// write changes a lost node until that is accepted.
func (s *site) write(ctx context.Context, c *clock, survivors []int, k int, uuid string) {
	for try, end := 0, time.Now().Add(time.Minute); time.Now().Before(end) && ctx.Err() == nil; try++ {
		body := fmt.Sprintf(`[{"op":"add","path":"/extra/bench","value":"%d"}]`, time.Now().UnixNano())
		if _, err := s.ask(survivors[(k+try)%len(survivors)], http.MethodPatch, "/v1/nodes/"+uuid, body, nil); err == nil {
			c.note("write")
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// read reads lost nodes at a survivor, one after another.
func (s *site) read(c *clock, i int, lost []string, stop chan struct{}) {
	last := time.Now()
	for k := 0; ; k++ {
		select {
		case <-stop:
			return
		case <-time.After(2 * time.Millisecond):
		}
		err := s.get(i, "/v1/nodes/"+lost[k%len(lost)], nil)
		now := time.Now()
		c.mu.Lock()
		if err != nil {
			c.failed++
		} else {
			c.gap = max(c.gap, now.Sub(last).Seconds())
			last = now
		}
		c.mu.Unlock()
	}
}

// follow notes when the survivors have all nodes, and when all are confirmed.
func (s *site) follow(c *clock, victim, lost int) (Curve, error) {
	var curve Curve
	active, share := false, 0.0
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); {
		do, every := "count", 20*time.Millisecond
		if active {
			do, every = "sweep", 200*time.Millisecond
		}
		nodes, _, seen, _, err := s.sweep(victim, do)
		if err != nil {
			return curve, err
		}
		if !active {
			t := time.Since(c.killed).Seconds()
			curve.X = append(curve.X, t)
			share = max(share, 1-float64(s.cfg.Nodes-nodes)/float64(lost)) // who moves on to another survivor is nowhere for a moment
			curve.Y = append(curve.Y, share)
			if active = nodes >= s.cfg.Nodes; active {
				c.note("active")
			}
		} else if seen >= s.cfg.Nodes {
			c.note("confirmed")
			return curve, nil
		}
		s.cfg.step(min(seen, s.cfg.Nodes-1), s.cfg.Nodes)
		time.Sleep(every)
	}
	return curve, fmt.Errorf("the survivors do not have all %d nodes in their sweep after three minutes", s.cfg.Nodes)
}

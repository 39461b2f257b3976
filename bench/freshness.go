// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"slices"
)

// freshness lets conductors with living and with dead BMCs sweep side by side, and looks how long ago each living node's power
// was confirmed.
func freshness(ctx context.Context, cfg SyncConfig, r *Report) error {
	w := &crew{ctx: ctx, self: cfg.Self, dir: cfg.Dir}
	defer w.goHome()
	type fleet struct {
		row  *Row
		h    *helper
		ages []float64
	}
	var fleets []*fleet
	shares := append([]float64{0}, slices.DeleteFunc(slices.Clone(cfg.Dead), func(v float64) bool { return v == 0 })...)
	for _, dead := range shares {
		port, err := freeUDP()
		if err != nil {
			return err
		}
		if _, err := w.hire(setup{Kind: "sim", BMCs: cfg.BMCs, Port: port, Sessions: slots, Dead: dead}); err != nil {
			return err
		}
		name := fmt.Sprintf("ferrite, sweep every %s, %g %% of the BMCs dead", cfg.Interval, dead*100)
		cfg.say("starting %s", name)
		h, err := w.hire(setup{Kind: "conductor", BMCs: cfg.BMCs, Port: port, Interval: cfg.Interval, Paced: cfg.Paced})
		if err != nil {
			return err
		}
		fleets = append(fleets, &fleet{row: r.row(name, "age of the living nodes' power state"), h: h})
	}
	const warm, looks = 3, 40 // intervals until it is settled; looks at it afterwards, over four intervals
	cfg.say("sweeping for %s", (warm+4)*cfg.Interval)
	if err := pause(ctx, warm*cfg.Interval); err != nil {
		return err
	}
	before := make([]float64, len(fleets))
	for i := range looks + 1 {
		for k, x := range fleets {
			if i == 0 || i == looks {
				a, err := x.h.ask(request{Do: "cpu"})
				if err != nil {
					return err
				}
				if i == 0 {
					before[k] = a.Sample.CPU
				} else {
					x.row.set("cpu_percent", (a.Sample.CPU-before[k])/(4*cfg.Interval.Seconds())/1e4)
				}
			}
			a, err := x.h.ask(request{Do: "ages"})
			if err != nil {
				return err
			}
			slices.Sort(a.Values)
			x.ages = append(x.ages, a.Values...)
			if len(a.Values) == 0 {
				return fmt.Errorf("%s: no node was confirmed", x.row.Name)
			}
			x.row.add("age_p50_s", percentile(a.Values, 50))
			x.row.add("age_p99_s", percentile(a.Values, 99))
			x.row.add("age_max_s", a.Values[len(a.Values)-1])
		}
		cfg.step(i+1, looks+1)
		if err := pause(ctx, 4*cfg.Interval/looks); err != nil {
			return err
		}
	}
	chart := Chart{Name: "freshness", Title: fmt.Sprintf("How long ago the living nodes' power was confirmed; a sweep every %s", cfg.Interval), X: "seconds", Y: "share of the nodes", Share: true}
	for i, x := range fleets {
		if i > 0 {
			r.compare(x.row, fleets[0].row, "age_p99_s")
		}
		slices.Sort(x.ages)
		c := Curve{Name: fmt.Sprintf("%g %% dead", shares[i]*100)}
		for p := range 101 {
			c.X, c.Y = append(c.X, percentile(x.ages, float64(p))), append(c.Y, float64(p)/100)
		}
		chart.Curves = append(chart.Curves, c)
	}
	r.Charts = append(r.Charts, chart)
	return nil
}

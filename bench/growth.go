// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
)

// What Growth needs: of each node of each fleet (a conductor, an engine and an echo), and of each simulated BMC.
const (
	growthNode = 15_000
	growthBMC  = 5_000
	growthMore = 1 << 30 // for everything else
)

// growthFits are the sizes that memory allows, smallest first, and why others are left out ("" = none is).
func growthFits(sizes []int, available int64) (fit []int, why string) {
	need := func(s []int) (bytes int64) {
		for _, n := range s {
			bytes += int64(n) * growthNode
		}
		return bytes + int64(slices.Max(s))*growthBMC + growthMore
	}
	for fit = slices.Sorted(slices.Values(sizes)); len(fit) > 1 && need(fit) > available; {
		n := fit[len(fit)-1]
		why += fmt.Sprintf("%d BMCs are left out: with them it needs %.1f GB of memory, and %.1f GB are available. ", n, float64(need(fit))/1e9, float64(available)/1e9)
		fit = fit[:len(fit)-1]
	}
	return fit, strings.TrimSpace(why)
}

// Growth measures what a node costs in fleets of several sizes. All fleets are there at once and take turns, so that the hour
// of the day is the same for all.
func Growth(ctx context.Context, cfg SyncConfig) (*Report, error) {
	sizes, why := cfg.Sizes, ""
	if kb, ok := proc("/proc/meminfo", "MemAvailable:"); ok {
		sizes, why = growthFits(sizes, kb<<10)
	}
	largest := slices.Max(sizes)
	r := newReport("growth", largest, cfg.Rounds)
	if why != "" {
		cfg.say("%s", why)
		r.Notes = append(r.Notes, why)
	}
	w := &crew{ctx: ctx, self: cfg.Self, dir: cfg.Dir}
	defer w.goHome()
	port, err := freeUDP()
	if err != nil {
		return nil, err
	}
	cfg.say("starting %d BMCs", largest)
	if _, err := w.hire(setup{Kind: "sim", BMCs: largest, Port: port, Sessions: slots}); err != nil {
		return nil, err
	}
	type fleet struct{ whole, engine, echo *Row }
	var all []contender
	var fleets []fleet
	for _, n := range sizes {
		x := fleet{r.row(fmt.Sprintf("%s, %d", keptWhole, n), ""), r.row(fmt.Sprintf("%s, %d", keptEngine, n), ""), r.row(fmt.Sprintf("%s, %d", echoName, n), "")}
		for _, p := range []struct {
			row      *Row
			kind, do string
		}{{x.whole, "conductor", "settle"}, {x.engine, "engine", "round"}} {
			cfg.say("starting %s", p.row.Name)
			h, err := w.hire(setup{Kind: p.kind, BMCs: n, Port: port})
			if err != nil {
				return nil, err
			}
			h.row = p.row
			if _, err := h.ask(request{Do: p.do, N: 1, Window: cfg.Window}); err != nil {
				return nil, err
			}
			all = append(all, byWorker(p.row, h, n, cfg.Window, largest))
		}
		echo, err := echoing(w, x.echo, n, cfg.Window)
		if err != nil {
			return nil, err
		}
		x.whole.Nodes, x.engine.Nodes, x.echo.Nodes = n, n, n
		all, fleets = append(all, echo), append(fleets, x)
	}
	cfg.say("%d rounds of %d fleets", cfg.Rounds, len(sizes))
	if err := turns(all, cfg.Rounds, cfg.Progress); err != nil {
		return nil, err
	}
	for _, h := range w.all {
		if h.row == nil {
			continue
		}
		m, err := h.ask(request{Do: "grown"})
		if err != nil {
			return nil, err
		}
		h.row.RSS = &m.RSS
		h.row.set("bytes_per_node", float64(m.RSS)/float64(h.row.Nodes))
	}
	r.sum()
	for _, x := range fleets {
		r.compare(x.whole, fleets[0].whole, figCPU)
		r.compare(x.engine, fleets[0].engine, figCPU)
		r.compare(x.whole, x.echo, figCPU)
		r.compare(x.engine, x.echo, figCPU)
	}
	rate := Chart{Name: "rate", Title: "Power readings per second against fleet size", X: "BMCs", Y: "readings/s", LogX: true}
	cpu := Chart{Name: "cpu", Title: "CPU per reading against fleet size", X: "BMCs", Y: "us of CPU", LogX: true}
	memory := Chart{Name: "memory", Title: "Anonymous memory per node against fleet size", X: "BMCs", Y: "KB per node", LogX: true}
	for i, name := range []string{"whole conductor", "engine alone", "raw echo"} {
		a, b, c := Curve{Name: name}, Curve{Name: name}, Curve{Name: name}
		for _, x := range fleets {
			row := []*Row{x.whole, x.engine, x.echo}[i]
			a.X, a.Y = append(a.X, float64(row.Nodes)), append(a.Y, row.Rate.Median)
			b.X, b.Y = append(b.X, float64(row.Nodes)), append(b.Y, row.CPU.Median)
			if m, ok := row.figure("bytes_per_node"); ok {
				c.X, c.Y = append(c.X, float64(row.Nodes)), append(c.Y, m.Median/1e3)
			}
		}
		rate.Curves, cpu.Curves = append(rate.Curves, a), append(cpu.Curves, b)
		if len(c.X) > 0 {
			memory.Curves = append(memory.Curves, c)
		}
	}
	r.Charts = []Chart{rate, cpu, memory}
	if all := r.growth(); len(all) > 0 {
		most := slices.MaxFunc(all, func(a, b grown) int { return cmp.Compare(a.times, b.times) })
		r.Notes = append(r.Notes, fmt.Sprintf("By the medians of the whole conductor no size costs more than %.2f x the CPU of the smallest one for a reading; wanted: %.2f x at most.", max(1, most.times), 1+Limit))
	}
	return r, nil
}

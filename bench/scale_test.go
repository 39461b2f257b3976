// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"math"
	"strings"
	"testing"
	"time"
)

// costs are round figures, so that what comes of them can be worked out by hand.
func costs() Costs {
	return Costs{ReadingCPU: 10, EachCPU: 60, ShakeCPU: 40, CommitCPU: 300, Commits: 4000, OwnedBytes: 6000, CopyBytes: 5000, Detect: 1.2, Cores: 2, EventsPerSec: 50_000}
}

func TestWhereResourcesEnd(t *testing.T) {
	d, p := DefaultDemand(), DefaultPlan()
	ends := Ends(costs(), d, p)
	by := map[string]End{}
	for i, e := range ends {
		by[e.Resource] = e
		if i > 0 && ends[i-1].Cell > e.Cell {
			t.Errorf("%s ends before %s", e.Resource, ends[i-1].Resource)
		}
	}
	// 50,000 nodes x 40 / 86,400 s, and 10 % x 4 in 600 s: 56.5 commits/s of 4,000.
	if got := by["commits of the log"].Used; math.Abs(got-0.01412) > 1e-4 {
		t.Errorf("commits: %g used", got)
	}
	// 50,000 x 5,000 + 25,000 x 6,000 bytes of 16 GB.
	if got := by["memory of a conductor"].Used; math.Abs(got-0.025) > 1e-6 {
		t.Errorf("memory: %g used", got)
	}
	// 16,667 nodes lost, 1,000/s of all conductors: 16.7 s of 45.
	if got := by["logins after a loss"].Used; math.Abs(got-0.3704) > 1e-3 {
		t.Errorf("logins: %g used", got)
	}
	// 50,000 / 45 s: 1,111 readings/s of 5,000, of all conductors too.
	if got := by["readings that a cell allows itself"].Used; math.Abs(got-0.2222) > 1e-3 {
		t.Errorf("readings: %g used", got)
	}
	for _, e := range ends { // a cell of that size uses what the plan allows
		q := p
		q.Cell = e.Cell
		for _, again := range Ends(costs(), d, q) {
			if again.Resource == e.Resource && math.Abs(again.Used-p.Load) > 0.01 {
				t.Errorf("%s: %g used in a cell of %d, wanted %g", e.Resource, again.Used, e.Cell, p.Load)
			}
		}
	}
}

// Above 50 s no session is kept: each reading is a login, and ten packets.
func TestLongIntervalsTakeASessionEach(t *testing.T) {
	d, p := DefaultDemand(), DefaultPlan()
	for interval, want := range map[time.Duration]struct{ packets, cpu, logins string }{
		50 * time.Second: {"1000 packets/s", "0.532", ""},
		// 50,000 / 100 s / 2 conductors: 250 readings/s of ten packets and 60 us each; 56 commits/s of 100 us more. 500 logins of 1,000/s.
		100 * time.Second: {"2500 packets/s", "1.03", "50.0"},
	} {
		d.Interval = interval
		by := map[string]End{}
		for _, e := range Ends(costs(), d, p) {
			by[e.Resource] = e
		}
		if e := by["packets of a conductor"]; !strings.Contains(e.Why, want.packets) {
			t.Errorf("%s: %q, wanted %s", interval, e.Why, want.packets)
		}
		if e := by["CPU of a conductor"]; digits(e.Used*100) != want.cpu {
			t.Errorf("%s: %s %% CPU, wanted %s", interval, digits(e.Used*100), want.cpu)
		}
		e, each := by["logins"]
		if _, after := by["logins after a loss"]; after == each || each != (want.logins != "") || each && digits(e.Used*100) != want.logins {
			t.Errorf("%s: logins %+v, wanted %q", interval, e, want.logins)
		}
		if x := Simulate(costs(), d, p, 7); x.LoginsTook < interval.Seconds() || x.LoginsTook > interval.Seconds()+5 {
			t.Errorf("%s: logged in again after %g s", interval, x.LoginsTook)
		}
	}
}

func TestSimulatedDay(t *testing.T) {
	d, p := DefaultDemand(), DefaultPlan()
	a, again := Simulate(costs(), d, p, 7), Simulate(costs(), d, p, 7)
	if a != again {
		t.Errorf("one seed, two days: %+v %+v", a, again)
	}
	want := float64(p.Cell) * (d.Writes + d.Wave*d.WaveWrites)
	if got := float64(a.Commits); math.Abs(got-want)/want > 0.01 {
		t.Errorf("%g commits, wanted about %g", got, want)
	}
	// First readings begin 2 s after the loss and are spread over 45 s: 370 of 1,000 logins/s. 50,000 readings in 45 s, but for those.
	if a.BusySeconds != 0 || a.ReadingsLate != 0 || a.LoginsTook < 46 || a.LoginsTook > 48 || math.Abs(a.Every-45) > 0.1 {
		t.Errorf("a cell of 50,000: %+v", a)
	}
	p.Cell = 10_000_000 // the wave alone is 6,667 commits/s
	b := Simulate(costs(), d, p, 7)
	if b.BusySeconds < 600 || b.LongestWait < 60 || b.ReadingsLate == 0 {
		t.Errorf("a cell far beyond the log's limit: %+v", b)
	}
}

// Readings are made as the rates allow, whatever the interval says.
func TestSimulatedDayKeepsTheRates(t *testing.T) {
	for _, x := range []struct {
		cell     int
		interval time.Duration
		every    float64 // s, worked out
		late     float64 // share of the readings
		logins   [2]float64
	}{
		{100_000, 45 * time.Second, 45, 0, [2]float64{46, 48}},
		{180_000, 45 * time.Second, 45, 0, [2]float64{61, 63}},       // 60,000 logins at 1,000/s; 4,000 readings/s of 5,000
		{1_000_000, 45 * time.Second, 200, 1, [2]float64{330, 2000}}, // 22,222 readings/s wanted
		{500_000, time.Minute, 500, 1, [2]float64{100, 1000}},        // a login for each of 8,333 readings/s wanted, and 1,000/s allowed
		{50_000, time.Minute, 60, 0, [2]float64{61, 63}},             // 833 logins/s
		{2000, 500 * time.Millisecond, 0.5, 0, [2]float64{2, 4}},     // 4,000 readings/s
	} {
		d, p := DefaultDemand(), DefaultPlan()
		d.Interval, p.Cell = x.interval, x.cell
		a := Simulate(costs(), d, p, 1)
		late := float64(a.ReadingsLate) / float64(a.Readings)
		if math.Abs(a.Every-x.every) > 0.02*x.every || math.Abs(late-x.late) > 0.01 || a.LoginsTook < x.logins[0] || a.LoginsTook > x.logins[1] {
			t.Errorf("%d every %s: %+v, wanted every %g s, %g late, logins after %v s", x.cell, x.interval, a, x.every, x.late, x.logins)
		}
	}
}

func TestScaleReadsWhatWasKept(t *testing.T) {
	dir := t.TempDir()
	if _, err := Measured(dir); err == nil || !strings.Contains(err.Error(), "--out") {
		t.Errorf("nothing kept: %v", err)
	}
	for bmcs, cpu := range map[int]float64{1000: 5, 50_000: 9} { // the largest counts
		r := &Report{Bench: "sync", BMCs: bmcs, Date: "2026-01-02T00:00:00Z"}
		r.row(keptWhole, "").set(figCPU, cpu).set("bytes_per_node", 11_000)
		r.sum()
		if _, err := r.Save(dir, ""); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Save(dir, "worse"); err != nil {
			t.Fatal(err)
		}
		r.Set, r.BMCs, r.Results[0].CPU.Median = Quick, 2*bmcs, 99 // neither of these is read
		if _, err := r.Save(dir, ""); err != nil {
			t.Fatal(err)
		}
	}
	r := &Report{Bench: "takeover", BMCs: 50_000, Date: "2026-01-02T00:00:00Z"}
	r.row(followerDies, "").set("detected_s", 1.1).set("bytes_per_node", 7000)
	r.sum()
	if _, err := r.Save(dir, ""); err != nil {
		t.Fatal(err)
	}
	c, err := Measured(dir)
	if err != nil {
		t.Fatal(err)
	}
	if c.ReadingCPU != 9 || c.Detect != 1.1 || c.OwnedBytes != 6000 || c.CopyBytes != 5000 {
		t.Errorf("%+v", c)
	}
	text := Scale(c, DefaultDemand(), DefaultPlan())
	if !strings.Contains(text, "20 cells, 60 conductors") || !strings.Contains(text, "Assumed, not measured") {
		t.Errorf("%s", text)
	}
}

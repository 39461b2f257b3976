// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"time"

	"ferrite/conductor"
)

const (
	statusLive  = 500 * time.Millisecond // the line on a terminal
	statusLines = 5 * time.Second        // a line each elsewhere
	rateOver    = 5 * time.Second        // syncs/s are an average over this
)

// watch shows the status until ctx ends, --for is over or a part has failed.
func (d *demo) watch(ctx context.Context) error {
	every := statusLines
	if d.screen.Live() {
		every = statusLive
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	over := make(<-chan time.Time)
	if d.o.ends > 0 {
		t := time.NewTimer(d.o.ends)
		defer t.Stop()
		over = t.C
	}
	var r rate
	r.add(time.Now(), d.conductor.Stats().Syncs)
	for {
		s := d.conductor.Stats()
		d.screen.Status(d.statusLine(s, r.add(time.Now(), s.Syncs)))
		select {
		case <-ctx.Done():
			return nil
		case <-over:
			return nil
		case err := <-d.conductor.Failed():
			return err
		case err := <-d.failed:
			return err
		case <-ticker.C:
		}
	}
}

// statusLine is nodes by provision and power state, syncs/s and what was told.
func (d *demo) statusLine(s conductor.Stats, perSecond float64) string {
	line := fmt.Sprintf("%d nodes: %s | %s | %.0f syncs/s", s.Nodes, counts(s.ByProvision), counts(s.ByPower), perSecond)
	if s.SyncFailures > 0 {
		line += fmt.Sprintf(", %d failed", s.SyncFailures)
	}
	return line + fmt.Sprintf(" | %d notifications | %d BMC sessions", s.Published, s.Sessions)
}

// counts is "available 199, active 1": most first.
func counts(m map[string]int) string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool {
		if m[keys[i]] != m[keys[j]] {
			return m[keys[i]] > m[keys[j]]
		}
		return keys[i] < keys[j]
	})
	for i, k := range keys {
		keys[i] = fmt.Sprintf("%s %d", k, m[k])
	}
	return strings.Join(keys, ", ")
}

// rate turns a counter into a speed.
type rate struct{ seen []reading }

type reading struct {
	at time.Time
	n  uint64
}

// add takes a reading and returns the speed since the oldest one that is kept.
func (r *rate) add(at time.Time, n uint64) float64 {
	r.seen = append(r.seen, reading{at, n})
	for len(r.seen) > 2 && at.Sub(r.seen[1].at) >= rateOver {
		r.seen = r.seen[1:]
	}
	past := at.Sub(r.seen[0].at).Seconds()
	if past <= 0 {
		return 0
	}
	return float64(n-r.seen[0].n) / past
}

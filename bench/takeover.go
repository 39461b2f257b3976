// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// TakeoverConfig says how the loss of a conductor is measured.
type TakeoverConfig struct {
	Nodes    int
	Rounds   int           // of each: one kills a follower of the log, one its leader
	Sample   int           // lost nodes that are written to until they accept it
	Interval time.Duration // of the power sync
	Profile  string        // of the gossip
	Consoles int           // started before, and restored
	Dir      string        // for the conductors' data
	Self     string
	Progress
}

// Names of the rows.
const (
	followerDies = "ferrite, a follower of the log dies"
	leaderDies   = "ferrite, the leader of the log dies"
)

const members = 3

// Takeover kills one of three conductors, real processes with a share of the nodes each, and looks how long it takes until the
// others have noticed, write to the lost nodes, and sweep them: in turns a follower of the log and its leader.
func Takeover(ctx context.Context, cfg TakeoverConfig) (*Report, error) {
	r := newReport(cfg.bench(), cfg.Nodes, cfg.Rounds)
	s, err := newSite(ctx, cfg)
	if s != nil {
		defer s.close()
	}
	if err != nil {
		return nil, err
	}
	if err := s.consoles(r); err != nil {
		return nil, err
	}
	follower, leader := r.row(followerDies, ""), r.row(leaderDies, "")
	var charts []Curve
	for i := range cfg.Rounds {
		for _, row := range []*Row{follower, leader} {
			curve, err := s.kill(row)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", row.Name, err)
			}
			if i == 0 {
				charts = append(charts, curve...)
			}
		}
	}
	r.sum()
	r.compare(leader, follower, "write_p99_s")
	if cfg.Consoles > 0 {
		r.compare(leader, follower, "consoles_s")
		r.Notes = append(r.Notes, fmt.Sprintf("%d nodes had a console. consoles_s: all of them are started again, by an owner that lives. Consoles are of the fake interface, which starts at once and carries no bytes: this is what the operation costs, not a terminal.", cfg.Consoles))
	}
	r.Charts = []Chart{{
		Name: "takeover", Title: fmt.Sprintf("kill -9 of one of %d conductors with %d nodes", members, cfg.Nodes),
		X: "seconds after the kill (log scale)", Y: "share of the lost nodes", LogX: true, Share: true, Steps: true, Curves: charts,
	}}
	r.Notes = append(r.Notes, fmt.Sprintf("kill -9 of one of three conductors, real processes; gossip profile %q, power sync every %s. detected_s: the last survivor lists it as not alive in /v1/conductors. write: the first accepted PATCH of each of %d lost nodes, tried every 50 ms through both survivors. active_s: every lost node has an owner again, in its power sweep. confirmed_s: its BMC has answered the new owner (readings of gained nodes are spread over the sync interval). read_gap_s: the longest time in which a client that reads all the time at a survivor got no answer. open_intents_s: the last of open_intents power operations that were under way at the kill has ended at its new owner, which first waits until no command of the dead one can be on its way (11 s).",
		cfg.Profile, cfg.Interval, cfg.Sample))
	return r, nil
}

// bench is the report's name.
func (c TakeoverConfig) bench() string {
	if c.Consoles > 0 {
		return "console"
	}
	return "takeover"
}

// consoles starts them through the API, at all members.
func (s *site) consoles(r *Report) error {
	if s.cfg.Consoles == 0 {
		return nil
	}
	s.cfg.say("starting %d consoles", s.cfg.Consoles)
	row := r.row(us+", consoles are started through the API", "until each is enabled; 16 requests at a time, at all conductors")
	var failed error
	var mu sync.Mutex
	var wg sync.WaitGroup
	work := make(chan int)
	began := time.Now()
	for range 16 {
		wg.Go(func() {
			for i := range work {
				if err := s.order(i%members, http.MethodPut, fmt.Sprintf("/v1/nodes/n%06d/states/console", i), `{"enabled":true}`); err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
				}
			}
		})
	}
	for i := range s.cfg.Consoles {
		work <- i
	}
	close(work)
	wg.Wait()
	if failed != nil {
		return failed
	}
	if err := await(s.ctx, time.Minute, func() bool { n, err := s.started(-1); return err == nil && n >= s.cfg.Consoles }); err != nil {
		n, _ := s.started(-1)
		return fmt.Errorf("%d of %d consoles were started: %w", n, s.cfg.Consoles, err)
	}
	row.set("consoles_per_s", float64(s.cfg.Consoles)/time.Since(began).Seconds())
	return nil
}

// order asks for something that is accepted and done later.
func (s *site) order(i int, method, path, body string) error {
	if code, err := s.ask(i, method, path, body, nil); code != http.StatusAccepted {
		return fmt.Errorf("%s: %d %w", path, code, err)
	}
	return nil
}

// started counts the consoles that members but one have started.
func (s *site) started(but int) (n int, err error) {
	for i, h := range s.at {
		if i == but {
			continue
		}
		a, err := h.ask(request{Do: "consoles"})
		if err != nil {
			return 0, err
		}
		n += a.Count
	}
	return n, nil
}

// kill is one loss and what follows, until the lost conductor is back with its nodes.
func (s *site) kill(row *Row) ([]Curve, error) {
	_, _, _, lead, err := s.sweep(-1, "count")
	if err != nil {
		return nil, err
	}
	victim := slices.IndexFunc(s.at[:], func(h *helper) bool { return h.what == "member "+lead })
	if victim < 0 {
		return nil, errors.New("the log has no leader")
	}
	if row.Name == followerDies {
		victim = (victim + 1) % members
	}
	had, err := s.at[victim].ask(request{Do: "count"})
	if err != nil {
		return nil, err
	}
	lost, busy, err := s.owned(victim)
	if err != nil {
		return nil, err
	}
	for _, h := range s.at {
		m, err := h.ask(request{Do: "memory"})
		if err != nil {
			return nil, err
		}
		row.add("bytes_per_node", float64(m.RSS)/float64(s.cfg.Nodes))
	}
	s.cfg.say("%s: kill -9 of %s, which has %d of %d nodes", row.Name, name(victim), had.Count, s.cfg.Nodes)
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	var survivors []int
	for i := range members {
		if i != victim {
			survivors = append(survivors, i)
		}
	}
	c := &clock{times: map[string][]float64{}, killed: time.Now()}
	var reading, rest sync.WaitGroup
	stopReading := make(chan struct{})
	for _, i := range survivors {
		reading.Go(func() { s.read(c, i, lost, stopReading) })
	}
	if err := pause(ctx, time.Second); err != nil { // reads before the kill
		return nil, err
	}
	open, err := s.begin(victim, busy)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.killed = time.Now()
	c.mu.Unlock()
	s.at[victim].kill()
	for k, uuid := range open {
		rest.Go(func() { s.ended(ctx, c, survivors, k, uuid) })
	}
	for _, i := range survivors {
		rest.Go(func() { s.detect(ctx, c, i, name(victim)) })
	}
	for k, uuid := range lost {
		rest.Go(func() { s.write(ctx, c, survivors, k, uuid) })
	}
	if s.cfg.Consoles > 0 {
		rest.Go(func() {
			if await(ctx, time.Minute, func() bool { n, err := s.started(victim); return err == nil && n >= s.cfg.Consoles }) == nil {
				c.note("consoles")
			}
		})
	}
	curve, err := s.follow(c, victim, had.Count)
	rest.Wait()
	close(stopReading)
	reading.Wait()
	if err != nil {
		return nil, err
	}
	writes := c.times["write"]
	slices.Sort(writes)
	if len(writes) < len(lost) {
		return nil, fmt.Errorf("%d of %d lost nodes accepted no write within a minute", len(lost)-len(writes), len(lost))
	}
	if len(c.times["detected"]) < len(survivors) {
		return nil, errors.New("a survivor never noticed")
	}
	if n := len(c.times["ended"]); n < len(open) {
		return nil, fmt.Errorf("%d of %d operations that were under way did not end within a minute", len(open)-n, len(open))
	}
	if len(open) > 0 {
		row.add("open_intents", float64(len(open)))
		row.add("open_intents_s", slices.Max(c.times["ended"]))
	}
	detected := slices.Max(c.times["detected"])
	row.add("detected_s", detected)
	row.add("write_p50_s", percentile(writes, 50))
	row.add("write_p99_s", percentile(writes, 99))
	row.add("write_p99_after_detection_s", max(0, percentile(writes, 99)-detected))
	row.add("active_s", c.times["active"][0])
	row.add("confirmed_s", c.times["confirmed"][0])
	row.add("read_gap_s", c.gap)
	row.add("reads_failed", float64(c.failed))
	row.add("lost_nodes", float64(had.Count))
	if s.cfg.Consoles > 0 {
		if len(c.times["consoles"]) == 0 {
			return nil, fmt.Errorf("not all of %d consoles were restored within a minute", s.cfg.Consoles)
		}
		row.add("consoles_s", c.times["consoles"][0])
	}
	return c.curves(row, curve), s.back(victim)
}

// back starts the lost conductor again and waits for its nodes to be with it.
func (s *site) back(victim int) (err error) {
	s.cfg.say("starting %s again", name(victim))
	if s.at[victim], err = hire(s.ctx, s.cfg.Self, s.setup[victim]); err != nil {
		return err
	}
	if err := s.settle(); err != nil {
		return err
	}
	return await(s.ctx, time.Minute, func() bool { n, err := s.started(-1); return err == nil && n >= s.cfg.Consoles })
}

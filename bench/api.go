// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"ferrite/conductor"
)

// APIConfig says how the API bench asks.
type APIConfig struct {
	Nodes   int
	Clients int
	For     time.Duration // each case
	Rounds  int
	Dir     string // for its data
	Progress
}

// apiCase is one kind of request.
type apiCase struct {
	name, method, path, body string
}

// API measures requests/s and latency of the commonest requests, client and server on the same machine.
func API(ctx context.Context, cfg APIConfig) (*Report, error) {
	dir, err := os.MkdirTemp(cfg.Dir, "api")
	if err != nil {
		return nil, err
	}
	cc := conductor.Defaults()
	cc.Name, cc.DataDir, cc.APIListen, cc.NATSListen, cc.SyncInterval, cc.ServeOn = "bench", dir, "127.0.0.1:0", "", 0, 0
	cc.Logger = quiet()
	cc.Policy.History = true
	c, err := conductor.Start(ctx, cc)
	if err != nil {
		return nil, err
	}
	defer c.Shutdown(context.Background()) //nolint:errcheck // the bench is over
	cfg.say("storing %d nodes", cfg.Nodes)
	if err := c.Seed(ctx, cfg.Nodes, func(i int) (string, map[string]any) {
		return fmt.Sprintf("n%06d", i), map[string]any{"ipmi_address": "127.0.0.1", "ipmi_username": "admin", "ipmi_password": "password"}
	}); err != nil {
		return nil, err
	}
	r := newReport("api", cfg.Nodes, cfg.Rounds)
	r.Notes = append(r.Notes, fmt.Sprintf("%d clients, %s a turn. Client and server share the machine, and one process.", cfg.Clients, cfg.For))
	cases := []apiCase{
		{"ferrite, GET one node", "GET", "/v1/nodes/n%06d", ""},
		{"ferrite, list of 1000 with detail", "GET", "/v1/nodes/detail?limit=1000", ""},
		{"ferrite, list of 1000, short", "GET", "/v1/nodes?limit=1000", ""},
		{"ferrite, PATCH one node", "PATCH", "/v1/nodes/n%06d", "[{\"op\":\"add\",\"path\":\"/extra/k\",\"value\":\"%d\"}]"},
		{healthName, "GET", "/healthz", ""},
	}
	rows := make([]*Row, len(cases))
	for i, x := range cases {
		rows[i] = r.row(x.name, "")
	}
	cfg.say("%d rounds of %d requests", cfg.Rounds, len(cases))
	for i := range cfg.Rounds {
		for k, x := range cases {
			rate, p50, p99, err := x.run(ctx, c.APIURL(), cfg)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", x.name, err)
			}
			rows[k].set("requests_per_s", rate).set("p50_ms", p50).set("p99_ms", p99)
			cfg.step(i*len(cases)+k+1, cfg.Rounds*len(cases))
		}
	}
	r.sum()
	for _, x := range rows[:len(rows)-1] {
		r.compare(x, rows[len(rows)-1], "requests_per_s")
	}
	return r, nil
}

// healthName is the least that the HTTP server does: what the others are held against.
const healthName = "an answer of two bytes (/healthz)"

// run asks from several clients for a while.
func (x apiCase) run(ctx context.Context, base string, cfg APIConfig) (rate, p50, p99 float64, err error) {
	var mu sync.Mutex
	var times []float64
	var wg sync.WaitGroup
	tr := &http.Transport{MaxIdleConnsPerHost: cfg.Clients}
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr}
	start, end := time.Now(), time.Now().Add(cfg.For)
	for w := range cfg.Clients {
		wg.Go(func() {
			var mine []float64
			for i := w; time.Now().Before(end) && ctx.Err() == nil; i += cfg.Clients {
				t := time.Now()
				if e := x.ask(client, base, i%cfg.Nodes, i); e != nil {
					mu.Lock()
					err = e
					mu.Unlock()
					return
				}
				mine = append(mine, float64(time.Since(t).Microseconds())/1e3)
			}
			mu.Lock()
			times = append(times, mine...)
			mu.Unlock()
		})
	}
	wg.Wait()
	took := time.Since(start).Seconds()
	if err != nil || len(times) == 0 {
		return 0, 0, 0, err
	}
	slices.Sort(times)
	return float64(len(times)) / took, times[len(times)/2], times[len(times)*99/100], nil
}

func (x apiCase) ask(client *http.Client, base string, node, i int) error {
	path, body := x.path, x.body
	if strings.Contains(path, "%") {
		path = fmt.Sprintf(path, node)
	}
	if body != "" {
		body = fmt.Sprintf(body, i)
	}
	q, err := http.NewRequest(x.method, base+path, bytes.NewReader([]byte(body))) //nolint:noctx // bounded by the bench
	if err != nil {
		return err
	}
	q.Header.Set("X-OpenStack-Ironic-API-Version", "1.80")
	q.Header.Set("Content-Type", "application/json")
	r, err := client.Do(q)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.200s", path, r.Status, b)
	}
	return err
}

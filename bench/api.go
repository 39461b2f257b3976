// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
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
	Say     func(format string, args ...any)
}

// apiCase is one kind of request.
type apiCase struct {
	name, method, path, body string
}

// API measures requests/s and latency of the commonest requests, client and server on the same machine.
func API(ctx context.Context, cfg APIConfig) (string, error) {
	if cfg.Say == nil {
		cfg.Say = func(string, ...any) {}
	}
	dir, err := os.MkdirTemp("", "ferrite-bench")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	cc := conductor.Defaults()
	cc.Name, cc.DataDir, cc.APIListen, cc.NATSListen, cc.SyncInterval, cc.ServeOn = "bench", dir, "127.0.0.1:0", "", 0, 0
	cc.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	cc.Policy.History = true
	c, err := conductor.Start(ctx, cc)
	if err != nil {
		return "", err
	}
	defer c.Shutdown(context.Background()) //nolint:errcheck // the bench is over
	if err := c.Seed(ctx, cfg.Nodes, func(i int) (string, map[string]any) {
		return fmt.Sprintf("n%06d", i), map[string]any{"ipmi_address": "127.0.0.1", "ipmi_username": "admin", "ipmi_password": "password"}
	}); err != nil {
		return "", err
	}
	r := newReport("api", cfg.Nodes, 1)
	var b strings.Builder
	fmt.Fprintf(&b, "## api, %d nodes, %d clients\n\n%s, %s. Made by `%s`. Client and server share the machine.\n\n", cfg.Nodes, cfg.Clients, r.Machine, r.Date, r.Command)
	fmt.Fprintf(&b, "| request | requests/s | p50 ms | p99 ms |\n|---|---|---|---|\n")
	for _, x := range []apiCase{
		{"GET one node", "GET", "/v1/nodes/n%06d", ""},
		{"list of 1000 with detail", "GET", "/v1/nodes/detail?limit=1000", ""},
		{"list of 1000, short", "GET", "/v1/nodes?limit=1000", ""},
		{"PATCH one node", "PATCH", "/v1/nodes/n%06d", "[{\"op\":\"add\",\"path\":\"/extra/k\",\"value\":\"%d\"}]"},
	} {
		cfg.Say("%s", x.name)
		rate, p50, p99, err := x.run(ctx, c.APIURL(), cfg)
		if err != nil {
			return "", fmt.Errorf("%s: %w", x.name, err)
		}
		fmt.Fprintf(&b, "| %s | %.0f | %.2f | %.2f |\n", x.name, rate, p50, p99)
	}
	return b.String(), nil
}

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

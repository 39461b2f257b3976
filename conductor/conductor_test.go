// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// lasting are goroutines of fasthttp: its cleaner sleeps up to 10 s before it sees that its server has ended, its clock is one a
// process, for good.
var lasting = []goleak.Option{
	goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
}

// TestMain looks for goroutines that outlive the tests. memberlist's probes and exchanges that were under way as it was shut down end
// within their own timeouts, so that there is time for that.
func TestMain(m *testing.M) {
	code := m.Run()
	left := goleak.Find(lasting...)
	for end := time.Now().Add(20 * time.Second); left != nil && time.Now().Before(end); {
		left = goleak.Find(lasting...)
	}
	if code == 0 && left != nil {
		fmt.Fprintln(os.Stderr, left)
		code = 1
	}
	os.Exit(code)
}

func settings(t *testing.T) Config {
	t.Helper()
	c := Defaults()
	c.Name, c.DataDir, c.APIListen, c.NATSListen = "c1", t.TempDir(), "127.0.0.1:0", "127.0.0.1:0"
	c.Logger, c.NotificationLevel, c.ServeOn = slog.New(slog.DiscardHandler), "info", 0
	return c
}

func start(t *testing.T, cfg Config) *Conductor {
	t.Helper()
	c, err := Start(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, c) })
	return c
}

func stop(t *testing.T, c *Conductor) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := c.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body)
	return r.StatusCode, string(b)
}

func TestItServesAndEnds(t *testing.T) {
	cfg := settings(t)
	cfg.PETListen = "127.0.0.1:0"
	c := start(t, cfg)
	if code, body := get(t, c.APIURL()+"/readyz"); code != 200 {
		t.Errorf("readyz %d %s", code, body)
	}
	r, err := http.Post(c.APIURL()+"/v1/nodes", "application/json", strings.NewReader(`{"driver":"fake-hardware"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var doc map[string]any
	if err := json.NewDecoder(r.Body).Decode(&doc); err != nil || r.StatusCode != 201 {
		t.Fatalf("%d %v %v", r.StatusCode, doc, err)
	}
	if _, metrics := get(t, c.APIURL()+"/metrics"); !strings.Contains(metrics, `conductor_nodes{provision_state="available"} 1`) {
		t.Errorf("metrics lack the node:\n%s", metrics)
	}
	if s := c.Stats(); s.Nodes != 1 || s.ByPower["unknown"] != 1 {
		t.Errorf("%+v", s)
	}
	stop(t, c)
	stop(t, c) // twice is once
	if at, err := net.ListenPacket("udp", c.TrapsAt()); err != nil {
		t.Errorf("an ended conductor still listens for traps: %v", err)
	} else {
		_ = at.Close()
	}
	if c.Ready() == nil {
		t.Error("an ended conductor calls itself ready")
	}
}

func TestAFailedStartLeavesNothing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, change := range map[string]func(*Config){
		"api_listen":    func(c *Config) { c.APIListen = taken.Addr().String() },
		"in use":        func(c *Config) { c.NATSListen = taken.Addr().String() },
		"nats_url":      func(c *Config) { c.NATSListen, c.NATSURL = "", "nonsense" },
		"pprof_listen":  func(c *Config) { c.PprofListen = taken.Addr().String() },
		"name is empty": func(c *Config) { c.Name = "" },
		"htpasswd":      func(c *Config) { c.AuthStrategy, c.HtpasswdFile = "http_basic", "/nonexistent/htpasswd" },
	} {
		cfg := settings(t)
		change(&cfg)
		c, err := Start(context.Background(), cfg)
		if err == nil {
			stop(t, c)
			t.Errorf("%s: it started", name)
			continue
		}
		if want := name; !strings.Contains(err.Error(), want) {
			t.Errorf("wanted an error that names %q, got %v", want, err)
		}
		if cfg.Name == "" {
			continue
		}
		again := settings(t)
		again.DataDir = cfg.DataDir // it was let go
		stop(t, start(t, again))
	}
}

func TestTheKeyIsMadeOnceAndNeeded(t *testing.T) { // L3
	cfg := settings(t)
	stop(t, start(t, cfg))
	file := filepath.Join(cfg.DataDir, "cluster.key")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	if err := os.Rename(file, file+".away"); err != nil {
		t.Fatal(err)
	}
	if c, err := Start(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), "cluster.key") {
		if err == nil {
			stop(t, c)
		}
		t.Errorf("a folder without its key was opened: %v", err)
	}
	cfg.Key, _ = ParseKey(NewKey())
	if c, err := Start(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), "key") {
		if err == nil {
			stop(t, c)
		}
		t.Errorf("a wrong key was taken: %v", err)
	}
}

func TestTheClusterKeepsItsIdentity(t *testing.T) { // N2
	cfg := settings(t)
	c := start(t, cfg)
	first := c.identity
	stop(t, c)
	c = start(t, cfg)
	if first == "" || c.identity != first {
		t.Errorf("cluster id %q, after a restart %q", first, c.identity)
	}
	if other := start(t, settings(t)); other.identity == first {
		t.Error("two clusters have one id: their message ids would be alike")
	}
}

func TestKeys(t *testing.T) {
	if k, err := ParseKey(NewKey() + "\n"); err != nil || len(k) != KeySize {
		t.Errorf("%d bytes, %v", len(k), err)
	}
	if a, b := NewKey(), NewKey(); a == b {
		t.Error("two keys are alike")
	}
	for _, bad := range []string{"", "short", "AAAA"} {
		if _, err := ParseKey(bad); err == nil || !strings.Contains(err.Error(), "ferrite cluster key") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestSeedIsActivated(t *testing.T) {
	c := start(t, settings(t))
	err := c.Seed(context.Background(), 100, func(i int) (string, map[string]any) {
		return "n" + string(rune('a'+i%26)) + string(rune('a'+i/26)), map[string]any{"ipmi_address": "127.0.0.1"}
	})
	for end := time.Now().Add(testTime); c.Activated() < 100 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if err != nil || c.Activated() != 100 || c.Stats().ByProvision["available"] != 100 {
		t.Errorf("%v, %d activated, %+v", err, c.Activated(), c.Stats())
	}
}

// Whether a conductor lives is asked of its log, too.
func TestAliveWritesTheLog(t *testing.T) {
	c := start(t, settings(t))
	for range 2 {
		before := c.store.Stats().Transactions
		if err := c.Alive(t.Context()); err != nil {
			t.Fatal(err)
		}
		if after := c.store.Stats().Transactions; after <= before {
			t.Errorf("%d transactions before, %d after: nothing was written", before, after)
		}
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestReload: what may change does, what cannot be leaves everything as it was, and the API counts whom it refuses.
func TestReload(t *testing.T) {
	cfg := settings(t)
	cfg.APILimits.PerAddress = 2
	c := start(t, cfg)
	bad := cfg
	bad.SyncInterval, bad.NotificationLevel = time.Second, "shouting"
	if err := c.Reload(bad); err == nil || !strings.Contains(err.Error(), "notification_level") {
		t.Errorf("reloaded: %v", err)
	}
	bad.NotificationLevel, bad.APILimits.Connections = "info", 1<<40
	if err := c.Reload(bad); err == nil || !strings.Contains(err.Error(), "api.max_connections") {
		t.Errorf("reloaded: %v", err)
	}
	if got := c.fleet.Settings(); got.SyncInterval != cfg.SyncInterval {
		t.Errorf("a bad configuration was taken: %+v", got)
	}
	addr := strings.TrimPrefix(c.APIURL(), "http://")
	var open []net.Conn
	dial := func() {
		t.Helper()
		n, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = n.Close() })
		open = append(open, n)
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("never came to %s", what)
			}
		}
	}
	refused := func() uint64 { return c.front.stats().RefusedConnections["address"] }
	for range 3 {
		dial()
	}
	until("the refusal of the third connection", func() bool { return refused() == 1 })
	next := cfg
	next.APILimits.PerAddress, next.SyncInterval, next.LockRetry, next.MaxWaiting = 50, time.Second, time.Minute, 7
	next.Policy.ForcePower, next.Policy.HardwareTypes = false, nil
	if err := c.Reload(next); err != nil {
		t.Fatal(err)
	}
	got := c.fleet.Settings()
	if got.SyncInterval != time.Second || got.LockRetry != time.Minute || got.MaxWaiting != 7 || got.Policy.ForcePower || !slices.Equal(got.Policy.HardwareTypes, cfg.Policy.HardwareTypes) {
		t.Errorf("after the reload: %+v", got)
	}
	for range 5 {
		dial()
	}
	until("seven open connections", func() bool { return c.front.stats().Connections == 7 })
	code, metrics := get(t, c.APIURL()+"/metrics")
	for _, line := range []string{
		`conductor_api_connections_refused_total{reason="address"} 1`, `conductor_api_connections_refused_total{reason="idle"} 0`,
		`conductor_api_requests_refused_total{reason="memory"} 0`, "conductor_api_connections 8", "conductor_releases_total 0",
	} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("/metrics (%d) lacks %s", code, line)
		}
	}
}

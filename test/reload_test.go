// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestSIGHUPTakesWhatCanChange(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("log_level: info\n")
	s := newSite(t, "--config", file)
	says := func(text string) {
		t.Helper()
		until(t, "the log to say "+text, func() bool { return strings.Contains(s.p.out.String(), text) })
	}

	write("log_level: debug\noutbox_max_mb: 77\n")
	s.p.signal(syscall.SIGHUP)
	says(`"msg":"reloaded","changed":"log_level"`)
	says(`"settings":"outbox_max_mb"`)

	write("log_level: warning-ish\n")
	s.p.signal(syscall.SIGHUP)
	says("the old configuration stays in force")
	says("warning-ish")
	if code, _ := s.call("GET", "/v1/nodes", nil); code != 200 {
		t.Errorf("after a bad file GET nodes is %d", code)
	}
	if strings.Count(s.p.out.String(), `"msg":"reloaded"`) != 1 {
		t.Error("a bad file was taken")
	}
	write("log_level: info\n")
	s.p.signal(syscall.SIGHUP)
	until(t, "a second reload", func() bool { return strings.Count(s.p.out.String(), `"msg":"reloaded"`) == 2 })
}

// TestSIGHUPTakesThePowerSync: the sweep turns at its new speed, believes the machines and pages as it was told, without a
// restart; what wants one is named.
func TestSIGHUPTakesThePowerSync(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("sync_power_state_interval: 0\nipmi.min_command_interval: 0\n")
	f := newFarm(t, 2)
	s := newSite(t, "--config", file)
	s.enroll("n1", f.driverInfo(0))
	s.enroll("n2", f.driverInfo(1))
	s.power("n1", "power on")
	s.await("n1", map[string]any{"power_state": "power on", "reservation": nil})
	f.put(0, map[string]any{"power": "off"})
	if at := s.metric("conductor_power_sync_total"); at != 0 {
		t.Errorf("%v readings without a power sync", at)
	}

	write("sync_power_state_interval: 1\nforce_power_state_during_sync: false\nipmi.min_command_interval: 9\napi: {max_limit: 1, idle_timeout: 9}\n")
	s.p.signal(syscall.SIGHUP)
	s.await("n1", map[string]any{"power_state": "power off", "reservation": nil})
	for _, text := range []string{`"changed":"api.max_limit, sync_power_state_interval, force_power_state_during_sync"`, `"settings":"api.idle_timeout, ipmi.min_command_interval"`} {
		until(t, "the log to say "+text, func() bool { return strings.Contains(s.p.out.String(), text) })
	}
	if _, doc := s.call("GET", "/v1/nodes", nil); len(doc["nodes"].([]any)) != 1 {
		t.Errorf("a page after the reload: %v", doc)
	}

	write("sync_power_state_interval: 0\nipmi.min_command_interval: 0\napi.max_connections: 999999999\n")
	s.p.signal(syscall.SIGHUP)
	until(t, "the refusal", func() bool { return strings.Contains(s.p.out.String(), "api.max_connections is 999999999") })
	before := s.metric("conductor_power_sync_total")
	until(t, "the sweep to go on", func() bool { return s.metric("conductor_power_sync_total") > before })
}

func TestSystemdIsTold(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	next := func(want string) {
		t.Helper()
		b := make([]byte, 512)
		_ = l.SetReadDeadline(time.Now().Add(patience))
		for {
			n, err := l.Read(b)
			if err != nil {
				t.Fatalf("waiting for %s: %v", want, err)
			}
			if strings.HasPrefix(string(b[:n]), want) {
				return
			}
		}
	}
	s := &site{t: t, dir: t.TempDir(), env: []string{"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=4000000"}}
	s.api, s.nats = fmt.Sprintf("http://127.0.0.1:%d", freePort(t, "tcp")), fmt.Sprintf("127.0.0.1:%d", freePort(t, "tcp"))
	s.start()
	next("READY=1")
	next("WATCHDOG=1")
	next("WATCHDOG=1")
	s.p.signal(syscall.SIGTERM)
	next("STOPPING=1")
	if code := s.p.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

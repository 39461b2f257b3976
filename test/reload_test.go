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

	write("log_level: debug\napi.max_limit: 77\n")
	s.p.signal(syscall.SIGHUP)
	says(`"msg":"reloaded","changed":"log_level"`)
	says(`"settings":"api.max_limit"`)

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

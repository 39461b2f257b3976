// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package sdnotify

import (
	"net"
	"path/filepath"
	"testing"
	"time"
)

func TestSendReachesTheSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	t.Setenv("NOTIFY_SOCKET", path)
	if err := Send(Ready, "STATUS=up"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	n, err := l.Read(b)
	if err != nil || string(b[:n]) != "READY=1\nSTATUS=up" {
		t.Errorf("got %q, %v", b[:n], err)
	}
}

func TestSendWithoutSystemd(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := Send(Ready); err != nil {
		t.Error(err)
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "gone"))
	if err := Send(Ready); err == nil {
		t.Error("a socket that nobody reads was no error")
	}
}

func TestWatchdogInterval(t *testing.T) {
	for _, c := range []struct {
		socket, usec, pid string
		want              time.Duration
	}{{"/run/n", "30000000", "", 15 * time.Second}, {"", "30000000", "", 0}, {"/run/n", "", "", 0}, {"/run/n", "x", "", 0}, {"/run/n", "30000000", "1", 0}} {
		t.Setenv("NOTIFY_SOCKET", c.socket)
		t.Setenv("WATCHDOG_USEC", c.usec)
		t.Setenv("WATCHDOG_PID", c.pid)
		if got := WatchdogInterval(); got != c.want {
			t.Errorf("%+v: got %s", c, got)
		}
	}
}

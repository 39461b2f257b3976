// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestServes: a message goes from an in-process client to one over TCP, and nothing is left after Shutdown.
func TestServes(t *testing.T) {
	var out safeBuffer
	s, err := Start(Config{Listen: "127.0.0.1:0", Name: "c1", Logger: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Shutdown()
	if u := s.ClientURL(); !strings.HasPrefix(u, "nats://127.0.0.1:") || strings.HasSuffix(u, ":0") {
		t.Fatalf("ClientURL is %s", u)
	}
	sub, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	got := make(chan *nats.Msg, 1)
	if _, err := sub.ChanSubscribe("a.>", got); err != nil {
		t.Fatal(err)
	}
	if err := sub.Flush(); err != nil {
		t.Fatal(err)
	}
	pub, err := nats.Connect("", nats.InProcessServer(s), nats.UserInfo(s.Login()))
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	if pub.ConnectedServerName() != "c1" || pub.MaxPayload() != maxPayload || s.Clients() != 2 {
		t.Errorf("name %q, max payload %d, %d clients", pub.ConnectedServerName(), pub.MaxPayload(), s.Clients())
	}
	big := bytes.Repeat([]byte("x"), 2<<20)
	if err := pub.Publish("a.b", big); err != nil {
		t.Fatal(err)
	}
	if m := <-got; len(m.Data) != len(big) {
		t.Errorf("%d bytes arrived", len(m.Data))
	}
	if js, err := pub.JetStream(); err != nil {
		t.Fatal(err)
	} else if _, err := js.AccountInfo(); err == nil {
		t.Error("JetStream answers; wanted core only")
	}
	s.Shutdown()
	s.Shutdown()
	if !strings.Contains(out.String(), "nats server") || strings.Contains(out.String(), "level=ERROR") {
		t.Errorf("log: %s", out.String())
	}
}

// TestTakenPort: the error names the address and can be told from others.
func TestTakenPort(t *testing.T) {
	s, err := Start(Config{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Shutdown()
	taken := strings.TrimPrefix(s.ClientURL(), "nats://")
	_, err = Start(Config{Listen: taken})
	if err == nil || !strings.Contains(err.Error(), taken) || !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("wanted an error that names %s, found %v", taken, err)
	}
	s.Shutdown()
	again, err := Start(Config{Listen: taken})
	if err != nil {
		t.Fatalf("the port is free again, yet: %v", err)
	}
	again.Shutdown()
}

func TestBadListen(t *testing.T) {
	for _, l := range []string{"4222", "127.0.0.1:x", "127.0.0.1:-1", "127.0.0.1:70000"} {
		if _, err := Start(Config{Listen: l}); err == nil || !strings.Contains(err.Error(), l) {
			t.Errorf("%s: %v", l, err)
		}
	}
}

// safeBuffer is a buffer that the server's goroutines may write to together.
type safeBuffer struct {
	mu sync.Mutex // guards the field below
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

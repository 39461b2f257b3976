// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// A subscriber at one server hears what is published at another, also when the routes come later, and go, and come again.
func TestRoutesMakeOneBus(t *testing.T) {
	start := func(name, secret string) *Server {
		s, err := Start(Config{Listen: "127.0.0.1:0", Name: name, Cluster: "127.0.0.1:0", Secret: secret})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Shutdown)
		return s
	}
	client := func(s *Server) *nats.Conn {
		c, err := nats.Connect(s.ClientURL())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	a, b, stranger := start("a", "secret"), start("b", "secret"), start("x", "another")
	sub, err := client(b).SubscribeSync("news.>")
	if err != nil {
		t.Fatal(err)
	}
	deaf, err := client(stranger).SubscribeSync("news.>")
	if err != nil {
		t.Fatal(err)
	}
	from, err := nats.Connect("", nats.InProcessServer(a), nats.UserInfo(a.Login()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(from.Close)
	route := func(s *Server, to ...string) {
		t.Helper()
		if err := s.Routes(to); err != nil {
			t.Fatal(err)
		}
	}
	heard := func() {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); ; {
			if err := from.Publish("news.x", []byte("hello")); err != nil {
				t.Fatal(err)
			}
			if m, err := sub.NextMsg(50 * time.Millisecond); err == nil && string(m.Data) == "hello" {
				return
			}
			if time.Now().After(end) {
				t.Fatal("the other server's subscriber hears nothing")
			}
		}
	}
	route(a, b.ClusterAddr(), stranger.ClusterAddr())
	route(b, a.ClusterAddr())
	heard()
	route(a)
	route(b)
	route(b, a.ClusterAddr())
	heard()
	if m, err := deaf.NextMsg(100 * time.Millisecond); err == nil {
		t.Errorf("a server with another secret heard %q", m.Data)
	}
}

// The secret of the routes is replaced server by server: each takes either, and the bus is whole at every step.
func TestRoutesWithAnotherSecret(t *testing.T) {
	var servers [2]*Server
	for i, name := range []string{"a", "b"} {
		s, err := Start(Config{Listen: "127.0.0.1:0", Name: name, Cluster: "127.0.0.1:0", Secret: "old"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Shutdown)
		servers[i] = s
	}
	a, b := servers[0], servers[1]
	listener, err := nats.Connect(b.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(listener.Close)
	sub, err := listener.SubscribeSync("news.>")
	if err != nil {
		t.Fatal(err)
	}
	from, err := nats.Connect("", nats.InProcessServer(a), nats.UserInfo(a.Login()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(from.Close)
	heard := func(text string) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); ; {
			if err := from.Publish("news.x", []byte(text)); err != nil {
				t.Fatal(err)
			}
			if m, err := sub.NextMsg(50 * time.Millisecond); err == nil && string(m.Data) == text {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s: the other server's subscriber hears nothing", text)
			}
		}
	}
	set := func(s *Server, secrets ...string) {
		t.Helper()
		if err := s.SetSecrets(secrets[0], secrets[1:]...); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(a.Routes([]string{b.ClusterAddr()}), b.Routes([]string{a.ClusterAddr()})); err != nil {
		t.Fatal(err)
	}
	heard("at first")
	set(a, "old", "new")
	set(b, "old", "new")
	set(a, "new", "old")
	heard("while one signs in with the new one")
	set(b, "new", "old")
	set(a, "new")
	set(b, "new")
	heard("with the new one alone")
	if err := errors.Join(a.Routes(nil), b.Routes(nil), a.Routes([]string{b.ClusterAddr()})); err != nil {
		t.Fatal(err)
	}
	heard("by a route that was made afterwards")
	late, err := Start(Config{Listen: "127.0.0.1:0", Name: "late", Cluster: "127.0.0.1:0", Secret: "old"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(late.Shutdown)
	if err := late.Routes([]string{a.ClusterAddr()}); err != nil {
		t.Fatal(err)
	}
	deaf, err := nats.Connect(late.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(deaf.Close)
	none, err := deaf.SubscribeSync("news.>")
	if err != nil {
		t.Fatal(err)
	}
	heard("the last one")
	if m, err := none.NextMsg(100 * time.Millisecond); err == nil {
		t.Errorf("a server with the old secret heard %q", m.Data)
	}
}

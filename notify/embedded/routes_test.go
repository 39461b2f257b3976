// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package embedded

import (
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

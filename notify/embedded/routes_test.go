// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/crypto/bcrypt"
)

// peer starts a server that other ones may reach by a route, if they know its secret.
func peer(t *testing.T, name, secret string) *Server {
	t.Helper()
	s, err := Start(Config{Listen: "127.0.0.1:0", Name: name, Cluster: "127.0.0.1:0", Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return s
}

// routes says whom a server is to reach.
func routes(t *testing.T, s *Server, to ...*Server) {
	t.Helper()
	var at []string
	for _, x := range to {
		at = append(at, x.ClusterAddr())
	}
	if err := s.Routes(at); err != nil {
		t.Fatal(err)
	}
}

// reader is a client of a server, who reads the news.
func reader(t *testing.T, s *Server) *nats.Subscription {
	t.Helper()
	c, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	sub, err := c.SubscribeSync("news.>")
	if err != nil {
		t.Fatal(err)
	}
	return sub
}

// hearing returns what waits until news told in one server reach a reader of another.
func hearing(t *testing.T, from, to *Server) (heard func(when string)) {
	t.Helper()
	sub := reader(t, to)
	c, err := nats.Connect("", nats.InProcessServer(from), nats.UserInfo(from.Login()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return func(when string) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); ; {
			if err := c.Publish("news.x", []byte(when)); err != nil {
				t.Fatal(err)
			}
			if m, err := sub.NextMsg(50 * time.Millisecond); err == nil && string(m.Data) == when {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s: the other server's subscriber hears nothing", when)
			}
		}
	}
}

// deaf fails the test if one who is to hear nothing has heard something.
func deaf(t *testing.T, sub *nats.Subscription, who string) {
	t.Helper()
	if m, err := sub.NextMsg(100 * time.Millisecond); err == nil {
		t.Errorf("%s heard %q", who, m.Data)
	}
}

// A subscriber at one server hears what is published at another, also when the routes come later, and go, and come again.
func TestRoutesMakeOneBus(t *testing.T) {
	a, b, stranger := peer(t, "a", "secret"), peer(t, "b", "secret"), peer(t, "x", "another")
	heard, none := hearing(t, a, b), reader(t, stranger)
	routes(t, a, b, stranger)
	routes(t, b, a)
	heard("at first")
	routes(t, a)
	routes(t, b)
	routes(t, b, a)
	heard("by a new route")
	deaf(t, none, "a server with another secret")
}

// The secret of the routes is replaced server by server: each takes either, and the bus is whole at every step.
func TestRoutesWithAnotherSecret(t *testing.T) {
	a, b := peer(t, "a", "old"), peer(t, "b", "old")
	heard := hearing(t, a, b)
	set := func(s *Server, secrets ...string) {
		t.Helper()
		if err := s.SetSecrets(secrets[0], secrets[1:]...); err != nil {
			t.Fatal(err)
		}
	}
	routes(t, a, b)
	routes(t, b, a)
	heard("at first")
	set(a, "old", "new")
	set(b, "old", "new")
	set(a, "new", "old")
	heard("while one signs in with the new one")
	set(b, "new", "old")
	set(a, "new")
	set(b, "new")
	heard("with the new one alone")
	routes(t, a)
	routes(t, b)
	routes(t, a, b)
	heard("by a route that was made afterwards")
	late := peer(t, "late", "old")
	routes(t, late, a)
	none := reader(t, late)
	heard("the last one")
	deaf(t, none, "a server with the old secret")
}

// A change of the routes cuts no client: neither us, nor one that says a name which nobody asked for.
func TestRoutesLeaveClientsAlone(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	for name, users := range map[string][]User{"open": nil, "with users": {{Name: "observer", Hash: string(hash)}}} {
		t.Run(name, func(t *testing.T) {
			s, err := Start(Config{Listen: "127.0.0.1:0", Cluster: "127.0.0.1:0", Secret: "secret", Users: users})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Shutdown)
			clients := map[string]*nats.Conn{}
			connect := func(who string, opts ...nats.Option) {
				c, err := nats.Connect(s.ClientURL(), append(opts, nats.NoReconnect())...)
				if err != nil {
					t.Fatalf("%s: %v", who, err)
				}
				t.Cleanup(c.Close)
				clients[who] = c
			}
			connect("we", nats.InProcessServer(s), nats.UserInfo(s.Login()))
			connect("observer", nats.UserInfo("observer", "secret"))
			if users == nil {
				connect("nobody")
				connect("somebody", nats.UserInfo("somebody", "x"))
			}
			for _, to := range [][]string{{"127.0.0.1:1"}, {"127.0.0.1:1", "127.0.0.1:2"}, nil} {
				if err := s.Routes(to); err != nil {
					t.Fatal(err)
				}
			}
			for who, c := range clients {
				if err := c.FlushTimeout(30 * time.Second); err != nil {
					t.Errorf("%s: %v", who, err)
				}
			}
		})
	}
}

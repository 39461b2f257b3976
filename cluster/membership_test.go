// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain looks for goroutines that outlive the tests. memberlist's probes and exchanges that were under way as it was shut down end
// within their own timeouts, so that there is time for that.
func TestMain(m *testing.M) {
	code := m.Run()
	left := goleak.Find()
	for end := time.Now().Add(20 * time.Second); left != nil && time.Now().Before(end); {
		left = goleak.Find()
	}
	if code == 0 && left != nil {
		fmt.Fprintln(os.Stderr, left)
		code = 1
	}
	os.Exit(code)
}

// start makes a member that gossips on loopback.
func start(t *testing.T, name string, inc uint64, change func(*Config)) *Membership {
	t.Helper()
	cfg := Config{Member: Member{Name: name, Incarnation: inc, API: "http://" + name}, Listen: "127.0.0.1:0", Label: "test", Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	m, err := Join(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// keysOf are keys as Config wants them, the first one in use; a nil key is none.
func keysOf(secrets ...[]byte) (out []Key) {
	for _, s := range secrets {
		if s != nil {
			out = append(out, Key{ID: fmt.Sprintf("%.4x", s), Secret: s})
		}
	}
	return out
}

func peers(ms ...*Membership) func(*Config) {
	return func(c *Config) {
		for _, m := range ms {
			c.Peers = append(c.Peers, m.Addr())
		}
	}
}

// sees waits until a member sees these and nobody else.
func sees(t *testing.T, m *Membership, names ...string) *View {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; {
		v := m.View()
		var got []string
		for _, x := range v.Members {
			got = append(got, x.Name)
		}
		if slices.Equal(got, names) {
			return v
		}
		if time.Now().After(end) {
			t.Fatalf("%s sees %v, wanted %v", m.cfg.Member.Name, got, names)
		}
		select {
		case <-m.Changes():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func TestThreeFindEachOtherAndMissTheDead(t *testing.T) {
	c1 := start(t, "c1", 1, nil)
	c2 := start(t, "c2", 2, peers(c1))
	c3 := start(t, "c3", 3, peers(c1))
	for _, m := range []*Membership{c1, c2, c3} {
		v := sees(t, m, "c1", "c2", "c3")
		if x, _ := v.Find("c2"); x.API != "http://c2" || x.Incarnation != 2 || x.Gossip != c2.Addr() {
			t.Errorf("c2 is seen as %+v", x)
		}
	}
	_ = c2.Close() // as by SIGKILL: without a word
	sees(t, c1, "c1", "c3")
	sees(t, c3, "c1", "c3")
	start(t, "c2", 9, peers(c3)) // back, another process
	if v := sees(t, c1, "c1", "c2", "c3"); v.Lives("c2", 2) {
		t.Error("the dead incarnation lives")
	}
	if err := c3.Leave(time.Second); err != nil {
		t.Error(err)
	}
	sees(t, c1, "c1", "c2")
}

func TestDrainingIsSeen(t *testing.T) {
	c1 := start(t, "c1", 1, nil)
	c2 := start(t, "c2", 2, peers(c1))
	sees(t, c1, "c1", "c2")
	for _, drain := range []bool{true, false} {
		if err := c2.SetDraining(drain); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if x, _ := c1.View().Find("c2"); x.Draining == drain {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("c1 never saw c2 draining %v", drain)
			}
		}
	}
}

// A peer that is not there yet is found once it is.
func TestLatePeer(t *testing.T) {
	c1 := start(t, "c1", 1, nil)
	at := c1.Addr()
	_ = c1.Close()
	c2 := start(t, "c2", 2, func(c *Config) { c.Peers = []string{at} })
	sees(t, c2, "c2")
	c1 = start(t, "c1", 3, func(c *Config) { c.Listen = at })
	sees(t, c2, "c1", "c2")
	sees(t, c1, "c1", "c2")
}

func TestAnotherKeyIsNotHeard(t *testing.T) { // L4
	key := func(k string) func(*Config) {
		return func(c *Config) { c.Keys = keysOf([]byte(strings.Repeat(k, 32))) }
	}
	c1 := start(t, "c1", 1, key("a"))
	c2 := start(t, "c2", 2, func(c *Config) { key("b")(c); peers(c1)(c) })
	c3 := start(t, "c3", 3, func(c *Config) { key("a")(c); peers(c1)(c) })
	sees(t, c1, "c1", "c3")
	sees(t, c3, "c1", "c3")
	sees(t, c2, "c2")
}

func TestBadConfig(t *testing.T) {
	for _, row := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.Profile = "quick" }, "wanted one of fast, lan, mid"},
		{func(c *Config) { c.Listen = "here" }, "wanted ADDRESS:PORT"},
		{func(c *Config) { c.Listen = "host.example:1" }, "wanted ADDRESS:PORT"},
		{func(c *Config) { c.Member.Name = "" }, "needs a name"},
		{func(c *Config) { c.Member.API = strings.Repeat("x", 600) }, "gossip carries 512"},
		{func(c *Config) { c.Keys = keysOf([]byte("short")) }, "16, 24 or 32 bytes"},
	} {
		cfg := Config{Member: Member{Name: "c1", Incarnation: 1}, Listen: "127.0.0.1:0"}
		row.change(&cfg)
		m, err := Join(cfg)
		if err == nil {
			_ = m.Close()
		}
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%v, wanted %q", err, row.want)
		}
	}
}

func TestTakenPort(t *testing.T) {
	c1 := start(t, "c1", 1, nil)
	_, err := Join(Config{Member: Member{Name: "c2", Incarnation: 1}, Listen: c1.Addr()})
	if err == nil || !strings.Contains(err.Error(), c1.Addr()) {
		t.Errorf("%v, wanted the address that is taken", err)
	}
}

// Peers may be given without a port: the members' own is meant, and who is a member already is no stranger.
func TestPeersWithoutPort(t *testing.T) {
	c1 := start(t, "c1", 1, nil)
	for peers, want := range map[string]bool{"127.0.0.1": false, "127.0.0.9": true} {
		m := &Membership{cfg: Config{Peers: []string{peers}}, list: c1.list, addr: c1.Addr(), seen: map[string]Member{}}
		m.view.Store(c1.View())
		if s := m.strangers(); len(s) == 1 != want || want && !strings.HasPrefix(s[0], peers+":") {
			t.Errorf("%s: strangers are %q", peers, s)
		}
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	cables "ferrite/internal/cut"
	"ferrite/persistence"
)

// TestACutCableIsFeltAndHeals cuts one of three off from the others, on real sockets: the gossip, the log and the bus feel it
// in each direction that is cut, and all is well again when the cable is (R4, S7, N2).
func TestACutCableIsFeltAndHeals(t *testing.T) {
	var all []*cables.Switch
	cs := several(t, 3, func(i int, cfg *Config) {
		host := fmt.Sprintf("127.79.0.%d", i+1)
		s := cables.New(host)
		t.Cleanup(s.Close)
		cfg.Cluster.Gossip, cfg.Cluster.Raft, cfg.Cluster.Remote, cfg.Cluster.Profile = host+":0", host+":0", host+":0", "mid"
		cfg.Cluster.Cable = s
		all = append(all, s)
	})
	cut := func(ways ...cables.Way) {
		for _, s := range all {
			s.Set(ways...)
		}
	}
	whole := func() {
		t.Helper()
		until(t, "all are together", func() bool {
			for _, c := range cs {
				if len(c.membership.View().Members) != 3 || len(c.store.(*persistence.Raft).Voters()) != 3 || time.Since(c.store.LeaderContact()) > time.Second {
					return false
				}
			}
			return true
		})
	}
	whole()
	var bus [3]*nats.Conn
	var heard [3]chan *nats.Msg
	for i, c := range cs {
		var err error
		if bus[i], err = nats.Connect(c.NATSURL()); err != nil {
			t.Fatal(err)
		}
		defer bus[i].Close()
		heard[i] = make(chan *nats.Msg, 10_000)
		if _, err := bus[i].ChanSubscribe("test.>", heard[i]); err != nil {
			t.Fatal(err)
		}
		if err := bus[i].Flush(); err != nil {
			t.Fatal(err)
		}
	}
	word := 0
	// tells reports whether what is said at one conductor comes to another one.
	tells := func(from, to int, patience time.Duration) bool {
		t.Helper()
		word++
		said := fmt.Sprint(word)
		for end := time.Now().Add(patience); time.Now().Before(end); { // again: a route may be under way
			if err := bus[from].Publish("test.x", []byte(said)); err != nil {
				t.Fatal(err)
			}
			for wait := time.After(50 * time.Millisecond); ; {
				select {
				case m := <-heard[to]:
					if string(m.Data) == said {
						return true
					}
					continue
				case <-wait:
				}
				break
			}
		}
		return false
	}
	one := func() {
		t.Helper()
		for _, w := range [][2]int{{0, 1}, {1, 2}, {2, 0}, {0, 2}} {
			if !tells(w[0], w[1], testTime) {
				t.Fatalf("c%d never hears c%d on the bus", w[1]+1, w[0]+1)
			}
		}
	}
	one()

	at := func(i int) string { return fmt.Sprintf("127.79.0.%d", i+1) }
	for name, ways := range map[string][]cables.Way{
		"in both directions": {{From: at(2), To: at(0)}, {From: at(2), To: at(1)}, {From: at(0), To: at(2)}, {From: at(1), To: at(2)}},
		"from the others":    {{From: at(0), To: at(2)}, {From: at(1), To: at(2)}},
	} {
		cut(ways...)
		until(t, "the one that is cut off "+name+" has no contact to the leader of the log", func() bool {
			leader, _, _ := cs[2].store.Role()
			return leader != "c3" && time.Since(cs[2].store.LeaderContact()) > freezeAfter && cs[2].placement.old.Load()
		})
		if tells(0, 2, 300*time.Millisecond) {
			t.Errorf("%s: c3 hears what c1 says on the bus", name)
		}
		if !tells(0, 1, testTime) {
			t.Errorf("%s: c2 does not hear what c1 says on the bus", name)
		}
		if code, text := ask(t, cs[0], "POST", "/v1/nodes", fmt.Sprintf(`{"name":%q,"driver":"fake-hardware"}`, strings.ReplaceAll(name, " ", "-"))); code != http.StatusCreated {
			t.Errorf("%s: the majority answers %d %s", name, code, text)
		}
		if len(ways) == 4 {
			until(t, "the gossip takes who is cut off for dead", func() bool {
				return len(cs[0].membership.View().Members) == 2 && len(cs[2].membership.View().Members) == 1
			})
		}
		cut()
		whole()
		one()
		until(t, "it goes on", func() bool { return !cs[2].placement.old.Load() })
	}
}

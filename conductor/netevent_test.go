// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ferrite/node"
	"ferrite/sim"
)

// rackOfThree is a rack whose nodes are spread over three conductors, and what subscribers at all of them hear of it.
type rackOfThree struct {
	t     *testing.T
	f     *sim.Fleet
	cs    []*Conductor // those that live
	heard chan *nats.Msg
	ids   map[string]bool
	told  []string // "down", "up", as they came, each once
	by    string   // who told the last one
}

const rackNodes = 27

func newRackOfThree(t *testing.T) *rackOfThree {
	r := &rackOfThree{t: t, f: simulated(t, rackNodes), heard: make(chan *nats.Msg, 10_000), ids: map[string]bool{}}
	r.cs = several(t, 3, func(_ int, c *Config) {
		c.SyncInterval, c.subnetSettle = time.Second, 2*time.Second
		c.IPMI.Timeouts = []time.Duration{time.Second, 2 * time.Second}
		c.Policy.MaxRetries = 10 // whoever fails before there is a pattern stays
	})
	agree(t, r.cs...)
	for _, c := range r.cs {
		conn, err := nats.Connect(c.NATSURL(), nats.MaxReconnects(0))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		if _, err := conn.ChanSubscribe("ironic_versioned_notifications.*.ferrite.>", r.heard); err != nil {
			t.Fatal(err)
		}
		if err := conn.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	managed(t, r.cs[0], r.f, rackNodes)
	until(t, "all nodes are managed, and all conductors have some", func() bool {
		n := 0
		r.cs[0].store.Nodes(nil, func(x *node.Node) bool {
			if x.ProvisionState == node.Manageable && x.PowerState != "" && x.Intent == nil {
				n++
			}
			return true
		})
		return n == rackNodes && r.all(func(c *Conductor) bool { return c.fleet.Len() > 3 })
	})
	return r
}

func (r *rackOfThree) all(ok func(*Conductor) bool) bool {
	return !slices.ContainsFunc(r.cs, func(c *Conductor) bool { return !ok(c) })
}

// dark cuts the rack off, or mends it.
func (r *rackOfThree) dark(yes bool) {
	for i := range rackNodes {
		r.f.BMC(i).SetDead(yes)
	}
}

// hears takes what has come by now. The same message may come several times, and to several subscribers (N2).
func (r *rackOfThree) hears() []string {
	for {
		select {
		case m := <-r.heard:
			id := m.Header.Get("Nats-Msg-Id")
			if r.ids[id] {
				continue
			}
			r.ids[id] = true
			var doc struct {
				Publisher string `json:"publisher_id"`
			}
			if err := json.Unmarshal(m.Data, &doc); err != nil {
				r.t.Fatal(err)
			}
			r.by = strings.TrimPrefix(doc.Publisher, "ferrite-conductor.")
			r.told = append(r.told, m.Subject[strings.LastIndexByte(m.Subject, '.')+1:])
		default:
			return r.told
		}
	}
}

// frozen reports whether all that live see the rack down, or none of them does.
func (r *rackOfThree) frozen(yes bool) bool {
	return r.all(func(c *Conductor) bool { return c.fleet.Stats().SubnetsDown > 0 == yes })
}

// counted is the sum of the metric, as Prometheus would have it.
func (r *rackOfThree) counted() (sum int) {
	figure := regexp.MustCompile(`(?m)^conductor_bmc_subnet_failures (\d+)$`)
	for _, c := range r.cs {
		_, text := get(r.t, c.APIURL()+"/metrics")
		if m := figure.FindStringSubmatch(text); m == nil || m[1] != "0" {
			sum++
		}
	}
	return sum
}

// die ends a conductor without a word to the others.
func die(t *testing.T, c *Conductor) {
	t.Helper()
	c.once.Do(func() {
		c.stopping.Store(true)
		_ = c.membership.Close()
		first := slices.IndexFunc(c.steps, func(s step) bool { return s.name == "gossip" })
		c.steps = slices.Delete(c.steps, first, first+1) // it would take its leave
		down, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		_ = c.unwind(down)
	})
	http.DefaultClient.CloseIdleConnections()
}

// A rack whose nodes are spread over three conductors goes dark: a subscriber hears of it once, and once of its end; also when
// the one that has told of it dies meanwhile (N1).
func TestADarkRackIsToldOnce(t *testing.T) {
	r := newRackOfThree(t)
	r.dark(true)
	until(t, "all see it, and it is told", func() bool { return r.frozen(true) && len(r.hears()) > 0 })
	until(t, "one conductor counts it", func() bool { return r.counted() == 1 })
	r.dark(false)
	until(t, "all see its end, and it is told", func() bool { return r.frozen(false) && len(r.hears()) > 1 })
	until(t, "no conductor counts it", func() bool { return r.counted() == 0 })
	if got := fmt.Sprint(r.hears()); got != "[down up]" {
		t.Fatalf("heard %s, wanted one start and one end", got)
	}

	r.dark(true)
	until(t, "all see the next one, and it is told", func() bool { return r.frozen(true) && len(r.hears()) > 2 })
	teller := slices.IndexFunc(r.cs, func(c *Conductor) bool { return c.cfg.Name == r.by })
	if teller < 0 {
		t.Fatalf("it was told by %q", r.by)
	}
	die(t, r.cs[teller])
	r.cs = slices.Delete(r.cs, teller, teller+1)
	until(t, "the others have its nodes, and see that they fail", func() bool { return owned(r.cs...) == rackNodes && r.frozen(true) })
	until(t, "one of the others counts it", func() bool { return r.counted() == 1 })
	r.dark(false)
	until(t, "the others see its end, and it is told", func() bool { return r.frozen(false) && len(r.hears()) > 3 })
	until(t, "none of the others counts it", func() bool { return r.counted() == 0 })
	if got := fmt.Sprint(r.hears()); got != "[down up down up]" {
		t.Errorf("heard %s, wanted two starts and two ends", got)
	}
	r.cs[0].store.Nodes(nil, func(n *node.Node) bool {
		if n.Maintenance || n.PowerState != node.PowerOff {
			t.Errorf("%s: maintenance %v, power state %q", n.Name, n.Maintenance, n.PowerState)
		}
		return true
	})
}

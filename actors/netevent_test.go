// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ferrite/bmc"
	"ferrite/node"
	"ferrite/persistence"
)

// crew is several conductors with one log, who share a rack of nodes: each has every n-th, so that nearly all move when one
// comes or goes.
type crew struct {
	t     *testing.T
	log   *persistence.Memory
	nodes int
	inc   uint64

	settle time.Duration // of those that start; 0 = the default

	mu    sync.Mutex // guards below
	alive []string
	ms    map[string]*crewman
	dark  func(who string, i int) bool // node i does not answer this conductor
	takes func(i int) string           // who gets node i, "" = in turn; nil = all in turn
}

// crewman is one of them.
type crewman struct {
	self   node.Owner
	f      *Fleet
	log    *crewLog
	topic  string
	cancel context.CancelFunc
	ended  chan struct{}
}

// crewLog is the log as one of them sees it.
type crewLog struct {
	*persistence.Memory
	mu    sync.Mutex // guards below
	cut   bool
	since time.Time
	lose  int // answers of commits that get lost
}

func (l *crewLog) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if cut && !l.cut {
		l.since = time.Now()
	}
	l.cut = cut
}

func (l *crewLog) blind() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.cut }

func (l *crewLog) Commit(ctx context.Context, tx persistence.Tx) (node.Rev, error) {
	if l.blind() {
		return 0, persistence.ErrNoQuorum
	}
	rev, err := l.Memory.Commit(ctx, tx)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil && l.lose > 0 {
		l.lose--
		return 0, persistence.ErrUnknown
	}
	return rev, err
}

func (l *crewLog) Submit(tx persistence.Tx, done func(node.Rev, error)) {
	if l.blind() {
		go done(0, persistence.ErrNoQuorum)
		return
	}
	l.Memory.Submit(tx, done)
}

func (l *crewLog) LeaderContact() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		return l.since
	}
	return time.Now()
}

func newCrew(t *testing.T, nodes int) *crew {
	c := &crew{t: t, log: persistence.NewMemory(persistence.MemoryOptions{}), nodes: nodes, ms: map[string]*crewman{}}
	for i := range nodes {
		key := persistence.Key{Kind: persistence.KindNode, ID: crewNode(i)}
		n := &node.Node{
			UUID: key.ID, Driver: "ipmi", ProvisionState: node.Manageable, PowerState: node.PowerOff, Interfaces: map[string]string{"power": "ipmitool"},
			Extra: map[string]any{"i": i}, DriverInfo: map[string]any{"ipmi_address": fmt.Sprintf("192.0.2.%d", 1+i)},
		}
		if _, err := c.log.Commit(t.Context(), persistence.Tx{If: []persistence.Cond{{Key: key}}, Put: []persistence.Put{{Key: key, Value: n}}}); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func crewNode(i int) string {
	return fmt.Sprintf("%08x-1111-4111-8111-111111111111", uint32(i)*2654435761)
} //nolint:gosec // spreads them

func crewIndex(n *node.Node) int {
	switch i := n.Extra["i"].(type) {
	case int:
		return i
	case float64:
		return int(i)
	default:
		return -1
	}
}

// owner is whose a node is.
func (c *crew) owner(n *node.Node) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := crewIndex(n)
	if c.takes != nil {
		if who := c.takes(i); slices.Contains(c.alive, who) {
			return who
		}
	}
	if len(c.alive) == 0 {
		return ""
	}
	return c.alive[i%len(c.alive)]
}

func (c *crew) members() (out []node.Owner) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range c.alive {
		out = append(out, c.ms[name].self)
	}
	return out
}

// crewPoller reads BMCs for one conductor: who does not answer is given up after 14 s.
type crewPoller struct {
	c    *crew
	name string
}

type crewHandle struct {
	crewPoller
	i int
}

func (p crewPoller) Prepare(n *node.Node) (bmc.Handle, error) {
	return crewHandle{p, crewIndex(n)}, nil
}

func (crewHandle) Close() {}

func (h crewHandle) Poll(to bmc.Sink) {
	h.c.mu.Lock()
	dark := h.c.dark != nil && h.c.dark(h.name, h.i)
	h.c.mu.Unlock()
	if dark {
		time.AfterFunc(14*time.Second, func() { to.PowerPolled(node.PowerUnknown, errors.New("no answer")) })
		return
	}
	to.PowerPolled(node.PowerOff, nil)
}

// start runs processes of these names.
func (c *crew) start(names ...string) {
	for _, name := range names {
		c.inc++
		m := &crewman{self: node.Owner{Name: name, Incarnation: c.inc}, log: &crewLog{Memory: c.log}, ended: make(chan struct{}), topic: "ferrite"}
		if strings.HasPrefix(name, "mute") {
			m.topic = ""
		}
		c.mu.Lock()
		c.ms[name] = m
		c.alive = append(c.alive, name)
		slices.Sort(c.alive)
		c.mu.Unlock()
		cfg := Config{
			Store: m.log, Self: m.self, Policy: node.DefaultPolicy(), SyncInterval: 45 * time.Second, RecoveryEvery: 5 * time.Minute, SubnetTopic: m.topic,
			Drivers: map[string]*bmc.Driver{"ipmitool": {Name: "ipmi", Poller: crewPoller{c, name}, Caps: bmc.Capabilities{PowerSync: true}}},
			Wanted:  func(n *node.Node) bool { return c.owner(n) == name }, Members: c.members, SubnetSettle: c.settle,
		}
		m.f = New(cfg)
		ctx, cancel := context.WithCancel(context.Background())
		m.cancel = cancel
		go func() { defer close(m.ended); _ = m.f.Run(ctx) }()
	}
	c.rebalance()
}

// kill ends processes without a word.
func (c *crew) kill(names ...string) {
	for _, name := range names {
		m := c.ms[name]
		m.log.set(true)
		m.cancel()
		<-m.ended
		gone, cancel := context.WithCancel(context.Background())
		cancel()
		_ = m.f.Drain(gone)
		m.f.Close()
		c.mu.Lock()
		delete(c.ms, name)
		c.alive = slices.DeleteFunc(c.alive, func(x string) bool { return x == name })
		c.mu.Unlock()
	}
	c.rebalance()
}

func (c *crew) rebalance() {
	for _, m := range c.ms {
		m.f.Rebalance()
	}
}

// cut and mend are the way to the log.
func (c *crew) cut(yes bool, names ...string) {
	for _, name := range names {
		c.ms[name].log.set(yes)
	}
}

func (c *crew) fail(dark func(who string, i int) bool) { c.mu.Lock(); c.dark = dark; c.mu.Unlock() }

func (c *crew) place(takes func(i int) string) {
	c.mu.Lock()
	c.takes = takes
	c.mu.Unlock()
	c.rebalance()
}

func all(string, int) bool { return true }

// told are the last words of all that the log tells, with the conductor that told it.
func (c *crew) told() (out []string) {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	events, _ := c.log.Outbox(now, 0, 0, 100000)
	for _, e := range events {
		if what, ok := strings.CutPrefix(e.Subject, "ferrite.error.ferrite.bmc_subnet."); ok {
			out = append(out, what)
		} else if what, ok := strings.CutPrefix(e.Subject, "ferrite.info.ferrite.bmc_subnet."); ok {
			out = append(out, what)
		}
	}
	return out
}

func (c *crew) expect(when string, want ...string) {
	c.t.Helper()
	synctest.Wait()
	if got := c.told(); strings.Join(got, " ") != strings.Join(want, " ") {
		c.t.Errorf("%s: told %v, wanted %v", when, got, want)
	}
}

func (c *crew) down(who string) int64 { return c.ms[who].f.Stats().SubnetsDown }

// counted is the sum of the metric.
func (c *crew) counted() (n int) {
	for _, m := range c.ms {
		n += m.f.SubnetFailures()
	}
	return n
}

// calm lasts long enough for everything to be read and told.
const calm = 3 * time.Minute

// One failure of a rack is told once, and its end is, whatever its conductors see of it and whoever of them lives (N1).
func TestAFailureOfASubnetIsToldOnce(t *testing.T) {
	for name, life := range map[string]func(c *crew){
		"nothing happens": func(c *crew) {
			c.start("c1", "c2", "c3")
			time.Sleep(calm)
			c.expect("in the end")
		},
		"three see it": func(c *crew) {
			c.start("c1", "c2", "c3")
			time.Sleep(calm)
			c.fail(all)
			time.Sleep(calm)
			c.expect("it is dark", "down")
			if n := c.counted(); n != 1 {
				c.t.Errorf("the metrics count %d failures in sum, wanted 1", n)
			}
			c.fail(nil)
			time.Sleep(calm)
			c.expect("it is light", "down", "up")
			if n := c.counted(); n != 0 {
				c.t.Errorf("the metrics still count %d failures", n)
			}
			c.fail(all) // another one
			time.Sleep(calm)
			c.fail(nil)
			time.Sleep(calm)
			c.expect("in the end", "down", "up", "down", "up")
		},
		"it is short": func(c *crew) { // for some it begins when it is over for others
			c.start("c1", "c2", "c3")
			time.Sleep(calm)
			c.fail(all)
			for synctest.Wait(); len(c.told()) == 0; synctest.Wait() {
				time.Sleep(100 * time.Millisecond)
			}
			c.fail(nil)
			time.Sleep(calm)
			c.expect("in the end", "down", "up")
		},
		"one sees it when it is over for the other one": func(c *crew) { // readings fail long after they were begun
			c.settle = time.Minute
			c.start("c1", "c2")
			time.Sleep(calm)
			c.fail(func(who string, _ int) bool { return who == "c1" })
			for synctest.Wait(); len(c.told()) == 0; synctest.Wait() {
				time.Sleep(100 * time.Millisecond)
			}
			c.fail(nil)
			time.Sleep(15 * time.Second)
			c.fail(func(who string, _ int) bool { return who == "c2" })
			for end := time.Now().Add(calm); c.down("c2") == 0 && time.Now().Before(end); synctest.Wait() {
				time.Sleep(100 * time.Millisecond)
			}
			if c.down("c1") != 0 || c.down("c2") != 1 {
				c.t.Fatalf("%d subnets are down at c1 and %d at c2: this shows nothing", c.down("c1"), c.down("c2"))
			}
			c.fail(nil)
			time.Sleep(calm)
			c.expect("in the end", "down", "up")
		},
		"who told it dies": func(c *crew) {
			c.start("c1", "c2", "c3")
			time.Sleep(calm)
			c.fail(all)
			time.Sleep(calm)
			c.kill(c.teller())
			time.Sleep(calm)
			c.expect("one is dead", "down")
			if n := c.counted(); n != 1 {
				c.t.Errorf("the metrics count %d failures in sum, wanted 1", n)
			}
			c.fail(nil)
			time.Sleep(calm)
			c.expect("in the end", "down", "up")
		},
		"all die, one after the other": func(c *crew) {
			c.start("c1")
			time.Sleep(calm)
			c.fail(all)
			time.Sleep(calm)
			for i := range 5 {
				c.kill(fmt.Sprintf("c%d", 1+i))
				c.start(fmt.Sprintf("c%d", 2+i))
				time.Sleep(calm)
				c.expect("the next one has it", "down")
			}
			c.fail(nil)
			time.Sleep(calm)
			c.expect("in the end", "down", "up")
		},
		"it ends while nobody lives": func(c *crew) {
			c.start("c1")
			time.Sleep(calm)
			c.fail(all)
			time.Sleep(calm)
			c.kill("c1")
			c.fail(nil)
			time.Sleep(calm)
			c.start("c1")
			time.Sleep(calm)
			c.expect("in the end", "down", "up")
		},
		"one that sees it not tells its end": func(c *crew) {
			c.place(func(int) string { return "c1" }) // all
			c.start("c1", "c2")
			time.Sleep(calm)
			c.fail(all)
			time.Sleep(calm)
			c.expect("it is dark", "down")
			c.kill("c1")
			c.fail(nil)
			time.Sleep(calm)
			c.expect("in the end", "down", "up")
		},
		"the nodes move": func(c *crew) {
			c.place(func(int) string { return "c1" })
			c.start("c1", "c2")
			time.Sleep(calm)
			c.fail(all)
			time.Sleep(calm)
			for _, to := range []string{"c2", "c1", "c2"} {
				c.place(func(int) string { return to })
				time.Sleep(calm)
				c.expect(to+" has them", "down")
			}
			c.start("c3", "c4")
			c.place(nil)
			time.Sleep(calm)
			c.expect("four have them", "down")
			c.fail(nil)
			time.Sleep(calm)
			c.expect("in the end", "down", "up")
		},
		"they see it at different moments": func(c *crew) {
			c.start("c1", "c2")
			time.Sleep(calm)
			c.fail(func(who string, _ int) bool { return who == "c1" })
			time.Sleep(calm)
			c.expect("one sees it", "down")
			c.fail(all)
			time.Sleep(calm)
			c.fail(func(who string, _ int) bool { return who == "c2" })
			time.Sleep(calm)
			c.expect("the other one sees it", "down")
			c.fail(nil)
			time.Sleep(calm)
			c.expect("in the end", "down", "up")
		},
		"there is no quorum": func(c *crew) {
			c.start("c1", "c2", "c3")
			time.Sleep(calm)
			c.cut(true, "c1", "c2", "c3")
			time.Sleep(calm)
			c.fail(all)
			time.Sleep(calm)
			c.expect("nobody can write")
			for name, m := range c.ms {
				if n := m.f.Stats().SubnetsDown; n != 1 {
					c.t.Errorf("%s: %d of its subnets are frozen, wanted 1", name, n)
				}
			}
			c.cut(false, "c1", "c2", "c3")
			time.Sleep(calm)
			c.expect("there is one again", "down")
			c.cut(true, "c1", "c2", "c3")
			c.fail(nil)
			time.Sleep(calm)
			c.expect("there is none at its end", "down")
			c.cut(false, "c1", "c2", "c3")
			time.Sleep(calm)
			c.expect("in the end", "down", "up")
		},
		"one is cut off from all": func(c *crew) { // the BMCs are well
			c.start("c1", "c2")
			time.Sleep(calm)
			c.cut(true, "c1")
			c.fail(func(who string, _ int) bool { return who == "c1" })
			time.Sleep(calm)
			c.fail(nil)
			c.cut(false, "c1")
			time.Sleep(calm)
			c.expect("in the end")
		},
		"answers of the log get lost": func(c *crew) {
			c.start("c1", "c2", "c3")
			for _, m := range c.ms {
				m.log.lose = 2
			}
			time.Sleep(calm)
			c.fail(all)
			time.Sleep(calm)
			for _, m := range c.ms {
				m.log.mu.Lock()
				m.log.lose = 1
				m.log.mu.Unlock()
			}
			c.fail(nil)
			time.Sleep(calm)
			c.expect("in the end", "down", "up")
		},
		"it lasts for hours": func(c *crew) {
			c.start("c1", "c2", "c3")
			time.Sleep(calm)
			c.fail(all)
			time.Sleep(subnetFreeze - calm/2)
			c.expect("it is dark", "down")
			for synctest.Wait(); len(c.told()) == 1; synctest.Wait() {
				time.Sleep(time.Second)
			}
			c.kill(c.teller()) // who freezes anew what it gets
			time.Sleep(calm)
			c.expect("one is dead", "down", "late")
			c.fail(nil)
			time.Sleep(calm)
			c.expect("in the end", "down", "late", "up")
		},
		"some tell nothing": func(c *crew) { // notifications are off there
			c.place(func(i int) string {
				if i < 24 {
					return "mute1"
				}
				return "c2"
			})
			c.start("mute1", "c2")
			time.Sleep(calm)
			c.fail(func(who string, _ int) bool { return who == "mute1" })
			time.Sleep(calm)
			c.expect("a mute one sees it")
			c.fail(all)
			time.Sleep(calm)
			c.expect("another one sees it", "down")
			c.kill("c2")
			c.fail(nil)
			time.Sleep(calm)
			c.expect("in the end", "down", "up") // a mute one ends what was told
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCrew(t, 48)
				defer func() {
					for len(c.alive) > 0 {
						c.kill(c.alive[0])
					}
					_ = c.log.Close()
				}()
				life(c)
				if left := c.events(); len(left) != 0 && !t.Failed() {
					t.Errorf("the log still has %v", left)
				}
			})
		})
	}
}

// events are the records in the log.
func (c *crew) events() (out []string) {
	c.log.Scan(persistence.KindSetting, netEventPrefix, func(r persistence.Record) bool {
		out = append(out, fmt.Sprintf("%s %s", r.ID, r.Value))
		return true
	})
	return out
}

// teller is who has told last.
func (c *crew) teller() string {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	events, err := c.log.Outbox(now, 0, 0, 1000)
	var doc struct {
		Publisher string `json:"publisher_id"`
		Payload   struct{ Nodes, Failing int }
	}
	if len(events) == 0 || json.Unmarshal(events[len(events)-1].Body, &doc) != nil {
		c.t.Fatalf("nobody has told anything: %v", err)
	}
	if doc.Payload.Nodes != c.nodes || doc.Payload.Failing < 1 {
		c.t.Errorf("%d of %d nodes are told to fail, wanted some of all %d", doc.Payload.Failing, doc.Payload.Nodes, c.nodes)
	}
	return strings.TrimPrefix(doc.Publisher, "ferrite-conductor.")
}

// However conductors die, come, and are cut off from the log: each darkness that lasts is told once, and so is each light.
func TestAFailureOfASubnetIsToldOnceInAnyLife(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, 1))
				c := newCrew(t, 30+rng.IntN(30))
				names := []string{"c1", "c2", "c3"}
				c.start(names...)
				// trouble is some of what may happen, for so long.
				trouble := func(steps int) {
					for range steps {
						who := names[rng.IntN(3)]
						switch _, lives := c.ms[who]; {
						case !lives:
							c.start(who)
						case rng.IntN(3) > 0 && len(c.ms) > 1:
							c.kill(who)
						case rng.IntN(2) == 0:
							c.cut(true, who)
							time.Sleep(time.Duration(rng.IntN(120)) * time.Second)
							c.cut(false, who)
						}
						time.Sleep(time.Duration(rng.IntN(90)) * time.Second)
					}
					for _, who := range names {
						if _, lives := c.ms[who]; !lives {
							c.start(who)
						}
					}
				}
				var want []string
				for range 4 {
					trouble(3)
					time.Sleep(calm)
					c.expect("it is light", want...)
					c.fail(all)
					want = append(want, "down")
					trouble(rng.IntN(8))
					time.Sleep(calm)
					c.expect("it is dark", want...)
					c.fail(nil)
					want = append(want, "up")
					trouble(rng.IntN(3))
				}
				time.Sleep(calm)
				c.expect("in the end", want...)
				c.kill(slices.Clone(c.alive)...)
				if left := c.events(); len(left) != 0 {
					t.Errorf("the log still has %v", left)
				}
				_ = c.log.Close()
			})
		})
	}
}

// What a version of tomorrow has written is left alone.
func TestAStrangeRecordOfASubnetIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t, 48)
		key := netEventKey("192.0.2.0/24")
		rev, err := c.log.Commit(t.Context(), persistence.Tx{If: []persistence.Cond{{Key: key}}, Put: []persistence.Put{{Key: key, Value: []byte(`["tomorrow"]`)}}})
		if err != nil {
			t.Fatal(err)
		}
		c.start("c1")
		time.Sleep(calm)
		c.fail(all)
		time.Sleep(calm)
		c.fail(nil)
		time.Sleep(calm)
		c.expect("in the end")
		if r, _ := c.log.Get(key); r.Rev != rev {
			t.Errorf("it was written at revision %d, wanted %d", r.Rev, rev)
		}
		c.kill("c1")
		_ = c.log.Close()
	})
}

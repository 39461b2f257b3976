// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"ferrite/bmc"
	"ferrite/inventory"
	"ferrite/node"
	"ferrite/persistence"
)

// rack is a driver in front of one machine a node.
type rack struct {
	*machine // for what is alike on all of them
	m        map[string]*machine
}

func (r *rack) PowerState(ctx context.Context, n *node.Node) (node.PowerState, error) {
	return r.m[n.UUID].PowerState(ctx, n)
}

func (r *rack) SetPower(ctx context.Context, n *node.Node, a bmc.Action, p bmc.Permit) error {
	return r.m[n.UUID].SetPower(ctx, n, a, p)
}

func (r *rack) BootDevice(ctx context.Context, n *node.Node) (bmc.BootDevice, error) {
	return r.m[n.UUID].BootDevice(ctx, n)
}

func (r *rack) SetBootDevice(ctx context.Context, n *node.Node, d string, persist bool, p bmc.Permit) error {
	return r.m[n.UUID].SetBootDevice(ctx, n, d, persist, p)
}
func (r *rack) Prepare(n *node.Node) (bmc.Handle, error) { return r.m[n.UUID], nil }

// chaos is a world in which everything fails now and then.
type chaos struct {
	*world
	ids  []string
	rack *rack
	inc  uint64

	mu    sync.Mutex // guards below
	rng   *rand.Rand
	calm  bool
	once  map[string]int // NMIs by operation
	wrong []string       // what must not happen
	asked int
	told  int
	all   sync.WaitGroup
}

func (c *chaos) chance(percent int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.calm && c.rng.IntN(100) < percent
}

func (c *chaos) below(n int) int { c.mu.Lock(); defer c.mu.Unlock(); return c.rng.IntN(n) }

func (c *chaos) blame(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
}

// fault is what the store does to a transaction.
func (c *chaos) fault(tx persistence.Tx) persistence.Fault {
	if len(tx.If) == 0 {
		return persistence.Fault{}
	}
	var f persistence.Fault
	if c.chance(30) {
		f.Delay = time.Duration(c.below(3000)) * time.Microsecond
	}
	switch {
	case c.chance(6):
		f.Err = persistence.ErrNoQuorum
	case c.chance(6):
		f.Err = persistence.ErrUnknown
	case c.chance(6):
		f.Err, f.Applied = persistence.ErrUnknown, true
	case c.chance(6):
		f.Err = &persistence.Conflict{}
	case c.chance(4) && c.apart(func() { // its fate is decided later
		time.Sleep(time.Duration(c.below(200)) * time.Millisecond)
		_, _ = c.store.Commit(context.Background(), tx)
	}):
		f.Err = persistence.ErrUnknown
	}
	return f
}

// apart runs work that rest waits for; false = rest may be waiting already.
func (c *chaos) apart(work func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.calm {
		c.all.Go(work)
	}
	return !c.calm
}

// sent checks a command that leaves for a BMC: its operation is open in the store, under its owner (S8, S10).
func (c *chaos) sent(n *node.Node, a bmc.Action) {
	cur, ok := c.store.Node(n.UUID)
	if !ok || cur.Intent == nil || cur.Intent.ID != n.Intent.ID || cur.Owner != n.Owner {
		c.blame("%s sent to %s without its intent: %+v", a, n.UUID, cur)
	}
	if a.Class() == node.Once {
		c.mu.Lock()
		c.once[n.Intent.ID]++
		c.mu.Unlock()
	}
}

func (c *chaos) upset(id string) {
	m := c.rack.m[id]
	refuse, kind, quiet := c.below(3), c.below(8), c.chance(40)
	m.set(func() {
		m.readErr, m.sendErr, m.deaf, m.refuse = nil, nil, false, 0
		switch {
		case quiet:
		case kind == 0:
			m.readErr = errors.New("no answer")
		case kind == 1:
			m.sendErr = &bmc.Error{Command: "x", Err: errors.New("refused")}
		case kind == 2:
			m.sendErr = &bmc.Error{Command: "x", Unknown: true, Err: bmc.ErrPermit}
		case kind == 3:
			m.deaf = true
		case kind == 4:
			m.refuse = refuse
		case kind == 5:
			m.power = node.PowerOn
		case kind == 6:
			m.power = node.PowerOff
		}
	})
}

func (c *chaos) message(id string) node.Msg {
	switch c.below(14) {
	case 0, 1:
		return node.SetPower{Target: node.PowerOn}
	case 2:
		return node.SetPower{Target: node.PowerOff}
	case 3:
		return node.SetPower{Target: node.Rebooting}
	case 4:
		return node.SetMaintenance{On: c.below(2) == 0}
	case 5:
		return node.SetBootDevice{Device: "disk"}
	case 6:
		return node.GetBootDevice{}
	case 7, 8:
		return node.InjectNMI{}
	case 9:
		return inventory.CreatePort{Port: &inventory.Port{UUID: "port-" + id, NodeUUID: id, Address: "52:54:00:00:00:0" + id[:1]}}
	case 10:
		return inventory.DeletePort{UUID: "port-" + id}
	case 11:
		return node.SetProvision{Verb: []string{"manage", "provide", "active", "deleted"}[c.below(4)]}
	case 12:
		if c.below(3) > 0 {
			return node.SetPower{Target: node.Rebooting}
		}
		return node.DeleteNode{}
	default:
		return node.CreateNode{Node: &node.Node{UUID: id, Driver: "ipmi", DriverInfo: map[string]any{"ipmi_address": "127.0.0.9"}}}
	}
}

func (c *chaos) ask(id string) {
	m, f := c.message(id), c.f
	c.asked++
	c.all.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
		defer cancel()
		_, err := f.Do(ctx, id, node.Meta{Minor: 90}, m)
		if ctx.Err() != nil {
			c.blame("%s was never answered: %v", m.MsgName(), err)
		}
		c.mu.Lock()
		c.told++
		c.mu.Unlock()
	})
}

func (c *chaos) begin() {
	c.inc = uint64(1 + c.below(1<<30)) // random, not in order (S1)
	c.start(node.Owner{Name: "c1", Incarnation: c.inc}, func(cfg *Config) {
		d := c.rack.driver()
		d.Power, d.Boot, d.Poller = c.rack, c.rack, c.rack
		cfg.Drivers["ipmitool"], cfg.LockRetry = d, 20*time.Millisecond
		cfg.Clock = func() time.Time { return time.Now().Add(time.Duration(c.below(48)-24) * time.Hour) } // it jumps, and nothing may mind
		cfg.Policy.Valid, cfg.Policy.ChangeTimeout = 30*time.Millisecond, 10*time.Millisecond
	})
}

// paired checks that every start has its one end or error, in order.
func paired(events []string) error {
	open := map[string]bool{}
	for i, e := range events {
		dot := strings.LastIndexByte(e, '.')
		what, status := e[:dot], e[dot+1:]
		switch {
		case status == "start" && open[what]:
			return fmt.Errorf("event %d: %s begins twice: %v", i, what, events)
		case status == "start":
			open[what] = true
		case (status == "end" || status == "error") && what != "node.provision_set" && !open[what]:
			return fmt.Errorf("event %d: %s ends without a start: %v", i, what, events)
		case status == "end" || status == "error":
			delete(open, what)
		}
	}
	delete(open, "node.provision_set") // deploying goes on through several states
	if len(open) > 0 {
		return fmt.Errorf("never ended: %v", open)
	}
	return nil
}

// Whatever the store, the BMCs and the process do, in the end no operation is open, every request was answered, every
// start has its end, nothing was sent without its intent and nothing of class once twice (S3, S5, S8, S10, S12, S13, N1).
func TestChaosEndsInOrder(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			c := newChaos(t, seed)
			for step := range 150 {
				id := c.ids[c.below(len(c.ids))]
				switch {
				case step == 60: // early enough for trouble that no restart heals
					c.end()
					c.begin()
				case c.chance(15):
					c.upset(id)
				case c.chance(15):
					ctx, cancel := context.WithTimeout(context.Background(), time.Second)
					c.f.Sweep().Round(ctx, 2)
					cancel()
				default:
					c.ask(id)
				}
				time.Sleep(time.Duration(c.below(4)) * time.Millisecond)
			}
			c.rest()
		})
	}
}

func newChaos(t *testing.T, seed uint64) *chaos {
	store := persistence.NewMemory(persistence.MemoryOptions{})
	c := &chaos{
		world: &world{t: t, store: store}, rng: rand.New(rand.NewPCG(seed, 1)), once: map[string]int{},
		rack: &rack{machine: &machine{}, m: map[string]*machine{}},
	}
	c.m = c.rack.machine
	for i := range 3 {
		id := fmt.Sprintf("%d1111111-1111-4111-8111-111111111111", i)
		c.ids = append(c.ids, id)
		c.rack.m[id] = &machine{power: node.PowerOff, check: c.sent}
	}
	c.begin()
	t.Cleanup(func() { c.end(); _ = store.Close() })
	for _, id := range c.ids {
		c.must(id, node.CreateNode{Node: &node.Node{UUID: id, Driver: "ipmi", DriverInfo: map[string]any{"ipmi_address": "127.0.0.9"}}})
		c.must(id, node.SetProvision{Verb: "manage"})
	}
	store.SetHook(c.fault)
	return c
}

// rest lets everything come to an end without further faults, and checks it.
func (c *chaos) rest() {
	t := c.t
	c.mu.Lock()
	c.calm = true
	c.mu.Unlock()
	for _, m := range c.rack.m {
		m.set(func() { m.readErr, m.sendErr, m.deaf, m.refuse = nil, nil, false, 0 })
	}
	c.all.Wait()
	if c.told != c.asked {
		t.Errorf("%d of %d requests answered", c.told, c.asked)
	}
	nodes := 0
	for _, id := range c.ids {
		until(t, "no open operation on "+id, func() bool { n, ok := c.store.Node(id); return !ok || n.Intent == nil })
		n, ok := c.store.Node(id)
		if !ok {
			continue
		}
		nodes++
		if n.TargetPowerState != "" || n.ProvisionState.Unstable() || n.Quarantined != "" {
			t.Errorf("node %s is stuck: target %q, provision state %q, quarantined %q", id, n.TargetPowerState, n.ProvisionState, n.Quarantined)
		}
		until(t, "the sweep compares with the newest record", func() bool {
			n, _ := c.store.Node(id)
			c.f.sweep.mu.Lock()
			defer c.f.sweep.mu.Unlock()
			e := c.f.sweep.all[id]
			return e != nil && node.Rev(e.rev.Load()) == n.Rev
		})
	}
	until(t, "as many actors as nodes", func() bool { return c.f.Stats().Actors == int64(nodes) && c.f.Sweep().Len() == nodes })
	until(t, "all turns of the sweep given back", func() bool { return c.turnsOut() == 0 && c.f.Stats().Late == 0 })
	if err := c.f.Drain(context.Background()); err != nil {
		t.Error(err)
	}
	c.f.grants.Range(func(k, _ any) bool { t.Errorf("a permit of %v is left", k); return true })
	for op, n := range c.once {
		if n != 1 {
			t.Errorf("operation %s sent its command %d times", op, n)
		}
	}
	for _, w := range c.wrong {
		t.Error(w)
	}
	for _, id := range c.ids {
		if err := paired(c.events(id)); err != nil {
			t.Errorf("node %s: %v", id, err)
		}
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ferrite/actors"
	"ferrite/bmc"
	"ferrite/cluster"
	"ferrite/node"
	"ferrite/notify"
	"ferrite/persistence"
)

// sight is the log as one member sees it: cut off, its replica stands still and nothing of it is written.
type sight struct {
	*persistence.Memory
	c *crowd

	mu    sync.Mutex // guards below
	cut   bool
	since time.Time
	nodes map[string]*node.Node // while cut
	at    node.Rev
}

func (s *sight) set(cut bool) {
	nodes := map[string]*node.Node{}
	s.Memory.Nodes(nil, func(n *node.Node) bool { nodes[n.UUID] = n; return true })
	s.mu.Lock()
	defer s.mu.Unlock()
	if cut && !s.cut {
		s.since, s.nodes, s.at = time.Now(), nodes, s.Memory.Applied()
	}
	s.cut = cut
}

func (s *sight) blind() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.cut }

func (s *sight) Submit(tx persistence.Tx, done func(node.Rev, error)) {
	if s.blind() {
		go func() { time.Sleep(100 * time.Millisecond); done(0, persistence.ErrNoQuorum) }()
		return
	}
	s.Memory.Submit(tx, func(rev node.Rev, err error) {
		if err == nil {
			s.c.committed(tx)
		}
		done(rev, err)
	})
}

func (s *sight) Commit(ctx context.Context, tx persistence.Tx) (node.Rev, error) {
	if s.blind() {
		return 0, persistence.ErrNoQuorum
	}
	return s.Memory.Commit(ctx, tx)
}

func (s *sight) ReadIndex(ctx context.Context) (node.Rev, error) {
	if s.blind() {
		return 0, persistence.ErrNoQuorum
	}
	return s.Memory.ReadIndex(ctx)
}

func (s *sight) Node(id string) (*node.Node, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut {
		n, ok := s.nodes[id]
		return n, ok
	}
	return s.Memory.Node(id)
}

func (s *sight) Nodes(after *node.Node, fn func(*node.Node) bool) {
	if !s.blind() {
		s.Memory.Nodes(after, fn)
		return
	}
	s.mu.Lock()
	nodes := s.nodes
	s.mu.Unlock()
	for _, n := range nodes {
		if !fn(n) {
			return
		}
	}
}

func (s *sight) Applied() node.Rev {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut {
		return s.at
	}
	return s.Memory.Applied()
}

func (s *sight) LeaderContact() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut {
		return s.since
	}
	return time.Now()
}

func (s *sight) Watch(ctx context.Context, from node.Rev) persistence.Watcher {
	return &lateWatcher{Watcher: s.Memory.Watch(ctx, from), s: s, ctx: ctx}
}

// lateWatcher tells of changes once its member sees the log.
type lateWatcher struct {
	persistence.Watcher
	s   *sight
	ctx context.Context
}

func (w *lateWatcher) Next() ([]persistence.Change, error) {
	c, err := w.Watcher.Next()
	for err == nil && w.s.blind() {
		select {
		case <-w.ctx.Done():
			return nil, w.ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return c, err
}

// crowdMember is one conductor without its shell.
type crowdMember struct {
	cluster.Member
	sight  *sight
	place  *placement
	fleet  *actors.Fleet
	hop    *hop
	cancel context.CancelFunc
	ended  chan struct{}

	conductor *Conductor // what follows the gossip, if there is one
}

// crowd is several conductors with one log, whose gossip, log and processes the test makes fail.
type crowd struct {
	t     *testing.T
	log   *persistence.Memory
	net   *cluster.Network
	air   *cluster.Air // nil = the test says who sees whom
	ms    map[string]*crowdMember
	names []string
	ids   []string
	inc   uint64
	asks  sync.WaitGroup

	mu     sync.Mutex // guards below
	leader string     // of the log
	rng    *rand.Rand
	power  map[string]node.PowerState
	last   map[string]uint64     // epoch of the newest command to a node
	owner  map[string]node.Owner // who wrote a node last
	open   map[string]bool       // nodes with an operation under way
	taken  int                   // operations that another owner has gone on with
	right  map[string]time.Time  // when an operation was committed last, under its owner
	once   map[string]int        // commands of class once by operation
	sent   int
	hot    int // commands that have passed their permit since the last false alarm
	wrong  []string
}

// under names a node's operation under its owner.
func under(n *node.Node) string { return fmt.Sprintf("%s %s %+v", n.UUID, n.Intent.ID, n.Owner) }

// committed holds what was written against S1: an epoch has one owner, and epochs only grow.
func (c *crowd) committed(tx persistence.Tx) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range tx.Put {
		n, ok := p.Value.(*node.Node)
		if !ok {
			continue
		}
		if old, ok := c.owner[n.UUID]; ok && (n.Owner.Epoch < old.Epoch || n.Owner.Epoch == old.Epoch && n.Owner != old) {
			c.wrong = append(c.wrong, fmt.Sprintf("%s: %+v has written after %+v", n.UUID, n.Owner, old))
		}
		if c.open[n.UUID] && c.owner[n.UUID] != n.Owner {
			c.taken++
		}
		c.open[n.UUID] = n.Intent != nil
		c.owner[n.UUID] = n.Owner
		if n.Intent != nil {
			c.right[under(n)] = time.Now()
		}
	}
}

func (c *crowd) below(n int) int { c.mu.Lock(); defer c.mu.Unlock(); return c.rng.IntN(n) }

func (c *crowd) pause(most time.Duration) { time.Sleep(time.Duration(c.below(int(most)))) }

// driver is the BMCs of the crowd, slow and in no hurry: a command is late at every place where it may be.
func (c *crowd) driver() *bmc.Driver {
	return &bmc.Driver{Name: "ipmi", Validate: (*crowdBMC)(c), Power: (*crowdBMC)(c), Caps: bmc.Capabilities{
		PowerTargets: []node.PowerState{node.PowerOn, node.PowerOff, node.Rebooting, node.SoftPowerOff, node.SoftRebooting},
	}}
}

type crowdBMC crowd

func (b *crowdBMC) ValidatePower(*node.Node) error      { return nil }
func (b *crowdBMC) ValidateManagement(*node.Node) error { return nil }

func (b *crowdBMC) PowerState(_ context.Context, n *node.Node) (node.PowerState, error) {
	c := (*crowd)(b)
	c.pause(time.Second)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.power[n.UUID], nil
}

func (b *crowdBMC) SetPower(ctx context.Context, n *node.Node, a bmc.Action, p bmc.Permit) error {
	c := (*crowd)(b)
	c.pause(4 * time.Second)
	if err := p.OK(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	c.hot++ // now is the time for a false alarm
	c.mu.Unlock()
	c.pause(12 * time.Second) // a process that stands still between the two checks
	if !p.Live() {
		return bmc.ErrPermit
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent++
	if at, ok := c.right[under(n)]; !ok || time.Since(at) >= node.DefaultPolicy().Valid { // S9
		c.wrong = append(c.wrong, fmt.Sprintf("%s: a command of %s left at %s, its permit is of %s", n.UUID, under(n), time.Now(), at))
	}
	if e := n.Owner.Epoch; e < c.last[n.UUID] {
		c.wrong = append(c.wrong, fmt.Sprintf("%s: a command of epoch %d (%s, operation %s) left after one of epoch %d", n.UUID, e, n.Owner.Name, n.Intent.ID, c.last[n.UUID]))
	}
	c.last[n.UUID] = n.Owner.Epoch
	if a.Class() == node.Once {
		c.once[n.Intent.ID]++
	}
	switch a {
	case bmc.On, bmc.Reset:
		c.power[n.UUID] = node.PowerOn
	case bmc.Off, bmc.SoftOff:
		c.power[n.UUID] = node.PowerOff
	}
	if c.rng.IntN(3) == 0 { // somebody pulls the plug, or puts it in: the next owner has to command again
		c.power[n.UUID] = []node.PowerState{node.PowerOn, node.PowerOff}[c.rng.IntN(2)]
	}
	return nil
}

// start makes a process of a name.
func (c *crowd) start(name string) {
	c.inc++
	m := &crowdMember{Member: cluster.Member{Name: name, Incarnation: c.inc*7919 + 1, Remote: fmt.Sprintf("%s/%d", name, c.inc)}, sight: &sight{Memory: c.log, c: c}, ended: make(chan struct{})}
	m.place = alone(name, "", m.Incarnation)
	if old := c.ms[name]; old != nil { // what it saw when it ended is as good as anything
		m.place.view.Store(old.place.view.Load())
	}
	log := slog.New(slog.DiscardHandler)
	m.fleet = actors.New(actors.Config{
		Store: m.sight, Self: node.Owner{Name: name, Incarnation: m.Incarnation}, Policy: node.DefaultPolicy(), Logger: log,
		Encoder: &notify.Encoder{Host: name, Level: "info"}, Drivers: map[string]*bmc.Driver{"ipmitool": c.driver()},
		LockRetry: time.Second, Wanted: m.place.mine,
	})
	m.hop = &hop{fleet: m.fleet, place: m.place, store: m.sight, log: log}
	tr, err := c.net.Listen(m.Remote)
	if err != nil {
		c.t.Fatal(err)
	}
	m.hop.router = cluster.NewRouter(tr, m.hop.serve)
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	go func() { defer close(m.ended); _ = m.fleet.Run(ctx) }()
	c.ms[name] = m
	if c.air != nil {
		c.gossips(ctx, m, log)
	}
}

// kill ends a process; commands on their way are cut off, nothing is settled.
func (c *crowd) kill(name string) {
	m := c.ms[name]
	m.sight.set(true)
	if m.conductor != nil {
		m.conductor.stopping.Store(true)
		_ = m.conductor.membership.Close()
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	_ = m.fleet.Drain(gone)
	m.cancel()
	<-m.ended
	m.fleet.Close()
	_ = m.hop.router.Close()
}

// see gives a member a View of these; one that does not hear the log keeps the View that it has (S7).
func (c *crowd) see(of string, names ...string) {
	m := c.ms[of]
	if m.sight.blind() || c.air != nil {
		return
	}
	var members []cluster.Member
	for _, name := range names {
		x := c.ms[name].Member
		x.Cut = c.ms[name].sight.blind() && time.Since(c.ms[name].sight.LeaderContact()) > cutAfter
		members = append(members, x)
	}
	before := m.place.view.Swap(cluster.NewView(c.inc, members))
	for _, old := range before.Members {
		if !m.place.view.Load().Lives(old.Name, old.Incarnation) {
			m.hop.router.Gone(old.Remote)
		}
	}
	m.fleet.Rebalance()
}

func (c *crowd) ask(through, id string) {
	msg := []node.Msg{
		node.SetPower{Target: node.PowerOn},
		node.SetPower{Target: node.PowerOff},
		node.SetPower{Target: node.Rebooting},
		node.SetPower{Target: node.Rebooting},
		node.SetMaintenance{On: true, Reason: "test"},
		node.SetMaintenance{},
	}[c.below(6)]
	h := c.ms[through].hop
	c.asks.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_, _ = h.Do(ctx, id, node.Meta{Minor: 90}, msg)
	})
}

// Whatever the gossip says to whom, whoever is cut off from the log or dies: commands to a BMC leave in the order of epochs,
// nothing of class once leaves twice, and in the end nothing is open and every node is somebody's (S3-S7, S9-S12).
func TestTheCrowdKeepsTheLaw(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { crowdLife(t, seed, 600, nil) })
		})
	}
}

// shown reports whether enough has happened in so many steps for the law to have been at stake.
func (c *crowd) shown(steps int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent >= steps/30 && c.taken >= 5 && len(c.once) > 0
}

// crowdLife takes so many steps, and more while little has happened: who runs first is chance.
func crowdLife(t *testing.T, seed uint64, steps int, air *cluster.Air) {
	c := &crowd{
		t: t, log: persistence.NewMemory(persistence.MemoryOptions{}), net: cluster.NewNetwork(), ms: map[string]*crowdMember{},
		rng: rand.New(rand.NewPCG(seed, 2)), power: map[string]node.PowerState{}, last: map[string]uint64{}, owner: map[string]node.Owner{}, open: map[string]bool{}, right: map[string]time.Time{}, air: air, leader: "c1", once: map[string]int{},
		names: []string{"c1", "c2", "c3"},
	}
	defer func() { _ = c.log.Close() }()
	for _, name := range c.names {
		c.start(name)
	}
	for _, name := range c.names {
		c.see(name, c.names...)
	}
	for i := range 8 {
		id := fmt.Sprintf("%d1111111-1111-4111-8111-111111111111", i)
		c.ids = append(c.ids, id)
		c.power[id] = node.PowerOff
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		_, err := c.ms["c1"].hop.Do(ctx, id, node.Meta{Minor: 90}, node.CreateNode{Node: &node.Node{UUID: id, Driver: "ipmi", DriverInfo: map[string]any{"ipmi_address": fmt.Sprintf("127.0.0.%d", i)}, DisablePowerOff: i%2 == 0}})
		cancel()
		if err != nil {
			t.Fatal(err)
		}
	}
	const most = 6000 // of sixty steps two in three have no command of class once
	for i := 0; i < steps || i < most && !c.shown(steps); i++ {
		who := c.names[c.below(3)]
		c.mu.Lock()
		hot := c.hot > 0
		c.hot = 0
		c.mu.Unlock()
		if hot && c.below(2) == 0 {
			c.alarm(who)
		}
		what := c.below(24)
		if air != nil && c.weather(who, what) {
			c.pause(3 * time.Second)
			continue
		}
		switch what {
		case 0:
			c.ms[who].sight.set(true)
		case 1, 2:
			c.ms[who].sight.set(false)
			c.see(who, c.names...)
		case 3:
			c.kill(who)
			c.start(who)
		case 4: // a false alarm: it sees fewer than there are
			c.see(who, who)
		case 5:
			c.see(who, who, c.names[c.below(3)])
		case 6, 7:
			for _, name := range c.names {
				c.see(name, c.names...)
			}
		default:
			c.ask(who, c.ids[c.below(len(c.ids))])
		}
		c.pause(3 * time.Second)
	}
	for _, name := range c.names {
		c.ms[name].sight.set(false)
	}
	c.calm()
	c.asks.Wait()
	for end := time.Now().Add(time.Hour); ; time.Sleep(time.Second) {
		open, held := []string(nil), 0
		c.log.Nodes(nil, func(n *node.Node) bool {
			if n.Intent != nil || n.TargetPowerState != "" {
				open = append(open, fmt.Sprintf("%s: %+v", n.UUID, n.Intent))
			}
			return true
		})
		for _, m := range c.ms {
			held += m.fleet.Len()
		}
		if len(open) == 0 && held == len(c.ids) {
			break
		}
		if time.Now().After(end) {
			t.Errorf("after an hour of calm %d of %d nodes are somebody's, and these operations are open: %s", held, len(c.ids), strings.Join(open, "; "))
			break
		}
	}
	for _, name := range c.names {
		c.kill(name)
	}
	t.Logf("%d commands were sent, %d of class once; %d operations were taken over", c.sent, len(c.once), c.taken)
	for op, n := range c.once {
		if n > 1 {
			t.Errorf("operation %s reset its machine %d times", op, n)
		}
	}
	for _, w := range c.wrong {
		t.Error(w)
	}
	if !c.shown(steps) {
		t.Error("that is too few to show anything")
	}
}

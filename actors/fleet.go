// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"ferrite/bmc"
	"ferrite/node"
	"ferrite/notify"
	"ferrite/persistence"
)

// Encoder turns a notice into what the outbox keeps; none when the notification level leaves it out.
type Encoder interface {
	Encode(node.Notice) ([]notify.Message, error)
}

// Config is what a Fleet needs. Zero durations take the defaults of Defaults.
type Config struct {
	Store   persistence.Store
	Drivers map[string]*bmc.Driver // by interface name: "ipmitool", "fake"
	Self    node.Owner             // Name and Incarnation of this process
	Policy  node.Policy
	Encoder Encoder
	Wanted  func(*node.Node) bool // S3: Owner(node, View) is me; nil = all
	Groups  func() []string       // conductor groups that somebody serves now; nil = those of Policy
	Logger  *slog.Logger
	// SubnetTopic is the first word of the subjects that tell of failing subnets; "" = they are not told.
	SubnetTopic string
	// SubnetSettle is for how long a subnet must not fail before its end is told, where there are other conductors; 20 s.
	SubnetSettle time.Duration
	// Members are the conductors that live and hear the log, this one included; nil = it is alone.
	Members func() []node.Owner
	Clock   func() time.Time // wall clock for humans; nil = time.Now

	LockRetry     time.Duration // S8: node_locked_retry_attempts x node_locked_retry_interval
	SyncInterval  time.Duration // sync_power_state_interval; 0 = no power sync
	Hints         bool          // Sweep.Hint will be called: keep an index of addresses
	RecoveryEvery time.Duration // power_failure_recovery_interval; 0 = none
	FirstRead     time.Duration // pause before the first read after a power command; 1 s
	History       HistoryLimit  // what is kept of a node's history; zero = all
	MaxOperations int           // effects that may run at once; more wait
	MaxWaiting    int           // requests that may wait for their nodes at once; more are refused; 4096
}

// Defaults fills in what a Config leaves open, as Ironic has it.
func (c Config) Defaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Wanted == nil {
		c.Wanted = func(*node.Node) bool { return true }
	}
	if c.Members == nil {
		self := []node.Owner{{Name: c.Self.Name, Incarnation: c.Self.Incarnation}}
		c.Members = func() []node.Owner { return self }
	}
	if c.SubnetSettle == 0 {
		c.SubnetSettle = netEventSettle
	}
	if c.FirstRead == 0 {
		c.FirstRead = time.Second
	}
	if c.MaxOperations == 0 {
		c.MaxOperations = 8192
	}
	if c.MaxWaiting == 0 {
		c.MaxWaiting = defaultMaxWaiting
	}
	if c.Policy.Valid == 0 {
		c.Policy.Valid = 10 * time.Second
	}
	return c
}

// Fleet holds the actors of the nodes that this conductor owns.
type Fleet struct {
	cfg    Config
	alone  bool // all nodes are this conductor's
	system *actor.ActorSystem
	props  *actor.Props
	sweep  *Sweep
	slots  chan struct{} // one token a running effect
	grants sync.Map      // node UUID -> grant: clock before the newest commit of its open operation (S9)

	ctx     context.Context
	cancel  context.CancelFunc // ends all waiting: Drain has begun
	cmd     context.Context
	cut     context.CancelFunc // ends commands on their way to a BMC: Drain's time is over
	closed  chan struct{}      // no request is answered any more
	closing sync.Once

	life     sync.Mutex  // guards running against Drain: nothing begins once that waits
	running  tally       // effects under way, until their outcomes are settled
	draining atomic.Bool // written under life

	mu   sync.RWMutex          // guards pids
	pids map[string]*actor.PID // by node UUID

	live     atomic.Pointer[Settings] // what may change while it runs
	updating sync.Mutex               // one Update at a time

	turns  turns
	sights sights
	stats  counters
	times  vendors
}

// New makes a Fleet; nothing runs until Run.
func New(cfg Config) *Fleet {
	alone := cfg.Wanted == nil
	cfg = cfg.Defaults()
	f := &Fleet{cfg: cfg, alone: alone, pids: map[string]*actor.PID{}, slots: make(chan struct{}, cfg.MaxOperations), closed: make(chan struct{})}
	f.live.Store(&Settings{SyncInterval: cfg.SyncInterval, RecoveryEvery: cfg.RecoveryEvery, LockRetry: cfg.LockRetry, MaxWaiting: cfg.MaxWaiting, SubnetTopic: cfg.SubnetTopic, Policy: cfg.Policy})
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.cmd, f.cut = context.WithCancel(context.Background())
	f.system = actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(slog.DiscardHandler) // protoactor's own lines tell nothing that ours do not
	}), actor.WithDeadLetterThrottleInterval(time.Millisecond)) // its goroutine must not outlive Close
	f.props = actor.PropsFromProducer(func() actor.Actor { return &nodeActor{f: f} }, actor.WithMailbox(actor.UnboundedLockfree()))
	f.sweep = newSweep(f)
	return f
}

// Sweep is the power sweep of this fleet.
func (f *Fleet) Sweep() *Sweep { return f.sweep }

// Run activates all wanted nodes, keeps them true to the store, and sweeps their power until ctx ends (S3).
func (f *Fleet) Run(ctx context.Context) error {
	if _, err := f.cfg.Store.ReadIndex(ctx); err != nil {
		return err
	}
	var wg sync.WaitGroup
	wg.Go(func() { f.sweep.run(ctx) })
	wg.Go(func() { f.trimHistories(ctx) })
	wg.Go(func() { f.tellSubnets(ctx) })
	defer wg.Wait()
	rev := f.cfg.Store.Applied()
	f.catchUp() // there may be actors already, made by requests
	for {
		f.Reconcile()
		seen, err := f.follow(ctx, rev)
		rev = seen
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, persistence.ErrClosed):
			return err
		case err != nil && !errors.Is(err, persistence.ErrCompacted):
			f.cfg.Logger.Warn("watching the store failed, reading everything again", "error", err)
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
		if err != nil { // the watch has gaps now (R5)
			rev = f.cfg.Store.Applied()
			f.catchUp()
		}
	}
}

// follow reacts to changes of nodes until the periodic full look is due or the watch ends. It returns how far it came, where the
// next one is to go on: a change that no actor heard of would leave that actor behind for as long as nothing else changes.
func (f *Fleet) follow(ctx context.Context, from node.Rev) (node.Rev, error) {
	ctx, cancel := context.WithTimeout(ctx, reconcileEvery)
	defer cancel()
	w := f.cfg.Store.Watch(ctx, from)
	defer w.Close()
	for {
		changes, err := w.Next()
		if err != nil {
			if errors.Is(err, context.DeadlineExceeded) {
				return from, nil
			}
			return from, err
		}
		for _, c := range changes {
			from = c.Rev
			if c.Key.Kind == persistence.KindNode {
				n, _ := c.Value.(*node.Node)
				f.follows(c.Key.ID, &changed{n, c.Rev})
			}
		}
	}
}

// reconcileEvery is how often activation is checked in full (S3).
const reconcileEvery = 30 * time.Second

// catchUp tells every actor what the store holds.
func (f *Fleet) catchUp() {
	applied, known := f.cfg.Store.Applied(), map[string]bool{}
	f.cfg.Store.Nodes(nil, func(n *node.Node) bool {
		known[n.UUID] = true
		f.follows(n.UUID, &changed{n, n.Rev})
		return true
	})
	f.mu.RLock()
	defer f.mu.RUnlock()
	for uuid, pid := range f.pids {
		if !known[uuid] {
			f.system.Root.Send(pid, &changed{nil, applied})
		}
	}
}

// follows tells a node's actor of a change, or makes it one if the node is wanted.
func (f *Fleet) follows(uuid string, m *changed) {
	f.mu.RLock()
	pid := f.pids[uuid]
	if pid != nil {
		f.system.Root.Send(pid, m)
	}
	f.mu.RUnlock()
	if pid == nil && m.n != nil && f.cfg.Wanted(m.n) {
		f.ensure(uuid)
	}
}

func (f *Fleet) pid(uuid string) *actor.PID {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.pids[uuid]
}

// ensure makes the node's actor if there is none.
func (f *Fleet) ensure(uuid string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ensureLocked(uuid, true, false)
}

// deliver gives a request to the node's actor. It sends under the map's lock: an actor that goes off the map has got
// everything that was sent to it before.
func (f *Fleet) deliver(uuid string, c *call) {
	f.mu.RLock()
	pid := f.pids[uuid]
	if pid != nil {
		f.system.Root.Send(pid, c)
	}
	f.mu.RUnlock()
	if pid != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	_, release := c.msg.(node.Release)
	f.system.Root.Send(f.ensureLocked(uuid, false, release), c)
}

// ensureLocked returns the node's actor, making it if there is none; its first message activates it. alone says that no
// request follows: if the node is gone by then, so is the actor. guest says that a release by force follows: what the node
// has under way is not gone on with before.
func (f *Fleet) ensureLocked(uuid string, alone, guest bool) *actor.PID {
	if pid := f.pids[uuid]; pid != nil {
		return pid
	}
	pid := f.system.Root.Spawn(f.props)
	f.pids[uuid] = pid
	f.stats.actors.Add(1)
	f.system.Root.Send(pid, &activate{uuid: uuid, alone: alone, guest: guest})
	return pid
}

// forget takes a node's actor off the map and lets it stop once it has handled what was sent to it; the next message
// makes a new one. It reports false when the actor is not on the map.
func (f *Fleet) forget(uuid string, pid *actor.PID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.pids[uuid]; p == nil || !p.Equal(pid) {
		return false
	}
	delete(f.pids, uuid)
	f.stats.actors.Add(-1)
	f.system.Root.Poison(pid)
	return true
}

// report gives a node's actor a message about an outcome (nil = none), which is settled when the actor is off the map.
func (f *Fleet) report(uuid string, pid *actor.PID, m any, o *outcome) {
	if !f.post(uuid, pid, m) {
		f.settled(o) // the node was deleted under a released operation
	}
}

// Do sends a request to a node's actor and waits for its reply. Errors are *node.Error. When ctx ends first the outcome
// is not known: Kind Unavailable.
func (f *Fleet) Do(ctx context.Context, uuid string, meta node.Meta, m node.Msg) (any, error) {
	if f.draining.Load() {
		return nil, f.drains(m, uuid)
	}
	_, create := m.(node.CreateNode)
	if !create && f.pid(uuid) == nil {
		if _, ok := f.cfg.Store.Node(uuid); !ok {
			return nil, &node.Error{Op: m.MsgName(), Node: uuid, Kind: node.NotFound, Text: "Node " + uuid + " could not be found."}
		}
	}
	if q, ok := m.(node.GetConfirmed); ok {
		return f.Sweep().confirmed(uuid, q), nil
	}
	if n, ok := f.cfg.Store.Node(uuid); ok && looks(m) {
		return f.look(ctx, n, m)
	}
	f.stats.waiting.Add(1)
	defer f.stats.waiting.Add(-1)
	if err := f.crowded(uuid, meta.Rank, m); err != nil {
		return nil, err
	}
	c := &call{meta: meta, msg: m, reply: make(chan reply, 1), ctx: ctx}
	f.deliver(uuid, c)
	select {
	case r := <-c.reply:
		return r.value, r.err
	case <-f.closed:
		select {
		case r := <-c.reply:
			return r.value, r.err
		default:
		}
		return nil, &node.Error{Op: m.MsgName(), Node: uuid, Kind: node.Unavailable, Text: "this conductor has shut down before the answer: the outcome of the request is not known, read the node before trying again"}
	case <-ctx.Done():
		return nil, &node.Error{Op: m.MsgName(), Node: uuid, Kind: node.Unavailable, Text: "no answer in time: the outcome of the request is not known, read the node before trying again"}
	}
}

func (f *Fleet) drains(m node.Msg, uuid string) error {
	return &node.Error{Op: m.MsgName(), Node: uuid, Kind: node.Unavailable, Text: "this conductor is shutting down: send the request again in a moment"}
}

// begin counts an effect in; false = the fleet drains, nothing may begin.
func (f *Fleet) begin() bool {
	f.life.Lock()
	defer f.life.Unlock()
	if f.draining.Load() {
		return false
	}
	f.running.Add()
	return true
}

// settled counts an outcome out that needs nothing any more; o may be nil.
func (f *Fleet) settled(o *outcome) {
	if o != nil && o.held {
		o.held = false
		f.running.Done()
	}
	if o != nil && o.turn {
		o.turn = false
		f.turnOver()
	}
}

// Drain refuses new requests, lets commands that are on their way to a BMC finish and their outcomes be committed, and
// stops waiting for power states: those intents stay open and go on after the restart. It returns when no effect runs or
// ctx ends; then commands are cut off.
func (f *Fleet) Drain(ctx context.Context) error {
	f.life.Lock()
	f.draining.Store(true)
	f.life.Unlock()
	f.cancel()
	done := f.running.Zero()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	f.cut()
	select {
	case <-done:
	case <-time.After(cutTime):
	}
	return ctx.Err()
}

// cutTime is how long commands that were cut off may take to notice.
const cutTime = time.Second

// Close stops all actors; requests that are still waiting are answered that their outcome is not known. Call it after
// Drain and after Run has returned.
func (f *Fleet) Close() {
	f.closing.Do(func() {
		f.life.Lock()
		f.draining.Store(true)
		f.life.Unlock()
		f.cancel()
		f.cut()
		f.sweep.close()
		f.mu.Lock()
		pids := f.pids
		f.pids = map[string]*actor.PID{}
		f.mu.Unlock()
		for _, pid := range pids {
			f.system.Root.Stop(pid)
		}
		close(f.closed)
		f.system.Shutdown()
	})
}

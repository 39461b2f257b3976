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
	Logger  *slog.Logger
	Clock   func() time.Time // wall clock for humans; nil = time.Now

	LockRetry     time.Duration // S8: node_locked_retry_attempts x node_locked_retry_interval
	SyncInterval  time.Duration // sync_power_state_interval; 0 = no power sync
	RecoveryEvery time.Duration // power_failure_recovery_interval; 0 = none
	FirstRead     time.Duration // pause before the first read after a power command; 1 s
	MaxOperations int           // effects that may run at once; more wait
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
	if c.FirstRead == 0 {
		c.FirstRead = time.Second
	}
	if c.MaxOperations == 0 {
		c.MaxOperations = 8192
	}
	if c.Policy.Valid == 0 {
		c.Policy.Valid = 10 * time.Second
	}
	return c
}

// Fleet holds the actors of the nodes that this conductor owns.
type Fleet struct {
	cfg      Config
	system   *actor.ActorSystem
	props    *actor.Props
	sweep    *Sweep
	slots    chan struct{} // one token a running effect
	ctx      context.Context
	cancel   context.CancelFunc // ends every effect
	running  sync.WaitGroup     // effects under way
	draining atomic.Bool
	grants   sync.Map // node UUID -> grant: clock before the newest commit of its open operation (S9)

	mu   sync.RWMutex          // guards pids
	pids map[string]*actor.PID // by node UUID

	stats counters
	times latencies
}

// New makes a Fleet; nothing runs until Run.
func New(cfg Config) *Fleet {
	cfg = cfg.Defaults()
	f := &Fleet{cfg: cfg, pids: map[string]*actor.PID{}, slots: make(chan struct{}, cfg.MaxOperations)}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.system = actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(slog.DiscardHandler) // protoactor's own lines tell nothing that ours do not
	}))
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
	wg.Add(1)
	go func() { defer wg.Done(); f.sweep.run(ctx) }()
	defer wg.Wait()
	for {
		rev := f.cfg.Store.Applied()
		f.Reconcile()
		err := f.follow(ctx, rev)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !errors.Is(err, persistence.ErrCompacted) {
			f.cfg.Logger.Warn("watching the store failed, reading everything again", "error", err)
		}
	}
}

// follow reacts to changes of nodes until the periodic full look is due or the watch ends.
func (f *Fleet) follow(ctx context.Context, from node.Rev) error {
	ctx, cancel := context.WithTimeout(ctx, reconcileEvery)
	defer cancel()
	w := f.cfg.Store.Watch(ctx, from)
	defer w.Close()
	for {
		changes, err := w.Next()
		if err != nil {
			if errors.Is(err, context.DeadlineExceeded) {
				return nil
			}
			return err
		}
		for _, c := range changes {
			if n, ok := c.Value.(*node.Node); ok && c.Key.Kind == persistence.KindNode && f.cfg.Wanted(n) {
				f.ensure(n.UUID)
			}
		}
	}
}

// reconcileEvery is how often activation is checked in full (S3).
const reconcileEvery = 30 * time.Second

// Reconcile activates every wanted node that has no actor (S3). It returns how many it activated.
func (f *Fleet) Reconcile() int {
	var missing []string
	f.cfg.Store.Nodes(nil, func(n *node.Node) bool {
		if f.cfg.Wanted(n) && f.pid(n.UUID) == nil {
			missing = append(missing, n.UUID)
		}
		return true
	})
	for _, uuid := range missing {
		f.ensure(uuid)
	}
	return len(missing)
}

func (f *Fleet) pid(uuid string) *actor.PID {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.pids[uuid]
}

// ensure returns the node's actor, making it if there is none; its first message activates it.
func (f *Fleet) ensure(uuid string) *actor.PID {
	if pid := f.pid(uuid); pid != nil {
		return pid
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if pid := f.pids[uuid]; pid != nil {
		return pid
	}
	pid := f.system.Root.Spawn(f.props)
	f.pids[uuid] = pid
	f.stats.actors.Add(1)
	f.system.Root.Send(pid, &activate{uuid: uuid})
	return pid
}

// forget takes a node's actor off the map, so that the next message makes a new one.
func (f *Fleet) forget(uuid string, pid *actor.PID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.pids[uuid]; p != nil && p.Equal(pid) {
		delete(f.pids, uuid)
		f.stats.actors.Add(-1)
	}
}

// Do sends a request to a node's actor and waits for its reply. Errors are *node.Error. When ctx ends first the outcome
// is not known: Kind Unavailable.
func (f *Fleet) Do(ctx context.Context, uuid string, meta node.Meta, m node.Msg) (any, error) {
	if f.draining.Load() {
		return nil, &node.Error{Op: m.MsgName(), Node: uuid, Kind: node.Unavailable, Text: "this conductor is shutting down: send the request again in a moment"}
	}
	_, create := m.(node.CreateNode)
	if !create && f.pid(uuid) == nil {
		if _, ok := f.cfg.Store.Node(uuid); !ok {
			return nil, &node.Error{Op: m.MsgName(), Node: uuid, Kind: node.NotFound, Text: "Node " + uuid + " could not be found."}
		}
	}
	f.stats.waiting.Add(1)
	defer f.stats.waiting.Add(-1)
	c := &call{meta: meta, msg: m, reply: make(chan reply, 1), ctx: ctx}
	f.system.Root.Send(f.ensure(uuid), c)
	select {
	case r := <-c.reply:
		return r.value, r.err
	case <-ctx.Done():
		return nil, &node.Error{Op: m.MsgName(), Node: uuid, Kind: node.Unavailable, Text: "no answer in time: the outcome of the request is not known, read the node before trying again"}
	}
}

// Drain refuses new requests, lets commands that are on their way to a BMC finish, and stops waiting for power states:
// the intents stay open and go on after the restart. It returns when no effect runs or ctx ends.
func (f *Fleet) Drain(ctx context.Context) error {
	f.draining.Store(true)
	f.cancel()
	done := make(chan struct{})
	go func() { f.running.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close stops all actors. Call it after Drain and after Run has returned.
func (f *Fleet) Close() {
	f.draining.Store(true)
	f.cancel()
	f.sweep.close()
	f.mu.Lock()
	pids := f.pids
	f.pids = map[string]*actor.PID{}
	f.mu.Unlock()
	for _, pid := range pids {
		f.system.Root.Stop(pid)
	}
	f.system.Shutdown()
}

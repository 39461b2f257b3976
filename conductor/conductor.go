// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"ferrite/actors"
	"ferrite/bmc"
	"ferrite/bmc/fake"
	"ferrite/bmc/ipmi"
	"ferrite/cluster"
	"ferrite/node"
	"ferrite/notify"
	"ferrite/notify/embedded"
	"ferrite/notify/nova"
	"ferrite/persistence"
)

// Conductor is one running process's worth of Ferrite.
type Conductor struct {
	cfg         Config
	incarnation uint64 // random per process start (S1)
	log         *slog.Logger
	store       persistence.Store
	identity    string // id of this cluster's log, mixed into message ids (N2)
	engine      *ipmi.Engine
	share       func(conductors int)   // engine's; nil = there is none
	traps       *ipmi.Traps            // nil = none are listened for
	relayed     chan netip.Addr        // BMCs with traps whose nodes are not here; nil = there are no other conductors
	drivers     map[string]*bmc.Driver // by interface name
	fleet       *actors.Fleet
	endpoints   *endpoints
	nats        *embedded.Server
	publisher   *notify.Publisher
	telling     liveEncoder
	nova        *nova.Caller // nil = Nova is told nothing
	sensors     *sensors     // nil = they are not collected
	keys        *keyring
	apiURL      string
	front       front
	listener    net.Listener // of the API
	placement   *placement
	hop         *hop

	// Of one of several conductors; nil in a lone one.
	ring       ring
	membership *cluster.Membership
	transport  cluster.Transport
	router     *cluster.Router
	views      atomic.Uint64          // Views taken over
	starting   context.Context        // ends with the start, or with the cause for which it is refused
	foreigner  atomic.Pointer[string] // the first of another cluster that was told of
	started    func()                 // its start is over: nobody refuses it any more
	takeovers  takeovers

	stopping atomic.Bool
	failed   chan error
	steps    []step // how to end what was started, in order of starting
	once     sync.Once
	ended    error
}

// step is one thing that runs; end ends it.
type step struct {
	name string
	end  func(context.Context) error
}

// Start runs a conductor; it returns when the API answers. On an error nothing is left running.
func Start(ctx context.Context, cfg Config) (*Conductor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Policy.Groups = []string{cfg.Group} // one conductor, one group
	c := &Conductor{cfg: cfg, log: cfg.Logger, failed: make(chan error, 4), incarnation: newIncarnation()}
	c.placement = alone(cfg.Name, cfg.Group, c.incarnation)
	if err := c.start(ctx); err != nil {
		down, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = c.unwind(down)
		return nil, err
	}
	return c, nil
}

func (c *Conductor) start(ctx context.Context) error {
	ln, err := c.listen() // first: a taken port is the commonest mistake
	if err != nil {
		return err
	}
	c.listener = ln
	if err := c.open(ctx); err != nil {
		_ = ln.Close()
		return err
	}
	if err := again(ctx, func() error { _, err := c.store.ReadIndex(ctx); return err }); err != nil {
		_ = ln.Close()
		return fmt.Errorf("the log did not come up: %w", err)
	}
	c.together(ctx)
	if err := again(ctx, func() (err error) { c.identity, err = identity(ctx, c.store); return err }); err != nil {
		_ = ln.Close()
		return fmt.Errorf("the cluster's id: %w", err)
	}
	if c.membership != nil {
		if name, tag := c.stranger(); name != "" {
			c.confess(ctx)
			_ = ln.Close()
			return fmt.Errorf("the data folder %s is of cluster %s, but conductor %s, which --join leads to, is of cluster %s: start with an empty folder to join that one, or with another --join", c.cfg.DataDir, c.clusterTag(), name, tag)
		}
		c.placement.view.Store(c.own(c.membership.View()))
		c.started()
	}
	if err := again(ctx, func() error { return c.agree(ctx) }); err != nil {
		_ = ln.Close()
		return err
	}
	if err := errors.Join(c.messaging(ctx), c.callback(ctx)); err != nil {
		_ = ln.Close()
		return err
	}
	if err := c.act(); err != nil {
		_ = ln.Close()
		return err
	}
	if err := c.collect(); err != nil {
		_ = ln.Close()
		return err
	}
	if err := c.serve(ctx, ln); err != nil {
		_ = ln.Close()
		return err
	}
	if c.membership != nil { // from here on the others may send it requests
		if err := c.membership.Update(func(m *cluster.Member) { m.Joining, m.Cluster = false, c.clusterTag() }); err != nil {
			c.log.Debug("gossip", "error", err)
		}
	}
	return c.profile()
}

func (c *Conductor) began(name string, end func(context.Context) error) {
	c.steps = append(c.steps, step{name, end})
}

func (c *Conductor) listen() (net.Listener, error) {
	if c.cfg.APIListener != nil {
		return c.cfg.APIListener, nil
	}
	ln, err := net.Listen("tcp", c.cfg.APIListen)
	if err != nil {
		return nil, fmt.Errorf("api_listen %s: %w; stop what holds it or choose another address", c.cfg.APIListen, err)
	}
	return ln, nil
}

// open opens the store under the cluster key.
func (c *Conductor) open(ctx context.Context) error {
	keys := append([][]byte{c.cfg.Key}, c.cfg.Keys...)
	c.keys = &keyring{file: c.cfg.KeyFile, log: c.log}
	if c.cfg.Key == nil {
		c.keys.file = filepath.Join(c.cfg.DataDir, "cluster.key")
		var err error
		if keys, err = folderKey(c.cfg.DataDir); err != nil {
			return err
		}
	}
	var members *persistence.Net
	if c.cfg.Cluster != nil {
		now, err := persistence.KeysFor(c.cfg.DataDir, keys)
		if err != nil {
			return err
		}
		c.ring.set(now)
		if members, err = c.gossip(ctx, now); err != nil {
			return err
		}
	}
	store, err := persistence.Open(persistence.Config{
		Net: members, Dir: c.cfg.DataDir, Name: c.cfg.Name, Incarnation: c.incarnation, Key: keys[0], Keys: keys[1:], Logger: c.log,
		KeepKey: c.keys.keep, KeysChanged: c.newKeys, DropKey: c.keys.drop,
		OutboxMaxAge: c.cfg.OutboxMaxAge, OutboxMaxBytes: c.cfg.OutboxMaxBytes, OutboxKeep: c.cfg.OutboxKeep, MinFree: c.cfg.DiskMinFree,
	})
	if err != nil {
		if c.starting != nil && c.starting.Err() != nil && ctx.Err() == nil {
			return context.Cause(c.starting)
		}
		return err
	}
	c.store, c.keys.store = store, store
	if c.membership != nil {
		if err := c.membership.Update(func(m *cluster.Member) { m.Fresh = false }); err != nil {
			c.log.Debug("gossip", "error", err)
		}
	}
	c.began("store", func(context.Context) error { return store.Close() })
	return nil
}

// messaging starts the embedded NATS server and the publisher. A NATS that cannot be reached stops nothing.
func (c *Conductor) messaging(ctx context.Context) error {
	link := notify.Link{URL: c.cfg.NATSURL, Name: "ferrite-" + c.cfg.Name, JetStream: c.cfg.NATSJetStream, Cluster: c.identity}
	if c.cfg.NATSURL == "" && c.cfg.NATSListen != "" {
		cfg, err := c.natsConfig()
		if err != nil {
			return err
		}
		s, err := embedded.Start(cfg)
		if err != nil {
			return err
		}
		c.nats = s
		c.ring.poke() // it may have changed since
		c.began("nats", func(context.Context) error { s.Shutdown(); return nil })
		if err := c.joinBus(); err != nil {
			return err
		}
		link.InProcess = s
	}
	if c.nats == nil && c.cfg.NATSURL == "" {
		return nil
	}
	bus, err := notify.Connect(link)
	if err != nil {
		return fmt.Errorf("nats_url: %w", err)
	}
	if err := again(ctx, func() error { return enter(ctx, c.store, natsCursor, 0) }); err != nil {
		return err
	}
	c.publisher = notify.New(notify.Config{Feed: feed{c.store, natsCursor}, Bus: bus, Logger: c.log, Cluster: c.identity})
	c.spawn("publisher", c.leading(c.publisher.Run))
	return nil
}

// spawn runs a loop that ends with its context.
func (c *Conductor) spawn(name string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := run(ctx); err != nil && ctx.Err() == nil {
			c.log.Error("a part of the conductor has stopped", "part", name, "error", err)
			c.failed <- fmt.Errorf("%s: %w", name, err)
		}
	}()
	c.began(name, func(down context.Context) error {
		cancel()
		select {
		case <-done:
			return nil
		case <-down.Done():
			return fmt.Errorf("%s did not end in time", name)
		}
	})
}

// act starts drivers and actors.
func (c *Conductor) act() error {
	cfg := c.cfg.IPMI
	if cfg.Logger == nil {
		cfg.Logger = c.log
	}
	if cfg.StartsFile == "" && c.cfg.DataDir != "" {
		cfg.StartsFile = filepath.Join(c.cfg.DataDir, "bmc-starts")
	}
	engine, err := ipmi.New(cfg)
	if err != nil {
		return fmt.Errorf("IPMI engine: %w", err)
	}
	c.engine, c.share = engine, engine.Share
	c.ration(c.placement.view.Load())
	c.began("bmc", engine.Close)
	c.drivers = map[string]*bmc.Driver{"ipmitool": engine.Driver(), "fake": fake.New(c.cfg.Fake), "noop": fake.Noop()}
	f := actors.New(actors.Config{
		Store: c.store, Drivers: c.drivers, Self: node.Owner{Name: c.cfg.Name, Incarnation: c.incarnation},
		Policy: c.cfg.Policy, Logger: c.log, LockRetry: c.cfg.LockRetry,
		Encoder: c.encoder(), SubnetTopic: c.cfg.subnetTopic(),
		SyncInterval: c.cfg.SyncInterval, RecoveryEvery: c.cfg.RecoveryEvery, MaxWaiting: c.cfg.MaxWaiting, History: c.cfg.History,
		Wanted: c.placement.mine, Groups: c.placement.groups, Members: c.placement.members, SubnetSettle: c.cfg.subnetSettle, Hints: c.cfg.PETListen != "",
	})
	c.fleet = f
	c.began("actors", func(context.Context) error { f.Close(); return nil })
	c.spawn("fleet", f.Run)
	c.spawn("rates", c.watchRates)
	if err := c.listenTraps(); err != nil {
		return err
	}
	c.endpoints = newEndpoints(c.store)
	c.spawn("endpoints", c.endpoints.run)
	c.began("operations", f.Drain)
	c.hop = &hop{fleet: f, place: c.placement, store: c.store, log: c.log}
	if c.membership != nil {
		c.spawn("keys", c.tellKeys)
		c.router = cluster.NewRouter(c.transport, c.hop.serve)
		c.hop.router = c.router
		c.began("hop", func(context.Context) error { return c.router.Close() })
		if c.relayed != nil {
			c.spawn("relayed traps", c.relayTraps)
		}
		c.spawn("gossip", c.attend)
	}
	return nil
}

// newIncarnation is random per process start (S1).
func newIncarnation() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return binary.BigEndian.Uint64(b[:])
}

// APIURL is where the API answers, without /v1.
func (c *Conductor) APIURL() string { return c.apiURL }

// NATSURL is where notifications can be subscribed to; "" = nowhere.
func (c *Conductor) NATSURL() string {
	if c.nats != nil {
		return c.nats.ClientURL()
	}
	return c.cfg.NATSURL
}

// Failed reports a part that stopped by itself; the caller should shut down.
func (c *Conductor) Failed() <-chan error { return c.failed }

// Fleet gives benches and tests the actors.
func (c *Conductor) Fleet() *actors.Fleet { return c.fleet }

// Store gives benches and tests the log.
func (c *Conductor) Store() persistence.Store { return c.store }

// Ready says why requests should not come here, nil = they may.
func (c *Conductor) Ready() error {
	if c.stopping.Load() {
		return errors.New("shutting down")
	}
	if quiet := time.Since(c.store.LeaderContact()); quiet > 2*time.Second { // S7
		return fmt.Errorf("no contact to the leader of the log for %s", quiet.Round(time.Second))
	}
	return nil
}

// fullDisk is what a conductor without room does not do.
const fullDisk = "the disk is nearly full: changes of this conductor's nodes are refused until there is room"

// Ails says what does not go on although requests are served: readers, and requests for the nodes of others, find all they need.
func (c *Conductor) Ails() string {
	if c.store.Stats().DiskLow {
		return fullDisk
	}
	return ""
}

// Shutdown ends the conductor as on SIGTERM: readyz turns red at once while requests are still served for ServeOn, then
// operations reach a safe point, BMC sessions close and the log is left in order.
func (c *Conductor) Shutdown(ctx context.Context) error {
	c.once.Do(func() {
		c.stopping.Store(true)
		c.handOver(ctx)
		if api := c.front.Load(); api != nil {
			api.Leave()
		}
		select {
		case <-time.After(c.cfg.ServeOn):
		case <-ctx.Done():
		}
		c.ended = c.unwind(ctx)
	})
	return c.ended
}

// unwind ends everything, last started first.
func (c *Conductor) unwind(ctx context.Context) error {
	var all []error
	for i := len(c.steps) - 1; i >= 0; i-- {
		if err := c.steps[i].end(ctx); err != nil {
			all = append(all, fmt.Errorf("ending %s: %w", c.steps[i].name, err))
		}
	}
	c.steps = nil
	return errors.Join(all...)
}

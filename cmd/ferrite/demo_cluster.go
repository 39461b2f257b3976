// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"ferrite/client"
	"ferrite/conductor"
)

// demoMost is how many conductors a demo may have.
const demoMost = 5

// demoReady is how long the conductors may take to become one cluster.
const demoReady = 2 * time.Minute

// demoCluster is the conductors of a demo, each a process of its own.
type demoCluster struct {
	d       *demo
	members []*demoMember
	threads chan func()     // see launcher
	life    context.Context // of the demo
	failed  chan error      // a conductor has ended by itself

	mu       sync.Mutex // guards below
	ending   bool
	takeover string // what the last one took
}

// startCluster starts the conductors and waits until they are one cluster.
func (d *demo) startCluster(ctx context.Context) error {
	key := filepath.Join(d.dir, "cluster.key")
	if err := os.WriteFile(key, []byte(conductor.NewKey()+"\n"), 0o600); err != nil {
		return fmt.Errorf("the cluster key: %w", err)
	}
	c := &demoCluster{d: d, life: ctx, threads: make(chan func()), failed: make(chan error, demoMost)}
	d.cluster = c
	clean := func() { c.end(); d.keys.restore(); _ = os.RemoveAll(d.dir) }
	atOnce.Store(&clean)
	var ports quietPorts
	var inner, gossip []string
	for i := range 4 * d.o.conductors {
		at, err := ports.next("127.0.0.1")
		if err != nil {
			return err
		}
		if inner = append(inner, at); i%4 == 0 {
			gossip = append(gossip, at)
		}
	}
	api, nats := d.o.api, d.o.nats
	for i := range d.o.conductors {
		m := &demoMember{name: fmt.Sprintf("c%d", i+1), cluster: c}
		var err error
		if m.api, err = d.free("the API of "+m.name, "api-listen", api, listenTCP); err == nil {
			m.nats, err = d.free("NATS of "+m.name, "nats-listen", nats, listenTCP)
		}
		if err != nil {
			return err
		}
		for _, at := range []*string{&m.api, &m.nats} { // port 0 becomes a number: a conductor that is started again is where it was
			if host, port, _ := net.SplitHostPort(*at); port == "0" {
				if *at, err = ports.next(host); err != nil {
					return err
				}
			}
		}
		api, nats = above(m.api), above(m.nats)
		if _, port, _ := net.SplitHostPort(d.o.api); port == "0" {
			api = d.o.api
		}
		if _, port, _ := net.SplitHostPort(d.o.nats); port == "0" {
			nats = d.o.nats
		}
		m.args = []string{
			"serve", "--name", m.name, "--data-dir", filepath.Join(d.dir, m.name), "--cluster-key-file", key,
			"--gossip-listen", inner[4*i], "--raft-listen", inner[4*i+1], "--remote-listen", inner[4*i+2], "--nats-routes-listen", inner[4*i+3],
			"--join", strings.Join(gossip, ","), "--bootstrap-expect", strconv.Itoa(d.o.conductors), "--api-listen", m.api, "--nats-listen", m.nats,
			"--notification-level", "info", "--sync-power-state-interval", d.o.sync.String(), fmt.Sprintf("--force-power-state-during-sync=%t", d.o.force),
			"--log-format", "json", "--ipmi-subnet-rate", "0",
		}
		c.members = append(c.members, m)
	}
	go launcher(c.threads)
	for _, m := range c.members {
		if err := m.start(); err != nil {
			return err
		}
	}
	ready, cancel := context.WithTimeout(ctx, demoReady)
	defer cancel()
	return c.together(ready)
}

// above is the address with the next port.
func above(address string) string {
	host, port, _ := net.SplitHostPort(address)
	n, _ := strconv.Atoi(port)
	return net.JoinHostPort(host, strconv.Itoa(n+1))
}

// together waits until every conductor is a member, and as many vote as shall.
func (c *demoCluster) together(ctx context.Context) error {
	for {
		s := c.status(ctx)
		if s != nil && s.Quorum && len(s.Members) == len(c.members) {
			alive, joining := 0, 0
			for _, m := range s.Members {
				if m.State == "alive" {
					alive++
				}
				if m.Role == "joining" {
					joining++
				}
			}
			if alive == len(c.members) && joining == 0 && (s.Survives > 0 || len(c.members) < 3) {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the conductors did not become one cluster within %s: %w", demoReady, ctx.Err())
		case err := <-c.failed:
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// status asks the conductors in turn, until one answers; nil = none does.
func (c *demoCluster) status(ctx context.Context) *client.Cluster {
	for _, m := range c.living() {
		if s, err := m.ask(ctx); err == nil {
			return s
		}
	}
	return nil
}

func (c *demoCluster) living() (out []*demoMember) {
	for _, m := range c.members {
		if m.alive() {
			out = append(out, m)
		}
	}
	return out
}

func (c *demoCluster) find(name string) *demoMember {
	for _, m := range c.members {
		if m.name == name {
			return m
		}
	}
	return nil
}

// kill kills one by SIGKILL, "" = the one that leads the log, and measures what becomes of its nodes.
func (c *demoCluster) kill(ctx context.Context, name string) {
	s := c.status(ctx)
	if name == "" && s != nil {
		name = s.Leader
	}
	m, living := c.find(name), c.living()
	if m == nil || !m.alive() {
		if len(living) == 0 {
			c.d.say("Nobody to kill: no conductor runs.")
			return
		}
		m = living[0] // nobody leads just now
		name = m.name
	}
	nodes, whom := 0, name
	if s != nil {
		x, _ := s.Member(name)
		nodes, whom = x.Nodes, presented(x)
	}
	began := time.Now()
	m.kill()
	c.d.say("%s %s (process %d, SIGKILL)", c.d.colour.paint(red, "Killed"), whom, m.pid)
	if left := len(c.living()); left <= len(c.members)/2 {
		c.d.say("  %d of %d are left: no quorum, so changes are refused and nothing is taken over until one is back", left, len(c.members))
	}
	go c.measure(ctx, m, nodes, began)
}

// presented is who a conductor is: "c1, the log's leader, with 11 nodes".
func presented(m client.Member) string {
	if m.Role == "leader" {
		return fmt.Sprintf("%s, the log's leader, with %s", m.Name, count(m.Nodes, "node"))
	}
	return fmt.Sprintf("%s with %s", m.Name, count(m.Nodes, "node"))
}

// measure waits until the others look after all nodes.
func (c *demoCluster) measure(ctx context.Context, dead *demoMember, nodes int, began time.Time) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var noticed time.Duration
	for ctx.Err() == nil && !dead.alive() {
		gone, active, total := true, 0, -1
		for _, m := range c.living() {
			s, err := m.ask(ctx)
			if err != nil {
				gone = false
				break
			}
			x, ok := s.Member(dead.name)
			gone = gone && (!ok || x.State == client.StateGone) && s.Quorum
			active, total = active+s.Here.Active, s.Nodes
		}
		if gone && total >= 0 && noticed == 0 {
			noticed = time.Since(began)
		}
		if gone && active == total {
			took, what := time.Since(began), count(nodes, "node")
			if nodes < 0 {
				what = "nodes"
			}
			c.d.say("%s: noticed that %s is gone after %.2f s, its %s looked after again after %.2f s", c.d.colour.paint(green, "Taken over"), dead.name, noticed.Seconds(), what, took.Seconds())
			c.mu.Lock()
			c.takeover = fmt.Sprintf("%s of %s in %.2f s", what, dead.name, took.Seconds())
			c.mu.Unlock()
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// struck is told of a conductor that somebody else has killed.
func (c *demoCluster) struck(m *demoMember) {
	c.mu.Lock()
	ending := c.ending
	c.mu.Unlock()
	if ending {
		return
	}
	c.d.say("%s %s (process %d), by a signal from elsewhere", c.d.colour.paint(red, "Killed"), m.name, m.pid)
	go c.measure(c.life, m, -1, time.Now())
}

// restart starts one again that was killed, "" = all of them.
func (c *demoCluster) restart(name string) {
	none := true
	for _, m := range c.members {
		if m.alive() || name != "" && m.name != name {
			continue
		}
		none = false
		if err := m.start(); err != nil {
			c.d.say("%s does not start: %v", m.name, err)
			continue
		}
		c.d.say("%s %s (process %d); it catches up and gets its nodes back", c.d.colour.paint(green, "Started"), m.name, m.pid)
	}
	if none {
		c.d.say("Nobody to start: all conductors run.")
	}
}

// end kills all of them: nothing is kept.
func (c *demoCluster) end() {
	c.mu.Lock()
	c.ending = true
	c.mu.Unlock()
	for _, m := range c.members {
		m.kill()
	}
}

// ended is told of a conductor's end that nobody asked for.
func (c *demoCluster) ended(m *demoMember, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending {
		return
	}
	if err == nil {
		err = errors.New("it ended without an error")
	}
	select {
	case c.failed <- fmt.Errorf("conductor %s has ended by itself: %w; its last line was: %s", m.name, err, plain(m.last())):
	default:
	}
}

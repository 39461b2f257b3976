// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"ferrite/internal/udpbatch"
)

// Fleet is the simulated BMCs behind one socket.
type Fleet struct {
	cfg     Config
	conn    *udpbatch.Conn
	bmcs    []BMC
	control net.Listener
	server  *http.Server
	rnd     *rand.Rand // owned by the goroutine that answers
	late    delays
	stats   stats
	once    sync.Once
}

type stats struct {
	in, out, commands, repeats, auth, drops atomic.Uint64
}

// Stats are a fleet's counters since its start.
type Stats struct {
	PacketsIn, PacketsOut uint64
	Commands              uint64 // inside sessions
	Repeats               uint64 // of these, requests sent again, answered and not executed
	AuthFailures          uint64
	Drops                 uint64 // lost on purpose, malformed, or for nobody
}

// New binds the socket (and the control API); Run answers.
func New(cfg Config) (*Fleet, error) {
	if cfg.Sessions == 0 {
		cfg.Sessions = 4
	}
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("sim: %w", err)
	}
	conn, err := udpbatch.Listen(cfg.Listen, udpbatch.Options{PktInfo: true, Buffer: 16 << 20})
	if err != nil {
		return nil, fmt.Errorf("sim: listening for IPMI on UDP %s: %w; stop what holds the port or choose another with --listen", cfg.Listen, err)
	}
	f := &Fleet{cfg: cfg, conn: conn, bmcs: make([]BMC, cfg.BMCs), rnd: rand.New(rand.NewSource(cfg.Seed))} //nolint:gosec // simulation
	f.late.wake = make(chan struct{}, 1)
	for i := range f.bmcs {
		f.bmcs[i].f, f.bmcs[i].index = f, i
	}
	for _, i := range rand.New(rand.NewSource(cfg.Seed)).Perm(cfg.BMCs)[:int(cfg.Dead*float64(cfg.BMCs)+0.5)] { //nolint:gosec // simulation
		f.bmcs[i].dead = true
	}
	f.spread(cfg.Faults, cfg.Seed)
	if cfg.Control != "" {
		ln, err := net.Listen("tcp", cfg.Control)
		if err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("sim: control API on %s: %w", cfg.Control, err)
		}
		f.control = ln
		f.server = &http.Server{Handler: f.handler(), ReadHeaderTimeout: 5 * time.Second}
	}
	return f, nil
}

// Addr is where BMC i answers.
func (f *Fleet) Addr(i int) netip.AddrPort {
	return netip.AddrPortFrom(add(f.cfg.AddressBase, i), f.conn.LocalAddr().Port())
}

// ControlAddr is where the control API answers, "" = nowhere.
func (f *Fleet) ControlAddr() string {
	if f.control == nil {
		return ""
	}
	return f.control.Addr().String()
}

// BMC is the handle of BMC i.
func (f *Fleet) BMC(i int) *BMC { return &f.bmcs[i] }

// Len is how many BMCs there are.
func (f *Fleet) Len() int { return len(f.bmcs) }

// Sessions counts the live sessions of all BMCs.
func (f *Fleet) Sessions() int {
	n := 0
	for i := range f.bmcs {
		n += f.bmcs[i].Sessions()
	}
	return n
}

// Stats reads the counters.
func (f *Fleet) Stats() Stats {
	s := &f.stats
	return Stats{PacketsIn: s.in.Load(), PacketsOut: s.out.Load(), Commands: s.commands.Load(), Repeats: s.repeats.Load(), AuthFailures: s.auth.Load(), Drops: s.drops.Load()}
}

// Run answers until ctx ends or Close is called.
func (f *Fleet) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer f.Close()
	stop := context.AfterFunc(ctx, f.Close)
	defer stop()
	if f.server != nil {
		wg.Go(func() { _ = f.server.Serve(f.control) })
	}
	ended := make(chan struct{})
	defer close(ended)
	wg.Go(func() { f.sendLate(ended) })
	in, out := udpbatch.NewBatch(64), udpbatch.NewBatch(64)
	for {
		n, err := f.conn.Recv(in)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("sim: receiving: %w", err)
		}
		f.stats.in.Add(uint64(n)) //nolint:gosec // a count
		k := 0
		for i := range n {
			k += f.receive(&in.Msgs[i], &out.Msgs[k])
		}
		if k > 0 {
			f.stats.out.Add(uint64(k)) //nolint:gosec // a count
			if err := f.conn.Send(out, k); err != nil {
				return nil // closed
			}
		}
	}
}

// Close ends the fleet; Run returns.
func (f *Fleet) Close() {
	f.once.Do(func() {
		_ = f.conn.Close()
		if f.server != nil {
			_ = f.server.Close()
			_ = f.control.Close() // the server knows it only once it serves
		}
	})
}

// receive answers one datagram into out; it returns 1 when out is to be sent at once.
func (f *Fleet) receive(in, out *udpbatch.Msg) int {
	b := f.find(in.Local)
	if b == nil || f.lost() {
		f.stats.drops.Add(1)
		return 0
	}
	b.mu.Lock()
	fault := b.fault
	if b.dead || fault == Lossy && f.rnd.Float64() < lossyShare {
		b.mu.Unlock()
		return 0
	}
	n := b.answer(in.Peer, in.Data(), out.Buf())
	delay := f.cfg.Latency
	if b.latency != nil {
		delay = *b.latency
	}
	b.mu.Unlock()
	if n == 0 {
		f.stats.drops.Add(1)
		return 0
	}
	if f.lost() {
		f.stats.drops.Add(1)
		return 0
	}
	out.Peer, out.Local = in.Peer, in.Local
	out.Len(n)
	if fault != "" {
		var send bool
		if delay, send = f.spoil(fault, out, delay); !send {
			f.stats.drops.Add(1)
			return 0
		}
	}
	if delay > 0 {
		if f.cfg.Jitter > 0 {
			delay += time.Duration(float64(delay) * f.cfg.Jitter * (2*f.rnd.Float64() - 1))
		}
		f.late.add(time.Now().Add(delay), out)
		return 0
	}
	return 1
}

// find is the BMC that a datagram is for, nil = none of ours.
func (f *Fleet) find(to netip.Addr) *BMC {
	if !to.Is4() || !to.IsLoopback() {
		return nil
	}
	i := int(number(to)) - int(number(f.cfg.AddressBase))
	if i < 0 || i >= len(f.bmcs) {
		return nil
	}
	return &f.bmcs[i]
}

func (f *Fleet) lost() bool { return f.cfg.Loss > 0 && f.rnd.Float64() < f.cfg.Loss }

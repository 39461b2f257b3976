// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"ferrite/bmc"
	"ferrite/bmc/ipmi"
	"ferrite/conductor"
	"ferrite/internal/udpbatch"
	"ferrite/node"
	"ferrite/sim"
)

// syncBase is the address of BMC 0.
var syncBase = netip.AddrFrom4([4]byte{127, 1, 0, 1})

func bmcAddress(i int) netip.Addr {
	b := syncBase.As4()
	n := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	n += uint32(i) //nolint:gosec // small
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

func driverInfo(i, port int) map[string]any {
	return map[string]any{
		"ipmi_address": bmcAddress(i).String(), "ipmi_port": float64(port), "ipmi_username": "admin", "ipmi_password": "password",
	}
}

// simWorker is the BMCs.
type simWorker struct{ f *sim.Fleet }

func newSimWorker(ctx context.Context, s setup) (role, error) {
	cfg := sim.Defaults()
	cfg.BMCs, cfg.Listen, cfg.AddressBase, cfg.Sessions, cfg.Dead = s.BMCs, fmt.Sprintf("0.0.0.0:%d", s.Port), syncBase, s.Sessions, s.Dead
	f, err := sim.New(cfg)
	if err != nil {
		return nil, err
	}
	go func() { _ = f.Run(ctx) }()
	return simWorker{f}, nil
}

func (w simWorker) do(context.Context, request) (reply, error) {
	return reply{Count: w.f.Sessions()}, nil
}
func (w simWorker) close() { w.f.Close() }

// conductorWorker is a lone conductor that owns all BMCs.
type conductorWorker struct {
	c    *conductor.Conductor
	n    int
	base int64 // anonymous memory before there was anything
}

func newConductorWorker(ctx context.Context, s setup) (role, error) {
	w := &conductorWorker{n: s.BMCs, base: memory().RSS}
	var err error
	cc := conductor.Defaults()
	cc.Name, cc.DataDir, cc.APIListen, cc.NATSListen, cc.Logger = "bench", s.Dir, "127.0.0.1:0", "", quiet()
	cc.ServeOn = 0
	pace(&cc.IPMI, s)
	if cc.SyncInterval = s.Interval; s.Interval == 0 {
		cc.SyncInterval = time.Hour // rounds are run by hand
	}
	if s.PerPoll {
		cc.IPMI.SessionIdle = time.Nanosecond
	}
	if w.c, err = conductor.Start(ctx, cc); err != nil {
		return nil, err
	}
	err = w.c.Seed(ctx, s.BMCs, func(i int) (string, map[string]any) { return fmt.Sprintf("n%06d", i), driverInfo(i, s.Port) })
	if err == nil {
		err = await(ctx, 3*time.Minute, func() bool { return w.c.Activated() >= w.n })
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// pace takes the rates away that spare real BMCs, unless they are wanted.
func pace(cfg *ipmi.Config, s setup) {
	if !s.Paced {
		cfg.Handshakes, cfg.Rate, cfg.SubnetRate = 0, 0, 0
	}
}

// await polls a condition.
func await(ctx context.Context, most time.Duration, ok func() bool) error {
	for end := time.Now().Add(most); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) || ctx.Err() != nil {
			return fmt.Errorf("it did not come about within %s", most)
		}
	}
	return nil
}

func (w *conductorWorker) close() {
	down, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_ = w.c.Shutdown(down)
}

func (w *conductorWorker) do(ctx context.Context, q request) (reply, error) {
	switch q.Do {
	case "settle": // until every BMC answers: the first round opens the sessions
		return w.settle(ctx, q)
	case "round": // q.N of them
		return w.round(ctx, q)
	case "grown": // memory since before there was anything
		m := memory()
		m.RSS -= w.base
		return m, nil
	case "ages": // of what was confirmed
		var a reply
		w.c.Fleet().Sweep().Ages(time.Now(), func(d time.Duration) { a.Values = append(a.Values, d.Seconds()) })
		return a, nil
	case "cpu":
		return reply{Sample: sample{CPU: float64(cpuTime().Microseconds())}, Lost: w.c.SweepFigures().Failures, Writes: w.c.SweepFigures().Polls}, nil
	}
	return reply{}, fmt.Errorf("a conductor cannot %q", q.Do)
}

func (w *conductorWorker) settle(ctx context.Context, q request) (reply, error) {
	s, err := measure(w.n, func() error {
		for range 5 {
			before := w.c.SweepFigures()
			w.c.Round(ctx, q.Window)
			after := w.c.SweepFigures()
			if after.Failures == before.Failures && after.Matches-before.Matches == uint64(w.n) { //nolint:gosec // a count
				return nil
			}
		}
		return errors.New("the fleet never settled: BMCs kept failing; look at the simulator")
	})
	return reply{Sample: s}, err
}

func (w *conductorWorker) round(ctx context.Context, q request) (reply, error) {
	before := w.c.SweepFigures()
	s, err := measure(w.n*q.N, func() error {
		for range q.N {
			// The conductor's own sweep (once an hour here) may be asking a few at this moment.
			if asked := w.c.Round(ctx, q.Window); asked < w.n-w.n/100 {
				return fmt.Errorf("a round asked %d BMCs, wanted %d", asked, w.n)
			}
		}
		return ctx.Err()
	})
	after := w.c.SweepFigures()
	a := reply{Sample: s, Lost: after.Failures - before.Failures, Writes: after.Transactions - before.Transactions}
	if err == nil && a.Lost > 0 {
		err = fmt.Errorf("%d readings were not answered: the figures would be wrong", a.Lost)
	}
	return a, err
}

// engineWorker is the IPMI engine alone.
type engineWorker struct {
	e      *ipmi.Engine
	all    []bmc.Handle
	base   int64
	flying atomic.Int64
	failed atomic.Uint64
	wake   chan struct{}
	least  atomic.Int64
}

func newEngineWorker(_ context.Context, s setup) (role, error) {
	w := &engineWorker{wake: make(chan struct{}, 1), base: memory().RSS}
	cfg := ipmi.Defaults()
	cfg.Logger, cfg.Portable = quiet(), s.Portable
	pace(&cfg, s)
	if s.PerPoll {
		cfg.SessionIdle = time.Nanosecond
	}
	var err error
	if w.e, err = ipmi.New(cfg); err != nil {
		return nil, err
	}
	for i := range s.BMCs {
		h, err := w.e.Driver().Poller.Prepare(&node.Node{UUID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i), DriverInfo: driverInfo(i, s.Port)})
		if err != nil {
			return nil, err
		}
		w.all = append(w.all, h)
	}
	return w, nil
}

// PowerPolled implements bmc.Sink.
func (w *engineWorker) PowerPolled(_ node.PowerState, err error) {
	if err != nil {
		w.failed.Add(1)
	}
	if w.flying.Add(-1) == w.least.Load() {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// landing waits until at most so many readings are under way.
func (w *engineWorker) landing(most int64) {
	w.least.Store(most)
	for w.flying.Load() > most {
		<-w.wake
	}
	w.least.Store(-1)
}

func (w *engineWorker) do(_ context.Context, q request) (reply, error) {
	if q.Do == "grown" {
		m := memory()
		m.RSS -= w.base
		return m, nil
	}
	failed := w.failed.Load()
	s, err := measure(len(w.all)*q.N, func() error {
		for range q.N {
			for _, h := range w.all {
				if w.flying.Add(1) > q.Window {
					w.landing(q.Window / 2)
				}
				h.Poll(w)
			}
			w.landing(0)
		}
		return nil
	})
	if lost := w.failed.Load() - failed; lost > 0 {
		err = fmt.Errorf("%d readings were not answered: the figures would be wrong", lost)
	}
	return reply{Sample: s}, err
}

func (w *engineWorker) close() {
	down, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = w.e.Close(down)
}

// echoWorker is the raw limit's own side.
type echoWorker struct {
	c       *udpbatch.Conn
	n, port int
}

func newEchoWorker(_ context.Context, s setup) (role, error) {
	c, err := udpbatch.Listen("0.0.0.0:0", udpbatch.Options{Buffer: 16 << 20})
	return echoWorker{c, s.BMCs, s.Port}, err
}

func (w echoWorker) do(_ context.Context, q request) (reply, error) {
	s, err := measure(w.n*q.N, func() error {
		for range q.N {
			if _, err := echoRound(w.c, syncBase, uint16(w.port), w.n, int(q.Window)); err != nil { //nolint:gosec // a port
				return err
			}
		}
		return nil
	})
	return reply{Sample: s}, err
}
func (w echoWorker) close() { _ = w.c.Close() }

// echoServer is its other side.
type echoServer struct{ c *udpbatch.Conn }

func newEchoServer(_ context.Context, s setup) (role, error) {
	c, err := EchoServer(fmt.Sprintf("0.0.0.0:%d", s.Port))
	return echoServer{c}, err
}
func (echoServer) do(context.Context, request) (reply, error) { return reply{}, nil }
func (w echoServer) close()                                   { _ = w.c.Close() }

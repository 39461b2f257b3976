// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"ferrite/bmc"
	"ferrite/bmc/bmctest"
	"ferrite/node"
	"ferrite/sim"
)

// quick is a configuration whose waits fit a test.
func quick() Config {
	c := Defaults()
	c.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	c.Timeouts = []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond}
	c.MinCommandInterval, c.BusyDelay = 0, 10*time.Millisecond
	c.Rate, c.SubnetRate = 0, 0
	return c
}

// patient is a configuration for many BMCs at once that all answer, in time even on a busy machine.
func patient() Config {
	c := quick()
	c.Timeouts = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}
	return c
}

func engine(t testing.TB, cfg Config) *Engine {
	t.Helper()
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if n := e.Stats().Panics; n > 0 {
			t.Errorf("the engine panicked %d times", n)
		}
	})
	return e
}

func fleet(t testing.TB, change func(*sim.Config)) *sim.Fleet {
	t.Helper()
	cfg := sim.Defaults()
	cfg.BMCs, cfg.Listen = 4, "0.0.0.0:0"
	if change != nil {
		change(&cfg)
	}
	f, err := sim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- f.Run(context.Background()) }()
	t.Cleanup(func() {
		f.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return f
}

// at is a node behind a BMC.
func at(a netip.AddrPort, more ...any) *node.Node {
	info := map[string]any{"ipmi_address": a.Addr().String(), "ipmi_port": int(a.Port()), "ipmi_username": "admin", "ipmi_password": "password"}
	for i := 0; i < len(more); i += 2 {
		info[more[i].(string)] = more[i+1]
	}
	return &node.Node{UUID: "1be26c0b-03f2-4d2e-ae87-c02d7f33c123", Driver: "ipmi", DriverInfo: info}
}

// mutations counts the mutating commands that a simulated BMC has executed.
func mutations(b *sim.BMC) int {
	n := 0
	for _, c := range b.Commands() {
		if c.NetFn == netChassis && (c.Cmd == cmdChassisControl || c.Cmd == cmdSetBootOptions) {
			n++
		}
	}
	return n
}

func TestConformance(t *testing.T) {
	for _, suite := range []int{0, 3, 17} {
		bmctest.Run(t, func(t *testing.T) bmctest.Harness {
			f, e := fleet(t, nil), engine(t, quick())
			b := f.BMC(0)
			n := at(f.Addr(0))
			if suite != 0 {
				n.DriverInfo["ipmi_cipher_suite"] = suite
			}
			bad := at(f.Addr(0), "ipmi_priv_level", "administrator")
			return bmctest.Harness{
				Driver: e.Driver(), Node: n, Bad: bad, On: b.Power, SetOn: b.SetPower,
				Mutations: func() int { return mutations(b) }, Silence: func() { b.SetDead(true) },
			}
		})
	}
}

// counter is a sink that counts.
type counter struct {
	on, off, failed atomic.Int64
	want            int64
	done            chan struct{}
}

func (c *counter) PowerPolled(s node.PowerState, err error) {
	switch {
	case err != nil:
		c.failed.Add(1)
	case s == node.PowerOn:
		c.on.Add(1)
	default:
		c.off.Add(1)
	}
	if c.on.Load()+c.off.Load()+c.failed.Load() == c.want {
		close(c.done)
	}
}

func sweep(t testing.TB, handles []bmc.Handle) *counter {
	c := &counter{want: int64(len(handles)), done: make(chan struct{})}
	for _, h := range handles {
		h.Poll(c)
	}
	select {
	case <-c.done:
	case <-time.After(60 * time.Second):
		t.Fatalf("a sweep did not end: %d on, %d off, %d failed of %d", c.on.Load(), c.off.Load(), c.failed.Load(), c.want)
	}
	return c
}

func handles(t testing.TB, e *Engine, f *sim.Fleet) []bmc.Handle {
	out := make([]bmc.Handle, f.Len())
	for i := range out {
		h, err := e.Driver().Poller.Prepare(at(f.Addr(i)))
		if err != nil {
			t.Fatal(err)
		}
		out[i] = h
	}
	return out
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"ferrite/bmc"
	"ferrite/node"
	"ferrite/persistence"
)

// managed is a machine whose BMC itself can be commanded and looked at.
type managed struct {
	*machine
	calls []string      // guarded by mu
	looks int           // guarded by mu
	view  chan struct{} // nil = open; a look waits for it
	fail  error         // of the next commands
}

func (m *managed) do(ctx context.Context, what string, p bmc.Permit) error {
	if err := m.pass(ctx, p); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = append(m.calls, what)
	return m.fail
}

func (m *managed) ResetBMC(ctx context.Context, _ *node.Node, cold bool, p bmc.Permit) error {
	return m.do(ctx, fmt.Sprintf("reset cold=%v", cold), p)
}

func (m *managed) Identify(ctx context.Context, _ *node.Node, span time.Duration, p bmc.Permit) error {
	return m.do(ctx, "light "+span.String(), p)
}

func (m *managed) ClearEvents(ctx context.Context, _ *node.Node, p bmc.Permit) error {
	return m.do(ctx, "clear", p)
}

func (m *managed) SendRaw(ctx context.Context, _ *node.Node, request []byte, p bmc.Permit) ([]byte, error) {
	return []byte{1}, m.do(ctx, fmt.Sprintf("raw %x", request), p)
}

func (m *managed) Sensors(ctx context.Context, n *node.Node) ([]bmc.Sensor, error) {
	m.mu.Lock()
	m.looks++
	view := m.view
	m.mu.Unlock()
	if n.DriverInfo["broken"] != nil {
		panic("our own code is broken")
	}
	if view != nil {
		select {
		case <-view:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return []bmc.Sensor{{ID: "Temp (0x1)"}}, nil
}

func (m *managed) Events(_ context.Context, _ *node.Node, limit int) ([]bmc.Event, error) {
	return []bmc.Event{{ID: uint16(limit)}}, nil //nolint:gosec // a test's
}

func (m *managed) sent() string { m.mu.Lock(); defer m.mu.Unlock(); return strings.Join(m.calls, ", ") }
func (m *managed) seen() int    { m.mu.Lock(); defer m.mu.Unlock(); return m.looks }

func newManaged(t *testing.T) (*world, *managed) {
	t.Helper()
	m := &managed{}
	w := &world{t: t, store: persistence.NewMemory(persistence.MemoryOptions{}), m: &machine{power: node.PowerOff}}
	m.machine = w.m
	w.start(self(), func(c *Config) {
		d := w.m.driver()
		d.Manager, d.Sensors, d.Events = m, m, m
		c.Drivers["ipmitool"] = d
	})
	t.Cleanup(func() { w.end(); _ = w.store.Close() })
	return w, m
}

// TestVendorMethodsRunOnce: answered at once, run under an intent, and never a second time (S12).
func TestVendorMethodsRunOnce(t *testing.T) {
	w, m := newManaged(t)
	id := w.create(nil)
	gate := make(chan struct{})
	w.m.set(func() { w.m.gate = gate })
	w.must(id, node.CallVendor{Method: node.VerbResetBMC, Cold: true})
	n := w.wait(id, "an open intent", func(n *node.Node) bool { return n.Intent != nil })
	if n.Intent.Class != node.Once || n.Reservation() != "c1" {
		t.Errorf("the intent is %+v: wanted class once", n.Intent)
	}
	if _, err := w.do(id, node.SetPower{Target: node.PowerOn}); !isLocked(err) { // S8
		t.Errorf("power under a reset gave %v: wanted NodeLocked", err)
	}
	close(gate)
	w.wait(id, "its end", idle)
	w.must(id, node.CallVendor{Method: node.VerbRaw, Raw: []byte{6, 1}})
	w.wait(id, "its end", idle)
	if got := m.sent(); got != "reset cold=true, raw 0601" {
		t.Errorf("sent %q", got)
	}
	// A lost answer is an error that is kept, not another try.
	m.set(func() { m.fail = &bmc.Error{Command: "bmc reset warm", Unknown: true, Err: errors.New("no answer")} })
	w.must(id, node.CallVendor{Method: node.VerbResetBMC})
	n = w.wait(id, "its end", idle)
	if !strings.HasPrefix(n.LastError, "Async execution of bmc_reset failed with error: outcome unknown, it is not sent again: IPMI call failed: bmc reset warm.") {
		t.Errorf("last_error is %q", n.LastError)
	}
	if got := m.sent(); got != "reset cold=true, raw 0601, reset cold=false" {
		t.Errorf("sent %q", got)
	}
}

// TestClearEvents: answered when the log is empty, and never sent twice (S12).
func TestClearEvents(t *testing.T) {
	w, m := newManaged(t)
	id := w.create(nil)
	w.must(id, node.ClearEvents{})
	if got := m.sent(); got != "clear" {
		t.Errorf("sent %q before the answer", got)
	}
	m.set(func() { m.fail = &bmc.Error{Command: "sel clear", Unknown: true, Err: errors.New("no answer")} })
	_, err := w.do(id, node.ClearEvents{})
	if err == nil || !strings.Contains(err.Error(), "outcome unknown, it is not sent again") {
		t.Errorf("a lost answer gave %v", err)
	}
	w.wait(id, "its end", idle)
	if got := m.sent(); got != "clear, clear" {
		t.Errorf("sent %q", got)
	}
}

func TestIdentifyWaitsForTheBMC(t *testing.T) {
	w, m := newManaged(t)
	id := w.create(nil)
	w.must(id, node.Identify{Span: -1})
	if got := m.sent(); got != "light -1ns" {
		t.Errorf("sent %q before the answer", got)
	}
	m.set(func() { m.fail = &bmc.Error{Command: "chassis identify", Err: errors.New("refused")} })
	if _, err := w.do(id, node.Identify{Span: time.Second}); err == nil || !strings.Contains(err.Error(), "chassis identify") {
		t.Errorf("a refused light gave %v", err)
	}
	if n := w.wait(id, "its end", idle); n.LastError != "" {
		t.Errorf("the node keeps %q: its requester was told", n.LastError)
	}
	fake := w.create(func(n *node.Node) { n.Driver = "fake-hardware" })
	var e *node.Error
	if _, err := w.do(fake, node.Identify{}); !errors.As(err, &e) || e.Kind != node.Unsupported {
		t.Errorf("a fake node gave %v", err)
	}
}

// TestLooks: sensors are read beside an operation, once for all who ask at a time, and what fails is an error.
func TestLooks(t *testing.T) {
	w, m := newManaged(t)
	id := w.create(nil)
	gate, view := make(chan struct{}), make(chan struct{})
	m.set(func() { m.gate, m.view = gate, view })
	w.must(id, node.SetPower{Target: node.PowerOn}) // under way until the gate opens
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			v, err := w.do(id, node.GetSensors{})
			if s, ok := v.(node.Sensors); err != nil || !ok || len(s.All) != 1 {
				t.Errorf("sensors beside an operation: %+v, %v", v, err)
			}
		})
	}
	for end := time.Now().Add(20 * time.Second); m.seen() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nobody looked")
		}
	}
	if v, err := w.do(id, node.GetEvents{Limit: 7}); err != nil || v.(node.Events).All[0].ID != 7 {
		t.Errorf("events: %+v, %v", v, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for range 5 { // each joins the look under way, and gives up
		if _, err := w.f.Do(ctx, id, node.Meta{}, node.GetSensors{}); err == nil {
			t.Error("who has given up was answered")
		}
	}
	if n := m.seen(); n != 1 {
		t.Errorf("%d looks at a time: wanted one for all who ask", n)
	}
	close(view)
	all.Wait()
	close(gate)
	w.wait(id, "its end", idle)

	broken := w.create(func(n *node.Node) { n.DriverInfo["broken"] = true })
	if _, err := w.do(broken, node.GetSensors{}); err == nil || !strings.Contains(err.Error(), "internal error") {
		t.Errorf("our own failure gave %v", err)
	}
	bad := w.create(func(n *node.Node) { n.DriverInfo["bad"] = true })
	var e *node.Error
	if _, err := w.do(bad, node.GetSensors{}); !errors.As(err, &e) || e.Kind != node.Invalid {
		t.Errorf("bad driver_info gave %v", err)
	}
	fake := w.create(func(n *node.Node) { n.Driver = "fake-hardware" })
	for _, m := range []node.Msg{node.GetSensors{}, node.GetEvents{}} {
		if _, err := w.do(fake, m); !errors.As(err, &e) || e.Kind != node.Unsupported {
			t.Errorf("%s of a node whose driver has none gave %v", m.MsgName(), err)
		}
	}
	if _, err := w.do("00000000-0000-4000-8000-000000000000", node.GetSensors{}); !errors.As(err, &e) || e.Kind != node.NotFound {
		t.Errorf("sensors of no node gave %v", err)
	}
}

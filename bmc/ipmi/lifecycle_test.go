// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ferrite/bmc"
	"ferrite/bmc/bmctest"
	"ferrite/node"
	"ferrite/sim"
)

// chanSink is a sink for polls one after another.
type chanSink chan error

func (c chanSink) PowerPolled(_ node.PowerState, err error) { c <- err }

func pollOnce(t *testing.T, h bmc.Handle) error {
	t.Helper()
	c := make(chanSink, 1)
	h.Poll(c)
	select {
	case err := <-c:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("a poll was never answered")
		return nil
	}
}

func prepare(t *testing.T, e *Engine, n *node.Node) bmc.Handle {
	t.Helper()
	h, err := e.Driver().Poller.Prepare(n)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestCloseEndsAllSessions(t *testing.T) {
	f := fleet(t, func(c *sim.Config) { c.BMCs = 200 })
	e := engine(t, patient())
	if c := sweep(t, handles(t, e, f)); c.off.Load() != 200 {
		t.Fatalf("%d of 200 BMCs answered", c.off.Load())
	}
	if f.Sessions() != 200 || e.Stats().Sessions != 200 {
		t.Fatalf("the BMCs have %d sessions, the engine %d: wanted 200", f.Sessions(), e.Stats().Sessions)
	}
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f.Sessions() != 0 || e.Stats().Sessions != 0 || e.Stats().InFlight != 0 {
		t.Errorf("after Close the BMCs have %d sessions, the engine %d, %d in flight: wanted none", f.Sessions(), e.Stats().Sessions, e.Stats().InFlight)
	}
	if _, err := e.Driver().Power.PowerState(t.Context(), at(f.Addr(0))); !errors.Is(err, errClosed) {
		t.Errorf("power state after Close gave %v", err)
	}
	if err := e.Close(t.Context()); err != nil {
		t.Errorf("a second Close gave %v", err)
	}
}

func TestCloseWithDeadBMCs(t *testing.T) {
	f := fleet(t, func(c *sim.Config) { c.BMCs = 50 })
	e := engine(t, quick())
	sweep(t, handles(t, e, f))
	for i := range 10 {
		f.BMC(i).SetDead(true)
	}
	if err := e.Close(t.Context()); err != nil { // it does not wait for those that never answer
		t.Fatal(err)
	}
	if f.Sessions() != 0 {
		t.Errorf("%d sessions are left at living BMCs", f.Sessions())
	}
}

func TestLastHandleEndsTheSession(t *testing.T) {
	f, e := fleet(t, nil), engine(t, patient())
	one, two := prepare(t, e, at(f.Addr(0))), prepare(t, e, at(f.Addr(0)))
	for _, h := range []bmc.Handle{one, two} {
		if err := pollOnce(t, h); err != nil {
			t.Fatal(err)
		}
	}
	if s := e.Stats(); s.Handshakes != 1 || s.Sessions != 1 || s.BMCs != 1 || f.Sessions() != 1 {
		t.Errorf("two nodes behind one BMC took %d handshakes, %d sessions (the BMC has %d), %d records: wanted one each", s.Handshakes, s.Sessions, f.Sessions(), s.BMCs)
	}
	one.Close()
	if err := pollOnce(t, two); err != nil || e.Stats().Handshakes != 1 {
		t.Errorf("after the other handle was closed: %v, %d handshakes", err, e.Stats().Handshakes)
	}
	two.Close()
	eventually(t, "the session ends with the last handle", func() bool { return f.Sessions() == 0 && e.Stats().BMCs == 0 && e.Stats().Sessions == 0 })
	three := prepare(t, e, at(f.Addr(0)))
	if err := pollOnce(t, three); err != nil {
		t.Errorf("a new handle for the same BMC: %v", err)
	}
	three.Close()
}

func TestSessionOfCallsAloneEndsUnused(t *testing.T) {
	cfg := quick()
	cfg.SessionIdle = 300 * time.Millisecond
	f, e := fleet(t, nil), engine(t, cfg)
	if _, err := e.Driver().Power.PowerState(t.Context(), at(f.Addr(0))); err != nil {
		t.Fatal(err)
	}
	if f.Sessions() != 1 {
		t.Errorf("%d sessions after a call: wanted one, kept for the next call", f.Sessions())
	}
	eventually(t, "an unused session without a handle ends", func() bool { return f.Sessions() == 0 && e.Stats().BMCs == 0 })
}

func TestCredentialsChange(t *testing.T) {
	f, e := fleet(t, nil), engine(t, patient())
	old := prepare(t, e, at(f.Addr(0), "ipmi_password", "wrong"))
	for range 10 {
		var failed *bmc.Error
		if err := pollOnce(t, old); !errors.As(err, &failed) || !failed.Auth {
			t.Fatalf("a wrong password gave %v", err)
		}
	}
	if s := e.Stats(); s.Refused != 1 || s.Handshakes != 1 {
		t.Errorf("ten polls made %d logins, %d refused: wanted one (accounts lock themselves)", s.Handshakes, s.Refused)
	}
	fresh := prepare(t, e, at(f.Addr(0)))
	old.Close()
	if err := pollOnce(t, fresh); err != nil {
		t.Errorf("with the right password: %v", err)
	}
	next := prepare(t, e, at(f.Addr(0), "ipmi_priv_level", "OPERATOR"))
	fresh.Close()
	if err := pollOnce(t, next); err != nil {
		t.Errorf("with another level: %v", err)
	}
	eventually(t, "only the newest login's session is left", func() bool { return f.Sessions() == 1 && e.Stats().Sessions == 1 })
}

func TestLongPassword(t *testing.T) {
	f := fleet(t, func(c *sim.Config) { c.User, c.Password = "sixteen.bytes.us", "twenty.bytes.of.pass" })
	e := engine(t, patient())
	n := at(f.Addr(0), "ipmi_username", "sixteen.bytes.us", "ipmi_password", "twenty.bytes.of.pass")
	if _, err := e.Driver().Power.PowerState(t.Context(), n); err != nil {
		t.Error(err)
	}
	n.DriverInfo["ipmi_password"] = "twenty.bytes.of.pas"
	if _, err := e.Driver().Power.PowerState(t.Context(), n); err == nil {
		t.Error("a password of 19 of the 20 bytes was accepted")
	}
}

func TestLossyNetwork(t *testing.T) {
	f := fleet(t, func(c *sim.Config) { c.BMCs, c.Loss, c.Latency, c.Jitter = 50, 0.1, 2*time.Millisecond, 1 })
	cfg := quick()
	cfg.Timeouts = []time.Duration{50 * time.Millisecond, 50 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond, 2 * time.Second}
	e := engine(t, cfg)
	hs := handles(t, e, f)
	for i := range 5 {
		for k := range f.Len() {
			f.BMC(k).SetPower(i%2 == 0)
		}
		c := sweep(t, hs)
		if on := c.on.Load(); on != map[bool]int64{true: 50, false: 0}[i%2 == 0] || c.failed.Load() != 0 {
			t.Errorf("sweep %d: %d on, %d off, %d failed", i, on, c.off.Load(), c.failed.Load())
		}
	}
	if e.Stats().Retransmits == 0 {
		t.Error("nothing was sent again: the network lost nothing, so this test showed nothing")
	}
}

func TestForgottenSession(t *testing.T) {
	f, e := fleet(t, nil), engine(t, quick())
	h := prepare(t, e, at(f.Addr(0)))
	if err := pollOnce(t, h); err != nil {
		t.Fatal(err)
	}
	f.BMC(0).SetDead(true) // a BMC that was restarted
	f.BMC(0).SetDead(false)
	if err := pollOnce(t, h); err != nil {
		t.Errorf("after the BMC forgot the session: %v", err)
	}
	if s := e.Stats(); s.Handshakes != 2 || s.Failures != 0 {
		t.Errorf("%d handshakes, %d failures: wanted one more handshake and no failure", s.Handshakes, s.Failures)
	}
}

func TestDeadBMCComesBack(t *testing.T) {
	f, e := fleet(t, nil), engine(t, quick())
	f.BMC(0).SetDead(true)
	h := prepare(t, e, at(f.Addr(0)))
	var failed *bmc.Error
	if err := pollOnce(t, h); !errors.As(err, &failed) || failed.Auth || failed.Unknown || !strings.Contains(err.Error(), "IPMI call failed: power status.") {
		t.Errorf("a dead BMC gave %v", err)
	}
	f.BMC(0).SetDead(false)
	if err := pollOnce(t, h); err != nil {
		t.Errorf("the BMC is back, but: %v", err)
	}
}

func TestMinCommandInterval(t *testing.T) {
	cfg := quick()
	cfg.MinCommandInterval = 300 * time.Millisecond
	f, e := fleet(t, nil), engine(t, cfg)
	p := e.Driver().Power
	for _, a := range []bmc.Action{bmc.On, bmc.Off, bmc.On} {
		if err := p.SetPower(t.Context(), at(f.Addr(0)), a, bmctest.Permit{}); err != nil {
			t.Fatal(err)
		}
	}
	var times []time.Time
	for _, c := range f.BMC(0).Commands() {
		if c.Cmd == cmdChassisControl && c.NetFn == netChassis {
			times = append(times, c.Time)
		}
	}
	if len(times) != 3 {
		t.Fatalf("%d commands were executed: wanted 3", len(times))
	}
	for i := range 2 {
		if gap := times[i+1].Sub(times[i]); gap < cfg.MinCommandInterval {
			t.Errorf("%s between two mutating commands: wanted at least %s", gap, cfg.MinCommandInterval)
		}
	}
}

// A boot device is set by two commands, and before power on again where the BMC forgets it: each is one that changes something.
func TestMinCommandIntervalBetweenBootOptions(t *testing.T) {
	cfg := patient()
	cfg.MinCommandInterval = 200 * time.Millisecond
	f, e := fleet(t, nil), engine(t, cfg)
	n := at(f.Addr(0), "ipmi_force_boot_device", true)
	n.DriverInternalInfo = map[string]any{"persistent_boot_device": "disk"}
	if err := e.Driver().Boot.SetBootDevice(t.Context(), n, "disk", true, bmctest.Permit{}); err != nil {
		t.Fatal(err)
	}
	for _, a := range []bmc.Action{bmc.On, bmc.Reset} {
		if err := e.Driver().Power.SetPower(t.Context(), n, a, bmctest.Permit{}); err != nil {
			t.Fatal(err)
		}
	}
	option := "00080308 000805a008000000"
	if got, want := executed(f.BMC(0)), option+" "+option+" 000201 "+option+" 000203"; got != want {
		t.Fatalf("executed %s: wanted %s", got, want)
	}
	var last time.Time
	for i, c := range f.BMC(0).Commands() {
		if c.NetFn != netChassis {
			continue
		}
		if gap := c.Time.Sub(last); !last.IsZero() && gap < cfg.MinCommandInterval {
			t.Errorf("command %d came %s after the one before: wanted %s at least", i, gap, cfg.MinCommandInterval)
		}
		last = c.Time
	}
}

// The dear check of the permit is made when the BMC's turn has come, not before the pause (S9, S10).
func TestPermitIsCheckedAfterThePause(t *testing.T) {
	cfg := quick()
	cfg.MinCommandInterval = 300 * time.Millisecond
	f, e := fleet(t, nil), engine(t, cfg)
	p := e.Driver().Power
	if err := p.SetPower(t.Context(), at(f.Addr(0)), bmc.On, bmctest.Permit{}); err != nil {
		t.Fatal(err)
	}
	first := time.Now()
	late := &lateCheck{}
	if err := p.SetPower(t.Context(), at(f.Addr(0)), bmc.Off, late); err != nil {
		t.Fatal(err)
	}
	if d := late.at.Sub(first); d < cfg.MinCommandInterval/2 {
		t.Errorf("the permit was checked %s after the last command: wanted after the pause", d)
	}
}

type lateCheck struct {
	bmctest.Permit
	at time.Time
}

func (l *lateCheck) OK(context.Context) error {
	l.at = time.Now()
	return nil
}

func TestNoGoroutinePerBMC(t *testing.T) {
	f := fleet(t, func(c *sim.Config) { c.BMCs = 500 })
	cfg := patient()
	cfg.Shards = 2
	e := engine(t, cfg)
	hs := handles(t, e, f)
	sweep(t, hs[:10])
	before := runtime.NumGoroutine()
	sweep(t, hs)
	if n := runtime.NumGoroutine() - before; n > 0 {
		t.Errorf("%d more goroutines for 490 more BMCs: wanted none", n)
	}
	for _, sh := range e.shards() {
		sh.mu.Lock()
		if n := len(sh.records); n < 150 {
			t.Errorf("a shard has %d of 500 BMCs: wanted about half", n)
		}
		sh.mu.Unlock()
	}
}

// hanging starts a command that the BMC has executed, but does not answer.
func hanging(ctx context.Context, t *testing.T, f *sim.Fleet, e *Engine, a bmc.Action) chan error {
	t.Helper()
	n := at(f.Addr(0))
	if err := e.Driver().Power.SetPower(t.Context(), n, bmc.On, bmctest.Permit{}); err != nil {
		t.Fatal(err)
	}
	f.BMC(0).SetLatency(time.Hour)
	done := make(chan error, 1)
	go func() { done <- e.Driver().Power.SetPower(ctx, n, a, bmctest.Permit{}) }()
	return done
}

func TestContextEndsWhileTheBMCThinks(t *testing.T) {
	f, e := fleet(t, nil), engine(t, quick())
	ctx, cancel := context.WithCancel(t.Context())
	done := hanging(ctx, t, f, e, bmc.Off)
	eventually(t, "the BMC executes power off", func() bool { return !f.BMC(0).Power() })
	cancel()
	var failed *bmc.Error
	if err := <-done; !errors.As(err, &failed) || !failed.Unknown || !errors.Is(err, context.Canceled) {
		t.Errorf("gave %v: wanted cancelled, outcome unknown", err)
	}
}

func TestCloseWhileTheBMCThinks(t *testing.T) {
	f, e := fleet(t, nil), engine(t, quick())
	done := hanging(t.Context(), t, f, e, bmc.Off)
	eventually(t, "the BMC executes power off", func() bool { return !f.BMC(0).Power() })
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
	var failed *bmc.Error
	if err := <-done; !errors.As(err, &failed) || !failed.Unknown || !errors.Is(err, errClosed) {
		t.Errorf("gave %v: wanted closed, outcome unknown", err)
	}
}

// A reset whose answer is lost is executed once, and its outcome is unknown (S12).
func TestLostResetIsNotRepeated(t *testing.T) {
	f, e := fleet(t, nil), engine(t, quick())
	n := at(f.Addr(0))
	if err := e.Driver().Power.SetPower(t.Context(), n, bmc.On, bmctest.Permit{}); err != nil {
		t.Fatal(err)
	}
	silent := &silencer{b: f.BMC(0)}
	err := e.Driver().Power.SetPower(t.Context(), n, bmc.Reset, silent)
	var failed *bmc.Error
	if !errors.As(err, &failed) || !failed.Unknown {
		t.Errorf("gave %v: wanted outcome unknown", err)
	}
	resets := 0
	for _, c := range f.BMC(0).Commands() {
		if c.NetFn == netChassis && c.Cmd == cmdChassisControl && c.Data[0] == 3 {
			resets++
		}
	}
	if resets != 1 {
		t.Errorf("the machine was reset %d times: wanted once", resets)
	}
}

// silencer is a permit that delays the BMC's answers once the shard is about to seal the command: the probe before it is
// answered then.
type silencer struct {
	bmctest.Permit
	b *sim.BMC
}

func (s *silencer) Live() bool {
	s.b.SetLatency(time.Hour)
	return true
}

func TestCommandRetryTimeout(t *testing.T) {
	cfg := quick()
	cfg.CommandRetryTimeout = 250 * time.Millisecond
	f, e := fleet(t, nil), engine(t, cfg)
	f.BMC(0).SetDead(true)
	err := e.Driver().Power.SetPower(t.Context(), at(f.Addr(0)), bmc.On, bmctest.Permit{})
	var failed *bmc.Error
	if !errors.As(err, &failed) || failed.Unknown || !strings.Contains(err.Error(), "command_retry_timeout") {
		t.Errorf("gave %v: wanted the time limit, and a known outcome since nothing was sent", err)
	}
}

func TestFullBMC(t *testing.T) {
	f := fleet(t, func(c *sim.Config) { c.Sessions = 1 })
	cfg := quick()
	cfg.SlotBackOff = 200 * time.Millisecond
	holder, e := engine(t, cfg), engine(t, cfg)
	h := prepare(t, holder, at(f.Addr(0)))
	if err := pollOnce(t, h); err != nil {
		t.Fatal(err)
	}
	if err := pollOnce(t, prepare(t, e, at(f.Addr(0)))); err == nil || !strings.Contains(err.Error(), "no free session slot") {
		t.Errorf("a poll of a full BMC gave %v", err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := e.Driver().Power.PowerState(t.Context(), at(f.Addr(0)))
		done <- err
	}()
	h.Close()
	if err := <-done; err != nil { // calls wait for their turn
		t.Errorf("a call to a BMC that got a free slot gave %v", err)
	}
}

// A call to a BMC that stays full ends with what the BMC said, not with its time limit alone.
func TestFullBMCIsTold(t *testing.T) {
	t.Parallel()
	f := fleet(t, func(c *sim.Config) { c.Sessions = 1 })
	cfg := patient()
	cfg.CommandRetryTimeout = 2 * time.Second
	holder, e := engine(t, cfg), engine(t, cfg)
	if err := pollOnce(t, prepare(t, holder, at(f.Addr(0)))); err != nil {
		t.Fatal(err)
	}
	if err := pollOnce(t, prepare(t, e, at(f.Addr(0)))); err == nil {
		t.Fatal("a full BMC gave a session") // it is left alone for 20 s from now on
	}
	_, err := e.Driver().Power.PowerState(t.Context(), at(f.Addr(0)))
	for _, want := range []string{"command_retry_timeout", "no free session slot", "0x01", "ipmitool session info all"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the call gave %v: wanted %q in it", err, want)
		}
	}
}

func TestHostNames(t *testing.T) {
	f, e := fleet(t, nil), engine(t, quick())
	var where atomic.Pointer[netip.Addr]
	e.names.lookup = func(_ context.Context, _, host string) ([]netip.Addr, error) {
		if a := where.Load(); a != nil && host == "bmc-1.example.com" {
			return []netip.Addr{netip.MustParseAddr("fd00::1"), *a}, nil // IPv4 is preferred
		}
		return nil, errors.New("no such host")
	}
	n := at(f.Addr(0), "ipmi_address", "bmc-1.example.com")
	h := prepare(t, e, n)
	found := func(want netip.Addr) {
		t.Helper()
		if got := h.(bmc.Named).Address(); got != want {
			t.Errorf("the reading found the BMC at %s: wanted %s", got, want)
		}
	}
	if err := pollOnce(t, h); err == nil || !strings.Contains(err.Error(), "bmc-1.example.com") {
		t.Errorf("an unknown name gave %v", err)
	}
	found(netip.Addr{})
	a := f.Addr(0).Addr()
	where.Store(&a)
	e.names.names = map[string]*name{} // as if the failed answer's time were over
	if err := pollOnce(t, h); err != nil {
		t.Error(err)
	}
	found(a)
	f.BMC(0).SetPower(true)
	if s, err := e.Driver().Power.PowerState(t.Context(), n); s != node.PowerOn || err != nil {
		t.Errorf("power state by name is %q, %v", s, err)
	}
	if f.Sessions() != 1 {
		t.Errorf("%d sessions: wanted one for both ways", f.Sessions())
	}
	b := f.Addr(1).Addr()
	where.Store(&b)
	e.names.mu.Lock()
	e.names.names["bmc-1.example.com"].until = time.Time{}
	e.names.mu.Unlock()
	if err := pollOnce(t, h); err != nil {
		t.Error(err)
	}
	found(b)
	eventually(t, "the session moves with the name", func() bool { return f.BMC(0).Sessions() == 0 && f.BMC(1).Sessions() == 1 })
	where.Store(nil)
	e.names.mu.Lock()
	e.names.names["bmc-1.example.com"].until = time.Time{}
	e.names.mu.Unlock()
	if err := pollOnce(t, h); err == nil {
		t.Error("a name that is lost was read")
	}
	found(netip.Addr{})
	where.Store(&b)
	e.names.mu.Lock()
	e.names.names["bmc-1.example.com"].until = time.Time{}
	e.names.mu.Unlock()
	h.Close()
	if err := pollOnce(t, h); !errors.Is(err, errReleased) {
		t.Errorf("a closed handle gave %v", err)
	}
}

func TestIPv6(t *testing.T) {
	l, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		t.Skipf("this machine has no IPv6: %v", err)
	}
	defer l.Close()
	e := engine(t, quick())
	h := prepare(t, e, at(netip.MustParseAddrPort(l.LocalAddr().String())))
	go h.Poll(make(chanSink, 1))
	b := make([]byte, 100)
	if err := l.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, _, err := l.ReadFrom(b)
	if err != nil {
		t.Fatal(err)
	}
	if p, why := parse(b[:n]); why != accepted || p.kind != payloadOpenRequest {
		t.Errorf("got %x: wanted an Open Session Request", b[:n])
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"ferrite/bmc"
	"ferrite/node"
	"ferrite/notify"
	"ferrite/persistence"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// machine is a BMC in memory whose every command can be held up, refused or counted.
type machine struct {
	mu       sync.Mutex
	power    node.PowerState
	commands []bmc.Action
	readErr  error
	sendErr  error
	gate     chan struct{}                // nil = open; SetPower waits for it before it checks its permit
	refuse   int                          // SetPower answers ErrPermit that many times
	deaf     bool                         // accepts commands, does nothing
	entered  int                          // commands that came to the gate
	tries    int                          // commands that passed their permit, those that failed included
	check    func(*node.Node, bmc.Action) // called at each command that leaves, nil = none
	hold     func(bmc.Permit)             // holds a command up that has passed its permit and not left, nil = none
	boot     string
	polls    int
}

func (m *machine) PowerState(context.Context, *node.Node) (node.PowerState, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.power, m.readErr
}

// pass waits for the gate and then checks the permit, like a driver whose turn comes late.
func (m *machine) pass(ctx context.Context, p bmc.Permit) error {
	m.mu.Lock()
	gate := m.gate
	m.entered++
	m.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := p.OK(ctx); err != nil {
		return err
	}
	if !p.Live() {
		return bmc.ErrPermit
	}
	return nil
}

func (m *machine) SetPower(ctx context.Context, n *node.Node, a bmc.Action, p bmc.Permit) error {
	if err := m.pass(ctx, p); err != nil {
		return err
	}
	m.mu.Lock()
	hold := m.hold
	m.mu.Unlock()
	if hold != nil {
		hold(p)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse > 0 {
		m.refuse--
		return bmc.ErrPermit
	}
	m.tries++
	if m.check != nil {
		m.check(n, a)
	}
	if m.sendErr != nil {
		return m.sendErr
	}
	m.commands = append(m.commands, a)
	if !m.deaf {
		switch a {
		case bmc.On, bmc.Reset:
			m.power = node.PowerOn
		case bmc.Off, bmc.SoftOff:
			m.power = node.PowerOff
		}
	}
	return nil
}

func (m *machine) BootDevice(context.Context, *node.Node) (bmc.BootDevice, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bmc.BootDevice{Device: m.boot, Known: m.boot != ""}, m.readErr
}

func (m *machine) SetBootDevice(ctx context.Context, _ *node.Node, d string, _ bool, p bmc.Permit) error {
	if err := m.pass(ctx, p); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.boot = d
	return m.sendErr
}
func (m *machine) BootDevices(*node.Node) []string { return []string{"pxe", "disk"} }
func (m *machine) ValidatePower(n *node.Node) error {
	if n.DriverInfo["panic"] != nil {
		panic("our own code is broken")
	}
	if n.DriverInfo["bad"] != nil {
		return &node.Error{Kind: node.Invalid, Text: "driver_info is bad"}
	}
	return nil
}
func (m *machine) ValidateManagement(n *node.Node) error  { return m.ValidatePower(n) }
func (m *machine) Prepare(*node.Node) (bmc.Handle, error) { return m, nil }
func (m *machine) Close()                                 {}
func (m *machine) Poll(s bmc.Sink) {
	m.mu.Lock()
	m.polls++
	p, err := m.power, m.readErr
	m.mu.Unlock()
	s.PowerPolled(p, err)
}
func (m *machine) RunStep(context.Context, *node.Node, node.StepSpec) error { return nil }

func (m *machine) set(f func()) { m.mu.Lock(); defer m.mu.Unlock(); f() }
func (m *machine) sent() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return fmt.Sprint(m.commands)
}

func (m *machine) driver() *bmc.Driver {
	return &bmc.Driver{Name: "ipmi", Validate: m, Power: m, Boot: m, Poller: m, Steps: m, Caps: bmc.Capabilities{
		PowerTargets: []node.PowerState{node.PowerOn, node.PowerOff, node.Rebooting, node.SoftPowerOff, node.SoftRebooting}, PowerSync: true,
	}}
}

type world struct {
	t     *testing.T
	store *persistence.Memory
	m     *machine
	f     *Fleet
	end   func()
}

func self() node.Owner { return node.Owner{Name: "c1", Incarnation: 7} }

func newWorld(t *testing.T, change func(*Config)) *world {
	t.Helper()
	w := &world{t: t, store: persistence.NewMemory(persistence.MemoryOptions{}), m: &machine{power: node.PowerOff}}
	w.start(self(), change)
	t.Cleanup(func() { w.end(); _ = w.store.Close() })
	return w
}

// start runs a fleet on the world's store; a former one must have ended.
func (w *world) start(me node.Owner, change func(*Config)) {
	cfg := Config{
		Store: w.store, Self: me, Policy: node.DefaultPolicy(), Encoder: &notify.Encoder{Host: me.Name, Level: "info"},
		LockRetry: 50 * time.Millisecond, FirstRead: time.Millisecond, SyncInterval: time.Hour, RecoveryEvery: time.Hour,
	}
	cfg.Drivers = map[string]*bmc.Driver{"ipmitool": w.m.driver(), "fake": {Name: "fake-hardware", Steps: w.m}}
	if change != nil {
		change(&cfg)
	}
	f := New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = f.Run(ctx) }()
	w.f = f
	w.end = func() {
		short, stop := context.WithTimeout(context.Background(), 50*time.Millisecond) // a gate may hold a command for ever
		defer stop()
		_ = f.Drain(short)
		cancel()
		<-done
		f.Close()
	}
}

func (w *world) do(id string, m node.Msg) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return w.f.Do(ctx, id, node.Meta{Minor: 90}, m)
}

func (w *world) must(id string, m node.Msg) any {
	w.t.Helper()
	v, err := w.do(id, m)
	if err != nil {
		w.t.Fatalf("%s: %v", m.MsgName(), err)
	}
	return v
}

func (w *world) create(change func(*node.Node)) string {
	w.t.Helper()
	n := &node.Node{UUID: uuid.NewString(), Driver: "ipmi", DriverInfo: map[string]any{"ipmi_address": "127.0.0.9"}}
	if change != nil {
		change(n)
	}
	w.must(n.UUID, node.CreateNode{Node: n})
	return n.UUID
}

// within is how long a test waits for what must happen: less than reconcileEvery, which would make up for what was missed.
const within = reconcileEvery * 5 / 6

func (w *world) wait(id, what string, ok func(*node.Node) bool) *node.Node {
	w.t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(time.Millisecond) {
		n, found := w.store.Node(id)
		if found && ok(n) {
			return n
		}
		if time.Now().After(end) {
			w.t.Fatalf("node never came to %s: %+v", what, n)
		}
	}
}

// round sweeps once, after the actor has taken in all that the store has told it.
func (w *world) round(id string) int {
	_, _ = w.do(id, node.RenewPermit{Op: "none"}) // refused, in its turn
	return w.f.Sweep().Round(context.Background(), 10)
}

func idle(n *node.Node) bool { return n.Intent == nil }

// events lists the notifications of a node in order, without the family's common beginning.
func (w *world) events(id string) []string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if n, ok := w.store.Node(id); ok { // memory shows a record a moment before the outbox has its events
		if err := w.store.WaitApplied(ctx, n.Rev); err != nil {
			w.t.Fatal(err)
		}
	}
	out, err := w.store.Outbox(ctx, 0, 0, 10000)
	if err != nil {
		w.t.Fatal(err)
	}
	var names []string
	for _, e := range out {
		if e.Node == id {
			_, name, _ := strings.Cut(e.Subject, "baremetal.")
			names = append(names, name)
		}
	}
	return names
}

func TestPowerOnReadsActsWaitsAndTells(t *testing.T) {
	w := newWorld(t, nil)
	id := w.create(nil)
	w.must(id, node.SetPower{Target: node.PowerOn})
	n := w.wait(id, "power on", func(n *node.Node) bool { return n.PowerState == node.PowerOn && idle(n) })
	if n.TargetPowerState != "" || n.LastError != "" || n.Owner.Epoch != 1 {
		t.Errorf("after power on: %+v", n)
	}
	if got := w.m.sent(); got != "[on]" {
		t.Errorf("commands %s, wanted [on]", got)
	}
	if got := strings.Join(w.events(id), " "); got != "node.create.start node.create.end node.power_set.start node.power_set.end" {
		t.Errorf("events %s", got)
	}
}

func TestIntentIsCommittedBeforeTheCommand(t *testing.T) { // S8
	w := newWorld(t, nil)
	id := w.create(nil)
	w.m.set(func() { w.m.gate = make(chan struct{}) })
	w.must(id, node.SetPower{Target: node.PowerOn})
	n, _ := w.store.Node(id)
	if n.Intent == nil || n.TargetPowerState != node.PowerOn || n.Reservation() != "c1" {
		t.Fatalf("the 202 came before the intent: %+v", n)
	}
	if got := w.m.sent(); got != "[]" {
		t.Errorf("commands %s before the gate opened", got)
	}
	close(w.m.gate)
	w.wait(id, "end", idle)
}

func TestLockedRequestWaitsThenSays409(t *testing.T) { // S8
	w := newWorld(t, nil)
	id := w.create(nil)
	w.m.set(func() { w.m.gate = make(chan struct{}) })
	w.must(id, node.SetPower{Target: node.PowerOn})
	_, err := w.do(id, node.SetMaintenance{On: true})
	var e *node.Error
	if !errors.As(err, &e) || e.Kind != node.Locked || !strings.Contains(e.Text, "set power") {
		t.Fatalf("wanted NodeLocked that names the operation, got %v", err)
	}
	waiting := make(chan error, 1)
	longer := w.f.Settings()
	longer.LockRetry = 20 * time.Second
	w.f.Update(longer)
	go func() { _, err := w.do(id, node.SetMaintenance{On: true}); waiting <- err }()
	for w.f.Stats().Parked < 2 {
		time.Sleep(time.Millisecond)
	}
	close(w.m.gate)
	if err := <-waiting; err != nil {
		t.Fatalf("a request that waited for the lock was refused: %v", err)
	}
}

func TestExpiredPermitIsRenewedNotFailed(t *testing.T) { // S9
	w := newWorld(t, nil)
	id := w.create(nil)
	w.m.set(func() { w.m.refuse = 2 })
	w.must(id, node.SetPower{Target: node.PowerOn})
	n := w.wait(id, "power on", idle)
	if n.PowerState != node.PowerOn || n.LastError != "" {
		t.Errorf("%+v", n)
	}
}

func TestPermitRenewsByACommitWhenOld(t *testing.T) { // S9
	w := newWorld(t, func(c *Config) { c.Policy.Valid = 40 * time.Millisecond })
	id := w.create(nil)
	gate := make(chan struct{})
	w.m.set(func() { w.m.gate = gate })
	w.must(id, node.SetPower{Target: node.PowerOn})
	time.Sleep(60 * time.Millisecond) // the permit of the intent is over now
	close(gate)
	n := w.wait(id, "power on", idle)
	if n.PowerState != node.PowerOn {
		t.Errorf("%+v", n)
	}
}

func TestPermitIsRefusedWhenTheRecordMovedOn(t *testing.T) { // S10
	w := newWorld(t, nil)
	id := w.create(nil)
	w.m.set(func() { w.m.gate = make(chan struct{}) })
	w.must(id, node.SetPower{Target: node.PowerOn})
	until(t, "the command has its permit", func() (yes bool) { w.m.set(func() { yes = w.m.entered > 0 }); return yes })
	n, _ := w.store.Node(id)
	stolen := n.Clone()
	stolen.Owner = node.Owner{Name: "c2", Incarnation: 9, Epoch: n.Owner.Epoch + 1}
	stolen.Intent.Owner = stolen.Owner
	_, err := w.store.Commit(context.Background(), persistence.Tx{
		If:  []persistence.Cond{{Key: persistence.Key{Kind: persistence.KindNode, ID: id}, Rev: n.Rev}},
		Put: []persistence.Put{{Key: persistence.Key{Kind: persistence.KindNode, ID: id}, Value: stolen}},
	})
	if err != nil {
		t.Fatal(err)
	}
	close(w.m.gate)
	for w.f.Stats().Operations > 0 {
		time.Sleep(time.Millisecond)
	}
	if got := w.m.sent(); got != "[]" {
		t.Errorf("a BMC was commanded without a valid permit: %s", got)
	}
	if w.f.Stats().Fenced == 0 {
		t.Error("the lost permit was not counted")
	}
}

func TestRestartResumesAnOpenIntent(t *testing.T) { // S3, S11
	w := newWorld(t, nil)
	id := w.create(nil)
	w.m.set(func() { w.m.gate = make(chan struct{}) })
	w.must(id, node.SetPower{Target: node.PowerOn})
	w.end() // the operation is abandoned, its intent stays
	if n, _ := w.store.Node(id); n.Intent == nil {
		t.Fatal("the intent was lost with the process")
	}
	w.m.set(func() { w.m.gate = nil })
	w.start(node.Owner{Name: "c1", Incarnation: 8}, func(c *Config) { c.Policy.Valid = 20 * time.Millisecond })
	n := w.wait(id, "power on", idle)
	if n.PowerState != node.PowerOn || n.Owner.Epoch != 2 || n.Owner.Incarnation != 8 {
		t.Errorf("after the restart: %+v", n)
	}
	if got := w.m.sent(); got != "[on]" {
		t.Errorf("commands %s, wanted [on] once", got)
	}
	if got := strings.Join(w.events(id), " "); strings.Count(got, "power_set.start") != 1 || strings.Count(got, "power_set.end") != 1 {
		t.Errorf("events %s", got)
	}
}

func TestLostResetIsNeverSentAgain(t *testing.T) { // S12
	w := newWorld(t, nil)
	id := w.create(func(n *node.Node) { n.DisablePowerOff = true })
	w.m.set(func() { w.m.gate = make(chan struct{}) })
	w.must(id, node.SetPower{Target: node.Rebooting})
	w.end()
	w.m.set(func() { w.m.gate = nil })
	w.start(node.Owner{Name: "c1", Incarnation: 8}, func(c *Config) { c.Policy.Valid = 20 * time.Millisecond })
	n := w.wait(id, "the end", idle)
	if !strings.Contains(n.LastError, "outcome unknown") {
		t.Errorf("last_error %q", n.LastError)
	}
	if got := w.m.sent(); got != "[]" {
		t.Errorf("commands %s: a once effect was sent after its owner was lost", got)
	}
}

func TestOutcomeIsNeverDropped(t *testing.T) { // S13
	w := newWorld(t, nil)
	id := w.create(nil)
	gate := make(chan struct{})
	w.m.set(func() { w.m.gate = gate })
	w.must(id, node.SetPower{Target: node.PowerOn})
	var failed atomic.Int32
	w.store.SetHook(func(persistence.Tx) persistence.Fault {
		if failed.Add(1) <= 3 {
			return persistence.Fault{Err: persistence.ErrNoQuorum}
		}
		return persistence.Fault{}
	})
	close(gate)
	w.wait(id, "power on", func(n *node.Node) bool { return idle(n) && n.PowerState == node.PowerOn })
	if failed.Load() < 4 {
		t.Errorf("the store was asked %d times, wanted 3 refusals and then the result", failed.Load())
	}
}

func TestSweepMatchesWithoutACommit(t *testing.T) { // P1
	w := newWorld(t, nil)
	id := w.create(nil)
	w.must(id, node.SetProvision{Verb: "manage"})
	w.wait(id, "manageable", func(n *node.Node) bool { return n.ProvisionState == node.Manageable && idle(n) })
	before := w.store.Stats().Transactions
	for range 5 {
		if got := w.round(id); got != 1 {
			t.Fatalf("round asked %d nodes, wanted 1", got)
		}
	}
	if got := w.store.Stats().Transactions - before; got != 0 {
		t.Errorf("%d commits for 5 matching rounds, wanted 0", got)
	}
	if got := w.f.Stats().Matches; got != 5 {
		t.Errorf("%d matches, wanted 5", got)
	}
}

func TestSweepForcesThePowerBack(t *testing.T) { // P4
	w := newWorld(t, nil)
	id := w.create(nil)
	w.must(id, node.SetProvision{Verb: "manage"})
	w.wait(id, "manageable", func(n *node.Node) bool { return n.ProvisionState == node.Manageable && idle(n) })
	w.m.set(func() { w.m.power = node.PowerOn }) // behind our back
	w.round(id)
	w.wait(id, "a forced operation", func(n *node.Node) bool { return n.SyncFails == 1 && idle(n) })
	if got := w.m.sent(); got != "[off]" {
		t.Errorf("commands %s, wanted [off]", got)
	}
	w.round(id)
	n := w.wait(id, "counter 0", func(n *node.Node) bool { return n.SyncFails == 0 })
	if n.PowerState != node.PowerOff {
		t.Errorf("%+v", n)
	}
	if got := strings.Join(w.events(id), " "); strings.Contains(got, "corrected") && strings.Count(got, "corrected") > 1 {
		t.Errorf("force must not correct the record: %s", got)
	}
}

func TestSweepCorrectsTheRecordWithoutForce(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Policy.ForcePower = false })
	id := w.create(nil)
	w.must(id, node.SetProvision{Verb: "manage"})
	w.wait(id, "manageable", func(n *node.Node) bool { return n.ProvisionState == node.Manageable && idle(n) })
	w.m.set(func() { w.m.power = node.PowerOn })
	w.round(id)
	w.wait(id, "corrected", func(n *node.Node) bool { return n.PowerState == node.PowerOn })
	ev := w.events(id)
	if ev[len(ev)-1] != "node.power_state_corrected.success" || w.m.sent() != "[]" {
		t.Errorf("events %v, commands %s", ev, w.m.sent())
	}
}

func TestDeadBMCGoesToMaintenanceAndComesBack(t *testing.T) {
	var log lines
	w := newWorld(t, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	id := w.create(nil)
	w.must(id, node.SetProvision{Verb: "manage"})
	w.wait(id, "manageable", func(n *node.Node) bool { return n.ProvisionState == node.Manageable && idle(n) })
	w.m.set(func() { w.m.readErr = errors.New("no answer") })
	for i := 1; i <= 4; i++ {
		w.round(id)
		w.wait(id, fmt.Sprintf("%d failures", i), func(n *node.Node) bool { return n.SyncFails == i })
	}
	n, _ := w.store.Node(id)
	if !n.Maintenance || n.Fault != node.FaultPower || n.PowerState != "" {
		t.Fatalf("after 4 failures: %+v", n)
	}
	w.m.set(func() { w.m.readErr = nil })
	w.round(id)
	n = w.wait(id, "recovery", func(n *node.Node) bool { return !n.Maintenance })
	if n.Fault != "" || n.PowerState != node.PowerOff {
		t.Errorf("after recovery: %+v", n)
	}
	told := func() bool {
		text := log.String()
		return strings.Count(text, "node goes to maintenance") == 1 && strings.Count(text, "no answer") >= 1 && strings.Count(text, "node has no fault any more") == 1
	}
	for end := time.Now().Add(time.Minute); !told(); time.Sleep(time.Millisecond) { // the record is seen before the line is written
		if time.Now().After(end) {
			t.Fatalf("the log does not tell of both:\n%s", log.String())
		}
	}
}

func TestFakeFlowEndsInActiveAndBack(t *testing.T) {
	w := newWorld(t, nil)
	id := w.create(nil)
	for _, s := range []struct {
		verb string
		want node.State
	}{{"manage", node.Manageable}, {"provide", node.Available}, {"active", node.Active}, {"deleted", node.Available}} {
		w.must(id, node.SetProvision{Verb: s.verb})
		w.wait(id, string(s.want), func(n *node.Node) bool { return n.ProvisionState == s.want && idle(n) })
	}
	w.must(id, node.DeleteNode{})
	if _, ok := w.store.Node(id); ok {
		t.Error("the node is still there")
	}
	if _, err := w.do(id, node.SetPower{Target: node.PowerOn}); err == nil {
		t.Error("a deleted node took a command")
	}
}

func TestNameIsUnique(t *testing.T) {
	w := newWorld(t, nil)
	w.create(func(n *node.Node) { n.Name = "r1" })
	n := &node.Node{UUID: uuid.NewString(), Name: "r1", Driver: "ipmi"}
	_, err := w.do(n.UUID, node.CreateNode{Node: n})
	var e *node.Error
	if !errors.As(err, &e) || e.Kind != node.Exists || !strings.Contains(e.Text, "A node with name r1 already exists") {
		t.Errorf("got %v", err)
	}
	const want = "node.create.start node.create.error" // N1: in an entry of its own, best effort
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		got := strings.Join(w.events(n.UUID), " ")
		if got == want {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("events %q, wanted %q", got, want)
		}
	}
}

func TestBootDeviceAnswersAfterTheBMC(t *testing.T) {
	w := newWorld(t, nil)
	id := w.create(nil)
	w.must(id, node.SetBootDevice{Device: "disk"})
	b := w.must(id, node.GetBootDevice{}).(node.BootDevice)
	if b.Device != "disk" || !b.Known {
		t.Errorf("%+v", b)
	}
	w.m.set(func() { w.m.sendErr = &bmc.Error{Command: "set boot device", Err: errors.New("no")} })
	var e *node.Error
	if _, err := w.do(id, node.SetBootDevice{Device: "disk"}); !errors.As(err, &e) || e.Kind != node.Internal {
		t.Errorf("wanted 500, got %v", err)
	}
	if n := w.wait(id, "end", idle); n.LastError != "" {
		t.Errorf("a synchronous call left last_error %q", n.LastError)
	}
}

// A commit whose answer is lost may have been applied: the operation in it must still be run, once (S13, L2).
func TestLostAnswersToCommitsAreSettled(t *testing.T) {
	for _, lost := range []int32{1, 2, 3} { // the intent's, the second phase's, the result's
		t.Run(fmt.Sprint(lost), func(t *testing.T) {
			w := newWorld(t, nil)
			id := w.create(nil)
			w.m.set(func() { w.m.power = node.PowerOn })
			var n atomic.Int32
			w.store.SetHook(func(tx persistence.Tx) persistence.Fault {
				if len(tx.Put) > 0 && n.Add(1) == lost {
					return persistence.Fault{Err: persistence.ErrUnknown, Applied: true}
				}
				return persistence.Fault{}
			})
			_, err := w.do(id, node.SetPower{Target: node.Rebooting})
			if lost == 1 && err == nil {
				t.Error("the requester was told that all is well")
			}
			got := w.wait(id, "the end", func(n *node.Node) bool { return idle(n) && n.PowerState == node.PowerOn })
			if got.LastError != "" || w.m.sent() != "[off on]" {
				t.Errorf("last_error %q, commands %s, wanted [off on]", got.LastError, w.m.sent())
			}
			ev := strings.Join(w.events(id), " ")
			if strings.Count(ev, "power_set.start") != 1 || strings.Count(ev, "power_set.end") != 1 {
				t.Errorf("events %s", ev)
			}
		})
	}
}

func TestAMatchingReadingAllocatesNothing(t *testing.T) { // P1
	w := newWorld(t, nil)
	id := w.create(nil)
	w.must(id, node.SetProvision{Verb: "manage"})
	w.wait(id, "manageable", func(n *node.Node) bool { return n.ProvisionState == node.Manageable && idle(n) })
	w.round(id)
	w.f.sweep.mu.Lock()
	e := w.f.sweep.all[id]
	w.f.sweep.mu.Unlock()
	before := w.f.Stats().Matches
	if allocs := testing.AllocsPerRun(1000, func() { e.poll(false) }); allocs != 0 {
		t.Errorf("%v allocations for a reading that matches, wanted 0", allocs)
	}
	if got := w.f.Stats().Matches - before; got < 1000 {
		t.Errorf("%d matches, wanted 1000", got)
	}
}

func TestZeroIntervalsDisable(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.SyncInterval, c.RecoveryEvery = 0, 0 })
	id := w.create(nil)
	w.must(id, node.SetProvision{Verb: "manage"})
	w.wait(id, "manageable", func(n *node.Node) bool { return n.ProvisionState == node.Manageable && idle(n) })
	if n := w.round(id); n != 0 {
		t.Errorf("%d readings with sync_power_state_interval 0", n)
	}
	n, _ := w.store.Node(id)
	broken := n.Clone()
	broken.Maintenance, broken.Fault = true, node.FaultPower
	w.f.sweep.mu.Lock()
	e := w.f.sweep.all[id]
	w.f.sweep.mu.Unlock()
	e.expect(broken)
	if e.poll(false) {
		t.Error("a reading with power_failure_recovery_interval 0")
	}
}

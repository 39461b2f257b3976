// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"ferrite/bmc"
	"ferrite/node"
)

// Pauses between reads while waiting for a power state (spec power.md section 12): each 1.5 times the last, +-10 %.
const (
	growth = 1.5
	jitter = 0.1
)

// glances are when a machine is looked at before the first of these reads, as parts of that pause: after an eighth and after half
// a second.
var glances = []float64{0.125, 0.5}

// run starts an effect outside the actor; its outcome comes back as a message. On shutdown an effect that only waits is
// abandoned: its intent stays open and goes on after the restart.
func (f *Fleet) run(self *actor.PID, n *node.Node, e node.Effect) {
	if !f.begin() {
		return
	}
	o := &outcome{msg: node.Done{Op: e.Op, Phase: e.Phase}, held: true}
	if e.Kind == node.None {
		f.report(n.UUID, self, o, o)
		return
	}
	f.stats.operations.Add(1)
	go func() {
		defer f.stats.operations.Add(-1)
		if e.Hold > 0 && !f.sleep(e.Hold) { // S11: all at the same time, however many were taken over
			f.settled(o)
			return
		}
		if e.Kind != node.HoldOff { // what ends an operation that never ends must not wait behind such
			select {
			case f.slots <- struct{}{}:
				defer func() { <-f.slots }()
			case <-f.ctx.Done():
				f.settled(o)
				return
			}
		}
		d, finished := f.perform(self, n, e)
		if !finished {
			f.settled(o)
			return
		}
		d.Op, d.Phase = e.Op, e.Phase
		o.msg = d
		killpoint("after-reply", n.UUID)
		f.report(n.UUID, self, o, o)
	}()
}

// perform does the effect. finished false means that shutdown came first and nothing is to be reported.
func (f *Fleet) perform(self *actor.PID, n *node.Node, e node.Effect) (d node.Done, finished bool) {
	defer func() {
		if p := recover(); p != nil {
			f.cfg.Logger.Error("an effect failed in our own code", "node", n.UUID, "effect", e.Kind, "panic", p, "stack", string(debug.Stack()))
			d, finished = node.Done{Err: fmt.Sprintf("internal error: %v", p), Unknown: true}, true
		}
	}()
	switch e.Kind {
	case node.HoldOff: // S13: it was only about the time
		return node.Done{}, true
	case node.DrivePower:
		return f.drivePower(self, n, e)
	case node.Verify:
		return f.verify(n)
	case node.RunStep:
		return f.runStep(n, e)
	case node.SetBoot:
		d := f.driver(n, "management")
		if d == nil || d.Boot == nil {
			return notBuilt(n, "management"), true
		}
		return f.mutate(self, n, opBoot, func(p bmc.Permit) error { return d.Boot.SetBootDevice(f.cmd, n, e.Device, e.Persist, p) })
	case node.SwitchConsole:
		d := f.driver(n, "console")
		if d == nil || d.Console == nil {
			return notBuilt(n, "console"), true
		}
		if e.On {
			return f.mutate(self, n, opOther, func(p bmc.Permit) error { return d.Console.StartConsole(f.cmd, n, p) }) // S14
		}
		return f.mutate(self, n, opOther, func(p bmc.Permit) error { return d.Console.StopConsole(f.cmd, n, p) })
	case node.SendNMI:
		d := f.driver(n, "power")
		if d == nil || d.Power == nil {
			return notBuilt(n, "power"), true
		}
		return f.mutate(self, n, opOf(bmc.NMI), func(p bmc.Permit) error { return d.Power.SetPower(f.cmd, n, bmc.NMI, p) })
	case node.ResetBMC, node.SendRaw, node.Light, node.ClearLog:
		return f.manage(self, n, e)
	default:
		return node.Done{Err: fmt.Sprintf("no way to do effect %q", e.Kind)}, true
	}
}

// notBuilt is the outcome of a command for an interface that nothing of ours serves (any more).
func notBuilt(n *node.Node, kind string) node.Done {
	return node.Done{Err: fmt.Sprintf("%s interface %q is not built yet", kind, n.Interfaces[kind]), Cause: node.Unsupported}
}

// sleep waits; false = shutdown came first.
func (f *Fleet) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-f.ctx.Done():
		return false
	}
}

// drivePower is read, act, wait (spec power.md section 2 rows 4 and 9).
func (f *Fleet) drivePower(self *actor.PID, n *node.Node, e node.Effect) (node.Done, bool) {
	d := f.driver(n, "power")
	if d == nil || d.Power == nil {
		return node.Done{ReadErr: fmt.Sprintf("power interface %q is not built yet", n.Interfaces["power"])}, true
	}
	if e.Read {
		state, err := d.Power.PowerState(f.ctx, n)
		if f.ctx.Err() != nil {
			return node.Done{}, false
		}
		if err != nil {
			return node.Done{ReadErr: err.Error()}, true
		}
		if state == e.Want {
			return node.Done{Already: true, State: state}, true
		}
	}
	act := map[node.PowerState]bmc.Action{node.PowerOn: bmc.On, node.PowerOff: bmc.Off, node.SoftPowerOff: bmc.SoftOff, node.Rebooting: bmc.Reset}[e.Act]
	if act != "" {
		done, finished := f.mutate(self, n, opOf(act), func(p bmc.Permit) error { return d.Power.SetPower(f.cmd, n, act, p) })
		if !finished || done.Err != "" {
			return done, finished
		}
	}
	if e.Want == node.PowerUnknown || d.Caps.Recorded {
		return node.Done{State: e.Want}, true
	}
	if e.Pause > 0 && !f.sleep(e.Pause) {
		return node.Done{}, false
	}
	return f.await(d, n, e)
}

// mutate runs one mutating command under a permit; an expired permit is renewed, never a failed operation (S9). A command
// of class once that may have been sent is not sent again, whatever became of its permit (S12).
func (f *Fleet) mutate(self *actor.PID, n *node.Node, op int, command func(bmc.Permit) error) (node.Done, bool) {
	for {
		p, err := f.permit(f.ctx, self, n)
		if err == nil {
			killpoint("before-send", n.UUID)
			began := time.Now()
			if err = command(p); !errors.Is(err, bmc.ErrPermit) {
				f.times.of(n).observe(op, err, time.Since(began))
			}
		}
		var b *bmc.Error
		unknown := errors.As(err, &b) && b.Unknown
		switch {
		case err == nil:
			return node.Done{}, true
		case f.cmd.Err() != nil, f.ctx.Err() != nil && !unknown:
			return node.Done{}, false
		case errors.Is(err, bmc.ErrPermit) && (!unknown || n.Intent.Class != node.Once):
			if !f.stillOurs(n) {
				return node.Done{}, false // the new owner goes on from the intent
			}
			if !f.sleep(retryFirst) {
				return node.Done{}, false
			}
			continue
		}
		done := node.Done{Err: err.Error(), Unknown: unknown}
		var r *node.Error
		if b == nil && errors.As(err, &r) {
			done.Cause = r.Kind
		}
		return done, true
	}
}

// stillOurs reports whether the operation is still under way here, as far as the replica knows.
func (f *Fleet) stillOurs(n *node.Node) bool {
	cur, ok := f.cfg.Store.Node(n.UUID)
	return ok && cur.Intent != nil && cur.Intent.ID == n.Intent.ID && cur.Owner == n.Owner
}

// await reads until the state is there, with growing pauses; only pauses count against the timeout. A read that fails
// ends the wait (spec power.md section 12). Before the first there are glances, which many machines answer already.
func (f *Fleet) await(d *bmc.Driver, n *node.Node, e node.Effect) (node.Done, bool) {
	pause, waited, found := f.cfg.FirstRead, time.Duration(0), node.PowerUnknown
	began := time.Now()
	for _, part := range glances {
		at := time.Duration(float64(pause) * part)
		if !f.sleep(at - time.Since(began)) {
			return node.Done{}, false
		}
		if f.glance(d, n, pause-time.Since(began)) == e.Want {
			return node.Done{State: e.Want}, true
		}
	}
	spent := min(time.Since(began), pause)
	for {
		if waited+pause > e.Timeout && waited > 0 {
			return node.Done{Err: fmt.Sprintf("Failed to set node power state to %s. After %s of waiting (limit %s) it is still %q.",
				e.Want, waited.Round(time.Second), e.Timeout, found)}, true
		}
		if !f.sleep(pause - spent) {
			return node.Done{}, false
		}
		waited, spent = waited+pause, 0
		state, err := d.Power.PowerState(f.ctx, n)
		if f.ctx.Err() != nil {
			return node.Done{}, false
		}
		if err != nil {
			return node.Done{Err: err.Error()}, true
		}
		if found = state; state == e.Want {
			return node.Done{State: state}, true
		}
		pause = time.Duration(float64(pause) * growth * (1 - jitter + 2*jitter*rand.Float64())) //nolint:gosec // spreads load, no secret
	}
}

// glance reads the power state within limit; a BMC that is still busy with the command and answers with an error, or not at
// all, has told nothing.
func (f *Fleet) glance(d *bmc.Driver, n *node.Node, limit time.Duration) node.PowerState {
	ctx, cancel := context.WithTimeout(f.ctx, limit)
	defer cancel()
	state, err := d.Power.PowerState(ctx, n)
	if err != nil {
		return node.PowerUnknown
	}
	return state
}

// verify checks credentials by reading the power state, and looks who made the machine (spec power.md section 8).
func (f *Fleet) verify(n *node.Node) (node.Done, bool) {
	d := f.driver(n, "power")
	if d == nil || d.Power == nil {
		return node.Done{ReadErr: fmt.Sprintf("power interface %q is not built yet", n.Interfaces["power"])}, true
	}
	if d.Validate != nil {
		if err := d.Validate.ValidatePower(n); err != nil {
			return node.Done{ReadErr: err.Error()}, true
		}
	}
	state, err := d.Power.PowerState(f.ctx, n)
	if f.ctx.Err() != nil {
		return node.Done{}, false
	}
	if err != nil {
		return node.Done{ReadErr: err.Error()}, true
	}
	done := node.Done{State: state}
	if v, _ := n.Properties["vendor"].(string); v == "" && d.Identity != nil {
		if vendor, err := d.Identity.Vendor(f.ctx, n); err == nil {
			done.Vendor = vendor
		}
	}
	return done, true
}

// runStep runs one step on the driver that serves its interface; steps of interfaces without code of their own (take
// over and tear down of agent deploy) have nothing to do.
func (f *Fleet) runStep(n *node.Node, e node.Effect) (node.Done, bool) {
	d := f.driver(n, e.Step.Interface)
	if d == nil || d.Steps == nil {
		if e.Step.Step == "take_over" || e.Step.Step == "tear_down" {
			return node.Done{}, true
		}
		return node.Done{Err: fmt.Sprintf("node does not support this step: %s.%s", e.Step.Interface, e.Step.Step), Cause: node.Unsupported}, true
	}
	killpoint("in-step", n.UUID)
	err := d.Steps.RunStep(f.ctx, n, e.Step)
	if f.ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return node.Done{}, false
	}
	done := node.Done{}
	if err != nil {
		done.Err = err.Error()
		var r *node.Error
		if errors.As(err, &r) {
			done.Cause = r.Kind
		}
	}
	return done, true
}

// read is GET management/boot_device: it asks the BMC under the lock, but commits nothing (S8).
func (a *nodeActor) read(c actor.Context, q *call) {
	if a.n == nil {
		q.answer(nil, a.notFound(q.msg))
		return
	}
	if a.reading != nil || a.n.Intent != nil {
		a.wait(c, q, node.Decision{}, a.busyReading())
		return
	}
	d := a.f.driver(a.n, "management")
	if d == nil || d.Boot == nil {
		q.answer(nil, &node.Error{Op: q.msg.MsgName(), Node: a.uuid, Kind: node.Unsupported, Text: fmt.Sprintf("Driver %s does not support get_boot_device (disabled or not implemented).", a.n.Driver)})
		return
	}
	if d.Validate != nil {
		if err := d.Validate.ValidateManagement(a.n); err != nil {
			q.answer(nil, err)
			return
		}
	}
	self, root, n, f := c.Self(), a.f.system.Root, a.n, a.f
	if !f.begin() {
		q.answer(nil, f.drains(q.msg, a.uuid))
		return
	}
	a.reading = q
	go func() {
		defer f.running.Done()
		b, err := f.bootDevice(d, n)
		root.Send(self, &readDone{c: q, value: node.BootDevice{Device: b.Device, Persistent: b.Persistent, Known: b.Known}, err: err})
	}()
}

// bootDevice asks the BMC; a failure of our own code is an error like another.
func (f *Fleet) bootDevice(d *bmc.Driver, n *node.Node) (b bmc.BootDevice, err error) {
	defer func() {
		if p := recover(); p != nil {
			f.cfg.Logger.Error("a read failed in our own code", "node", n.UUID, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("internal error: %v", p)
		}
	}()
	return d.Boot.BootDevice(f.ctx, n)
}

func (a *nodeActor) readDone(m *readDone) {
	a.reading = nil
	var r *node.Error
	switch {
	case m.err == nil:
		m.c.answer(m.value, nil)
	case errors.As(m.err, &r):
		m.c.answer(nil, r)
	default:
		m.c.answer(nil, &node.Error{Op: m.c.msg.MsgName(), Node: a.uuid, Kind: node.Internal, Text: m.err.Error()})
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"ferrite/bmc"
	"ferrite/node"
)

// proofTime is how long a BMC may take to say whether it knows a new login.
const proofTime = 5 * time.Second

// errProofTime ends it.
var errProofTime = fmt.Errorf("no success within %s", proofTime)

// proved ends the trial of a new login.
type proved struct{ c *call }

// newLogin reports whether a PATCH would replace a login that is in use. In maintenance, and before the first login was
// verified, nothing is tried: that is the way to store a login that the BMC does not know yet.
func (a *nodeActor) newLogin(q *call, changed *node.Node) bool {
	d := a.f.driver(a.n, "power")
	return !q.proven && d != nil && d.NewLogin != nil && d.Power != nil && a.n.ProvisionState != node.Enroll && !a.n.Maintenance &&
		a.n.Driver == changed.Driver && d.NewLogin(a.n, changed)
}

// prove tries the new login before the old one is dropped (L3). The PATCH is refused only when the BMC refuses the new
// login and still takes the old one, or when it could not be asked; one that does not answer says nothing about either.
func (a *nodeActor) prove(c actor.Context, q *call, m node.UpdateNode, changed *node.Node) {
	f, self, old, d := a.f, c.Self(), a.n, a.f.driver(a.n, "power")
	if !f.begin() {
		q.answer(nil, f.drains(q.msg, a.uuid))
		return
	}
	q.proven = true
	a.reading = q
	go func() {
		defer f.running.Done()
		switch err := f.refusedLogin(d, old, changed); {
		case err == nil:
		case untried(err):
			m.VetoKind = node.Conflict
			m.Veto = fmt.Sprintf("Whether the new login is better than the present one could not be found out, so nothing was changed (%v). "+
				"Try again in a minute, or set maintenance to store the login without trying it.", err)
		default:
			m.Veto = fmt.Sprintf("The BMC refuses the new login, and the present one still works: nothing was changed (%v). "+
				"Change the BMC first, or set maintenance to store the login without trying it.", err)
		}
		q.msg = m
		f.system.Root.Send(self, &proved{q})
	}()
}

// untried reports whether a trial was not made although the BMC lives: it has no session slot left, which tries of wrong
// passwords alone can bring about, or it is busy, or is left alone.
func untried(err error) bool {
	var b *bmc.Error
	return errors.Is(err, bmc.ErrNoSlot) || errors.Is(err, bmc.ErrBusy) || errors.As(err, &b) && b.Unasked
}

// refusedLogin is the BMC's refusal of the changed login, if the old one still works, or why it could not be tried.
func (f *Fleet) refusedLogin(d *bmc.Driver, old, changed *node.Node) (refusal error) {
	defer func() {
		if p := recover(); p != nil {
			f.cfg.Logger.Error("the trial of a login failed in our own code", "node", old.UUID, "panic", p)
			refusal = nil
		}
	}()
	ctx, cancel := context.WithTimeoutCause(bmc.Insist(f.ctx), proofTime, errProofTime) // somebody may have changed the BMC just now
	defer cancel()
	_, err := d.Power.PowerState(ctx, changed)
	switch {
	case untried(err):
		return err
	case !denied(err):
		return nil
	}
	ctx, cancelOld := context.WithTimeoutCause(f.ctx, proofTime, errProofTime)
	defer cancelOld()
	switch _, oldErr := d.Power.PowerState(ctx, old); {
	case oldErr == nil:
		return err
	case untried(oldErr) && !denied(oldErr): // the trial may have taken the last slot
		return fmt.Errorf("%w; the present login: %w", err, oldErr)
	default:
		return nil
	}
}

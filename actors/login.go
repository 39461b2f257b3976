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
// login and still takes the old one; a BMC that does not answer says nothing about either.
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
		if err := f.refusedLogin(d, old, changed); err != nil {
			m.Veto = fmt.Sprintf("The BMC refuses the new login, and the present one still works: nothing was changed (%v). "+
				"Change the BMC first, or set maintenance to store the login without trying it.", err)
			q.msg = m
		}
		f.system.Root.Send(self, &proved{q})
	}()
}

// refusedLogin is the BMC's refusal of the changed login, if the old one still works.
func (f *Fleet) refusedLogin(d *bmc.Driver, old, changed *node.Node) (refusal error) {
	defer func() {
		if p := recover(); p != nil {
			f.cfg.Logger.Error("the trial of a login failed in our own code", "node", old.UUID, "panic", p)
			refusal = nil
		}
	}()
	ctx, cancel := context.WithTimeout(bmc.Insist(f.ctx), proofTime) // somebody may have changed the BMC just now
	defer cancel()
	_, err := d.Power.PowerState(ctx, changed)
	var b *bmc.Error
	if !errors.As(err, &b) || !b.Auth {
		return nil
	}
	ctx, cancelOld := context.WithTimeout(f.ctx, proofTime)
	defer cancelOld()
	if _, oldErr := d.Power.PowerState(ctx, old); oldErr != nil {
		return nil
	}
	return err
}

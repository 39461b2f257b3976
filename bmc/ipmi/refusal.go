// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"ferrite/node"
)

// Readings get logins refused so often within so long at one BMC, whatever logins they use: it may count for all users together,
// or by where they come from.
const (
	refusalsMost = 2
	refusalsSpan = time.Hour
)

// errRefusedBefore says that the login was refused in an earlier life of this process, or to another conductor.
var errRefusedBefore = fmt.Errorf("%w some time ago, as the node's record says; nobody has changed it since", errLogin)

// errSpent says that other logins were refused too often to try this one.
var errSpent = errors.New("this BMC has refused other logins a while ago, and one more refusal could lock its accounts")

// refusals are what a record remembers of the refusals of its login.
type refusals struct {
	last  *node.Refusal       // nil = none since a login was accepted
	spent [refusalsMost]int64 // when the last ones are longer ago than refusalsSpan (shard time), oldest first
	letIn int64               // when the login was last accepted (shard time), 0 = not yet
}

// refuse notes that the BMC has refused the login now, or age ago as the node's record says: times counts in a row.
func (sh *shard) refuse(r *record, err error, last *node.Refusal, age time.Duration) {
	r.last = last
	at := sh.now - int64(age)
	if till := at + int64(sh.cfg.AuthBackOff); till > sh.now {
		r.heldTill, r.cause = till, err
	}
	if till := at + int64(sh.cfg.AuthRest); last.Times > 1 && till > sh.now {
		r.restTill, r.refusal = till, err
	}
	r.spent = [refusalsMost]int64{r.spent[1], at + int64(refusalsSpan)}
}

// refusedNow notes that the BMC has just refused the login.
func (sh *shard) refusedNow(r *record, err error) {
	times := 1
	if r.last != nil {
		times += r.last.Times
	}
	sh.refuse(r, err, &node.Refusal{At: time.Now().UTC(), Times: times}, 0)
}

// remember takes over what a node's record says of the login, unless this process knows better: it has been let in, or refused
// later. A clock that was set back since is no reason to be bold: what is to come counts as now.
func (sh *shard) remember(r *record, known *node.Refusal) {
	if known == nil || known.Times < 1 || r.lastUse != 0 || r.stage == quarantined || r.last != nil && !known.At.After(r.last.At) {
		return
	}
	age := max(0, time.Since(known.At))
	sh.refuse(r, errRefusedBefore, known, age)
	if known.Times == refusalsMost { // the other one was AuthBackOff earlier; later ones are hours apart
		r.spent[0] = r.spent[1]
	}
}

// overspent says why a reading may not try the login: the logins that this BMC is asked under were refused too often lately, and
// this one was not let in since the first of those. Refusals of logins that nobody uses any more do not count.
func (sh *shard) overspent(r *record) error {
	if r.kin.Load() == nil || r.sess != nil {
		return nil
	}
	newest := r.spent
	sh.mu.Lock()
	for k := range r.kinOf() {
		if k.users == 0 && k.has(flagReleased) {
			continue
		}
		for _, till := range k.spent {
			if till > newest[0] {
				newest[0] = till
				slices.Sort(newest[:])
			}
		}
	}
	sh.mu.Unlock()
	if newest[0] <= sh.now || r.letIn != 0 && r.letIn+int64(refusalsSpan) > newest[0] {
		return nil
	}
	return errSpent
}

// remembered is until when a record that nobody holds is kept for what it knows of refusals.
func (r *record) remembered() int64 {
	till := max(r.heldTill, r.restTill)
	if !r.has(flagReleased) {
		till = max(till, r.spent[1])
	}
	return till
}

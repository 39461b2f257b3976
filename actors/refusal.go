// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"errors"

	"ferrite/bmc"
	"ferrite/node"
)

// settledAt is how many refusals of a login in a row settle it: nobody expects another answer, and readings ask for one only
// every few hours.
const settledAt = 2

// denied reports whether a BMC has refused the login: an answer, which the network has brought.
func denied(err error) bool {
	var b *bmc.Error
	return errors.As(err, &b) && b.Auth
}

// unasked reports whether an error says nothing of the machine: nothing was sent, as the BMC is left alone for a while. A login
// that is settled as refused does say something: that there is no way to see the machine's power for hours, which is what the
// retries of the power sync count.
func unasked(err error) bool {
	var b *bmc.Error
	return errors.As(err, &b) && b.Unasked && (!b.Auth || b.Refused == nil || b.Refused.Times < settledAt)
}

// news is the refusal of the login that the record does not have yet, nil = none.
func (e *entry) news(err error) *node.Refusal {
	var b *bmc.Error
	if !errors.As(err, &b) || b.Refused == nil || b.Refused.At.UnixNano() == e.refused.Load() {
		return nil
	}
	return b.Refused
}

// refusal has a refused login recorded that no sample of the power sync tells.
func (e *entry) refusal(mode uint32, asked node.Rev, r *node.Refusal) {
	if r != nil && mode != modeSkip {
		e.send(&outcome{msg: node.LoginRefused{Rev: asked, Refused: r}, sample: true})
	}
}

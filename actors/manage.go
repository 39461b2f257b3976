// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"encoding/hex"

	"github.com/asynkron/protoactor-go/actor"

	"ferrite/bmc"
	"ferrite/node"
)

// manage commands the BMC itself: a reset, a raw request, the machine's light, its event log.
func (f *Fleet) manage(self *actor.PID, n *node.Node, e node.Effect) (node.Done, bool) {
	kind := "vendor"
	if e.Kind == node.Light || e.Kind == node.ClearLog {
		kind = "management"
	}
	d := f.driver(n, kind)
	if d == nil || d.Manager == nil {
		return notBuilt(n, kind), true
	}
	return f.mutate(self, n, opOther, func(p bmc.Permit) error {
		switch e.Kind {
		case node.ResetBMC:
			return d.Manager.ResetBMC(f.cmd, n, e.Cold, p)
		case node.Light:
			return d.Manager.Identify(f.cmd, n, e.Timeout, p)
		case node.ClearLog:
			return d.Manager.ClearEvents(f.cmd, n, p)
		default:
			answer, err := d.Manager.SendRaw(f.cmd, n, e.Raw, p)
			if err == nil { // Ironic logs it too, and tells it nobody; what was sent may be a password
				f.cfg.Logger.Info("a raw request was answered", "node", n.UUID, "request", hex.EncodeToString(e.Raw[:2]), "answer", hex.EncodeToString(answer))
			}
			return err
		}
	})
}

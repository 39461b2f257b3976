// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import "ferrite/node"

// failing logs that a node is taken out of service by a fault, or comes back: who looks for the reason looks into the log first.
func (a *nodeActor) failing(before, after *node.Node) {
	switch {
	case before == nil || before.Fault == after.Fault:
	case after.Fault != "":
		a.f.cfg.Logger.Warn("node goes to maintenance", "node", a.uuid, "name", after.Name, "fault", after.Fault, "reason", after.MaintenanceReason)
	default:
		a.f.cfg.Logger.Info("node has no fault any more", "node", a.uuid, "name", after.Name, "fault", before.Fault, "maintenance", after.Maintenance)
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import "time"

// Status of a notification, the last word of its event type.
type Status string

// Statuses.
const (
	Start   Status = "start"
	End     Status = "end"
	Success Status = "success"
	Failure Status = "error"
)

// Notice is one notification to be written in the entry of the change that it tells of (N1). Package notify turns it
// into Ironic's versioned payload. Level is error for Failure, else info.
type Notice struct {
	Object string // "node", "port"
	Action string // "create", "update", "delete", "maintenance_set", "power_set", "power_state_corrected", "provision_set", "console_set", "console_restore", "console_stop"
	Status Status
	API    bool      // publisher ironic-api.<name>, else ironic-conductor.<name>
	At     time.Time // UTC, of the envelope
	Node   *Node     // the node as the payload shows it
	Other  any       // the object when it is not a node: *inventory.Port

	Request string // id of the API request behind it, however long ago and whoever was the owner then; "" = none

	ToPower    PowerState // power_set: as requested
	FromPower  PowerState // power_state_corrected: "" = null
	Event      string     // provision_set
	PrevState  State      // provision_set
	PrevTarget State      // provision_set, "" = null
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package inventory

// Requests about ports, sent to the owner of the port's node. Replies: *Port for create and update, nil for delete.
type (
	// CreatePort stores a new port of the node.
	CreatePort struct{ Port *Port }
	// UpdatePort replaces the fields named in Changed (wire names) by those of Want if the port's Rev is still
	// Want.Rev; else *node.Error of kind Stale.
	UpdatePort struct {
		Want    *Port
		Changed []string
	}
	// DeletePort removes a port of the node.
	DeletePort struct{ UUID string }
)

// MsgName names the message.
func (CreatePort) MsgName() string { return "CreatePort" }
func (UpdatePort) MsgName() string { return "UpdatePort" }
func (DeletePort) MsgName() string { return "DeletePort" }

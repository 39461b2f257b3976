// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import "time"

// Entry is one line of a node's history (spec api-endpoints.md, history): written from now on, shown by the API later.
type Entry struct {
	UUID                 string
	Node                 string // UUID of the node
	CreatedAt            time.Time
	Severity             string // "ERROR" or "INFO"
	EventType            string // one of fsm.json lists.history_event_types
	Event                string // text
	Conductor            string
	User                 string // "" = none
	State                State
	TargetProvisionState State
}

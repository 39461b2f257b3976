// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bmc

import (
	"context"
	"time"

	"ferrite/node"
)

type (
	// Sensor is one thing that a machine measures or watches, as it was read once.
	Sensor = node.Sensor
	// Field is a name and a value of it.
	Field = node.Field
	// Event is an entry of a machine's event log.
	Event = node.Event
)

// Sensors reads what a machine measures. It asks the BMC many times and gives way to everything else.
type Sensors interface {
	// Sensors reads all of them, in the BMC's order. None is no error.
	Sensors(ctx context.Context, n *node.Node) ([]Sensor, error)
}

// EventLog reads a machine's own log of events (IPMI's System Event Log).
type EventLog interface {
	// Events gives the newest, oldest of them first; no more than limit when that is above 0.
	Events(ctx context.Context, n *node.Node, limit int) ([]Event, error)
}

// Manager commands the BMC itself.
type Manager interface {
	// ResetBMC restarts the BMC, cold with all its settings. It is of class Once.
	ResetBMC(ctx context.Context, n *node.Node, cold bool, p Permit) error
	// Identify lights the machine's identify light for a while (255 s at most), puts it out (0), or on for good (below 0).
	Identify(ctx context.Context, n *node.Node, span time.Duration, p Permit) error
	// ClearEvents empties the machine's event log and returns when it is empty. It is of class Once.
	ClearEvents(ctx context.Context, n *node.Node, p Permit) error
	// SendRaw sends a request of the caller's: network function, command, data. It is of class Once.
	SendRaw(ctx context.Context, n *node.Node, request []byte, p Permit) ([]byte, error)
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bmc

import (
	"context"
	"time"

	"ferrite/node"
)

// Sensor is one thing that a machine measures or watches, as it was read once.
type Sensor struct {
	ID     string             // Ironic's: name and number, "Inlet Temp (0x5)"
	Name   string             // "Inlet Temp"
	Number byte               // of the sensor, as events name it
	Type   string             // "Power Supply"; Ironic sorts by its first word
	Entity string             // what it belongs to: "7.1 (System Board)"
	Unit   string             // "degrees C"; "" = no number
	Value  float64            // in Unit, when Known; finite
	Known  bool               // the BMC had a reading
	Status string             // of a threshold sensor: "ok", "Lower Critical" ...; "" = none
	States []string           // of a discrete sensor: what is the case, as the specification names it
	Limits map[string]float64 // "Upper critical": 83
	Fields []Field            // all of it in the words and order of `ipmitool -v sdr`, which is Ironic's sensor data
}

// Field is a name and a value.
type Field struct{ Name, Value string }

// Event is an entry of a machine's event log.
type Event struct {
	ID        uint16
	Time      time.Time // zero = not known
	Record    byte      // record type: 2 = system event, C0h and above are the maker's own
	Sensor    string    // "Temp (0x1)", or the number alone when the BMC's sensors are not known
	Type      string    // of the sensor
	Text      string    // what happened; "" = nothing that the specification names
	Deassert  bool      // it is over
	Generator uint16    // who logged it: 20h is the BMC
	Data      []byte    // event data, or all of a maker's own record behind its type
}

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
	// SendRaw sends a request of the caller's: network function, command, data. It is of class Once.
	SendRaw(ctx context.Context, n *node.Node, request []byte, p Permit) ([]byte, error)
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"net/netip"
	"time"
)

// What a machine tells of itself. It is read when somebody asks and kept nowhere: no rule depends on it.
type (
	// Sensor is one thing that a machine measures or watches, as it was read once.
	Sensor struct {
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
	Field struct{ Name, Value string }

	// Event is an entry of a machine's event log.
	Event struct {
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

	// Sensors is the reply to GetSensors, in the BMC's order.
	Sensors struct{ All []Sensor }
	// Events is the reply to GetEvents, oldest first.
	Events struct{ All []Event }

	// GetSensors reads the machine's sensors. It needs no lock and commits nothing. Reply: Sensors.
	GetSensors struct{}
	// GetEvents reads the newest events of the machine's log. Reply: Events.
	GetEvents struct{ Limit int } // 0 = all

	// GetConfirmed asks the conductor that looks after a node when its power state was last confirmed, and with Health what its
	// sensors said when they were read last. It asks no BMC; with
	// Hint that conductor reads the node's power soon, because the BMC has said that something happened. Reply: Confirmed.
	GetConfirmed struct {
		Hint   bool
		Health bool     `json:",omitempty"`
		Nodes  []string `json:",omitempty"` // UUIDs of nodes of the same conductor that it is to tell of, too
		// BMCs have said that something happened, and some of them may be known to that conductor under their names.
		BMCs []netip.Addr `json:",omitempty"`
	}
	// Confirmed is the reply to GetConfirmed.
	Confirmed struct {
		At  time.Time            // zero = not yet since that conductor looks after it
		All map[string]time.Time `json:",omitempty"` // of Nodes, those whose power was confirmed; nil from an older conductor
		// Health is what was asked of the node and of Nodes, of those whose sensors were read.
		Health map[string]Health `json:",omitempty"`
	}
)

// MsgName names the message.
func (GetSensors) MsgName() string { return "GetSensors" }
func (GetEvents) MsgName() string  { return "GetEvents" }

// MsgName names the message.
func (GetConfirmed) MsgName() string { return "GetConfirmed" }

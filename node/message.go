// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import "time"

// Msg is what an actor receives: a request (imperative) or an outcome (past). MsgName names it in errors and logs.
type Msg interface{ MsgName() string }

// Meta tells who asked, for the audit line, history and callbacks.
type Meta struct {
	By        string // user name, "" = nobody signed in
	RequestID string // "req-UUID": the caller's own, else the one that the answer has
	Minor     int    // microversion of the request, 115 = 1.115
	Rank      Rank   // who goes first when more is asked than can be done
}

// Rank orders requests when more is asked than can be done: commands, records, bulk; what the power sync finds comes
// after all of them.
type Rank uint8

// The ranks. What says nothing is about a record.
const (
	RankRecord  Rank = iota // one record is read or changed
	RankCommand             // somebody commands one machine and waits for it
	RankBulk                // many are made, or whole collections read
)

// String is what documents and tests call the rank.
func (r Rank) String() string {
	switch r {
	case RankCommand:
		return "command"
	case RankBulk:
		return "bulk"
	default:
		return "record"
	}
}

// Requests of the API. The reply of each (the first result of Commands.Do) is named in its comment.
type (
	// CreateNode stores a new node; defaults of interfaces are filled in. Reply: *Node.
	CreateNode struct {
		Node *Node // as asked for, UUID set; ProvisionState enroll, or available below 1.11
	}
	// UpdateNode replaces the root fields named in Changed (wire names) by those of Want, if the node's Outer is still
	// Base; else Kind Stale: read again and repeat. Reply: *Node.
	UpdateNode struct {
		Base            uint64
		Want            *Node
		Changed         []string
		Removed         []string // those of Changed that a "remove" operation took away (defaults, name)
		ResetInterfaces bool
		Veto            string // why the owner refuses it although the rules allow it, "" = it does not
		VetoKind        Kind   // of Veto, "" = Invalid
	}
	// DeleteNode removes a node and what hangs on it. Reply: nil.
	DeleteNode struct{}
	// SetMaintenance is PUT and DELETE /maintenance. Reply: nil.
	SetMaintenance struct {
		On     bool
		Reason string
	}
	// SetPower is PUT states/power. The reply (nil) comes once the intent is committed.
	SetPower struct {
		Target  PowerState
		Timeout time.Duration // 0 = not given
	}
	// SetProvision is PUT states/provision. The reply (nil) comes once the new state is committed.
	SetProvision struct {
		Verb           string // wire target: "manage", "active", "deleted" ...
		Configdrive    any    // string or object, nil = none
		DeploySteps    []StepSpec
		CleanSteps     []StepSpec
		ServiceSteps   []StepSpec
		RescuePassword string
		DisableRamdisk bool
	}
	// SetBootDevice is PUT management/boot_device. The reply (nil) comes when the BMC has answered.
	SetBootDevice struct {
		Device     string
		Persistent bool
	}
	// GetBootDevice asks the BMC, under the lock. Reply: BootDevice.
	GetBootDevice struct{}
	// InjectNMI is PUT management/inject_nmi. The reply (nil) comes when the BMC has answered.
	InjectNMI struct{}
	// SetConsole is PUT states/console. Reply: nil.
	SetConsole struct{ Enabled bool }
	// SetTraits replaces all traits, or with Add or Remove changes one of those that the node has when its turn comes,
	// so that two clients who add one each both succeed. Names are checked by the API. Reply: nil.
	SetTraits struct {
		Traits []string // sorted; not used with Add or Remove
		Add    string
		Remove string
	}
	// Release is "ferrite node release --force" (S13): it takes the open operation from whoever holds it and ends it with
	// an error when no command of it can be on its way any more. The conductor that is asked does it, owner or not: it is
	// never sent on. The reply (nil) comes when the operation has ended.
	Release struct{ Op string } // only this operation; "" = any
)

// BootDevice is the reply to GetBootDevice. Known false: both are null on the wire.
type BootDevice struct {
	Device     string
	Persistent bool
	Known      bool
}

// Validity is one interface's line of GET validate.
type Validity struct {
	OK     bool
	Reason string // why not; when OK a warning, "" = none
}

// MsgName names the message.
func (CreateNode) MsgName() string     { return "CreateNode" }
func (UpdateNode) MsgName() string     { return "UpdateNode" }
func (DeleteNode) MsgName() string     { return "DeleteNode" }
func (SetMaintenance) MsgName() string { return "SetMaintenance" }
func (SetPower) MsgName() string       { return "SetPower" }
func (SetProvision) MsgName() string   { return "SetProvision" }
func (SetBootDevice) MsgName() string  { return "SetBootDevice" }
func (GetBootDevice) MsgName() string  { return "GetBootDevice" }
func (InjectNMI) MsgName() string      { return "InjectNMI" }
func (SetConsole) MsgName() string     { return "SetConsole" }
func (SetTraits) MsgName() string      { return "SetTraits" }
func (Release) MsgName() string        { return "Release" }

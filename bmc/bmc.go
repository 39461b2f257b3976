// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bmc

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"ferrite/node"
)

// Permit is the right to send mutating commands to one node's BMC for a while (S9).
type Permit interface {
	// OK is check (1) of S10: after a read index the record still has this owner, epoch and operation. It may take a
	// round trip; the pool calls it right before it hands the command over.
	OK(ctx context.Context) error
	// Live is check (2) of S10: the deadline holds on both clocks. It is cheap; a shard calls it at every seal,
	// retransmissions included.
	Live() bool
}

// Action is a mutating chassis command.
type Action string

// Actions, with the IPMI chassis control value they stand for.
const (
	On      Action = "on"       // 1
	Off     Action = "off"      // 0
	SoftOff Action = "soft off" // 5
	Reset   Action = "reset"    // 3, class once
	NMI     Action = "nmi"      // 4, class once
)

// Class is what may be done when the outcome of the action is lost (S12).
func (a Action) Class() node.Class {
	if a == Reset || a == NMI {
		return node.Once
	}
	return node.Repeat
}

// Power reads and drives a machine's power.
type Power interface {
	// PowerState asks the BMC. node.PowerError is an answer that is neither on nor off, not a failure.
	PowerState(ctx context.Context, n *node.Node) (node.PowerState, error)
	// SetPower sends one command and returns when the BMC has answered it; it does not wait for the state. An action of
	// class Once is never sent twice: a lost reply is *Error with Unknown set.
	SetPower(ctx context.Context, n *node.Node, a Action, p Permit) error
}

// Validator checks driver_info without talking to the BMC. The error is *node.Error of kind Invalid.
type Validator interface {
	// ValidatePower checks what power commands need, ValidateManagement what the others need (spec ipmi-driver.md 1).
	ValidatePower(n *node.Node) error
	ValidateManagement(n *node.Node) error
}

// BootDevice is what a machine boots from next.
type BootDevice struct {
	Device     string // pxe, disk, cdrom, bios, safe; "" = none that has a name, or unknown: shown as null
	Persistent bool
	Known      bool // false: persistent is shown as null too
}

// Boot reads and sets the boot device.
type Boot interface {
	BootDevice(ctx context.Context, n *node.Node) (BootDevice, error)
	SetBootDevice(ctx context.Context, n *node.Node, device string, persistent bool, p Permit) error
	BootDevices(n *node.Node) []string // supported ones, in Ironic's order
}

// Identity names the machine's vendor, lower case, "" = unknown.
type Identity interface {
	Vendor(ctx context.Context, n *node.Node) (string, error)
}

// Sink receives the outcome of a Poll. PowerPolled is called from a driver goroutine and must not block or allocate.
type Sink interface {
	PowerPolled(state node.PowerState, err error)
}

// Poller is the sweep's way to read power: no goroutine and no allocation per poll.
type Poller interface {
	// Prepare makes (or finds, for nodes behind one BMC) the handle for a node. Call it again after driver_info changed. What the
	// node's record says of a refused login (node.Refused) counts where this process has no knowledge of its own.
	Prepare(n *node.Node) (Handle, error)
}

// Handle is one node's place in a poller.
type Handle interface {
	// Poll asks for the power state; the answer goes to the sink exactly once. It never blocks.
	Poll(s Sink)
	// Close gives the place back; the last user of a BMC closes its session (fire and forget).
	Close()
}

// Named is a Handle of a BMC that is given by its host name.
type Named interface {
	Handle
	// Address is what the name was at the last Poll that has ended; zero = it could not be resolved.
	Address() netip.Addr
}

// Capabilities is what a driver can do, as data.
type Capabilities struct {
	PowerTargets []node.PowerState // accepted by states/power, in Ironic's order
	PowerSync    bool              // takes part in the power sync
	Recorded     bool              // power state is what is recorded: nothing to poll, nothing to wait for (fake)
	BootDevices  []string
	CleanSteps   []node.StepSpec // automated cleaning, highest priority first
}

// StepRunner runs one deploy, clean, inspect, rescue or service step. An unknown step is *node.Error of kind Unsupported.
type StepRunner interface {
	RunStep(ctx context.Context, n *node.Node, step node.StepSpec) error
}

// Driver is one hardware type. A nil field is not supported.
type Driver struct {
	Name     string // hardware type: "ipmi"
	Caps     Capabilities
	Validate Validator
	Power    Power
	Boot     Boot
	Console  Console
	Identity Identity
	Poller   Poller
	Steps    StepRunner
	Sensors  Sensors
	Events   EventLog
	Manager  Manager
	// NewLogin reports whether changed says to log in to the same BMC in another way; nil = there is no login.
	NewLogin   func(n, changed *node.Node) bool
	Properties map[string]string // GET /v1/drivers/NAME/properties
}

// Console starts and stops a machine's console. Both may be repeated.
type Console interface {
	StartConsole(ctx context.Context, n *node.Node, p Permit) error
	StopConsole(ctx context.Context, n *node.Node, p Permit) error
	// ConsoleInfo is what GET states/console shows of a started one. It does no IO.
	ConsoleInfo(n *node.Node) map[string]any
}

// ErrNoSlot says that a BMC's session table is full, so that it cannot be logged in to.
var ErrNoSlot = errors.New("the BMC has no free session slot")

// ErrBusy says that a BMC was busy all the time with what is asked of it under another login.
var ErrBusy = errors.New("the BMC is busy with what is asked of it under another login")

// ErrPermit says that the right to command the BMC was lost before the packet left (S10).
var ErrPermit = errors.New("the permit to command this BMC has ended or was lost to another owner")

// Error is a BMC that failed to answer or answered with a failure.
type Error struct {
	Command string // as Ironic words it: "power status", "power on"
	Address string // host:port
	Unknown bool   // the command may have been executed
	Auth    bool   // the BMC refused user, password or privilege
	Unasked bool   // nothing was sent: the BMC is left alone for a while, because of what Err says of an earlier time
	Err     error

	Refused *node.Refusal // how the BMC has refused this login; nil = it has not, as far as is known
}

// Error reads like Ironic's text, with the cause behind it.
func (e *Error) Error() string {
	if e.Unasked {
		return fmt.Sprintf("IPMI call failed: %s. BMC %s was not asked again: %v", e.Command, e.Address, e.Err)
	}
	return fmt.Sprintf("IPMI call failed: %s. BMC %s: %v", e.Command, e.Address, e.Err)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

type insisting struct{}

// Insist makes a driver ask the BMC anew, even if it has refused this login a short while ago and is left alone so that
// accounts are not locked. It is for single requests of a person.
func Insist(ctx context.Context) context.Context { return context.WithValue(ctx, insisting{}, true) }

// Insists reports whether Insist made ctx.
func Insists(ctx context.Context) bool { return ctx.Value(insisting{}) != nil }

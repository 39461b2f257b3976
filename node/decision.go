// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import "time"

// Decision is what Step decided: commit first (Node, History, Notices in one entry), then run the effects.
type Decision struct {
	Node    *Node // the record to write; nil = nothing to write
	Delete  bool  // remove the node and what hangs on it
	Create  bool  // the record must not exist yet
	History []Entry
	Notices []Notice
	Effects []Effect
	Reply   any  // for the requester, once committed
	Wait    bool // the requester waits for the outcome (Done) of the operation instead of the commit
}

// EffectKind says what an Effect does.
type EffectKind string

// Effects. All but None, HoldOff and RunStep of fake interfaces talk to the BMC.
const (
	DrivePower EffectKind = "drive power" // read, act, wait for the state
	Verify     EffectKind = "verify"      // read power and vendor; nothing mutating
	RunStep    EffectKind = "run step"    // one deploy, clean, service ... step
	SetBoot    EffectKind = "set boot device"
	SendNMI    EffectKind = "inject nmi"
	// SwitchConsole starts or stops the console (On).
	SwitchConsole EffectKind = "switch console"
	HoldOff       EffectKind = "hold off" // wait for Hold, touch nothing: permits of a former owner end (S13)
	None          EffectKind = "none"     // go on at once: a flow's next phase is decided by its outcome
)

// Effect is one thing to do in the outside world after the commit. Its outcome comes back as Done with the same Op and
// Phase; an outcome is never dropped (S13).
type Effect struct {
	Kind  EffectKind
	Op    string // intent id
	Phase string
	Class Class

	Act     PowerState    // DrivePower: PowerOn, PowerOff, SoftPowerOff, or Rebooting = chassis reset
	Read    bool          // DrivePower: read first; already there means nothing is sent
	Want    PowerState    // DrivePower: the state to wait for
	Pause   time.Duration // DrivePower: wait this long after the command before the first read
	Timeout time.Duration // DrivePower: limit of the waiting; Light: for how long
	Step    StepSpec      // RunStep
	Device  string        // SetBoot
	Persist bool          // SetBoot
	On      bool          // SwitchConsole
	Cold    bool          // ResetBMC
	Raw     []byte        // SendRaw
	Hold    time.Duration // wait before touching the BMC: a foreign permit may still be good (S11)
}

// Done is the outcome of an effect.
type Done struct {
	Op, Phase string
	ReadErr   string     // DrivePower, Verify: the first read failed so; nothing was sent
	Already   bool       // DrivePower: the first read found the wanted state; nothing was sent
	State     PowerState // DrivePower, Verify: the power state found last
	Vendor    string     // Verify
	Err       string     // the command or the waiting failed so
	Unknown   bool       // with Err: a command of class once may or may not have been executed
	Cause     Kind       // with Err: kind of refusal for a waiting requester, "" = Internal
}

// MsgName names the message.
func (Done) MsgName() string { return "Done" }

// SyncSample is a power reading of the sweep that did not simply match (P3).
type SyncSample struct {
	Rev    Rev        // record revision that it was compared under
	State  PowerState // what the BMC said; with Failed it is ""
	Err    string     // with Failed: why
	Failed bool

	Refused *Refusal // with Failed: how the BMC refused the login, if it did
}

// MsgName names the message.
func (SyncSample) MsgName() string { return "SyncSample" }

// RecoverySample is a good reading of a node in fault "power failure" (spec power.md section 7).
type RecoverySample struct {
	Rev   Rev
	State PowerState
}

// MsgName names the message.
func (RecoverySample) MsgName() string { return "RecoverySample" }

// Activated is the first message of an owner to a node with an open intent or a state on the way (S3).
type Activated struct{}

// MsgName names the message.
func (Activated) MsgName() string { return "Activated" }

// RenewPermit asks for one more commit under this operation before it may command the BMC (S9).
type RenewPermit struct{ Op string }

// MsgName names the message.
func (RenewPermit) MsgName() string { return "RenewPermit" }

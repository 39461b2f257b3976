// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import "time"

// Node is one bare metal machine: what Ironic's API shows of it and what its owner keeps (claim, intent, counters).
// A Node that was handed out is never written to; Clone first. Object fields are nil or non-nil maps of JSON values
// (nil is shown as {}); "" of a nullable string is the wire's null.
type Node struct {
	// Identity.
	UUID string // lower case, immutable
	Name string // unique, "" = none

	// What the operator gave.
	Driver         string // hardware type: "ipmi", "fake-hardware"
	DriverInfo     map[string]any
	Properties     map[string]any
	InstanceInfo   map[string]any
	Extra          map[string]any
	NetworkData    map[string]any
	InstanceUUID   string // unique, "" = none
	InstanceName   string
	ChassisUUID    string
	ResourceClass  string
	ConductorGroup string // lower case, "" = default group
	Description    string
	PlacedOwner    string // wire "owner": the project that owns the hardware (not the conductor: see Owner)
	Lessee         string
	Shard          string
	ParentNode     string // UUID, "" = none
	AutomatedClean *bool
	Traits         []string // sorted

	// Interfaces by kind ("power" -> "ipmitool"); every kind of InterfaceKinds has a value once the node exists.
	Interfaces map[string]string

	// Flags with reasons. A reason is only set while its flag is.
	Maintenance       bool
	MaintenanceReason string
	Fault             string
	Protected         bool
	ProtectedReason   string
	Retired           bool
	RetiredReason     string
	DisablePowerOff   bool

	// What the conductor found and does.
	PowerState           PowerState
	TargetPowerState     PowerState // on, off or ""
	ProvisionState       State
	TargetProvisionState State
	LastError            string
	DriverInternalInfo   map[string]any
	BootMode             string
	SecureBoot           *bool
	Health               string
	ConsoleEnabled       bool
	ConsoleWanted        bool // what the user asked for (N4); ConsoleEnabled is what is
	CleanStep            map[string]any
	DeployStep           map[string]any
	ServiceStep          map[string]any
	RaidConfig           map[string]any
	TargetRaidConfig     map[string]any
	AllocationUUID       string

	// Times, UTC; zero = null.
	CreatedAt            time.Time
	UpdatedAt            time.Time // outer changes only (P7)
	ProvisionUpdatedAt   time.Time
	InspectionStartedAt  time.Time
	InspectionFinishedAt time.Time

	// What makes the node safe; never shown as such.
	Owner       Owner    // S1: who may write; Epoch counts owners and only grows
	Intent      *Intent  // S8: the operation under way; nil = none, and then there is no reservation
	SyncFails   int      // P2: consecutive power-sync failures or mismatches
	Refused     *Refusal // the BMC's refusal of the login that driver_info gives; nil = none since a login was accepted or changed
	Outer       uint64   // P7: counts changes that a client can see: the ETag
	Fenced      uint64   // S11: epoch of the claim over another owner's operation whose permits may still be good; 0 = none may
	Quarantined string   // S13: why Step must not run on this node any more; "" = healthy

	// Rev is the log position that last wrote this record; filled by the store on reading, 0 = not stored yet.
	Rev Rev
	// Created is the log position of the record's creation: Ironic's id order. Filled by the store.
	Created Rev
}

// Owner says which conductor owns a node (S1).
type Owner struct {
	Name        string // stable conductor name, "" = nobody
	Incarnation uint64 // random per process start
	Epoch       uint64 // counts owners; it only grows
}

// Class says what may be done about an effect whose outcome is not known (S12).
type Class string

// Effect classes of S12.
const (
	Repeat Class = "repeat" // on, off, boot device: send again
	Probe  Class = "probe"  // read first, then decide
	Once   Class = "once"   // chassis reset, NMI: never send again
)

// Intent is a committed operation that is under way (S8). It holds all that a later owner needs to end it.
type Intent struct {
	ID      string    // operation id (UUID)
	Verb    string    // a Verb constant: what was asked
	Phase   string    // the step of it that is under way; each phase commits its own intent
	Class   Class     // what to do when the outcome of this phase is lost
	Owner   Owner     // who opened or claimed it
	Since   time.Time // when the operation began, for humans only
	Phased  time.Time // when this phase was committed, for humans only
	Renewed uint64    // counts permit renewals (S9)

	Target  PowerState    // power verbs: as asked
	Timeout time.Duration // power verbs: time limit of each wait; 0 = the default
	Device  string        // boot device verbs
	Persist bool          // boot device verbs
	By      string        // who asked: user name, "" = the conductor itself
	Request string        // id of the API request (Meta.RequestID), "" = none: what is told of the end names it too
	Sync    bool          // opened by power sync: the failure counter is written with the result (P4)
	Manual  bool          // manual cleaning: ends in manageable
	Steps   []StepSpec    // steps still to run, the running one first

	Released *Released // VerbRelease: the operation that is ended
}

// StepSpec is one deploy, clean, verify or service step (spec flows.md section 2).
type StepSpec struct {
	Interface string
	Step      string
	Priority  int
	Args      map[string]any
}

// Reservation is the wire's reservation: the name of the conductor whose operation is under way, "" = none (S8).
func (n *Node) Reservation() string {
	if n.Intent == nil {
		return ""
	}
	return n.Intent.Owner.Name
}

// Clone returns a copy that may be written to field by field. Maps and slices are shared: replace them, do not write
// into them (use With and Without).
func (n *Node) Clone() *Node {
	c := *n
	if n.Intent != nil {
		i := *n.Intent
		c.Intent = &i
	}
	return &c
}

// With returns a copy of m in which key is value.
func With(m map[string]any, key string, value any) map[string]any {
	c := make(map[string]any, len(m)+1)
	for k, v := range m {
		c[k] = v
	}
	c[key] = value
	return c
}

// Without returns a copy of m without the keys; m itself when it has none of them.
func Without(m map[string]any, keys ...string) map[string]any {
	found := false
	for _, k := range keys {
		if _, ok := m[k]; ok {
			found = true
		}
	}
	if !found {
		return m
	}
	c := make(map[string]any, len(m))
	for k, v := range m {
		c[k] = v
	}
	for _, k := range keys {
		delete(c, k)
	}
	return c
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

// Rev is the position in the log that last wrote a record: global order, 0 = absent.
type Rev uint64

// PowerState is what a machine's power is, or (as a target) what it is asked to do. "" is the wire's null: unknown.
type PowerState string

// Power words as on the wire (spec power.md). power_state only ever holds on, off, error or ""; the rest are targets.
const (
	PowerUnknown  PowerState = ""
	PowerOn       PowerState = "power on"
	PowerOff      PowerState = "power off"
	Rebooting     PowerState = "rebooting"
	SoftRebooting PowerState = "soft rebooting"
	SoftPowerOff  PowerState = "soft power off"
	PowerError    PowerState = "error"
)

// State is a provision state of the FSM.
type State string

// Provision states, spelled as on the wire (spec fsm.json).
const (
	Enroll         State = "enroll"
	Manageable     State = "manageable"
	Available      State = "available"
	Active         State = "active"
	ErrorState     State = "error"
	Rescue         State = "rescue"
	Verifying      State = "verifying"
	Deploying      State = "deploying"
	WaitCallBack   State = "wait call-back"
	DeployFailed   State = "deploy failed"
	DeployHold     State = "deploy hold"
	Cleaning       State = "cleaning"
	CleanWait      State = "clean wait"
	CleanFailed    State = "clean failed"
	CleanHold      State = "clean hold"
	Deleting       State = "deleting"
	Inspecting     State = "inspecting"
	InspectFailed  State = "inspect failed"
	InspectWait    State = "inspect wait"
	Adopting       State = "adopting"
	AdoptFailed    State = "adopt failed"
	Rescuing       State = "rescuing"
	RescueWait     State = "rescue wait"
	RescueFailed   State = "rescue failed"
	Unrescuing     State = "unrescuing"
	UnrescueFailed State = "unrescue failed"
	Servicing      State = "servicing"
	ServiceWait    State = "service wait"
	ServiceFailed  State = "service failed"
	ServiceHold    State = "service hold"
)

// Faults as on the wire (spec fsm.json lists.faults).
const (
	FaultPower       = "power failure"
	FaultClean       = "clean failure"
	FaultRescueAbort = "rescue abort failure"
	FaultService     = "service failure"
)

// IsReboot reports whether a power target ends in power on by way of a restart.
func (p PowerState) IsReboot() bool { return p == Rebooting || p == SoftRebooting }

// Final is the power state that a target ends in: on for on and both reboots, off for off and soft off.
func (p PowerState) Final() PowerState {
	switch p {
	case PowerOn, Rebooting, SoftRebooting:
		return PowerOn
	case PowerOff, SoftPowerOff:
		return PowerOff
	default:
		return PowerUnknown
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"time"
)

// Verbs of intents about the BMC itself; the first two are vendor methods under Ironic's names.
const (
	VerbResetBMC = "bmc_reset"
	VerbRaw      = "send_raw"
	VerbIdentify = "identify" // Timeout says for how long
	VerbClearLog = "clear_events"
)

// Effects of these verbs.
const (
	ResetBMC EffectKind = "reset bmc"
	SendRaw  EffectKind = "send raw"
	Light    EffectKind = "identify"
	ClearLog EffectKind = "clear events"
)

type (
	// CallVendor is POST vendor_passthru. The reply (nil) comes once the intent is committed: the method runs behind it.
	CallVendor struct {
		Method string // VerbResetBMC or VerbRaw
		Cold   bool   // VerbResetBMC
		Raw    []byte // VerbRaw: network function, command, data
	}
	// Identify is PUT x/nodes/NODE/identify: the machine's light is on for Span, out (0), or on for good (below 0). The
	// reply (nil) comes when the BMC has answered.
	Identify struct{ Span time.Duration }
	// ClearEvents is DELETE x/nodes/NODE/events: the machine's event log is emptied. The reply (nil) comes when it is.
	ClearEvents struct{}
)

// MsgName names the message.
func (CallVendor) MsgName() string  { return "CallVendor" }
func (Identify) MsgName() string    { return "Identify" }
func (ClearEvents) MsgName() string { return "ClearEvents" }

// callVendor opens a vendor method. Both send what must never be sent twice (S12).
func (s *step) callVendor(m CallVendor) (Decision, error) {
	op := m.MsgName()
	kind, known := map[string]EffectKind{VerbResetBMC: ResetBMC, VerbRaw: SendRaw}[m.Method]
	if !known || s.n.Interfaces["vendor"] != "ipmitool" {
		return s.d, refuse(op, s.n, Invalid, "No handler for method %s", m.Method)
	}
	if err := s.locked(op); err != nil {
		return s.d, err
	}
	if r := s.env.Facts.ManagementInvalid; r != "" {
		return s.d, refuse(op, s.n, Invalid, "%s", r)
	}
	s.open(Intent{Verb: m.Method}, Effect{Kind: kind, Phase: "send", Class: Once, Cold: m.Cold, Raw: m.Raw})
	return s.commit()
}

// identify opens a change of the machine's light.
func (s *step) identify(m Identify) (Decision, error) {
	if err := s.manageable(m.MsgName(), "identify"); err != nil {
		return s.d, err
	}
	s.open(Intent{Verb: VerbIdentify, Timeout: m.Span}, lightEffect("set", m.Span))
	s.d.Wait = true
	return s.commit()
}

// clearEvents opens the erasure of the machine's log. A second one could take away what was logged after the first, so it
// is of class once (S12).
func (s *step) clearEvents(m ClearEvents) (Decision, error) {
	if err := s.manageable(m.MsgName(), "an event log"); err != nil {
		return s.d, err
	}
	s.open(Intent{Verb: VerbClearLog}, Effect{Kind: ClearLog, Phase: "send", Class: Once})
	s.d.Wait = true
	return s.commit()
}

// manageable reports why an operation on the BMC cannot begin.
func (s *step) manageable(op, feature string) error {
	if s.n.Interfaces["management"] != "ipmitool" {
		return refuse(op, s.n, Unsupported, "Driver %s does not support %s (disabled or not implemented).", s.n.Driver, feature)
	}
	if err := s.locked(op); err != nil {
		return err
	}
	if r := s.env.Facts.ManagementInvalid; r != "" {
		return refuse(op, s.n, Invalid, "%s", r)
	}
	return nil
}

func lightEffect(phase string, span time.Duration) Effect {
	return Effect{Kind: Light, Phase: phase, Class: Repeat, Timeout: span}
}

// vendorDone ends a vendor method. Nobody waits for it: a failure is kept, unless the node keeps an older one (spec
// ipmi-driver.md section 3).
func (s *step) vendorDone(m Done) (Decision, error) {
	verb := s.n.Intent.Verb
	s.n.Intent = nil
	switch {
	case m.Err == "":
		return s.commit()
	case m.Unknown:
		m.Err = "outcome unknown, it is not sent again: " + m.Err
	}
	text := fmt.Sprintf("Async execution of %s failed with error: %s", verb, m.Err)
	if s.n.LastError == "" {
		s.fail("conductor", "%s", text)
	} else {
		s.history("conductor", text, true)
	}
	return s.commit()
}

// aboutBMC reports whether a verb's operation has nothing to do with the node's provision state.
func aboutBMC(verb string) bool {
	switch verb {
	case VerbBoot, VerbNMI, VerbIdentify, VerbClearLog, VerbResetBMC, VerbRaw, VerbConsole:
		return true
	default:
		return false
	}
}

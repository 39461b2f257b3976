// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Verbs of power and management intents.
const (
	VerbPower   = "set power"       // Target says what was asked
	VerbBoot    = "set boot device" // Device, Persist
	VerbConsole = "console"
	VerbNMI     = "inject nmi"
)

// resetPause is how long a chassis reset is left alone before its state is read (spec power.md section 12).
const resetPause = 15 * time.Second

// agentKeys are wiped from driver_internal_info by off and both reboots (spec power.md section 2 row 6).
var agentKeys = []string{
	"agent_url", "agent_cached_deploy_steps", "agent_cached_clean_steps", "agent_verify_ca", "agent_start_attempted",
}

// setPower is the synchronous part of a power request (spec power.md section 1).
func (s *step) setPower(m SetPower) (Decision, error) {
	op, n := m.MsgName(), s.n
	if m.Target.Final() == PowerUnknown {
		return s.d, refuse(op, n, Invalid, "Invalid power state %q: wanted one of 'power on', 'power off', 'rebooting', 'soft power off', 'soft rebooting'.", m.Target)
	}
	if n.ProvisionState == Cleaning || n.ProvisionState == CleanWait {
		return s.d, refuse(op, n, Invalid, "The requested action %q can not be performed on node %q while it is in state %q.", m.Target, n.UUID, n.ProvisionState)
	}
	if n.DisablePowerOff && m.Target.Final() == PowerOff {
		return s.d, refuse(op, n, Conflict, "Node %s has disable_power_off set: wanted %q, which would switch it off. Unset disable_power_off first, or reboot it.", n.UUID, m.Target)
	}
	if err := s.locked(op); err != nil {
		return s.d, err
	}
	if r := s.env.Facts.PowerInvalid; r != "" {
		return s.d, refuse(op, n, Invalid, "%s", r)
	}
	if !slices.Contains(s.env.Facts.PowerTargets, m.Target) {
		return s.d, refuse(op, n, Invalid, "The power interface %q of node %s does not support %q; it supports %q.", n.Interfaces["power"], n.UUID, m.Target, s.env.Facts.PowerTargets)
	}
	if m.Target == SoftRebooting && n.DisablePowerOff {
		return s.d, refuse(op, n, Unsupported, "Node %s has disable_power_off set, and a soft reboot needs power off: the hardware does not support feature soft power off.", n.UUID)
	}
	n.LastError = ""
	s.openPower(m.Target, m.Timeout, false)
	return s.commit()
}

// openPower starts a power action (spec power.md section 2 rows 1-7). The start notice comes first: an API request has
// already set the target, the power sync has not (section 12).
func (s *step) openPower(target PowerState, timeout time.Duration, sync bool) {
	n := s.n
	if timeout == 0 && (target == SoftPowerOff || target == SoftRebooting) {
		timeout = s.env.Policy.SoftTimeout
	}
	if timeout == 0 {
		timeout = s.env.Policy.ChangeTimeout
	}
	if sync {
		s.notice(Notice{Action: "power_set", Status: Start, ToPower: target, Node: s.snap()})
	}
	n.TargetPowerState = target.Final()
	if !fsm[n.ProvisionState].Failure {
		n.LastError = ""
	}
	if !sync {
		s.notice(Notice{Action: "power_set", Status: Start, ToPower: target, Node: s.snap()})
	}
	s.open(Intent{Verb: VerbPower, Target: target, Timeout: timeout, Sync: sync}, powerEffect(target, firstPhase(n, target), timeout))
}

// firstPhase is where a power target begins; a reboot goes on to phase "on".
func firstPhase(n *Node, target PowerState) string {
	switch {
	case target == PowerOn:
		return "on"
	case target == PowerOff:
		return "off"
	case target == Rebooting && n.DisablePowerOff:
		return "reset"
	case target == Rebooting:
		return "off"
	default:
		return "soft off"
	}
}

// powerEffect is what a phase of a power action does. A chassis reset is the one that cannot be repeated (S12).
func powerEffect(target PowerState, phase string, timeout time.Duration) Effect {
	e := Effect{Kind: DrivePower, Phase: phase, Class: Repeat, Read: true, Timeout: timeout}
	switch phase {
	case "on":
		e.Act, e.Want = PowerOn, PowerOn
		e.Read = !target.IsReboot()
	case "off":
		e.Act, e.Want = PowerOff, PowerOff
	case "soft off":
		e.Act, e.Want = SoftPowerOff, PowerOff
	case "reset": // over once the BMC has taken it: the shorter a once effect, the less can be lost with its owner
		e.Act, e.Class, e.Read = Rebooting, Once, false
	case "reset wait":
		e.Want, e.Class, e.Read, e.Pause = PowerOn, Probe, false, resetPause
	}
	return e
}

// powerDone is the outcome of one phase (spec power.md section 2 rows 4a, 4b, 10, 11).
func (s *step) powerDone(m Done) (Decision, error) {
	n, i := s.n, s.n.Intent
	target := i.Target
	s.powerChanged(m)
	switch {
	case m.ReadErr != "":
		if target.IsReboot() {
			s.powerFailed(target, fmt.Sprintf("Failed to change power state to '%s' by '%s': %s", target.Final(), target, m.ReadErr))
		} else {
			s.powerFailed(target, fmt.Sprintf("Failed to change power state to '%s': %s", target, m.ReadErr))
		}
	case m.Unknown && m.Err != "" && i.Class == Once:
		s.powerFailed(target, fmt.Sprintf("Failed to change power state to '%s' by '%s': outcome unknown: %s", target.Final(), target, m.Err))
	case m.Err != "":
		s.powerFailed(target, fmt.Sprintf("Failed to change power state to '%s' by '%s': %s", target.Final(), target, m.Err))
	case target.IsReboot() && (i.Phase == "off" || i.Phase == "soft off"):
		s.next(powerEffect(target, "on", i.Timeout))
	case i.Phase == "reset":
		s.next(powerEffect(target, "reset wait", i.Timeout))
	default:
		if m.Already && !target.IsReboot() {
			n.LastError = ""
		}
		if n.TargetPowerState == PowerOn && !m.Already {
			n.DriverInternalInfo = bootedOnce(n.DriverInternalInfo)
		}
		n.PowerState, n.TargetPowerState = target.Final(), ""
		s.closePower()
		s.notice(Notice{Action: "power_set", Status: End, ToPower: target})
	}
	return s.commit()
}

// powerChanged records what a power command entails, be it that it failed (spec power.md section 2 rows 5, 6): when the
// state was last changed through us, and that the agent of the machine is gone. Where the first read failed or found
// the wanted state, no command was sent (rows 4a, 4b); a reboot has no such read.
func (s *step) powerChanged(m Done) {
	n, target := s.n, s.n.Intent.Target
	sent := target.IsReboot() || m.ReadErr == "" && !m.Already
	if sent {
		n.DriverInternalInfo = With(n.DriverInternalInfo, "last_power_state_change", s.env.Now.UTC().Format("2006-01-02T15:04:05.000000"))
	}
	if target != PowerOn && (sent || m.Already) {
		n.DriverInternalInfo = wipeAgent(n.DriverInternalInfo)
	}
}

// powerFailed ends a power action: power_state stays, no maintenance (spec power.md section 2 row 10, section 11).
func (s *step) powerFailed(target PowerState, text string) {
	s.n.TargetPowerState = ""
	s.fail("conductor", "%s", text)
	s.closePower()
	s.notice(Notice{Action: "power_set", Status: Failure, ToPower: target})
}

// closePower closes the intent; an operation of the power sync writes the failure counter with its result (P4).
func (s *step) closePower() {
	if s.n.Intent.Sync {
		s.n.SyncFails++
	}
	s.n.Intent = nil
}

// bootedOnce ends a boot device that was set for one time over a forced one: the next power on takes the persistent one
// again (spec ipmi-driver.md section 4, Re-apply).
func bootedOnce(m map[string]any) map[string]any {
	if persistent, ok := m["is_next_boot_persistent"].(bool); ok && !persistent {
		return Without(m, "is_next_boot_persistent")
	}
	return m
}

// wipeAgent removes what is known of an agent that a power change has ended; a pregenerated token survives.
func wipeAgent(m map[string]any) map[string]any {
	m = Without(m, agentKeys...)
	if pre, _ := m["agent_secret_token_pregenerated"].(bool); !pre {
		m = Without(m, "agent_secret_token")
	}
	return m
}

// setBoot is PUT management/boot_device: a command to the BMC, so an intent comes first.
func (s *step) setBoot(m SetBootDevice) (Decision, error) {
	op, n, f := m.MsgName(), s.n, s.env.Facts
	if err := s.locked(op); err != nil {
		return s.d, err
	}
	if f.ManagementInvalid != "" {
		return s.d, refuse(op, n, Invalid, "%s", f.ManagementInvalid)
	}
	if !slices.Contains(f.BootDevices, m.Device) {
		return s.d, refuse(op, n, Invalid, "Invalid boot device %s specified. Wanted one of: %s.", m.Device, strings.Join(f.BootDevices, ", "))
	}
	if f.BootInvalid != "" {
		return s.d, refuse(op, n, Invalid, "%s", f.BootInvalid)
	}
	if f.BootInternal != nil {
		n.DriverInternalInfo = f.BootInternal
	}
	s.open(Intent{Verb: VerbBoot, Device: m.Device, Persist: m.Persistent},
		Effect{Kind: SetBoot, Phase: "set", Class: Repeat, Device: m.Device, Persist: m.Persistent})
	s.d.Wait = true
	return s.commit()
}

// injectNMI is PUT management/inject_nmi, the other chassis command that must never be sent twice.
func (s *step) injectNMI() (Decision, error) {
	op := "InjectNMI"
	if err := s.locked(op); err != nil {
		return s.d, err
	}
	if s.n.Interfaces["management"] != "ipmitool" {
		return s.d, refuse(op, s.n, Unsupported, "Driver %s does not support inject_nmi (disabled or not implemented).", s.n.Driver)
	}
	if r := s.env.Facts.ManagementInvalid; r != "" {
		return s.d, refuse(op, s.n, Invalid, "%s", r)
	}
	s.open(Intent{Verb: VerbNMI}, Effect{Kind: SendNMI, Phase: "send", Class: Once})
	s.d.Wait = true
	return s.commit()
}

// managementDone ends a boot device or NMI operation; its requester gets the error, the node does not keep it.
func (s *step) managementDone(m Done) (Decision, error) {
	verb := s.n.Intent.Verb
	s.n.Intent = nil
	if m.Err != "" {
		if m.Unknown {
			m.Err = "outcome unknown, it is not sent again: " + m.Err
		}
		s.history("conductor", fmt.Sprintf("%s failed: %s", verb, m.Err), true)
		kind := m.Cause
		if kind == "" {
			kind = Internal
		}
		s.d.Reply = &Error{Op: verb, Node: s.n.UUID, Kind: kind, Text: m.Err}
	}
	return s.commit()
}

// renew is one more commit under an old permit (S9): it proves that the record is still ours.
func (s *step) renew(m RenewPermit) (Decision, error) {
	i := s.n.Intent
	if i == nil || i.ID != m.Op || i.Owner.Incarnation != s.env.Self.Incarnation {
		return s.d, refuse(m.MsgName(), s.n, Conflict, "operation %s is no longer under way on node %s", m.Op, s.n.UUID)
	}
	i.Renewed++
	return s.commit()
}

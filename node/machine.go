// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

// Requests about how a machine is set up. The reply of each is nil.
type (
	// SetRaidConfig is PUT states/raid: what cleaning and deployment are to make of the disks. The API has checked its
	// form; an empty one takes the wish back.
	SetRaidConfig struct{ Config map[string]any }
	// SetBootMode is PUT states/boot_mode: "uefi" or "bios".
	SetBootMode struct{ Mode string }
	// SetSecureBoot is PUT states/secure_boot.
	SetSecureBoot struct{ On bool }
)

// MsgName names the message.
func (SetRaidConfig) MsgName() string { return "SetRaidConfig" }
func (SetBootMode) MsgName() string   { return "SetBootMode" }
func (SetSecureBoot) MsgName() string { return "SetSecureBoot" }

// setRaid stores the wish; whose raid interface is none has nowhere to keep it (spec conductor-rpc.md,
// set_target_raid_config). Subscribers are told nothing.
func (s *step) setRaid(m SetRaidConfig) (Decision, error) {
	op, n := m.MsgName(), s.n
	if i := n.Interfaces["raid"]; i == "no-raid" || i == "" {
		return Decision{}, refuse(op, n, NotFound, "Driver %s does not support raid (disabled or not implemented): its raid interface is %q.", n.Driver, i)
	}
	if err := s.locked(op); err != nil {
		return Decision{}, err
	}
	n.TargetRaidConfig = m.Config
	return s.commit()
}

// setBootMode and setSecureBoot are accepted and then fail, as no driver here can set either: the failure is found where
// the BMC would be asked (spec ipmi-driver.md section 5, conductor-rpc.md). The quote that is missing is missing in
// Ironic's text too.
func (s *step) setBootMode(m SetBootMode) (Decision, error) {
	if err := s.locked(m.MsgName()); err != nil {
		return Decision{}, err
	}
	s.fail("conductor", "Failed to change boot mode to '%s: Driver %s does not support set_boot_mode (disabled or not implemented).", m.Mode, s.n.Driver)
	return s.commit()
}

func (s *step) setSecureBoot(m SetSecureBoot) (Decision, error) {
	if err := s.locked(m.MsgName()); err != nil {
		return Decision{}, err
	}
	state := map[bool]string{true: "True", false: "False"}[m.On]
	s.fail("conductor", "Failed to change secure_boot state to '%s': Driver %s does not support set_secure_boot_state (disabled or not implemented).", state, s.n.Driver)
	return s.commit()
}

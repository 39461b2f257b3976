// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

// done takes the outcome of an effect to the operation that asked for it. An outcome of another operation or phase is
// old news and changes nothing.
func (s *step) done(m Done) (Decision, error) {
	i := s.n.Intent
	if i == nil || i.ID != m.Op || i.Phase != m.Phase {
		return Decision{}, nil
	}
	switch i.Verb {
	case VerbPower:
		return s.powerDone(m)
	case VerbBoot, VerbNMI:
		return s.managementDone(m)
	case VerbVerify:
		return s.verifyDone(m)
	case VerbTearDown:
		if s.n.ProvisionState == Deleting {
			return s.tornDown(m)
		}
		return s.stepDone(m)
	case VerbDeploy, VerbRebuild, VerbClean, VerbService:
		return s.stepDone(m)
	default:
		return s.flowDone(m)
	}
}

// verifyDone ends manage from enroll (spec power.md section 8). A reading of "error" is a failure.
func (s *step) verifyDone(m Done) (Decision, error) {
	n := s.n
	n.Intent = nil
	cause := m.ReadErr
	if cause == "" {
		cause = m.Err
	}
	if cause == "" && m.State == PowerError {
		cause = "the BMC answered with a power state that is neither on nor off"
	}
	if cause != "" {
		if err := s.event("fail", false, ""); err != nil {
			return Decision{}, err
		}
		s.fail("verify", "Failed to get power state for node %s. Error: %s", n.UUID, cause)
		s.d.Notices[len(s.d.Notices)-1].Node = nil // the error notice tells last_error too
		return s.commit()
	}
	from := n.PowerState
	n.PowerState = m.State
	if v, _ := n.Properties["vendor"].(string); v == "" && m.Vendor != "" {
		n.Properties = With(n.Properties, "vendor", m.Vendor)
	}
	if err := s.event("done", false, ""); err != nil {
		return Decision{}, err
	}
	if from != m.State {
		s.notice(Notice{Action: "power_state_corrected", Status: Success, FromPower: from})
	}
	return s.commit()
}

// tornDown goes from deleting on to cleaning. Instance data is cleared also when tear down failed.
func (s *step) tornDown(m Done) (Decision, error) {
	n := s.n
	n.InstanceInfo, n.InstanceUUID, n.InstanceName, n.AllocationUUID = map[string]any{}, "", "", ""
	n.DriverInternalInfo = Without(n.DriverInternalInfo, "instance", "root_uuid_or_disk_id", "deploy_boot_mode", "is_whole_disk_image")
	if m.Err != "" {
		n.Intent = nil
		if err := s.event("fail", false, ""); err != nil {
			return Decision{}, err
		}
		s.fail("unprovision", "Failed to tear down. Error: %s", m.Err)
		s.d.Notices[len(s.d.Notices)-1].Node = nil
		return s.commit()
	}
	if err := s.event("clean", true, ""); err != nil {
		return Decision{}, err
	}
	steps := s.autoSteps()
	n.Intent.Steps = steps
	s.showStep(VerbTearDown, steps)
	s.next(s.stepEffect("clean", steps))
	return s.commit()
}

// stepDone goes on with the next step of a deployment, cleaning or service, or ends it.
func (s *step) stepDone(m Done) (Decision, error) {
	n, i := s.n, s.n.Intent
	target := State("")
	if i.Manual {
		target = Manageable
	}
	if m.Err != "" {
		kind, fault := historyType(n.ProvisionState), map[State]string{Cleaning: FaultClean, Servicing: FaultService}[n.ProvisionState]
		running := len(i.Steps) > 0 && m.Cause != Unsupported
		n.Intent = nil
		if err := s.event("fail", false, target); err != nil {
			return Decision{}, err
		}
		s.fail(kind, "%s failed in phase %q: %s", i.Verb, m.Phase, m.Err)
		if running && fault != "" && !n.Maintenance { // a step left the machine in an unknown state (spec flows.md section 1)
			n.Maintenance, n.MaintenanceReason, n.Fault = true, n.LastError, fault
		}
		s.d.Notices[len(s.d.Notices)-1].Node = nil
		return s.commit()
	}
	if len(i.Steps) > 0 {
		i.Steps = i.Steps[1:]
	}
	s.showStep(i.Verb, i.Steps)
	if len(i.Steps) > 0 {
		s.next(s.stepEffect(phaseName(i.Verb), i.Steps))
		return s.commit()
	}
	n.Intent = nil
	event := "done"
	if n.ProvisionState == Cleaning && (i.Manual || n.Retired) {
		event, target = "manage", ""
	}
	if err := s.event(event, false, target); err != nil {
		return Decision{}, err
	}
	if n.ProvisionState == Active && n.ConsoleEnabled { // end of deployment restores the console (spec console.md section 3)
		s.notice(Notice{Action: "console_restore", Status: Start})
		s.notice(Notice{Action: "console_restore", Status: End})
	}
	return s.commit()
}

func phaseName(verb string) string {
	switch verb {
	case VerbDeploy, VerbRebuild:
		return "deploy"
	case VerbService:
		return "service"
	default:
		return "clean"
	}
}

// flowDone ends the flows of one step: adopt, inspect, rescue, unrescue.
func (s *step) flowDone(m Done) (Decision, error) {
	n, verb := s.n, s.n.Intent.Verb
	kind := historyType(n.ProvisionState)
	n.Intent = nil
	if m.Err == "" {
		if err := s.event("done", false, ""); err != nil {
			return Decision{}, err
		}
		return s.commit()
	}
	if verb == VerbAdopt {
		n.PowerState = PowerUnknown // spec takeover.md section 6, Adoption
	}
	if err := s.event("fail", false, ""); err != nil {
		return Decision{}, err
	}
	s.fail(kind, "Failed to %s node %s: %s", verb, n.UUID, m.Err)
	s.d.Notices[len(s.d.Notices)-1].Node = nil
	return s.commit()
}

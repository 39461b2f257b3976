// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

// done takes the outcome of an effect to the operation that asked for it. An outcome of another operation or phase is
// old news and changes nothing; neither does one that comes to a conductor that no longer holds the operation (S4).
func (s *step) done(m Done) (Decision, error) {
	i := s.n.Intent
	if i == nil || i.ID != m.Op || i.Phase != m.Phase || !s.mine(i.Owner) {
		return Decision{}, nil
	}
	switch i.Verb {
	case VerbPower:
		return s.powerDone(m)
	case VerbBoot, VerbNMI, VerbIdentify, VerbClearLog:
		return s.managementDone(m)
	case VerbConsole:
		return s.consoleDone(m)
	case VerbResetBMC, VerbRaw:
		return s.vendorDone(m)
	case VerbVerify:
		return s.verifyDone(m)
	case VerbRelease:
		return s.released()
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
	cause := m.ReadErr
	if cause == "" {
		cause = m.Err
	}
	if cause == "" && m.State == PowerError {
		cause = "the BMC answered with a power state that is neither on nor off"
	}
	if cause != "" {
		return s.failFlow(m.Cause, "Failed to get power state for node %s. Error: %s", n.UUID, cause)
	}
	n.Intent = nil
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
	s.clearInstance()
	if m.Err != "" {
		return s.failFlow(m.Cause, "Failed to tear down node %s. Error: %s", n.UUID, m.Err)
	}
	if err := s.event("clean", true, ""); err != nil {
		return Decision{}, err
	}
	if s.autoCleans() && n.Maintenance && !s.env.Policy.ProvisionMaintenance { // spec fsm.json maintenance.provide
		return s.failFlow(Unsupported, "Failed to clean node %s: it is in maintenance mode, wanted none (allow_provisioning_in_maintenance is false).", n.UUID)
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
	if m.Err != "" {
		return s.failFlow(m.Cause, "Failed to %s node %s in phase %q: %s", i.Verb, n.UUID, m.Phase, m.Err)
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
		event = "manage"
	}
	if n.ProvisionState == Deploying {
		s.restoreConsole()
	}
	if err := s.event(event, false, ""); err != nil {
		return Decision{}, err
	}
	return s.commit()
}

// restoreConsole tells that an enabled console is back, right before event done (spec console.md section 3): the fake
// console has nothing to start.
func (s *step) restoreConsole() {
	if !s.n.ConsoleEnabled {
		return
	}
	s.notice(Notice{Action: "console_restore", Status: Start, Node: s.snap()})
	s.notice(Notice{Action: "console_restore", Status: End, Node: s.snap()})
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
	if m.Err != "" {
		return s.failFlow(m.Cause, "Failed to %s node %s: %s", verb, n.UUID, m.Err)
	}
	n.Intent = nil
	if verb == VerbAdopt {
		s.restoreConsole()
	}
	if err := s.event("done", false, ""); err != nil {
		return Decision{}, err
	}
	return s.commit()
}

// clearInstance forgets the instance, as every tear down does, failed ones too (spec fsm.json instance_uuid.deploy).
func (s *step) clearInstance() {
	n := s.n
	n.InstanceInfo, n.InstanceUUID, n.InstanceName, n.AllocationUUID = map[string]any{}, "", "", ""
	n.DriverInternalInfo = Without(n.DriverInternalInfo, "instance", "root_uuid_or_disk_id", "deploy_boot_mode", "is_whole_disk_image")
}

// failFlow ends work on a provision state by event fail (spec flows.md section 1, Failure results). A clean or service
// step that was running leaves the machine in an unknown state: maintenance and a fault; cause Unsupported says that it
// never ran. Manual cleaning keeps its target.
func (s *step) failFlow(cause Kind, format string, args ...any) (Decision, error) {
	n, from, target := s.n, s.n.ProvisionState, State("")
	running := false
	if i := n.Intent; i != nil {
		running = len(i.Steps) > 0 && cause != Unsupported
	}
	if from == Cleaning && n.TargetProvisionState == Manageable {
		target = Manageable
	}
	n.Intent = nil
	if from == Adopting {
		n.PowerState = PowerUnknown // spec takeover.md section 6, Adoption
	}
	if from == Deleting {
		s.clearInstance()
	}
	if err := s.event("fail", false, target); err != nil {
		return Decision{}, err
	}
	n.CleanStep, n.DeployStep, n.ServiceStep = nil, nil, nil
	s.fail(historyType(from), format, args...)
	fault := map[State]string{Cleaning: FaultClean, Servicing: FaultService}[from]
	if running && fault != "" && !n.Maintenance {
		n.Maintenance, n.MaintenanceReason, n.Fault = true, n.LastError, fault
	}
	s.d.Notices[len(s.d.Notices)-1].Node = nil // the error notice tells last_error too
	return s.commit()
}

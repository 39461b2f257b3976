// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"strings"
)

// Verbs of provision intents.
const (
	VerbVerify   = "verify"
	VerbDeploy   = "deploy"
	VerbRebuild  = "rebuild"
	VerbTearDown = "tear down"
	VerbClean    = "clean"
	VerbAdopt    = "adopt"
	VerbInspect  = "inspect"
	VerbRescue   = "rescue"
	VerbUnrescue = "unrescue"
	VerbService  = "service"
)

// provision is PUT states/provision, from the FSM check on (spec fsm.json request_check_order 4, 5, 14).
func (s *step) provision(m SetProvision) (Decision, error) {
	op, n := m.MsgName(), s.n
	v, ok := verbs[m.Verb]
	if !ok {
		return s.d, refuse(op, n, Invalid, "The requested action %q could not be understood.", m.Verb)
	}
	minor := s.env.Meta.Minor
	if minor != 0 && minor < v.Since {
		return s.d, tooOld(op, n, m.Verb, v.Since)
	}
	if n.Maintenance && (m.Verb == "active" || m.Verb == "rebuild") {
		return s.d, s.inMaintenance(op)
	}
	if _, legal := Next(n.ProvisionState, v.Event); !legal || internalEvent(n.ProvisionState, v.Event) {
		if err := s.locked(op); err != nil {
			return s.d, err
		}
		return s.d, refuse(op, n, Invalid, "The requested action %q can not be performed on node %q while it is in state %q.", m.Verb, n.UUID, n.ProvisionState)
	}
	if since := v.States[n.ProvisionState]; minor != 0 && minor < since {
		return s.d, tooOld(op, n, m.Verb, since)
	}
	if n.Protected && (v.Event == "delete" || v.Event == "rebuild") {
		return s.d, s.protected(op)
	}
	if err := s.locked(op); err != nil {
		return s.d, err
	}
	start := map[string]func(string, SetProvision) error{
		"manage": s.startManage, "provide": s.startProvide, "deploy": s.startDeploy, "rebuild": s.startDeploy,
		"delete": s.startTearDown, "clean": s.startClean, "inspect": s.startInspect, "adopt": s.startAdopt,
		"rescue": s.startRescue, "unrescue": s.startRescue, "service": s.startService,
		"abort": s.startAbort, "unhold": s.startUnhold,
	}[v.Event]
	if err := start(op, m); err != nil {
		return Decision{}, err
	}
	return s.commit()
}

// internalEvent reports events that share a verb's name but belong to a flow under way.
func internalEvent(s State, event string) bool {
	return s == Cleaning && event == "manage" || s == Deleting && event == "clean"
}

func tooOld(op string, n *Node, verb string, since int) error {
	return refuse(op, n, NotAcceptable, "Action %q on node %q in state %q was not requested with a high enough API version: wanted 1.%d or later.", verb, n.UUID, n.ProvisionState, since)
}

func (s *step) inMaintenance(op string) error {
	return refuse(op, s.n, Invalid, "The %s operation can't be performed on node %s because it's in maintenance mode.", op, s.n.UUID)
}

func (s *step) protected(op string) error {
	return refuse(op, s.n, Forbidden, "Node %s is protected and cannot be undeployed, rebuilt or deleted", s.n.UUID)
}

// flow moves to a working state and opens its operation.
func (s *step) flow(event string, target State, i Intent, e Effect) error {
	if err := s.event(event, true, target); err != nil {
		return err
	}
	s.open(i, e)
	return nil
}

func (s *step) startManage(_ string, _ SetProvision) error {
	if s.n.ProvisionState != Enroll {
		return s.event("manage", false, "")
	}
	return s.flow("manage", "", Intent{Verb: VerbVerify}, Effect{Kind: Verify, Phase: "verify", Class: Repeat})
}

func (s *step) startProvide(op string, _ SetProvision) error {
	n := s.n
	if n.Retired {
		return refuse(op, n, Invalid, "Node %s is retired: wanted a node in service; unset retired first.", n.UUID)
	}
	if n.Maintenance && !s.env.Policy.ProvisionMaintenance {
		return s.inMaintenance(op)
	}
	if err := s.event("provide", true, ""); err != nil {
		return err
	}
	s.openCleaning(VerbClean, s.autoSteps(), false)
	return nil
}

// autoSteps are the steps of automated cleaning, none where it is off (spec fsm.json automated_clean).
func (s *step) autoSteps() []StepSpec {
	if !s.autoCleans() {
		return nil
	}
	return s.env.Facts.CleanSteps
}

// autoCleans reports whether automated cleaning is on: the node's word comes before the policy's.
func (s *step) autoCleans() bool {
	if s.n.AutomatedClean != nil {
		return *s.n.AutomatedClean
	}
	return s.env.Policy.AutomatedClean
}

// openCleaning starts the steps of a node that has just come to cleaning.
func (s *step) openCleaning(verb string, steps []StepSpec, manual bool) {
	e := s.stepEffect("clean", steps)
	s.open(Intent{Verb: verb, Steps: steps, Manual: manual}, e)
	s.showStep(verb, steps)
}

// stepEffect runs the first of the steps; with none left the flow's end is decided by an empty effect.
func (s *step) stepEffect(phase string, steps []StepSpec) Effect {
	if len(steps) == 0 {
		return Effect{Kind: None, Phase: phase + " end", Class: Repeat}
	}
	return Effect{Kind: RunStep, Phase: fmt.Sprintf("%s %s.%s (%d left)", phase, steps[0].Interface, steps[0].Step, len(steps)), Class: Repeat, Step: steps[0]}
}

// showStep keeps the wire's clean_step, deploy_step or service_step true.
func (s *step) showStep(verb string, steps []StepSpec) {
	shown := map[string]any{}
	if len(steps) > 0 {
		st := steps[0]
		shown = map[string]any{"interface": st.Interface, "step": st.Step, "priority": float64(st.Priority)}
		if len(st.Args) > 0 {
			shown["args"] = st.Args
		}
	}
	switch verb {
	case VerbDeploy, VerbRebuild:
		s.n.DeployStep = shown
	case VerbService:
		s.n.ServiceStep = shown
	default:
		s.n.CleanStep = shown
	}
}

func (s *step) startDeploy(op string, m SetProvision) error {
	n := s.n
	verb := VerbDeploy
	if m.Verb == "rebuild" {
		verb = VerbRebuild
	}
	if n.Maintenance { // target "deploy" comes here with it
		return s.inMaintenance(op)
	}
	if d := n.Interfaces["deploy"]; d != "fake" {
		return refuse(op, n, Invalid, "Failed to validate deploy or power info for node %s. Error: deploy interface %q is not built yet; wanted \"fake\".", n.UUID, d)
	}
	if r := s.env.Facts.PowerInvalid; r != "" {
		return refuse(op, n, Invalid, "Failed to validate deploy or power info for node %s. Error: %s", n.UUID, r)
	}
	if m.Configdrive != nil {
		n.InstanceInfo = With(n.InstanceInfo, "configdrive", m.Configdrive)
	}
	steps := []StepSpec{{Interface: "deploy", Step: "deploy", Priority: 100}}
	if err := s.flow(m.fsmEvent(), "", Intent{Verb: verb, Steps: steps}, s.stepEffect("deploy", steps)); err != nil {
		return err
	}
	s.showStep(verb, steps)
	return nil
}

// fsmEvent is the FSM event of the verb.
func (m SetProvision) fsmEvent() string { return verbs[m.Verb].Event }

func (s *step) startTearDown(op string, _ SetProvision) error {
	if r := s.env.Facts.PowerInvalid; r != "" {
		return refuse(op, s.n, Internal, "Failed to validate power driver interface for node %s. Error: %s", s.n.UUID, r)
	}
	if err := s.flow("delete", "", Intent{Verb: VerbTearDown}, Effect{Kind: RunStep, Phase: "tear down", Class: Repeat, Step: StepSpec{Interface: "deploy", Step: "tear_down"}}); err != nil {
		return err
	}
	if s.n.ConsoleEnabled { // stays enabled, so that the next deployment restores it (spec console.md section 3)
		s.notice(Notice{Action: "console_stop", Status: Start, Node: s.snap()})
		s.notice(Notice{Action: "console_stop", Status: End, Node: s.snap()})
	}
	return nil
}

func (s *step) startClean(op string, m SetProvision) error {
	if s.n.Maintenance {
		return s.inMaintenance(op)
	}
	if r := s.env.Facts.PowerInvalid; r != "" {
		return refuse(op, s.n, Invalid, "%s", r)
	}
	if err := s.event("clean", true, Manageable); err != nil {
		return err
	}
	s.openCleaning(VerbClean, m.CleanSteps, true)
	return nil
}

func (s *step) startInspect(op string, _ SetProvision) error {
	switch i := s.n.Interfaces["inspect"]; i {
	case "fake":
	case "no-inspect":
		return refuse(op, s.n, Unsupported, "Driver %s does not support inspect (disabled or not implemented).", s.n.Driver)
	default:
		return refuse(op, s.n, Invalid, "inspect interface %q is not built yet; wanted \"fake\".", i)
	}
	return s.flow("inspect", "", Intent{Verb: VerbInspect}, Effect{Kind: RunStep, Phase: "inspect", Class: Repeat, Step: StepSpec{Interface: "inspect", Step: "inspect_hardware"}})
}

func (s *step) startAdopt(_ string, _ SetProvision) error {
	return s.flow("adopt", "", Intent{Verb: VerbAdopt}, Effect{Kind: RunStep, Phase: "adopt", Class: Repeat, Step: StepSpec{Interface: "deploy", Step: "take_over"}})
}

func (s *step) startRescue(op string, m SetProvision) error {
	if s.n.Maintenance {
		return s.inMaintenance(op)
	}
	switch i := s.n.Interfaces["rescue"]; i {
	case "fake":
	case "no-rescue":
		return refuse(op, s.n, Unsupported, "Driver %s does not support rescue (disabled or not implemented).", s.n.Driver)
	default:
		return refuse(op, s.n, Invalid, "rescue interface %q is not built yet; wanted \"fake\".", i)
	}
	if m.Verb == "rescue" && strings.TrimSpace(m.RescuePassword) == "" {
		return refuse(op, s.n, Invalid, "A non-empty \"rescue_password\" is required when setting target provision state to rescue")
	}
	verb := map[string]string{"rescue": VerbRescue, "unrescue": VerbUnrescue}[m.Verb]
	return s.flow(m.Verb, "", Intent{Verb: verb}, Effect{Kind: RunStep, Phase: verb, Class: Repeat, Step: StepSpec{Interface: "rescue", Step: m.Verb}})
}

func (s *step) startService(op string, m SetProvision) error {
	if s.n.Maintenance {
		return s.inMaintenance(op)
	}
	if err := s.flow("service", "", Intent{Verb: VerbService, Steps: m.ServiceSteps}, s.stepEffect("service", m.ServiceSteps)); err != nil {
		return err
	}
	s.showStep(VerbService, m.ServiceSteps)
	return nil
}

// startAbort ends a wait or a hold (spec flows.md section 1, Abort). Nothing runs in the conductor in these states.
func (s *step) startAbort(op string, _ SetProvision) error {
	n := s.n
	from := n.ProvisionState
	if from == ServiceFailed {
		if n.Maintenance {
			return refuse(op, n, Conflict, "Node %s is in maintenance mode: wanted none for abort from %q.", n.UUID, from)
		}
		return s.event("abort", false, "")
	}
	target := State("")
	if (from == CleanWait || from == CleanHold) && n.TargetProvisionState == Manageable {
		target = Manageable
	}
	if from == ServiceWait || from == ServiceHold {
		if err := s.event("fail", false, ""); err != nil {
			return err
		}
	}
	if err := s.event("abort", false, target); err != nil {
		return err
	}
	s.fail(historyType(from), "%s was aborted by request of %s while in state %q.", flowName(from), by(s.env.Meta.By), from)
	n.CleanStep, n.DeployStep, n.ServiceStep = nil, nil, nil
	s.d.Notices[len(s.d.Notices)-1].Node = nil // it tells last_error too
	return nil
}

// startUnhold lets a held node wait for its agent again.
func (s *step) startUnhold(_ string, _ SetProvision) error {
	target := State("")
	if s.n.ProvisionState == CleanHold && s.n.TargetProvisionState == Manageable {
		target = Manageable
	}
	return s.event("unhold", false, target)
}

// flowName and historyType word a state for texts and history entries.
func flowName(s State) string {
	return map[State]string{
		CleanWait: "Cleaning", CleanHold: "Cleaning", WaitCallBack: "Deployment", DeployHold: "Deployment",
		InspectWait: "Inspection", RescueWait: "Rescue", ServiceWait: "Service", ServiceHold: "Service",
	}[s]
}

func historyType(s State) string {
	return map[State]string{
		CleanWait: "cleaning", CleanHold: "cleaning", Cleaning: "cleaning", WaitCallBack: "deploying", DeployHold: "deploying",
		Deploying: "deploying", InspectWait: "introspection", Inspecting: "introspection", RescueWait: "rescue", Rescuing: "rescue",
		Unrescuing: "rescue", ServiceWait: "servicing", ServiceHold: "servicing", Servicing: "servicing", Adopting: "adoption",
		Deleting: "unprovision", Verifying: "verify",
	}[s]
}

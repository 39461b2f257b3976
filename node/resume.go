// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import "fmt"

// activated decides what to do with what a former owner left behind, ourselves before a restart included (S3, S11, S12).
// With an open intent the decision is the claim; its effect waits until every permit of the old owner has ended.
func (s *step) activated() (Decision, error) {
	n := s.n
	if n.Intent != nil {
		return s.resume()
	}
	// No intent, but something on the way: nobody knows how far it came (older records, a restored backup).
	lost := n.TargetPowerState
	n.TargetPowerState = ""
	if fsm[n.ProvisionState].Stuck {
		return s.failFlow("", "The %s state can't be resumed by conductor %s: no operation is recorded for it. Moving to fail state.", n.ProvisionState, s.env.Self.Name)
	}
	if lost == "" {
		return s.wantConsole()
	}
	s.fail("takeover", "Pending power operation towards '%s' was aborted at the start of conductor %s: no operation is recorded for it.", lost, s.env.Self.Name)
	return s.commit()
}

// resume claims an operation under way. What can be repeated or probed goes on; what must happen at most once ends
// with an error, because its outcome is lost with its owner (S12).
func (s *step) resume() (Decision, error) {
	n, i := s.n, s.n.Intent
	from := i.Owner
	if i.Class == Once {
		return s.unknownOutcome(from)
	}
	n.Owner = Owner{Name: s.env.Self.Name, Incarnation: s.env.Self.Incarnation, Epoch: n.Owner.Epoch + 1}
	e, err := s.effectAgain()
	if err != nil {
		return Decision{}, err
	}
	if from.Incarnation != s.env.Self.Incarnation && touchesBMC(e) {
		e.Hold = s.env.Policy.Valid + s.env.Policy.Valid/10 // S11
	}
	s.history("takeover", fmt.Sprintf("operation %q, phase %q, of conductor %s goes on here after a takeover or restart", i.Verb, i.Phase, from.Name), false)
	s.next(e)
	return s.commit()
}

// touchesBMC reports whether an effect may send mutating commands, for which a foreign permit must have ended.
func touchesBMC(e Effect) bool { return e.Kind != None && e.Kind != Verify && e.Kind != HoldOff }

// effectAgain is the effect of the phase that the intent is in, with a read first wherever that is possible.
func (s *step) effectAgain() (Effect, error) {
	i := s.n.Intent
	switch i.Verb {
	case VerbPower:
		e := powerEffect(i.Target, i.Phase, i.Timeout)
		e.Read = true
		return e, nil
	case VerbBoot:
		return Effect{Kind: SetBoot, Phase: i.Phase, Class: Repeat, Device: i.Device, Persist: i.Persist}, nil
	case VerbConsole:
		return consoleEffect(i.Phase), nil
	case VerbIdentify:
		return lightEffect(i.Phase, i.Timeout), nil
	case VerbVerify:
		return Effect{Kind: Verify, Phase: i.Phase, Class: Repeat}, nil
	case VerbTearDown:
		if s.n.ProvisionState == Deleting {
			return Effect{Kind: RunStep, Phase: i.Phase, Class: Repeat, Step: StepSpec{Interface: "deploy", Step: "tear_down"}}, nil
		}
		return s.stepEffect("clean", i.Steps), nil
	case VerbDeploy, VerbRebuild, VerbClean, VerbService:
		return s.stepEffect(phaseName(i.Verb), i.Steps), nil
	case VerbAdopt:
		return Effect{Kind: RunStep, Phase: i.Phase, Class: Repeat, Step: StepSpec{Interface: "deploy", Step: "take_over"}}, nil
	case VerbInspect:
		return Effect{Kind: RunStep, Phase: i.Phase, Class: Repeat, Step: StepSpec{Interface: "inspect", Step: "inspect_hardware"}}, nil
	case VerbRescue, VerbUnrescue:
		return Effect{Kind: RunStep, Phase: i.Phase, Class: Repeat, Step: StepSpec{Interface: "rescue", Step: i.Verb}}, nil
	case VerbRelease:
		return holdOff(s.env.Policy, i.Phase), nil
	default:
		return Effect{}, refuse("Activated", s.n, Internal, "intent %s has an unknown verb %q: it was written by a newer Ferrite", i.ID, i.Verb)
	}
}

// unknownOutcome closes an operation whose effect may have happened and must not happen twice.
func (s *step) unknownOutcome(from Owner) (Decision, error) {
	i := s.n.Intent
	text := fmt.Sprintf("outcome unknown: owner %s lost while %q was under way (phase %q); it is not sent again. Look at the machine, then ask anew.", from.Name, i.Verb, i.Phase)
	if i.Verb == VerbPower {
		s.powerChanged(Done{}) // it may have been sent
		s.powerFailed(i.Target, fmt.Sprintf("Failed to change power state to '%s' by '%s': %s", i.Target.Final(), i.Target, text))
		s.d.History[len(s.d.History)-1].EventType = "takeover" // spec takeover.md section 5: that is why
		return s.commit()
	}
	s.n.Intent = nil
	s.fail("takeover", "%s", text)
	return s.commit()
}

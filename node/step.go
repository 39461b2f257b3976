// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"time"
)

// Step decides what a message does to a node. n is nil for CreateNode alone. It never changes n. A refusal is an
// *Error; then nothing is to be committed but Decision's notices (N1: start and error of a refused API operation).
func Step(env Env, n *Node, m Msg) (Decision, error) {
	s := &step{env: env, old: n}
	if n != nil {
		s.n = n.Clone()
		if n.Quarantined != "" && !passesQuarantine(m) {
			return Decision{}, refuse(m.MsgName(), n, Quarantined,
				"node %s is quarantined because its rules failed: %s; wanted a healthy node; release it by force, or delete and enroll it again", n.UUID, n.Quarantined)
		}
	}
	if n == nil {
		if c, ok := m.(CreateNode); ok {
			return s.create(c)
		}
		return Decision{}, refuse(m.MsgName(), n, NotFound, "Node could not be found.")
	}
	switch m := m.(type) {
	case CreateNode:
		return s.exists(m)
	case UpdateNode:
		return s.update(m)
	case DeleteNode:
		return s.delete()
	case SetMaintenance:
		return s.maintenance(m)
	case SetPower:
		return s.setPower(m)
	case SetProvision:
		return s.provision(m)
	case SetBootDevice:
		return s.setBoot(m)
	case InjectNMI:
		return s.injectNMI()
	case CallVendor:
		return s.callVendor(m)
	case Identify:
		return s.identify(m)
	case ClearEvents:
		return s.clearEvents(m)
	case SetConsole:
		return s.setConsole(m)
	case SetTraits:
		return s.setTraits(m)
	case SetRaidConfig:
		return s.setRaid(m)
	case SetBootMode:
		return s.setBootMode(m)
	case SetSecureBoot:
		return s.setSecureBoot(m)
	case Release:
		return s.release(m)
	case Done:
		return s.done(m)
	case SyncSample:
		return s.syncSample(m)
	case LoginRefused:
		return s.loginRefused(m)
	case RecoverySample:
		return s.recovery(m)
	case Activated:
		return s.activated()
	case RenewPermit:
		return s.renew(m)
	default:
		return Decision{}, refuse(m.MsgName(), n, Internal, "no rule for message %T", m)
	}
}

// step is one Step under way: the node being written and the decision being made.
type step struct {
	env Env
	old *Node // as it was; nil at creation
	n   *Node // as it will be
	d   Decision
	ids int
}

// commit ends a step that writes the node: ownership, times and the outer counter follow from what changed.
func (s *step) commit() (Decision, error) {
	s.own()
	s.fence()
	if s.old == nil || outerChanged(s.old, s.n) {
		s.n.Outer++
		if s.old != nil {
			s.n.UpdatedAt = s.env.Now // P7: outer changes only
		}
	}
	s.d.Node = s.n
	for i := range s.d.Notices {
		if s.d.Notices[i].Node == nil {
			s.d.Notices[i].Node = s.n
		}
	}
	return s.d, nil
}

// own makes this conductor the owner if it is not: an idle node's first write claims it (S4).
func (s *step) own() {
	if !s.mine(s.n.Owner) {
		s.n.Owner = Owner{Name: s.env.Self.Name, Incarnation: s.env.Self.Incarnation, Epoch: s.n.Owner.Epoch + 1}
	}
	if s.n.Intent != nil {
		s.n.Intent.Owner = s.n.Owner
	}
}

// fence marks a node whose operation another owner held: that one may only be paused, and what it was permitted good for a while.
// The mark is in the record because who has made it may be gone before that while is over: nobody sends a command earlier (S11).
func (s *step) fence() {
	switch {
	case s.old != nil && s.old.Intent != nil && s.old.Intent.Verb != VerbVerify && !s.mine(s.old.Intent.Owner):
		s.n.Fenced = s.n.Owner.Epoch
	case s.env.Quiet:
		s.n.Fenced = 0
	}
}

// mine reports whether an owner is this conductor in its present life.
func (s *step) mine(o Owner) bool {
	return o.Name == s.env.Self.Name && o.Incarnation == s.env.Self.Incarnation
}

// open starts an operation: its intent and its first effect (S8). Notices of this step show the node reserved, as it is
// from now on.
func (s *step) open(i Intent, e Effect) {
	i.ID, i.Since, i.Phased = s.env.ID, s.env.Now, s.env.Now
	i.By, i.Request = s.env.Meta.By, s.env.Meta.RequestID
	i.Phase, i.Class = e.Phase, e.Class
	s.n.Intent = &i
	for k := range s.d.Notices {
		if shown := s.d.Notices[k].Node; shown != nil {
			shown.Intent = s.n.Intent
		}
	}
	e.Op = i.ID
	s.d.Effects = append(s.d.Effects, e)
}

// next commits the next phase of the open operation and asks for its effect.
func (s *step) next(e Effect) {
	s.n.Intent.Phase, s.n.Intent.Class, s.n.Intent.Phased = e.Phase, e.Class, s.env.Now
	e.Op = s.n.Intent.ID
	s.d.Effects = append(s.d.Effects, e)
}

// history appends an entry; severity ERROR when failed.
func (s *step) history(kind, text string, failed bool) {
	sev := "INFO"
	if failed {
		sev = "ERROR"
	}
	s.ids++
	s.d.History = append(s.d.History, Entry{
		UUID: s.env.derive(s.ids), Node: s.n.UUID, CreatedAt: s.env.Now, Severity: sev, EventType: kind, Event: text,
		Conductor: s.env.Self.Name, User: s.env.Meta.By, State: s.n.ProvisionState,
		TargetProvisionState: s.n.TargetProvisionState,
	})
}

// fail sets last_error and tells it in the history.
func (s *step) fail(kind, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.n.LastError = text
	s.history(kind, text, true)
}

// notice adds a notification of the node as it will be stored; snap shows it as it is at this moment instead.
func (s *step) notice(x Notice) {
	x.Object, x.At, x.Request = "node", s.env.Now, s.request()
	s.d.Notices = append(s.d.Notices, x)
}

// request is the id of the API request that this step is about: the one that is being answered, or the one that began the
// operation whose outcome is told now, before a restart or on another conductor though it was.
func (s *step) request() string {
	if id := s.env.Meta.RequestID; id != "" || s.old == nil || s.old.Intent == nil {
		return id
	}
	return s.old.Intent.Request
}

// snap is a copy of the node as it is now, for a notice in the middle of a step.
func (s *step) snap() *Node { return s.n.Clone() }

// locked refuses when an operation is under way (S8).
func (s *step) locked(op string) error {
	i := s.old.Intent
	if i == nil {
		return nil
	}
	return &Error{Op: op, Node: s.old.UUID, Kind: Locked, Text: fmt.Sprintf(
		"Node %s is locked by host %s, please retry after the current operation is completed. It runs %q (phase %q) for %s, since %s.",
		s.old.UUID, i.Owner.Name, i.Verb, i.Phase, by(i.By), i.Since.UTC().Format(time.RFC3339))}
}

func by(user string) string {
	if user == "" {
		return "the conductor or an anonymous client"
	}
	return user
}

// event moves the FSM (spec fsm.json process_event_semantics): target is an explicit target state or "". With work,
// target_provision_state is kept and last_error cleared; the notice follows from the two states.
func (s *step) event(ev string, work bool, target State) error {
	from, prevTarget := s.n.ProvisionState, s.n.TargetProvisionState
	to, ok := Next(from, ev)
	if !ok {
		return refuse("event "+ev, s.n, Invalid, "The requested action %q can not be performed on node %q while it is in state %q.", ev, s.n.UUID, from)
	}
	goal := prevTarget
	if goal == "" {
		goal = fsm[from].Target
	}
	if to == goal {
		goal = ""
	}
	if t := fsm[to].Target; t != "" {
		goal = t
	}
	if target != "" {
		goal = target
	}
	s.n.ProvisionState = to
	s.n.TargetProvisionState = goal
	if !work && fsm[to].Stable {
		s.n.TargetProvisionState = ""
	}
	if work {
		s.n.LastError = ""
	}
	s.n.ProvisionUpdatedAt = s.env.Now
	s.inspectionTimes(from, to)
	s.notice(Notice{Action: "provision_set", Status: provisionStatus(from, to, ev), Event: ev, PrevState: from, PrevTarget: prevTarget, Node: s.snap()})
	return nil
}

// inspectionTimes follows spec fsm.json inspection_times.
func (s *step) inspectionTimes(from, to State) {
	switch {
	case to == Inspecting:
		s.n.InspectionStartedAt, s.n.InspectionFinishedAt = s.env.Now, time.Time{}
	case (from == Inspecting || from == InspectWait) && to == Manageable:
		s.n.InspectionFinishedAt, s.n.InspectionStartedAt = s.env.Now, time.Time{}
	case to == InspectFailed:
		s.n.InspectionStartedAt = time.Time{}
	}
}

// provisionStatus is the last word of a provision_set event (spec notifications.md section 3).
func provisionStatus(from, to State, ev string) Status {
	switch {
	case ev == "fail" || ev == "error":
		return Failure
	case !from.Unstable() && to.Unstable():
		return Start
	case from.Unstable() && !to.Unstable():
		return End
	default:
		return Success
	}
}

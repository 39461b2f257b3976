// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import "fmt"

// SyncSkipped reports why the power sync passes a node by, "" = it does not (spec power.md section 4 row 4).
func SyncSkipped(n *Node) string {
	switch {
	case n.Maintenance:
		return "maintenance"
	case fsm[n.ProvisionState].NoSync:
		return "provision state"
	case n.TargetPowerState != "":
		return "power action"
	case n.Intent != nil:
		return "reserved"
	case n.Quarantined != "":
		return "quarantined"
	default:
		return ""
	}
}

// Recovering reports whether a node waits for its BMC to answer again (spec power.md section 7).
func Recovering(n *Node) bool {
	return n.Maintenance && n.Fault == FaultPower && n.ProvisionState != Enroll && n.TargetPowerState == "" && n.Intent == nil
}

// syncSample judges one reading of the power sync (spec power.md section 5, rows in order; SAFETY P1-P4).
func (s *step) syncSample(m SyncSample) (Decision, error) {
	n := s.n
	if m.Rev != s.old.Rev || SyncSkipped(n) != "" { // P3: compared under an older record
		return Decision{}, nil
	}
	if s.keepRefusal(m.Refused); !m.Failed { // it answers within a session
		n.Refused = nil
	}
	if n.PowerState == PowerUnknown && s.env.Facts.PowerInvalid != "" { // row 1
		return s.counter(0)
	}
	fails := n.SyncFails + 1
	exhausted := fails > s.env.Policy.MaxRetries
	switch {
	case m.Failed || m.State == PowerError: // row 2
		if exhausted {
			if m.Failed {
				m.State = PowerUnknown
			} else {
				m.Err = "the BMC answered with a power state that is neither on nor off"
			}
			return s.retriesExceeded(m.State, m.Err, fails)
		}
		return s.counter(fails)
	case m.State == n.PowerState: // row 3
		if s.env.Policy.History && n.LastError != "" {
			n.LastError = ""
		}
		return s.counter(0)
	case n.PowerState == PowerUnknown || n.PowerState == PowerError: // rows 4c, 4d
		if s.env.Policy.History {
			n.LastError = ""
		}
		n.SyncFails = 0
		return s.correct(m.State)
	case exhausted: // row 5
		return s.retriesExceeded(m.State, "", fails)
	case s.env.Policy.ForcePower && s.env.Facts.PowerSync && !n.DisablePowerOff: // row 6, P4
		if s.env.Facts.PowerInvalid != "" {
			return s.counter(fails)
		}
		s.openPower(n.PowerState, 0, true)
		return s.commit()
	default: // row 7
		n.SyncFails = fails
		return s.correct(m.State)
	}
}

// counter writes the failure counter, if that or anything else changed (P2).
func (s *step) counter(fails int) (Decision, error) {
	s.n.SyncFails = fails
	if fails == s.old.SyncFails && s.n.LastError == s.old.LastError && s.n.Refused == s.old.Refused {
		return Decision{}, nil
	}
	return s.commit()
}

// correct takes over what the hardware says, and tells it.
func (s *step) correct(hw PowerState) (Decision, error) {
	from := s.n.PowerState
	s.n.PowerState = hw
	s.notice(Notice{Action: "power_state_corrected", Status: Success, FromPower: from})
	return s.commit()
}

// retriesExceeded gives up on a node: it goes to maintenance with fault "power failure" (spec power.md section 6).
func (s *step) retriesExceeded(actual PowerState, cause string, fails int) (Decision, error) {
	n, from := s.n, s.n.PowerState
	text := fmt.Sprintf("During sync_power_state, max retries exceeded for node %s: actual state %s does not match expected state %s. Updating DB state to %s. Switching node to maintenance mode.",
		n.UUID, quoteState(actual), quoteState(from), quoteState(actual))
	if cause != "" {
		text += " Error: " + cause
	}
	n.PowerState, n.SyncFails = actual, fails
	s.fail("monitoring", "%s", text)
	if !n.Maintenance {
		n.Maintenance, n.MaintenanceReason, n.Fault = true, text, FaultPower
	}
	if from != actual {
		s.notice(Notice{Action: "power_state_corrected", Status: Success, FromPower: from})
	}
	return s.commit()
}

func quoteState(p PowerState) string {
	if p == PowerUnknown {
		return "None"
	}
	return "'" + string(p) + "'"
}

// recovery ends a power failure: the BMC answers again (spec power.md section 7). last_error and the counter are left
// to the next matching sync.
func (s *step) recovery(m RecoverySample) (Decision, error) {
	if m.Rev != s.old.Rev || !Recovering(s.n) || m.State == PowerError || s.env.Facts.PowerInvalid != "" {
		return Decision{}, nil
	}
	s.n.Maintenance, s.n.MaintenanceReason, s.n.Fault, s.n.Refused = false, "", "", nil
	if s.n.PowerState == m.State {
		return s.commit()
	}
	return s.correct(m.State)
}

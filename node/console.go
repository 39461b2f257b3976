// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

// Phases of a console operation (spec console.md sections 2 and 3).
const (
	consoleStart   = "start"   // the user wants it
	consoleStop    = "stop"    // the user does not want it any more
	consoleRestore = "restore" // it was wanted before this conductor had the node (N4)
)

// setConsole is PUT states/console. The answer promises the intent; the console itself comes a moment later.
func (s *step) setConsole(m SetConsole) (Decision, error) {
	op, n := m.MsgName(), s.n
	if c := n.Interfaces["console"]; c != "fake" {
		return s.d, refuse(op, n, Unsupported, "Driver %s does not support console (disabled or not implemented): its console interface is %q.", n.Driver, c)
	}
	if n.ConsoleEnabled == m.Enabled && (m.Enabled || !n.ConsoleWanted) {
		return Decision{}, nil
	}
	if err := s.locked(op); err != nil {
		return s.d, err
	}
	n.LastError = ""
	if n.ConsoleEnabled == m.Enabled { // it could not be restored, and is no longer wanted
		n.ConsoleWanted = m.Enabled
		return s.commit()
	}
	n.ConsoleWanted = m.Enabled
	s.notice(Notice{Action: "console_set", Status: Start, Node: s.snap()})
	phase := consoleStop
	if m.Enabled {
		phase = consoleStart
	}
	s.open(Intent{Verb: VerbConsole}, consoleEffect(phase))
	return s.commit()
}

func consoleEffect(phase string) Effect {
	return Effect{Kind: SwitchConsole, Phase: phase, Class: Repeat, On: phase != consoleStop}
}

// ConsoleLost reports whether a console is wanted that an owner other than self has started, or nobody.
func ConsoleLost(n *Node, self Owner) bool {
	return n.ConsoleWanted && n.Interfaces["console"] == "fake" && (!n.ConsoleEnabled || n.Owner.Incarnation != self.Incarnation)
}

// wantConsole restores what the user wanted, whatever the provision state (N4): the claim and console_restore.start are one entry.
func (s *step) wantConsole() (Decision, error) {
	if !ConsoleLost(s.n, s.env.Self) {
		return Decision{}, nil
	}
	s.notice(Notice{Action: "console_restore", Status: Start, Node: s.snap()})
	s.open(Intent{Verb: VerbConsole}, consoleEffect(consoleRestore))
	return s.commit()
}

// consoleDone ends a console operation.
func (s *step) consoleDone(m Done) (Decision, error) {
	n, phase := s.n, s.n.Intent.Phase
	n.Intent = nil
	action, on := "console_set", phase != consoleStop
	if phase == consoleRestore {
		action = "console_restore"
	}
	switch {
	case m.Err == "":
		n.ConsoleEnabled = on
		if phase != consoleRestore { // what else has failed on the node is not the console's to forget
			n.LastError = ""
		}
		s.notice(Notice{Action: action, Status: End})
	case phase == consoleRestore: // it stays wanted: the owner tries again, ever more seldom
		n.ConsoleEnabled = false
		s.fail("takeover", "Failed to restore the console of node %s on conductor %s: %s", n.UUID, s.env.Self.Name, m.Err)
		s.notice(Notice{Action: action, Status: Failure})
	default:
		n.ConsoleWanted = n.ConsoleEnabled
		verb := "enabling"
		if !on {
			verb = "disabling"
		}
		s.fail("console", "Error %s the console on node %s. Reason: %s", verb, n.UUID, m.Err)
		s.notice(Notice{Action: action, Status: Failure})
	}
	return s.commit()
}

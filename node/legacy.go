// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

// Microversions that first show a state by its own name (spec fsm.json legacy_names.client_view_by_version).
const (
	minorAvailable   = 2
	minorInspectWait = 39
)

// FromLegacy maps a provision state as an old record may hold it to the FSM's. "" is what "available" was called before
// it had a name. Words that were verbs or targets only ("deleted", "rebuild", "deploy complete") were never stored as a
// state: ok is false for them and for any unknown word.
func FromLegacy(stored string) (s State, ok bool) {
	if stored == "" {
		return Available, true
	}
	s = State(stored)
	return s, StateKnown(s)
}

// Shown is the name of a state for a client of microversion 1.minor; "" is the wire's null.
func (s State) Shown(minor int) State {
	switch {
	case s == Available && minor < minorAvailable:
		return ""
	case s == InspectWait && minor < minorInspectWait:
		return Inspecting
	default:
		return s
	}
}

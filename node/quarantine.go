// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

// Quarantine takes a node whose rules failed out of service (S13): cause is the panic, as one line. Step then refuses
// everything but DeleteNode and Release, so that one broken record neither loops nor takes others along. An operation
// that was open stays open until Release ends it.
func Quarantine(env Env, n *Node, cause string) (Decision, error) {
	s := &step{env: env, old: n, n: n.Clone()}
	s.n.Quarantined = cause
	s.fail("conductor", "The rules of Ferrite failed on this node, which is a defect: %s. It is quarantined: release it by force, or delete it and enroll it again.", cause)
	return s.commit()
}

// passesQuarantine reports the two messages that lead out of quarantine (S13).
func passesQuarantine(m Msg) bool {
	switch m.(type) {
	case DeleteNode, Release:
		return true
	default:
		return false
	}
}

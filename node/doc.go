// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package node holds the rules of one bare metal node: given the node as it is and a message, it says what happens next.
//
// # Usage
//
// Step is the whole of it: node, environment and message go in, a Decision comes out. The caller (package actors)
// commits the decision to the log first and only then runs its effects; the outcome of an effect comes back as another
// message. Nothing here touches a disk, a network or a clock: time, chance and settings arrive in Env.
//
//	d, err := node.Step(env, n, node.SetPower{Target: node.PowerOn})   // what should happen
//	rev, err := store.Commit(ctx, tx(d))                              // it has happened
//	for _, e := range d.Effects { run(e) }                            // only now the outside world
//
// Where to find what: words.go, node.go, message.go, decision.go are the vocabulary; fsm.go is the provision state machine
// (docs/fsm.md shows it); step.go moves it; power.go and powersync.go are about power, manage.go about the BMC itself; provision.go starts flows,
// outcome.go ends them; resume.go takes over what a lost owner left; update.go is PATCH. The stories in testdata/stories
// tell each rule by example: read those first, and add one for each new rule.
//
// # Concurrency
//
// A *Node is a value that nobody changes once it was handed out: Step works on a copy. Maps inside are replaced, never
// written to.
//
// # Failure
//
// A refused message yields an *Error whose Kind says what the API answers; the node stays as it was. Words are those of
// Ironic's API as on the wire: provision_state is ProvisionState, "power on" is PowerOn.
package node

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package actors runs one actor a node: it steps the rules, commits what they decide, and only then acts on the BMC.
//
// # Usage
//
//	f := actors.New(cfg)
//	go f.Run(ctx)                       // activates nodes, sweeps their power
//	_, err := f.Do(ctx, uuid, meta, node.SetPower{Target: node.PowerOn})
//	f.Drain(ctx)                        // running operations reach a safe point
//
// # Concurrency
//
// An actor handles one message at a time and never blocks: commits, BMC calls and waiting run outside and come back as
// messages. While a commit is under way the messages behind it queue in order. Requests that meet an open operation wait
// up to the lock retry time and are then refused (S8). All that waits is bounded; where a queue gets full, commands find
// a place longest, then records, then bulk (share), and a refusal says how many are before it. Looks at a machine (sensors, events) pass by its actor: they need
// no lock, and those who ask for the same at a time share one. There is one power sweep a conductor, not a timer a node.
//
// A subnet that fails as a whole is frozen by each conductor on its own; that one of them tells of it is settled by a record in
// the log (netEvent), which one goroutine a fleet holds against what its sweep sees.
//
// # Failure
//
// An outcome is retried until it is committed or in conflict (S13). A conflict is settled by S5: reload, step again, or
// stop. A panic in the rules quarantines that one node. No BMC is commanded without a committed intent and a valid
// permit (S8-S10).
package actors

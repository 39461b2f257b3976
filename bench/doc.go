// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package bench measures Ferrite against raw limits and other tools, in turns within one run, and reports ratios.
//
// # Usage
//
//	r, err := bench.Sync(ctx, bench.SyncConfig{BMCs: 1000, Rounds: 7, Window: 512, Against: []string{"echo"}, Self: ferriteBinary})
//	fmt.Print(r.Markdown())
//	comparison, err := r.Compare("bench/results")        // against the newest kept result
//	file, err := r.Save("bench/results", "")             // JSON, Markdown, benchstat, plots
//
// Sync and Growth measure the power sync, API the requests, Commit the log and the hop, Takeover the loss of a conductor.
// Measured, Ends, Simulate and Scale work out from kept results what a fleet of a million takes. docs/PERFORMANCE.md shows
// what came of it.
//
// # Concurrency
//
// One bench at a time. Each contender, the simulated BMCs and the echo server are processes of their own (workers), so that CPU
// and memory are those of the contender alone; contenders take turns.
//
// # Failure
//
// A tool that is missing is named with the package that has it. Figures of a run that lost answers are not reported. Workers
// end with the bench, however it ends. Whoever calls makes a folder for the data (Dir) and removes it; when the bench was killed,
// the last worker does.
package bench

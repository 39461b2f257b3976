// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package bench measures Ferrite against raw limits and other tools, alternately in one run, and reports ratios.
//
// # Usage
//
//	ferrite bench sync --bmcs 1000 --rounds 5 --against echo,ipmipower --out bench/results
//
// # Concurrency
//
// One bench at a time; the simulated BMCs and the echo server are processes of their own, so that CPU figures are those
// of the measured process alone.
//
// # Failure
//
// A tool that is missing is named with the package that has it. Figures of a run that lost answers are not reported.
package bench

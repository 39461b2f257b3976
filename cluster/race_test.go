// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

//go:build race

package cluster

// raceEnabled reports that the race detector is on. Go 1.26.8's ends the process with SIGSEGV now and then (StackDepotBase::Put) when
// a synctest bubble lives through very many timers: the longest tests of the gossip run without it, in a step of their own
// (Makefile).
const raceEnabled = true

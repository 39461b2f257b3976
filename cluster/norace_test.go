// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package cluster

// How many random walks the gossip goes through, and of how many steps; the race detector gets less (race_test.go).
const gossipWalks, gossipSteps = 2, 25

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package conductor

// How many lives the crowd lives by gossip, and of how many steps; the race detector gets less (race_test.go).
const gossipLives, gossipSteps = 3, 300

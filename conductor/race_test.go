// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

//go:build race

package conductor

// How many lives the crowd lives by gossip, and of how many steps, under the race detector: fewer and shorter
// ones, by the same rules. Go 1.26.8's ends the process with SIGSEGV now and then (StackDepotBase::Put) when a synctest
// bubble lives through very many timers, so the long way is gone without it: by a plain go test, and in a step of its own of
// make test.
const gossipLives, gossipSteps = 1, 60

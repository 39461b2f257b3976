// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

//go:build race

package notify

// raceEnabled reports that the race detector is on, under which pools drop their content at random.
const raceEnabled = true

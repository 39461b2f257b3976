// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package actors

import "time"

// boot has no second clock to read here: the monotonic clock alone decides.
func boot() time.Duration { return 0 }

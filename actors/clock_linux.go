// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"time"

	"golang.org/x/sys/unix"
)

// boot is the time since boot, suspension included (CLOCK_BOOTTIME): the second clock of a permit (S9).
func boot() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0 // the monotonic clock alone decides
	}
	return time.Duration(ts.Nano())
}

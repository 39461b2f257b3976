// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const clock Area = "clock"

// Clock looks at the clocks: that of permits, which must go on in suspension, and that of the calendar.
func Clock() []Finding { return []Finding{asleep(), synchronised()} }

// asleep compares the clock that goes on while the machine sleeps with the one that does not (S9).
func asleep() Finding {
	const check = "permits"
	var boot, mono unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot)
	if err == nil {
		err = unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono)
	}
	if err != nil {
		return clock.Fail(check, "CLOCK_BOOTTIME: "+err.Error(), "a clock that goes on while the machine sleeps", "use a Linux kernel that has it: permits depend on it after a suspension")
	}
	return slept(time.Duration(boot.Nano() - mono.Nano()))
}

func slept(d time.Duration) Finding {
	if d > time.Second {
		return clock.Warn("permits", fmt.Sprintf("this machine slept for %s since it was started", d.Round(time.Second)), "a machine that is never suspended", "switch suspension off: BMCs are not watched meanwhile (nothing unsafe is sent, permits expire)")
	}
	return clock.OK("permits", "boot time and monotonic clock agree: never suspended since the start")
}

// States of adjtimex(2).
const (
	staUnsync = 0x40
	timeError = 5
)

func synchronised() Finding {
	var t unix.Timex
	state, err := unix.Adjtimex(&t) // modes 0: only reads
	if err != nil {
		return clock.Warn("calendar", "adjtimex: "+err.Error(), "to know whether the clock is synchronised", "see \"chronyc tracking\" or \"timedatectl\" yourself")
	}
	return synced(state == timeError || t.Status&staUnsync != 0, time.Duration(t.Esterror)*time.Microsecond)
}

func synced(off bool, within time.Duration) Finding {
	if off {
		return clock.Warn("calendar", "not synchronised", "a clock that NTP keeps right: times of events, certificates and tokens depend on it", "install chrony or switch systemd-timesyncd on (in a container: on its host)")
	}
	return clock.OK("calendar", "synchronised, error about %s", round(within))
}

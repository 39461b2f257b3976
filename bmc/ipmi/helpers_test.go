// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"errors"
	"testing"
	"time"

	"ferrite/bmc"
)

func asBMC(err error, to **bmc.Error) bool { return errors.As(err, to) }

// eventually waits for a condition that other goroutines or machines bring about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("never: %s", what)
		}
	}
}

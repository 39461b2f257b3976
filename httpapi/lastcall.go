// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"net"
	"syscall"
	"time"
)

// lastCallTime is how long connections that the system has already taken are let in after the last call.
const lastCallTime = 100 * time.Millisecond

// lastCall lets the system take no more connections for a listener: who asks for one now is kept waiting and refused once
// it is closed, and so knows that nothing was done. Without it, a client whose connection nobody had accepted yet has sent
// its request already when the close resets it.
func lastCall(ln net.Listener) bool {
	in, ok := ln.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := in.SyscallConn()
	if err != nil {
		return false
	}
	done := false
	err = raw.Control(func(fd uintptr) { done = syscall.Listen(int(fd), 0) == nil }) //nolint:gosec // a descriptor
	return err == nil && done
}

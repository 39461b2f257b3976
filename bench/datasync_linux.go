// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"os"
	"syscall"
)

// datasync puts what was written on the disk, as the log does.
func datasync(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) } //nolint:gosec // a descriptor

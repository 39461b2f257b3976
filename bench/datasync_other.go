// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package bench

import "os"

// datasync puts what was written on the disk.
func datasync(f *os.File) error { return f.Sync() }

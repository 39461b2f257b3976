// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !killpoints

package actors

// killpoint is a place where a test may kill the process; see killpoint_on.go. In a normal build there is none.
func killpoint(string, string) {}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package storetest is the suite that every persistence.Store passes.
//
// # Usage
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) persistence.Store { return persistence.NewMemory(persistence.MemoryOptions{}) })
//	}
//
// # Concurrency
//
// Each test opens a store of its own and closes it; tests do not run in parallel.
//
// # Failure
//
// A failed test names the rule of the contract, what was wanted and what was found.
package storetest

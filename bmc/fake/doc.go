// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package fake is the driver of hardware type fake-hardware: no BMC, no agent, every operation is done at once.
//
// # Usage
//
//	d := fake.New(fake.Config{Delays: map[string]string{"deploy": "2"}})
//
// Its power is what the record says (bmc.Capabilities.Recorded): there is nothing to poll and nothing to wait for.
// Delays are Ironic's [fake] options: "N" seconds, or "A,B" for a random time between A and B, most often near A.
//
// # Concurrency
//
// All methods may be called from any goroutine; nothing is kept.
//
// # Failure
//
// A delay that cannot be read is named by Config.Validate. Commands ask their permit as real ones do (S10).
package fake

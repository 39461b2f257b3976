// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package fake is the driver without hardware: power is what the record says, everything works after a configured delay.
//
// # Usage
//
//	d := fake.New(fake.Config{PowerDelay: "2"})   // bmc.Driver of hardware type "fake-hardware"
//
// Delays are texts as in Ironic's [fake] options: "N" is N seconds, "A,B" is random between A and B and mostly near A
// (triangular).
//
// # Concurrency
//
// It has no state; all methods may be called from anywhere.
//
// # Failure
//
// Only what Ironic's fake refuses fails: power and boot device values that it does not know, steps that it has not. A
// delay ends early when the context does.
package fake

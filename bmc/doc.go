// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package bmc says what we ask of a BMC: interfaces of one to three methods, and what a driver can do as data.
//
// # Usage
//
// A Driver bundles what one hardware type offers; nil fields mean "not supported" and Capabilities says the rest.
// Drivers live below (ipmi, fake); each passes bmctest.Run.
//
//	state, err := d.Power.PowerState(ctx, n)
//	err = d.Power.SetPower(ctx, n, bmc.On, permit)   // sends the command, does not wait for the state
//
// # Concurrency
//
// All methods may be called from any goroutine; per BMC one command is outstanding at a time, callers queue.
//
// # Failure
//
// A BMC that fails yields *Error with the command's name; driver_info that cannot work yields *node.Error of kind
// Invalid before anything is sent. A mutating command without a valid permit is refused (S10) with ErrPermit.
package bmc

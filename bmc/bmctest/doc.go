// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package bmctest is what every BMC driver must do, as one suite of tests.
//
// # Usage
//
//	func TestConformance(t *testing.T) {
//		bmctest.Run(t, func(t *testing.T) bmctest.Harness { ... })
//	}
//
// A Harness is a driver, a node of it and a look at the machine behind the driver's back.
//
// # Concurrency
//
// Each test gets a fresh harness; the suite's tests run one after another.
//
// # Failure
//
// What a driver cannot do (nil fields, Capabilities) is not asked of it; everything else that differs fails the test.
package bmctest

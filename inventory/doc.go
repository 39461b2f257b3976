// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package inventory holds the resources beside nodes (ports and chassis now; port groups, allocations later) and their
// rules.
//
// # Usage
//
// A Port belongs to one node; the node's owner writes it (S2). Step is pure: node, port as it is and message go in, a
// Decision comes out; commit it under a condition on the node's record, then answer. StepChassis does the same for a
// Chassis, which nodes refer to and no node owns.
//
// # Concurrency
//
// Values are never written to once handed out.
//
// # Failure
//
// A refused change names the field, what was wanted and what was found.
package inventory

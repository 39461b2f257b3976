// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package inventory holds the resources that hang on nodes (ports now; port groups, chassis, allocations later) and
// their rules.
//
// # Usage
//
// A Port belongs to one node; the node's owner writes it (S2). Check functions are pure and return *node.Error.
//
// # Concurrency
//
// Values are never written to once handed out.
//
// # Failure
//
// A refused change names the field, what was wanted and what was found.
package inventory

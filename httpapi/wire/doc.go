// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package wire is Ironic's JSON in both directions: one table of fields per resource says what is shown, asked for,
// sorted by and changed at which microversion.
//
// # Usage
//
//	fields := wire.Nodes.Detail(minor)                  // or Short, or Select for ?fields=
//	b = wire.Nodes.Append(b, view, n, fields)           // {"uuid": ...}
//	err := wire.Nodes.Create(n, body, minor)            // POST
//	p, err := wire.Nodes.Patch(n.Clone(), ops, minor)   // PATCH
//
// A new field of the API is one row in nodes.go, ports.go, drivers.go, conductors.go or history.go; docs/fields.md is made from the tables.
//
// # Concurrency
//
// Tables are built once and only read. Encoders append to the caller's buffer and use no reflection for what a node
// holds.
//
// # Failure
//
// A request that cannot be is a *node.Error in Ironic's words, of kind Invalid (400) or NotAcceptable (406).
package wire

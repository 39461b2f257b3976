// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package hostrange turns r[01-40]n[1-9] into names and names back into ranges, as ipmipower and powerman users write
// them.
//
// # Usage
//
//	names, err := hostrange.Expand("r[01-40]n[1-9],login1", 1000)
//	fmt.Println(hostrange.Fold(names)) // login1,r[01-40]n[1-9]
//
// A number keeps its leading zeros: [08-11] is 08, 09, 10, 11. Brackets hold numbers and ranges of them, any number of
// brackets may follow one another in a name, commas outside of brackets part the names.
//
// # Concurrency
//
// Functions only; nothing is shared.
//
// # Failure
//
// Expand says what it did not understand and where. It never makes more names than its limit: it counts them first.
package hostrange

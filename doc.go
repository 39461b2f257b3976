// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package ferrite is the root of the module; it holds no code but the tests of the house: who may import whom, and that
// the documents are about what is there.
//
// # Usage
//
//	go test .        # after adding a package, an import or a document
//
// Start reading at docs/ARCHITECTURE.md, then package node. The program is cmd/ferrite.
//
// # Concurrency
//
// Nothing runs here.
//
// # Failure
//
// A failed test names the file, the rule and its reason; archmap_test.go holds the map, and a new row in it is a decision.
package ferrite

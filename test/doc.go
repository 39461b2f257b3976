// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package test drives the real binary with real clients: the baremetal CLI, NATS subscribers, simulated BMCs that speak
// real IPMI, signals and kill -9.
//
// # Usage
//
//	go test ./test
//
// # Concurrency
//
// Each test has processes, ports and folders of its own.
//
// # Failure
//
// A missing tool fails a test with the line that installs it; nothing is skipped.
package test

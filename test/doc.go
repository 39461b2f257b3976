// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package test drives the real binary with real clients: the baremetal CLI, NATS subscribers, simulated BMCs that speak
// real IPMI, signals and kill -9.
//
// # Usage
//
//	go test ./test
//	make chaos
//
// A nemesis kills, pauses, ends, upgrades and cuts off real conductors under load, fills their disks and cuts their power
// (NEMESIS=1, or make chaos-short); the long form of that, with 2,000 machines, three and five conductors, is make chaos.
// Where there are no network namespaces, or with NEMESIS_SWITCH=1, a build with a switch in its cables is cut off instead.
// NEMESIS_SEED=n deals the same blows again, NEMESIS_ONLY=part,kill only some of them.
//
// # Concurrency
//
// Each test has processes, ports and folders of its own.
//
// # Failure
//
// A missing tool fails a test with the line that installs it. Only what needs root (power cuts, full disks, a conductor
// without any network) is skipped without it, and says so.
package test

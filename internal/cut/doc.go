// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package cut is a switch in the cables between conductors: from outside the process, what goes from one host to another
// can be made to vanish, and to flow again.
//
// # Usage
//
//	s, err := cut.Follow("127.78.0.1", "/run/cuts", log) // this host; the file has a line "FROM TO" for each cut direction
//	c, err := s.Dial(ctx, "127.78.0.2:7947")             // instead of net.Dial
//	if s.Lost("127.78.0.2:7946") { return }              // before a datagram is sent
//	at, err := s.Relay("127.78.0.2:4248")                // for who dials by itself: dialling at leads there
//
// It is for tests, and no part of a normal ferrite: only a build with -tags cuttable has it (docs/adr/0014-switch-in-the-cables.md).
//
// A cut is what a broken cable is, not what a closed port is. A new connection waits for its answer, as long as whoever asks
// waits. Of one that exists nothing more arrives, ends and resets included; what was sent meanwhile arrives after the cut, as
// TCP sends again, if both sides still want the connection. Datagrams are lost. Each direction is cut by itself.
//
// The side that dials does it for both directions of a connection, the sender for datagrams. So all processes must follow the
// same file, and those that are accepted need nothing. What the kernel tells when a process dies goes past the switch.
//
// # Concurrency
//
// All methods may be called from any goroutine. Close ends all connections, and waits for all goroutines.
//
// # Failure
//
// A file that is not there cuts nothing. Follow refuses one that it cannot read; later the last that could be read stays.
package cut

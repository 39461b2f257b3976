// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package udpbatch sends and receives UDP datagrams many at a time on one socket, without allocations.
//
// # Usage
//
//	c, err := udpbatch.Listen("0.0.0.0:0", udpbatch.Options{})
//	b := udpbatch.NewBatch(64)
//	n, err := c.Recv(b)              // b.Msgs[:n]: Data(), Peer, Local
//	b.Msgs[0].Set(peer, local, data)
//	err = c.Send(b, 1)
//
// On Linux it uses recvmmsg and sendmmsg (about half the CPU of one system call a datagram); elsewhere the
// portable calls of package net. IPv4 alone gets batches; other addresses go one by one. A Gate (Linux) is how it waits, and
// how others wait for a socket of their own, without the runtime being told of every datagram.
//
// # Concurrency
//
// One goroutine receives and one sends at a time, each with a Batch of its own.
//
// # Failure
//
// A datagram that cannot be sent (no route, buffer full) is dropped and counted: UDP promises no more.
package udpbatch

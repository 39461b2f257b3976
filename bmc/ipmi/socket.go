// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"net/netip"
	"time"
)

// batch is how many datagrams one system call takes or gives.
const batch = 64

// past wakes a shard that waits for packets: a deadline that is over.
var past = time.Unix(1, 0)

// transport is a shard's socket. All methods but wake and address belong to the shard's goroutine.
type transport interface {
	// receive takes what has arrived, without waiting.
	receive() (int, error)
	// arm sets the deadline of the next wait (zero = none) and forgets a wake that came before.
	arm(deadline time.Time)
	// wait waits for packets until the deadline or a wake; 0 without an error means one of these.
	wait() (int, error)
	// packet is the i-th datagram of the last receive or wait.
	packet(i int) ([]byte, netip.AddrPort)
	// room is the buffer to build the next datagram in, of maxPacket bytes.
	room() []byte
	// push puts the datagram of n bytes that was built in room on its way; it leaves with the batch, flush at the latest.
	push(n int, to netip.AddrPort)
	flush()
	wake()
	// capacity is the size of the receive buffer in bytes, 0 = unknown.
	capacity() int
	close() error
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package udpbatch

import (
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// Size is the largest datagram that is received; IPMI packets are far smaller.
const Size = 2048

// Msg is one datagram. Peer is the other side; Local is the address of ours that it came to or shall come from (only
// with Options.PktInfo; the zero Addr leaves the choice to the system).
type Msg struct {
	Peer  netip.AddrPort
	Local netip.Addr
	buf   []byte
	n     int
}

// Data is the datagram's content; it is overwritten by the next Recv or Set.
func (m *Msg) Data() []byte { return m.buf[:m.n] }

// Buf is the whole buffer, to build a datagram in place; Len says how long it became.
func (m *Msg) Buf() []byte { return m.buf }

// Len sets the datagram's length after it was built in Buf.
func (m *Msg) Len(n int) { m.n = n }

// Set copies a datagram in.
func (m *Msg) Set(peer netip.AddrPort, local netip.Addr, data []byte) {
	m.Peer, m.Local = peer, local
	m.n = copy(m.buf, data)
}

// Options of Listen.
type Options struct {
	PktInfo bool // tell and choose the local address of each datagram
	Buffer  int  // socket buffers in bytes, best effort; 0 = the system's
}

// Conn is one UDP socket.
type Conn struct {
	local   netip.AddrPort
	dropped atomic.Uint64
	sys
}

// LocalAddr is where the socket is bound.
func (c *Conn) LocalAddr() netip.AddrPort { return c.local }

// SetReadDeadline ends Recvs at a time, with os.ErrDeadlineExceeded; the zero time is never.
func (c *Conn) SetReadDeadline(t time.Time) { c.deadline(t) }

// SendOne sends one datagram; it may run beside Send.
func (c *Conn) SendOne(m *Msg) {
	if err := c.sendOne(m); err != nil {
		c.dropped.Add(1)
	}
}

// Dropped counts datagrams that could not be sent.
func (c *Conn) Dropped() uint64 { return c.dropped.Load() }

// Close ends the socket; a Recv that waits returns net.ErrClosed.
func (c *Conn) Close() error { return c.close() }

// Listen binds a UDP socket.
func Listen(address string, o Options) (*Conn, error) {
	ua, err := net.ResolveUDPAddr("udp4", address)
	if err != nil {
		return nil, err
	}
	u, err := net.ListenUDP("udp4", ua)
	if err != nil {
		return nil, err
	}
	c := &Conn{local: u.LocalAddr().(*net.UDPAddr).AddrPort()}
	if err := c.setup(u, o); err != nil {
		_ = u.Close()
		return nil, err
	}
	return c, nil
}

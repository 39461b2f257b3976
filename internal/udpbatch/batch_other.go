// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package udpbatch

import (
	"errors"
	"net"
	"time"
)

// Batch is room for several datagrams; this system takes them one by one.
type Batch struct{ Msgs []Msg }

// NewBatch makes room for n datagrams.
func NewBatch(n int) *Batch {
	b := &Batch{Msgs: make([]Msg, n)}
	for i := range b.Msgs {
		b.Msgs[i].buf = make([]byte, Size)
	}
	return b
}

type sys struct{ udp *net.UDPConn }

func (c *Conn) setup(u *net.UDPConn, o Options) error {
	c.udp = u
	if o.PktInfo {
		return errors.New("answering under many addresses of one socket needs Linux")
	}
	if o.Buffer > 0 {
		_ = c.udp.SetReadBuffer(o.Buffer)
		_ = c.udp.SetWriteBuffer(o.Buffer)
	}
	return nil
}

// Recv waits for one datagram.
func (c *Conn) Recv(b *Batch) (int, error) {
	m := &b.Msgs[0]
	n, peer, err := c.udp.ReadFromUDPAddrPort(m.buf)
	if err != nil {
		return 0, err
	}
	m.n, m.Peer = n, peer
	return 1, nil
}

// Send sends the first n datagrams of b.
func (c *Conn) Send(b *Batch, n int) error {
	for i := range n {
		if _, err := c.udp.WriteToUDPAddrPort(b.Msgs[i].Data(), b.Msgs[i].Peer); err != nil {
			c.dropped.Add(1)
		}
	}
	return nil
}

func (c *Conn) sendOne(m *Msg) error {
	_, err := c.udp.WriteToUDPAddrPort(m.Data(), m.Peer)
	return err
}

func (c *Conn) close() error { return c.udp.Close() }

func (c *Conn) deadline(t time.Time) { _ = c.udp.SetReadDeadline(t) }

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
)

// portable is the form for every system: one system call a datagram, which scheduler and poller hear of. On Linux, where
// Config.Portable chooses it, that is 1.8 times the CPU.
type portable struct {
	udp  *net.UDPConn
	in   [maxPacket]byte
	n    int
	from netip.AddrPort
	out  [maxPacket]byte
}

var _ transport = (*portable)(nil)

// listenPortable opens a socket on any free port, for IPv6 or IPv4. buffer is the wish for the receive buffer in bytes.
func listenPortable(six bool, buffer int) (transport, error) {
	u, err := net.ListenUDP(map[bool]string{true: "udp6", false: "udp4"}[six], nil)
	if err != nil {
		return nil, fmt.Errorf("open a UDP socket for IPMI: %w", err)
	}
	_ = u.SetReadBuffer(buffer)
	return &portable{udp: u}, nil
}

func (s *portable) receive() (int, error) { return 0, nil }

func (s *portable) arm(t time.Time) { _ = s.udp.SetReadDeadline(t) }

func (s *portable) wait() (int, error) {
	n, from, err := s.udp.ReadFromUDPAddrPort(s.in[:])
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return 0, nil
	case errors.Is(err, net.ErrClosed):
		return 0, net.ErrClosed
	case err != nil: // an ICMP answer to an earlier datagram
		return 0, nil //nolint:nilerr // it says nothing about the next datagram
	}
	s.n, s.from = n, netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	return 1, nil
}

func (s *portable) packet(int) ([]byte, netip.AddrPort) { return s.in[:s.n], s.from }

func (s *portable) room() []byte { return s.out[:] }

func (s *portable) push(n int, to netip.AddrPort) { _, _ = s.udp.WriteToUDPAddrPort(s.out[:n], to) }

func (s *portable) flush() {}

func (s *portable) wake() { _ = s.udp.SetReadDeadline(past) }

func (s *portable) capacity() int { return 0 }

func (s *portable) close() error { return s.udp.Close() }

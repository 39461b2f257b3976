// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64 || riscv64)

package ipmi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"ferrite/internal/udpbatch"
)

// mmsghdr is struct mmsghdr of recvmmsg(2) on 64-bit Linux.
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
	_   [4]byte
}

// vector is room for a batch of datagrams, laid out for the kernel.
type vector struct {
	hdrs  [batch]mmsghdr
	iovs  [batch]unix.Iovec
	names [batch]unix.RawSockaddrInet6 // room for either family
	bufs  [batch][maxPacket]byte
}

func newVector() *vector {
	v := &vector{}
	for i := range v.hdrs {
		v.iovs[i].Base = &v.bufs[i][0]
		h := &v.hdrs[i].hdr
		h.Iov = &v.iovs[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&v.names[i]))
	}
	return v
}

// socket is one UDP socket of one family, behind a gate: the runtime's poller would be told of every datagram.
type socket struct {
	fd     int
	gate   *udpbatch.Gate
	six    bool // IPv6; a socket for both would cost IPv4 half a microsecond a packet
	rx, tx *vector
	queued int // datagrams in tx
	got    int
	failed error
	try    func() bool
}

var _ transport = (*socket)(nil)

// listen opens a socket on any free port, for IPv6 or IPv4. buffer is the wish for the receive buffer in bytes.
func listen(six bool, buffer int) (transport, error) {
	s := &socket{rx: newVector(), tx: newVector(), six: six}
	fd, err := bound(six)
	if err != nil {
		return nil, fmt.Errorf("open a UDP socket for IPMI: %w", err)
	}
	// FORCE needs CAP_NET_ADMIN; without it the kernel's maximum is what there is.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer)
	}
	if !six {
		// Never in fragments: our largest datagram fits into the smallest MTU (RFC 791: 576 bytes), and a header that needs no
		// identification (RFC 6864) spares the kernel a shared counter for each.
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
	}
	if s.gate, err = udpbatch.NewGate(fd, "ipmi-udp"); err != nil {
		return nil, err
	}
	s.fd, s.try = fd, s.once
	return s, nil
}

func bound(six bool) (int, error) {
	family, at := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{})
	if six {
		family, at = unix.AF_INET6, &unix.SockaddrInet6{}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.Bind(fd, at); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// once tries to receive; false = nothing is there. It does not block, so the scheduler is not told (RawSyscall): it would hand our
// processor on while a batch is at work, which takes longer than the 20 us it allows, and watch for that all the time.
func (s *socket) once() bool {
	v := s.rx
	for i := range v.hdrs {
		v.iovs[i].SetLen(maxPacket)
		v.hdrs[i].hdr.Namelen = unix.SizeofSockaddrInet6
	}
	s.got, s.failed = 0, nil
	n, _, e := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&v.hdrs[0])), batch, unix.MSG_DONTWAIT, 0, 0)
	switch e {
	case 0:
		s.got = int(n)
	case unix.EAGAIN:
		return false
	case unix.EINTR, unix.ECONNREFUSED: // the latter: an ICMP answer to an earlier datagram
	default:
		s.failed = e
	}
	return true
}

func (s *socket) receive() (int, error) {
	s.once()
	return s.got, s.failed
}

func (s *socket) wait() (int, error) {
	s.got, s.failed = 0, nil
	err := s.gate.Wait(s.try)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return s.got, s.failed
}

func (s *socket) arm(t time.Time) { s.gate.SetDeadline(t) }

func (s *socket) wake() { s.gate.SetDeadline(past) }

func (s *socket) packet(i int) ([]byte, netip.AddrPort) {
	v := s.rx
	b := v.bufs[i][:min(v.hdrs[i].n, maxPacket)]
	a := &v.names[i]
	if s.six {
		return b, netip.AddrPortFrom(netip.AddrFrom16(a.Addr), swap(a.Port))
	}
	a4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(a))
	return b, netip.AddrPortFrom(netip.AddrFrom4(a4.Addr), swap(a4.Port))
}

func (s *socket) room() []byte { return s.tx.bufs[s.queued][:] }

func (s *socket) push(n int, to netip.AddrPort) {
	v, i := s.tx, s.queued
	v.iovs[i].SetLen(n)
	a := &v.names[i]
	if s.six {
		a.Family, a.Port, a.Addr = unix.AF_INET6, swap(to.Port()), to.Addr().As16()
		v.hdrs[i].hdr.Namelen = unix.SizeofSockaddrInet6
	} else {
		a4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(a))
		a4.Family, a4.Port, a4.Addr = unix.AF_INET, swap(to.Port()), to.Addr().As4()
		v.hdrs[i].hdr.Namelen = unix.SizeofSockaddrInet4
	}
	if s.queued++; s.queued == batch {
		s.flush()
	}
}

// flush sends what is queued. A datagram that cannot be sent is lost, as UDP may lose it: retransmission deals with it.
func (s *socket) flush() {
	for off := 0; off < s.queued; {
		n, _, e := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.tx.hdrs[off])), uintptr(s.queued-off), unix.MSG_DONTWAIT, 0, 0)
		switch e {
		case 0:
			off += int(n)
		case unix.EINTR:
		default:
			off++
		}
	}
	s.queued = 0
}

func (s *socket) capacity() int {
	n, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	if err != nil {
		return 0
	}
	return n
}

func (s *socket) close() error { return s.gate.Close() }

// swap turns a port from host to network order and back.
func swap(p uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], p)
	return binary.NativeEndian.Uint16(b[:])
}

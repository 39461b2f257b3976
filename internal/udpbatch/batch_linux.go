// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package udpbatch

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// controlSize holds one IP_PKTINFO message: header of 16 bytes, in_pktinfo of 12, padded.
const controlSize = 32

type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
	_   [4]byte
}

// Batch is room for several datagrams.
type Batch struct {
	Msgs []Msg

	hdrs  []mmsghdr
	iovs  []unix.Iovec
	names []unix.RawSockaddrInet4
	ctrls [][controlSize]byte
	got   int
	err   error
	off   int
	cnt   int
}

// NewBatch makes room for n datagrams.
func NewBatch(n int) *Batch {
	b := &Batch{
		Msgs: make([]Msg, n), hdrs: make([]mmsghdr, n), iovs: make([]unix.Iovec, n),
		names: make([]unix.RawSockaddrInet4, n), ctrls: make([][controlSize]byte, n),
	}
	room := make([]byte, n*Size)
	for i := range b.Msgs {
		b.Msgs[i].buf = room[i*Size : (i+1)*Size : (i+1)*Size]
		b.iovs[i].Base = &b.Msgs[i].buf[0]
		h := &b.hdrs[i].hdr
		h.Iov, h.Iovlen = &b.iovs[i], 1
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&b.names[i])), unix.SizeofSockaddrInet4
	}
	return b
}

// sys is the Linux part of a Conn.
type sys struct {
	gate    *Gate
	pktinfo bool
	rx, tx  *Batch
	recvFn  func() bool
	sendFn  func(uintptr)
}

// setup takes the socket over from package net, whose poller would be told of each datagram (see Gate).
func (c *Conn) setup(u *net.UDPConn, o Options) error {
	raw, err := u.SyscallConn()
	if err != nil {
		return err
	}
	fd := -1
	var serr error
	err = raw.Control(func(its uintptr) {
		if fd, serr = unix.FcntlInt(its, unix.F_DUPFD_CLOEXEC, 0); serr == nil && o.PktInfo {
			serr = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		}
	})
	if err = errors.Join(err, serr); err != nil {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
		return err
	}
	if o.Buffer > 0 { // FORCE needs CAP_NET_ADMIN; without it the system's maximum is what there is
		for _, opt := range [][2]int{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
			if unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt[0], o.Buffer) != nil {
				_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt[1], o.Buffer)
			}
		}
	}
	if c.gate, err = NewGate(fd, "udp "+c.local.String()); err != nil {
		return err
	}
	c.pktinfo, c.recvFn, c.sendFn = o.PktInfo, c.recvOnce, c.sendAll
	_ = u.Close() // its number, not the socket
	return nil
}

func (c *Conn) close() error { return c.gate.Close() }

func (c *Conn) deadline(t time.Time) { c.gate.SetDeadline(t) }

// Recv waits for at least one datagram and returns how many there are in b.Msgs.
func (c *Conn) Recv(b *Batch) (int, error) {
	for i := range b.hdrs {
		b.iovs[i].SetLen(Size)
		h := &b.hdrs[i].hdr
		h.Namelen = unix.SizeofSockaddrInet4
		h.Control, h.Controllen = nil, 0
		if c.pktinfo {
			h.Control = &b.ctrls[i][0]
			h.SetControllen(controlSize)
		}
	}
	c.rx = b
	if err := c.gate.Wait(c.recvFn); err != nil {
		return 0, err
	}
	if b.err != nil {
		return 0, b.err
	}
	for i := range b.got {
		m := &b.Msgs[i]
		m.n = int(b.hdrs[i].n)
		m.Peer = peerOf(&b.names[i])
		if c.pktinfo {
			m.Local = localOf(b.ctrls[i][:b.hdrs[i].hdr.Controllen])
		}
	}
	return b.got, nil
}

// recvOnce takes what is there; false = nothing. It never blocks, so the scheduler need not be told (RawSyscall): it would take
// the processor away from a call that takes longer than 20 us, as one of 64 datagrams does, and watch for that all the time.
func (c *Conn) recvOnce() bool {
	b := c.rx
	n, _, e := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(c.gate.fd), uintptr(unsafe.Pointer(&b.hdrs[0])), uintptr(len(b.hdrs)), unix.MSG_DONTWAIT, 0, 0)
	if e == unix.EAGAIN || e == unix.EINTR {
		return false
	}
	b.got, b.err = int(n), nil
	if e != 0 {
		b.got = 0
		if e == unix.ECONNREFUSED { // an ICMP answer to an earlier datagram: not ours to care about
			return true
		}
		b.err = e
	}
	return true
}

// Send sends the first n datagrams of b.
func (c *Conn) Send(b *Batch, n int) error {
	for i := range n {
		m := &b.Msgs[i]
		b.iovs[i].SetLen(m.n)
		ip := m.Peer.Addr().As4()
		b.names[i].Family = unix.AF_INET
		b.names[i].Addr = ip
		p := m.Peer.Port()
		b.names[i].Port = p<<8 | p>>8
		h := &b.hdrs[i].hdr
		h.Namelen = unix.SizeofSockaddrInet4
		h.Control, h.Controllen = nil, 0
		if c.pktinfo && m.Local.IsValid() {
			h.Control = &b.ctrls[i][0]
			h.SetControllen(putLocal(&b.ctrls[i], m.Local))
		}
	}
	c.tx, b.off, b.cnt = b, 0, n
	return c.gate.hold(c.sendFn)
}

// full is how many milliseconds a datagram waits for room in the send buffer.
const full = 100

func (c *Conn) sendAll(uintptr) {
	b, fd := c.tx, c.gate.fd
	for waited := false; b.off < b.cnt; {
		n, _, e := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.hdrs[b.off])), uintptr(b.cnt-b.off), unix.MSG_DONTWAIT, 0, 0)
		switch {
		case e == 0:
			b.off += int(n)
			waited = false
		case e == unix.EINTR:
		case e == unix.EAGAIN && !waited:
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, full) //nolint:gosec // a descriptor
			waited = true
		default: // the first one cannot be sent: leave it out
			c.dropped.Add(1)
			b.off++
			waited = false
		}
	}
}

func peerOf(a *unix.RawSockaddrInet4) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), a.Port<<8|a.Port>>8)
}

// localOf finds the destination address in the control messages: in_pktinfo is index, spec_dst, addr.
func localOf(c []byte) netip.Addr {
	for len(c) >= unix.SizeofCmsghdr {
		l := int(binary.NativeEndian.Uint64(c))
		level, typ := binary.NativeEndian.Uint32(c[8:]), binary.NativeEndian.Uint32(c[12:])
		if l < unix.SizeofCmsghdr || l > len(c) {
			break
		}
		if level == unix.IPPROTO_IP && typ == unix.IP_PKTINFO && l >= unix.SizeofCmsghdr+12 {
			return netip.AddrFrom4([4]byte(c[unix.SizeofCmsghdr+8 : unix.SizeofCmsghdr+12]))
		}
		c = c[min((l+7)&^7, len(c)):]
	}
	return netip.Addr{}
}

// putLocal writes the control message that makes a datagram come from an address of ours.
func putLocal(b *[controlSize]byte, a netip.Addr) int {
	const l = unix.SizeofCmsghdr + 12
	binary.NativeEndian.PutUint64(b[0:], l)
	binary.NativeEndian.PutUint32(b[8:], unix.IPPROTO_IP)
	binary.NativeEndian.PutUint32(b[12:], unix.IP_PKTINFO)
	ip := a.As4()
	binary.NativeEndian.PutUint32(b[16:], 0)
	copy(b[20:24], ip[:])
	clear(b[24:28])
	return controlSize
}

func (c *Conn) sendOne(m *Msg) error {
	var control [controlSize]byte
	var oob []byte
	if c.pktinfo && m.Local.IsValid() {
		oob = control[:putLocal(&control, m.Local)]
	}
	to := &unix.SockaddrInet4{Port: int(m.Peer.Port()), Addr: m.Peer.Addr().Unmap().As4()}
	var err error
	return errors.Join(c.gate.hold(func(uintptr) { _, err = unix.SendmsgN(c.gate.fd, m.Data(), oob, to, unix.MSG_DONTWAIT) }), err)
}

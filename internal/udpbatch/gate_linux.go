// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package udpbatch

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Gate is where a goroutine waits for a socket that the runtime's poller does not know.
//
// The runtime asks the kernel to be told of every datagram that such a socket receives and of every one that has left it, and the
// kernel wakes a thread for it, whether a goroutine waits or not. With datagrams of a few dozen bytes that is an eighth of what
// they cost (epoll(7): EPOLLOUT of a socket is raised by each datagram sent). A Gate holds the socket in an epoll set of its own,
// only while somebody waits and only for what arrives; the runtime watches that set.
//
// One goroutine waits at a time; the other methods may be called by any.
type Gate struct {
	fd, set int
	file    *os.File // the epoll set, in the runtime's poller
	raw     syscall.RawConn
	event   unix.EpollEvent
	armed   bool // the socket is in the set
	failed  error
	try     func() bool
	attempt func(uintptr) bool
	leave   func(uintptr)
}

// NewGate makes the gate of a socket that does not block. The socket belongs to the gate from then on, even if that fails.
func NewGate(fd int, name string) (*Gate, error) {
	set, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("make an epoll set for socket %s: %w", name, err)
	}
	g := &Gate{fd: fd, set: set}
	if err = unix.SetNonblock(set, true); err == nil { // so that os.NewFile gives it to the runtime's poller
		g.file = os.NewFile(uintptr(set), name)
		g.raw, err = g.file.SyscallConn()
	}
	if err == nil {
		err = g.file.SetReadDeadline(time.Time{}) // fails if the poller would not have it
	}
	if err != nil {
		if g.file == nil {
			_ = unix.Close(set)
		}
		_ = g.Close()
		return nil, fmt.Errorf("have the runtime watch socket %s: %w", name, err)
	}
	g.attempt, g.leave = g.once, func(uintptr) { g.disarm() }
	return g, nil
}

// Wait calls try until it is true: at once, and then whenever something has arrived. It returns os.ErrDeadlineExceeded after the
// deadline, net.ErrClosed after Close. No allocation is made.
func (g *Gate) Wait(try func() bool) error {
	g.try, g.failed = try, nil
	err := g.raw.Read(g.attempt)
	g.try = nil
	switch {
	case err == nil:
		return g.failed
	case errors.Is(err, os.ErrDeadlineExceeded):
		_ = g.raw.Control(g.leave)
		return os.ErrDeadlineExceeded
	}
	return net.ErrClosed // and the set is gone
}

// once tries. It arms the gate before it says that there is nothing: what arrives in between shows when the kernel adds the socket.
func (g *Gate) once(uintptr) bool {
	if g.try() {
		g.disarm()
		return true
	}
	if !g.armed {
		g.event = unix.EpollEvent{Events: unix.EPOLLIN}
		if e := g.control(unix.EPOLL_CTL_ADD); e != 0 {
			g.failed = fmt.Errorf("wait for a socket: %w", e)
			return true
		}
		g.armed = true
	}
	return false
}

func (g *Gate) disarm() {
	if g.armed {
		g.armed = false
		_ = g.control(unix.EPOLL_CTL_DEL)
	}
}

func (g *Gate) control(op uintptr) syscall.Errno {
	_, _, e := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(g.set), op, uintptr(g.fd), uintptr(unsafe.Pointer(&g.event)), 0, 0)
	return e
}

// SetDeadline ends waits at a time; the zero time is never. One that is over ends the present wait and those to come.
func (g *Gate) SetDeadline(t time.Time) { _ = g.file.SetReadDeadline(t) }

// hold runs f while the socket is sure to stay open; net.ErrClosed = it is closed, and f did not run. What f is told is the set.
func (g *Gate) hold(f func(set uintptr)) error {
	if g.raw.Control(f) != nil {
		return net.ErrClosed
	}
	return nil
}

// Close ends the wait, if there is one, and then the socket.
func (g *Gate) Close() error {
	var err error
	if g.file != nil { // Close returns when nobody is inside any more: the socket's number may be given away then
		if err = g.file.Close(); errors.Is(err, os.ErrClosed) {
			return net.ErrClosed // it was closed before, and the number is somebody else's
		}
	}
	return errors.Join(err, unix.Close(g.fd))
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package cut

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// line carries the bytes of one connection: between inside, whose other end somebody here has, and the far side.
type line struct {
	s           *Switch
	inside, far net.Conn
	there, back Way
	over        chan struct{}
	once        sync.Once
}

// join carries bytes between two connections until one is at its end; false = the switch is closed, and so are they.
func (s *Switch) join(inside, far net.Conn, peer string) bool {
	l := &line{s: s, inside: inside, far: far, there: Way{s.self, peer}, back: Way{peer, s.self}, over: make(chan struct{})}
	if s.begin(l, l.send, l.receive) {
		return true
	}
	_, _ = inside.Close(), far.Close()
	return false
}

func (l *line) end() {
	l.once.Do(func() {
		close(l.over)
		_, _ = l.inside.Close(), l.far.Close()
		l.s.forget(l)
	})
}

// chunk is how much is carried at a time.
const chunk = 32 << 10

// send carries what somebody here writes. Its end is the line's.
func (l *line) send() {
	defer l.end()
	b := make([]byte, chunk)
	for {
		n, err := l.inside.Read(b)
		if !l.s.pass(l.over, l.there) {
			return
		}
		if n > 0 {
			if _, err := l.far.Write(b[:n]); err != nil { // the far side is gone; who can tell us so?
				l.s.pass(l.over, l.back)
				return
			}
		}
		if err != nil { // it is closed here
			return
		}
	}
}

// receive carries what the far side writes, and its end.
func (l *line) receive() {
	b := make([]byte, chunk)
	for {
		n, err := l.far.Read(b)
		if !l.s.pass(l.over, l.back) {
			return
		}
		if n > 0 {
			if _, err := l.inside.Write(b[:n]); err != nil { // it is closed here: send has still to tell the far side
				return
			}
		}
		if errors.Is(err, io.EOF) {
			if c, ok := l.inside.(interface{ CloseWrite() error }); ok {
				_ = c.CloseWrite() // one may still write
				return
			}
		}
		if err != nil {
			l.end()
			return
		}
	}
}

// conn is somebody's end of a line; it says who is at the other one.
type conn struct {
	net.Conn
	local, remote net.Addr
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// pair is two ends of a connection in this process, with the kernel's buffers and deadlines, as TCP has.
func pair() (near, inside net.Conn, err error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	var ends [2]net.Conn
	var wrong [2]error
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "cut") //nolint:gosec // a descriptor
		ends[i], wrong[i] = net.FileConn(f) // of a copy
		_ = f.Close()
	}
	if err := errors.Join(wrong[:]...); err != nil {
		for _, c := range ends {
			if c != nil {
				_ = c.Close()
			}
		}
		return nil, nil, err
	}
	return ends[0], ends[1], nil
}

// relay takes connections for somebody else.
type relay struct {
	s      *Switch
	ln     net.Listener
	to     string
	ctx    context.Context
	cancel context.CancelFunc
}

// relayWait is how long a relay tries to reach the far side before it gives up on a connection.
const relayWait = 5 * time.Second

// Relay is an address on the loopback that leads to host:port through the switch, always the same one.
func (s *Switch) Relay(address string) (string, error) {
	s.mu.Lock()
	r := s.relays[address]
	s.mu.Unlock()
	if r != nil {
		return r.ln.Addr().String(), nil
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	r = &relay{s: s, ln: ln, to: address}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	if !s.begin(r, r.accept) {
		r.end()
		return "", net.ErrClosed
	}
	s.mu.Lock()
	other := s.relays[address]
	if other == nil {
		s.relays[address] = r
	}
	s.mu.Unlock()
	if other != nil { // another one was quicker
		r.end()
		r = other
	}
	return r.ln.Addr().String(), nil
}

func (r *relay) end() {
	r.cancel()
	_ = r.ln.Close()
	r.s.forget(r)
}

func (r *relay) accept() {
	for {
		c, err := r.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors: others end
			time.Sleep(look)
			continue
		}
		if !r.s.begin(held{c}, func() { r.lead(c) }) {
			_ = c.Close()
		}
	}
}

// lead takes one connection to the far side.
func (r *relay) lead(c net.Conn) {
	defer r.s.forget(held{c})
	ctx, cancel := context.WithTimeout(r.ctx, relayWait)
	defer cancel()
	far, err := r.s.reach(ctx, r.to)
	if err != nil {
		_ = c.Close()
		return
	}
	r.s.join(c, far, host(r.to))
}

// held is a connection that has no line yet.
type held struct{ c net.Conn }

func (h held) end() { _ = h.c.Close() }

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// Air is what members of one process gossip through in memory, for tests: memberlist itself runs over it, so that a synctest
// bubble has its time. Any direction between two members can be cut, and a member can be paused as SIGSTOP does it: what is
// sent to it waits, and what it was about to send does too.
type Air struct {
	mu     sync.Mutex // guards below
	at     map[string]*airEnd
	cut    map[[2]string]bool
	paused map[string]chan struct{} // closed when it goes on
	port   int
}

// NewAir makes an Air without members.
func NewAir() *Air {
	return &Air{at: map[string]*airEnd{}, cut: map[[2]string]bool{}, paused: map[string]chan struct{}{}, port: 20000}
}

// Cut lets nothing through from one address to another, or lets it through again.
func (a *Air) Cut(from, to string, yes bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cut[[2]string{from, to}] = yes
}

// Pause stops what comes and goes at an address, or lets it go on.
func (a *Air) Pause(addr string, yes bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch on := a.paused[addr]; {
	case yes && on == nil:
		a.paused[addr] = make(chan struct{})
	case !yes && on != nil:
		close(on)
		delete(a.paused, addr)
	}
}

// pace waits while an address is paused; false = done came first.
func (a *Air) pace(addr string, done <-chan struct{}) bool {
	for {
		a.mu.Lock()
		on := a.paused[addr]
		a.mu.Unlock()
		if on == nil {
			return true
		}
		select {
		case <-on:
		case <-done:
			return false
		}
	}
}

// end is who is reached at an address from another one, nil = nobody.
func (a *Air) end(from, to string) *airEnd {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cut[[2]string{from, to}] {
		return nil
	}
	return a.at[to]
}

// listen makes the end of a member; port 0 = any.
func (a *Air) listen(host string, port int) (*airEnd, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if port == 0 {
		a.port++
		port = a.port
	}
	addr := net.JoinHostPort(host, strconv.Itoa(port))
	if a.at[addr] != nil {
		return nil, errors.New(addr + " is taken")
	}
	e := &airEnd{
		air: a, ip: net.ParseIP(host), port: port, addr: addr, in: make(chan any, 1024),
		packets: make(chan *memberlist.Packet), streams: make(chan net.Conn), done: make(chan struct{}),
	}
	a.at[addr] = e
	e.running.Go(e.receive)
	return e, nil
}

// airEnd is one member's end; it is memberlist's Transport.
type airEnd struct {
	air     *Air
	ip      net.IP
	port    int
	addr    string
	in      chan any // *memberlist.Packet and net.Conn, as they come
	packets chan *memberlist.Packet
	streams chan net.Conn
	done    chan struct{}
	once    sync.Once
	running sync.WaitGroup
}

var _ memberlist.Transport = (*airEnd)(nil)

// Network and String make it a net.Addr.
func (e *airEnd) Network() string { return "air" }
func (e *airEnd) String() string  { return e.addr }

// receive hands on what came, unless the member is paused.
func (e *airEnd) receive() {
	for {
		select {
		case <-e.done:
			return
		case x := <-e.in:
			if !e.air.pace(e.addr, e.done) {
				return
			}
			switch x := x.(type) {
			case *memberlist.Packet:
				select {
				case e.packets <- x:
				case <-e.done:
					return
				}
			case net.Conn:
				select {
				case e.streams <- x:
				case <-e.done:
					return
				}
			}
		}
	}
}

// put is what the network does: what finds no room is lost.
func (e *airEnd) put(x any) bool {
	select {
	case e.in <- x:
		return true
	default:
		return false
	}
}

// FinalAdvertiseAddr implements memberlist.Transport.
func (e *airEnd) FinalAdvertiseAddr(string, int) (net.IP, int, error) { return e.ip, e.port, nil }

// WriteTo implements memberlist.Transport.
func (e *airEnd) WriteTo(b []byte, addr string) (time.Time, error) {
	if !e.air.pace(e.addr, e.done) {
		return time.Time{}, net.ErrClosed
	}
	if far := e.air.end(e.addr, addr); far != nil {
		far.put(&memberlist.Packet{Buf: append([]byte(nil), b...), From: e, Timestamp: time.Now()})
	}
	return time.Now(), nil
}

// PacketCh implements memberlist.Transport.
func (e *airEnd) PacketCh() <-chan *memberlist.Packet { return e.packets }

// StreamCh implements memberlist.Transport.
func (e *airEnd) StreamCh() <-chan net.Conn { return e.streams }

// DialTimeout implements memberlist.Transport. To connect takes both directions.
func (e *airEnd) DialTimeout(addr string, wait time.Duration) (net.Conn, error) {
	if !e.air.pace(e.addr, e.done) {
		return nil, net.ErrClosed
	}
	far := e.air.end(e.addr, addr)
	if far == nil || e.air.end(addr, e.addr) == nil {
		select {
		case <-time.After(wait):
		case <-e.done:
		}
		return nil, errors.New("no way to " + addr)
	}
	there, back := newAirPipe(), newAirPipe()
	if !far.put(&airConn{near: far, far: e, in: there, out: back}) {
		return nil, errors.New(addr + " takes no connections")
	}
	return &airConn{near: e, far: far, in: back, out: there}, nil
}

// Shutdown implements memberlist.Transport.
func (e *airEnd) Shutdown() error {
	e.once.Do(func() {
		e.air.mu.Lock()
		delete(e.air.at, e.addr)
		e.air.mu.Unlock()
		close(e.done)
	})
	e.running.Wait()
	return nil
}

// airPipe is one direction of a connection.
type airPipe struct {
	mu     sync.Mutex // guards below
	b      []byte
	closed bool
	more   chan struct{} // holds 1
}

func newAirPipe() *airPipe { return &airPipe{more: make(chan struct{}, 1)} }

// add puts bytes in; none = there come no more.
func (p *airPipe) add(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.b = append(p.b, b...)
	p.closed = p.closed || len(b) == 0
	select {
	case p.more <- struct{}{}:
	default:
	}
}

// airConn is one end of a connection.
type airConn struct {
	near, far *airEnd
	in, out   *airPipe

	mu    sync.Mutex // guards below
	until time.Time
}

// Read implements net.Conn.
func (c *airConn) Read(b []byte) (int, error) {
	c.mu.Lock()
	until := c.until
	c.mu.Unlock()
	var late <-chan time.Time
	if !until.IsZero() {
		t := time.NewTimer(time.Until(until))
		defer t.Stop()
		late = t.C
	}
	for {
		if !c.near.air.pace(c.near.addr, c.near.done) {
			return 0, net.ErrClosed
		}
		c.in.mu.Lock()
		n, closed := copy(b, c.in.b), c.in.closed
		c.in.b = c.in.b[n:]
		c.in.mu.Unlock()
		switch {
		case n > 0:
			return n, nil
		case closed:
			return 0, io.EOF
		}
		select {
		case <-c.in.more:
		case <-late:
			return 0, os.ErrDeadlineExceeded
		case <-c.near.done:
			return 0, net.ErrClosed
		case <-c.far.done:
			return 0, io.EOF
		}
	}
}

// Write implements net.Conn: it never waits, and what is cut off is lost.
func (c *airConn) Write(b []byte) (int, error) {
	if !c.near.air.pace(c.near.addr, c.near.done) {
		return 0, net.ErrClosed
	}
	if len(b) > 0 && c.near.air.end(c.near.addr, c.far.addr) != nil {
		c.out.add(b)
	}
	return len(b), nil
}

// Close implements net.Conn.
func (c *airConn) Close() error {
	c.out.add(nil)
	return nil
}

// LocalAddr implements net.Conn.
func (c *airConn) LocalAddr() net.Addr { return c.near }

// RemoteAddr implements net.Conn.
func (c *airConn) RemoteAddr() net.Addr { return c.far }

// SetDeadline implements net.Conn, for what is read from now on.
func (c *airConn) SetDeadline(at time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = at
	return nil
}

// SetReadDeadline implements net.Conn.
func (c *airConn) SetReadDeadline(at time.Time) error { return c.SetDeadline(at) }

// SetWriteDeadline implements net.Conn: a write never waits.
func (c *airConn) SetWriteDeadline(time.Time) error { return nil }

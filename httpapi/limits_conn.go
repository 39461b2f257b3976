// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"container/list"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"

	"ferrite/httpapi/wire"
	"ferrite/node"
)

// gate lets connections in and keeps count. When there are too many, the one that has waited longest for its next
// request, or for its header, makes room.
type gate struct {
	limits  *atomic.Pointer[Limits]
	refused tally // connections, by reason
	secure  bool  // TLS: a refusal cannot be told
	budget  *budget
	log     *slog.Logger
	telling chan struct{} // one for each refusal being told

	mu      sync.Mutex // guards the fields below
	open    int
	from    map[netip.Addr]int
	waiting list.List // *conn that wait for a request or its header, longest first
}

func newGate(cfg Config, limits *atomic.Pointer[Limits]) *gate {
	g := &gate{
		limits: limits, refused: newTally(connectionReasons), secure: cfg.TLS != nil, budget: newBudget(cfg.Limits.HeldBytes), log: cfg.Logger,
		telling: make(chan struct{}, maxRefusing), from: map[netip.Addr]int{},
	}
	return g
}

// entrance is one listener behind the gate. It may be closed twice: by Shutdown and by fasthttp.
type entrance struct {
	net.Listener
	gate *gate
	once sync.Once
	err  error
}

// Close closes the listener the first time.
func (e *entrance) Close() error {
	e.once.Do(func() { e.err = e.Listener.Close() })
	return e.err
}

// Accept waits for a connection that may come in. Without free descriptors one that waits is closed; clients beyond
// those stay in the kernel's queue.
func (e *entrance) Accept() (net.Conn, error) {
	for {
		c, err := e.Listener.Accept()
		switch {
		case errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE):
			e.gate.log.Error("no free file descriptor for an API client: raise the limit (LimitNOFILE=)", "err", err)
			if e.gate.evict() {
				e.gate.refused.add(closedForFiles)
			} else {
				time.Sleep(50 * time.Millisecond) // until some request ends
			}
			continue
		case err != nil:
			return nil, err
		}
		if in := e.gate.admit(c); in != nil {
			return in, nil
		}
	}
}

// conn is a client's connection.
type conn struct {
	net.Conn
	gate *gate
	from netip.Addr // "" = not TCP: counts in the total only

	held atomic.Int64 // bytes of the budget
	rest atomic.Bool  // the client may still be sending what nobody reads
	deaf atomic.Bool  // the client did not take an answer

	place  *list.Element // in gate.waiting; guarded by gate.mu
	closed bool          // guarded by gate.mu
}

// admit counts a new connection in, or refuses it and returns nil.
func (g *gate) admit(raw net.Conn) net.Conn {
	c, l := &conn{Conn: raw, gate: g, from: address(raw)}, g.limits.Load()
	g.mu.Lock()
	if c.from.IsValid() && g.from[c.from] >= l.PerAddress {
		g.mu.Unlock()
		g.refused.add(refusedAddress)
		g.refuse(raw, "Too many connections from "+c.from.String()+": wanted at most "+strconv.Itoa(l.PerAddress)+". Close some, or use them for more than one request.")
		return nil
	}
	var out *conn
	if g.open >= l.Connections {
		if out = g.longestLocked(); out == nil {
			g.mu.Unlock()
			g.refused.add(refusedTotal)
			g.refuse(raw, "Too many connections: all "+strconv.Itoa(l.Connections)+" are at work. Try again later.")
			return nil
		}
	}
	g.open++
	if c.from.IsValid() {
		g.from[c.from]++
	}
	c.place = g.waiting.PushBack(c)
	g.mu.Unlock()
	if out != nil {
		g.refused.add(closedIdle)
		_ = out.Conn.Close() // its goroutine ends
	}
	return c
}

// evict closes the connection that has waited longest.
func (g *gate) evict() bool {
	g.mu.Lock()
	out := g.longestLocked()
	g.mu.Unlock()
	return out != nil && out.Conn.Close() == nil
}

// longestLocked counts the connection out that has waited longest.
func (g *gate) longestLocked() *conn {
	first := g.waiting.Front()
	if first == nil {
		return nil
	}
	c := first.Value.(*conn)
	g.outLocked(c)
	return c
}

// outLocked counts a connection out, once.
func (g *gate) outLocked(c *conn) {
	if c.closed {
		return
	}
	c.closed = true
	g.open--
	if c.from.IsValid() {
		if g.from[c.from]--; g.from[c.from] == 0 {
			delete(g.from, c.from)
		}
	}
	g.worksLocked(c)
}

func (g *gate) worksLocked(c *conn) {
	if c.place != nil {
		g.waiting.Remove(c.place)
		c.place = nil
	}
}

// works: the header of a request is there.
func (g *gate) works(c *conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.worksLocked(c)
}

// waits: the answer is out.
func (g *gate) waits(c *conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !c.closed && c.place == nil {
		c.place = g.waiting.PushBack(c)
	}
}

// refuse tells a client why its connection is closed.
func (g *gate) refuse(raw net.Conn, text string) {
	select {
	case g.telling <- struct{}{}:
	default:
		_ = raw.Close()
		return
	}
	go func() {
		defer func() { _ = raw.Close(); <-g.telling }()
		if g.secure {
			return
		}
		body := wire.AppendFlat(nil, http.StatusServiceUnavailable, text)
		head := "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: " + strconv.Itoa(retryAfter(node.RankRecord, 0)) + "\r\nConnection: close\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n"
		_ = raw.SetDeadline(time.Now().Add(discardTime))
		if _, err := raw.Write(append([]byte(head), body...)); err == nil {
			discard(raw)
		}
	}()
}

// discard reads what the client still sends: a connection closed over unread bytes is reset, and the client would not
// see its answer.
func discard(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	if c.SetReadDeadline(time.Now().Add(discardTime)) == nil {
		_, _ = io.CopyN(io.Discard, c, maxDiscard)
	}
}

// Write remembers whether the client takes what it is sent.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil {
		c.deaf.Store(true)
	}
	return n, err
}

// Close gives back what the connection holds. It is called by the connection's goroutine.
func (c *conn) Close() error {
	if c.deaf.Load() { // the kernel need not keep for it what it does not take
		if l, ok := c.Conn.(interface{ SetLinger(sec int) error }); ok {
			_ = l.SetLinger(0)
		}
	} else if c.rest.Swap(false) {
		discard(c.Conn)
	}
	c.release()
	c.gate.mu.Lock()
	c.gate.outLocked(c)
	c.gate.mu.Unlock()
	return c.Conn.Close()
}

// hold takes n bytes of the budget until the answer is out.
func (c *conn) hold(n int64) bool {
	if c == nil || n <= 0 {
		return true
	}
	if !c.gate.budget.take(c.from, n) {
		return false
	}
	c.held.Add(n)
	return true
}

// mustHold is hold where there is no way back.
func (c *conn) mustHold(n int64) {
	if c != nil && n > 0 {
		c.gate.budget.force(c.from, n)
		c.held.Add(n)
	}
}

func (c *conn) release() {
	if n := c.held.Swap(0); n > 0 {
		c.gate.budget.give(c.from, n)
	}
}

// state is told by fasthttp what becomes of a connection, in the connection's goroutine.
func (g *gate) state(nc net.Conn, state fasthttp.ConnState) {
	if c := ours(nc); c != nil && state == fasthttp.StateIdle {
		c.release()
		g.waits(c)
	}
}

// ours is the conn behind what fasthttp serves; nil when a test serves another.
func ours(nc net.Conn) *conn {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	c, _ := nc.(*conn)
	return c
}

// address is what connections are counted by: the IPv4 address or the IPv6 network of 64 bits, since one machine has
// all of that.
func address(c net.Conn) netip.Addr {
	t, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	a, _ := netip.AddrFromSlice(t.IP)
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			a = p.Addr()
		}
	}
	return a
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"errors"
	"sync"
)

// Transport carries bytes between members: no order between members, no answer, and nothing is promised. Send never waits.
type Transport interface {
	// Addr is where others send to.
	Addr() string
	// Send hands bytes over for another member. They may be lost.
	Send(to string, b []byte)
	// Handle sets who hears what comes in; it is called once, before anything comes. fn must not keep b.
	Handle(fn func(b []byte))
	// Drop forgets a member that is gone, so that nothing waits for it.
	Drop(to string)
	// Close ends it.
	Close() error
}

// Network is members of one process that send to one another in memory, for tests: each link can be cut.
type Network struct {
	mu  sync.Mutex // guards below
	at  map[string]*memoryEnd
	cut map[[2]string]bool
}

// NewNetwork makes a network without members.
func NewNetwork() *Network {
	return &Network{at: map[string]*memoryEnd{}, cut: map[[2]string]bool{}}
}

// Cut lets nothing through from one member to another, or lets it through again.
func (n *Network) Cut(from, to string, yes bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[[2]string{from, to}] = yes
}

// Listen makes the end of a member.
func (n *Network) Listen(addr string) (Transport, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.at[addr] != nil {
		return nil, errors.New("cluster: " + addr + " is taken")
	}
	e := &memoryEnd{net: n, addr: addr, in: make(chan []byte, 4096), done: make(chan struct{}), ended: make(chan struct{})}
	n.at[addr] = e
	return e, nil
}

type memoryEnd struct {
	net   *Network
	addr  string
	in    chan []byte
	done  chan struct{}
	ended chan struct{} // closed when nothing is handled any more
	begun sync.Once
	once  sync.Once
}

// Addr implements Transport.
func (e *memoryEnd) Addr() string { return e.addr }

// Send implements Transport.
func (e *memoryEnd) Send(to string, b []byte) {
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	far := e.net.at[to]
	if far == nil || e.net.cut[[2]string{e.addr, to}] {
		return
	}
	select {
	case far.in <- append([]byte(nil), b...):
	default: // as a full socket: lost
	}
}

// Handle implements Transport.
func (e *memoryEnd) Handle(fn func([]byte)) {
	e.begun.Do(func() {
		go func() {
			defer close(e.ended)
			for {
				select {
				case b := <-e.in:
					fn(b)
				case <-e.done:
					return
				}
			}
		}()
	})
}

// Drop implements Transport.
func (e *memoryEnd) Drop(string) {}

// Close implements Transport.
func (e *memoryEnd) Close() error {
	e.once.Do(func() {
		e.net.mu.Lock()
		delete(e.net.at, e.addr)
		e.net.mu.Unlock()
		close(e.done)
	})
	e.begun.Do(func() { close(e.ended) })
	<-e.ended
	return nil
}

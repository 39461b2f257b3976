// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// How long an answer of the resolver holds, and how long one question may take.
const (
	nameKept   = 5 * time.Minute
	nameFailed = 15 * time.Second
	nameWait   = 10 * time.Second
	nameAtOnce = 16
)

// resolver turns host names into addresses; answers are kept for a while. Addresses never come here.
type resolver struct {
	ctx    context.Context
	close  context.CancelFunc
	slots  chan struct{} // questions at once
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)

	mu    sync.Mutex // guards below
	names map[string]*name
}

// name is what is known of one host.
type name struct {
	addr    netip.Addr
	err     error
	until   time.Time
	asking  bool
	waiters []func(netip.Addr, error)
}

func newResolver() *resolver {
	ctx, cancel := context.WithCancel(context.Background())
	return &resolver{ctx: ctx, close: cancel, slots: make(chan struct{}, nameAtOnce), lookup: net.DefaultResolver.LookupNetIP, names: map[string]*name{}}
}

// get answers at once when the answer is known, else later from another goroutine.
func (v *resolver) get(host string, then func(netip.Addr, error)) {
	v.mu.Lock()
	n := v.names[host]
	if n == nil {
		n = &name{}
		v.names[host] = n
	}
	if time.Now().Before(n.until) {
		addr, err := n.addr, n.err
		v.mu.Unlock()
		then(addr, err)
		return
	}
	n.waiters = append(n.waiters, then)
	ask := !n.asking
	n.asking = true
	v.mu.Unlock()
	if ask {
		go v.ask(host, n)
	}
}

func (v *resolver) ask(host string, n *name) {
	addr, err := v.query(host)
	v.mu.Lock()
	n.addr, n.err, n.asking = addr, err, false
	n.until = time.Now().Add(nameKept)
	if err != nil {
		n.until = time.Now().Add(nameFailed)
	}
	waiters := n.waiters
	n.waiters = nil
	v.mu.Unlock()
	for _, then := range waiters {
		then(addr, err)
	}
}

func (v *resolver) query(host string) (netip.Addr, error) {
	select {
	case v.slots <- struct{}{}:
		defer func() { <-v.slots }()
	case <-v.ctx.Done():
		return netip.Addr{}, errClosed
	}
	ctx, cancel := context.WithTimeout(v.ctx, nameWait)
	defer cancel()
	addrs, err := v.lookup(ctx, "ip", host)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find the address of %s: %w", host, err)
	}
	for _, a := range addrs { // IPv4 first: what BMCs have
		if a = a.Unmap(); a.Is4() {
			return a, nil
		}
	}
	if len(addrs) == 0 {
		return netip.Addr{}, fmt.Errorf("find the address of %s: it has none", host)
	}
	return addrs[0], nil
}

// wait is get for callers that may block.
func (v *resolver) wait(ctx context.Context, host string) (netip.Addr, error) {
	type answer struct {
		addr netip.Addr
		err  error
	}
	ch := make(chan answer, 1)
	v.get(host, func(a netip.Addr, err error) { ch <- answer{a, err} })
	select {
	case a := <-ch:
		return a.addr, a.err
	case <-ctx.Done():
		return netip.Addr{}, ctx.Err()
	}
}

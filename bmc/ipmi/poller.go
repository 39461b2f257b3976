// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"

	"ferrite/bmc"
	"ferrite/node"
)

const powerStatus = "power status"

var errReleased = errors.New("this BMC's handle was closed")

// poller is the engine as bmc.Poller.
type poller struct{ e *Engine }

var _ bmc.Poller = poller{}

// Prepare makes a handle. driver_info that is invalid or cannot be commanded is an error here, not at each Poll.
func (p poller) Prepare(n *node.Node) (bmc.Handle, error) {
	t, err := p.e.target(n)
	if err != nil {
		return nil, err
	}
	if t.why != nil {
		return nil, &node.Error{Op: "driver_info", Node: n.UUID, Kind: node.Unsupported, Text: t.why.Error()}
	}
	if t.addr.IsValid() {
		return p.e.hold(recordKey{t.addr, t.who}, t.known)
	}
	return &named{e: p.e, t: t}, nil
}

// handle is a place at a BMC with a known address.
type handle struct {
	sh     *shard
	rec    *record
	closed bool // guarded by sh.mu
}

func (e *Engine) hold(k recordKey, known *node.Refusal) (bmc.Handle, error) {
	sh, err := e.shard(k.addr)
	if err != nil {
		return nil, &bmc.Error{Command: powerStatus, Address: k.addr.String(), Err: err}
	}
	sh.mu.Lock()
	r := sh.recordLocked(k)
	r.users++
	if known == nil {
		sh.mu.Unlock()
	} else {
		sh.inbox = append(sh.inbox, request{rec: r, known: known})
		sh.rouseLocked()
	}
	return &handle{sh: sh, rec: r}, nil
}

// Poll asks for the power state.
func (h *handle) Poll(s bmc.Sink) {
	sh := h.sh
	sh.mu.Lock()
	if h.closed || sh.closed {
		err := errClosed
		if h.closed {
			err = errReleased
		}
		sh.mu.Unlock()
		s.PowerPolled(node.PowerUnknown, &bmc.Error{Command: powerStatus, Address: h.rec.addr.String(), Unasked: true, Err: err})
		return
	}
	sh.inbox = append(sh.inbox, request{rec: h.rec, sink: s})
	sh.rouseLocked()
}

// Close gives the place back; the last one closes the session.
func (h *handle) Close() {
	sh := h.sh
	sh.mu.Lock()
	if h.closed {
		sh.mu.Unlock()
		return
	}
	h.closed = true
	h.rec.users--
	if h.rec.users > 0 || sh.closed {
		sh.mu.Unlock()
		return
	}
	sh.inbox = append(sh.inbox, request{rec: h.rec, release: true})
	sh.rouseLocked()
}

var _ bmc.Named = (*named)(nil)

// named is a place at a BMC whose address must be looked up first, and again from time to time.
type named struct {
	e *Engine
	t target
	// address is what the name was at the last Poll, nil = it could not be resolved. Whoever was polled may ask for it with locks held.
	address atomic.Pointer[netip.Addr]

	mu     sync.Mutex // guards below
	at     bmc.Handle
	key    recordKey // of at
	closed bool
}

// Poll resolves the name, if need be in another goroutine, and polls.
func (h *named) Poll(s bmc.Sink) {
	h.e.names.get(h.t.host, func(a netip.Addr, err error) {
		if err != nil {
			h.address.Store(nil)
		} else if h.Address() != a {
			h.found(a)
		}
		at, err := h.moved(a, err)
		if err != nil {
			s.PowerPolled(node.PowerUnknown, &bmc.Error{Command: powerStatus, Address: h.t.String(), Err: err})
			return
		}
		at.Poll(s)
	})
}

// Address is what the name was at the last Poll.
func (h *named) Address() netip.Addr {
	if a := h.address.Load(); a != nil {
		return *a
	}
	return netip.Addr{}
}

// found notes another address; only then something is allocated.
func (h *named) found(a netip.Addr) { h.address.Store(&a) }

// moved gives the handle for the address that the name has now.
func (h *named) moved(a netip.Addr, err error) (bmc.Handle, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if h.closed {
		return nil, errReleased
	}
	k := recordKey{netip.AddrPortFrom(a, h.t.port), h.t.who}
	if h.at != nil && h.key != k {
		h.at.Close()
		h.at = nil
	}
	if h.at == nil {
		if h.at, err = h.e.hold(k, h.t.known); err != nil {
			return nil, err
		}
		h.key = k
	}
	return h.at, nil
}

// Close gives the place back.
func (h *named) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	if h.at != nil {
		h.at.Close()
		h.at = nil
	}
}

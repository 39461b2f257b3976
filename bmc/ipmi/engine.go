// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"math"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ferrite/bmc"
)

// Engine talks to all BMCs. Close it: open sessions would else block slots of the BMCs for a minute.
type Engine struct {
	cfg   Config
	four  []*shard // share the BMCs with an IPv4 address
	seed  maphash.Seed
	names *resolver

	quirks map[string]quirk // by vendor
	starts starts
	share  atomic.Int32 // see Share

	sensors repositories // what BMCs have told of their sensors

	mu     sync.Mutex // guards below
	six    *shard     // serves those with an IPv6 address; made for the first of them
	closed bool
}

// New opens the sockets and starts the shards.
func New(cfg Config) (*Engine, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	e := &Engine{cfg: cfg, seed: maphash.MakeSeed(), names: newResolver()}
	e.share.Store(1)
	e.quirks, _ = vendorQuirks(cfg.Quirks) // Validate has seen them
	var err error
	if e.starts, err = begun(cfg.StartsFile, time.Now()); err != nil { // no reason not to start
		cfg.Logger.Warn("starts cannot be counted: a process that keeps dying would fill the session tables of its BMCs", "error", err)
	}
	if !e.starts.from.IsZero() {
		cfg.Logger.Warn("this conductor has died again and again: readings open no sessions with BMCs for a while, so that theirs do not run out", "until", e.starts.from.UTC())
	}
	for range cfg.shards() {
		sh, err := e.begin(false, cfg.Handshakes/float64(cfg.shards()))
		if err != nil {
			return nil, errors.Join(err, e.Close(context.Background()))
		}
		e.four = append(e.four, sh)
	}
	return e, nil
}

// begin opens a socket and starts its shard.
func (e *Engine) begin(six bool, rate float64) (*shard, error) {
	open := listen
	if e.cfg.Portable {
		open = listenPortable
	}
	sock, err := open(six, e.cfg.ReceiveBuffer)
	if err != nil {
		return nil, err
	}
	sh := newShard(&e.cfg, sock, rate)
	sh.wanted.Store(e.share.Load())
	if six {
		sh.spread = 1
	}
	if !e.starts.from.IsZero() {
		sh.quiet = int64(e.starts.from.Sub(sh.start))
	}
	go sh.loop()
	return sh, nil
}

// Share keeps this engine to one n-th of Rate, SubnetRate and Handshakes from now on, for n engines that look after the same
// BMCs together; 1 is what it begins with, and less than 1 counts as 1. Readings that wait for their turn move to where they
// are due at the new rate. Calls that somebody waits for do not become slower by it.
func (e *Engine) Share(n int) {
	e.share.Store(int32(max(1, min(n, math.MaxInt16)))) //nolint:gosec // bounded
	for _, sh := range e.shards() {                     // one that is being made reads it under mu
		sh.wanted.Store(e.share.Load())
		sh.mu.Lock()
		sh.rouseLocked()
	}
}

// Shared is the n of Share.
func (e *Engine) Shared() int { return int(e.share.Load()) }

// shards are all there are.
func (e *Engine) shards() []*shard {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.six == nil {
		return e.four
	}
	return append(slices.Clone(e.four), e.six)
}

// Close ends all sessions and waits for the BMCs' answers, a second at most. Whoever still waits for a BMC gets an error.
func (e *Engine) Close(ctx context.Context) error {
	e.names.close()
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	for _, sh := range e.shards() {
		sh.mu.Lock()
		select {
		case <-sh.stop: // closed before
		default:
			close(sh.stop)
		}
		sh.rouseLocked()
	}
	for _, sh := range e.shards() {
		select {
		case <-sh.ended:
		case <-ctx.Done():
			return fmt.Errorf("close BMC sessions: %w", ctx.Err())
		}
	}
	if err := e.starts.end(); err != nil {
		e.cfg.Logger.Warn("the end of this process cannot be noted: the next start may open its sessions later", "error", err)
	}
	return nil
}

// shard is where a BMC lives: one place per address and port, so that its sessions share a socket.
func (e *Engine) shard(a netip.AddrPort) (*shard, error) {
	switch {
	case a.Addr().Is4() && len(e.four) == 1:
		return e.four[0], nil
	case a.Addr().Is4():
		return e.four[maphash.Comparable(e.seed, a)%uint64(len(e.four))], nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.six == nil && e.closed {
		return nil, errClosed
	}
	if e.six == nil {
		sh, err := e.begin(true, e.cfg.Handshakes/float64(len(e.four)))
		if err != nil {
			return nil, err
		}
		e.six = sh
	}
	return e.six, nil
}

// do runs a call and waits for its outcome. name is the command as Ironic words it.
func (e *Engine) do(ctx context.Context, name string, k recordKey, c *call) ([]byte, error) {
	wrap := func(o outcome) error {
		return &bmc.Error{Command: name, Address: k.addr.String(), Unknown: o.unknown, Auth: o.auth, Unasked: o.unasked, Err: o.err}
	}
	limit, cancel := context.WithTimeoutCause(ctx, e.cfg.CommandRetryTimeout, fmt.Errorf("no success within %s (command_retry_timeout)", e.cfg.CommandRetryTimeout))
	defer cancel()
	sh, err := e.shard(k.addr)
	if err != nil {
		return nil, wrap(outcome{err: err})
	}
	if c.mutating {
		if err := e.permitted(limit, sh, k, c.permit); err != nil {
			return nil, wrap(outcome{err: err})
		}
	}
	c.done = make(chan outcome, 1)
	if by, ok := limit.Deadline(); ok {
		c.until = int64(by.Sub(sh.start))
	}
	sh.mu.Lock()
	if sh.closed {
		sh.mu.Unlock()
		return nil, wrap(outcome{err: errClosed})
	}
	sh.inbox = append(sh.inbox, request{rec: sh.recordLocked(k), call: c})
	sh.rouseLocked()
	select {
	case o := <-c.done:
		if errors.Is(o.err, errWithdrawn) { // the shard looked at the clock before the context did
			<-limit.Done()
			o.err = c.late(context.Cause(limit))
		}
		if o.err != nil {
			return nil, wrap(o)
		}
		return o.data, nil
	case <-limit.Done():
		c.gone.Store(true)
		unknown := !c.state.CompareAndSwap(callQueued, callAbandoned) && c.mutating
		return nil, wrap(outcome{err: c.late(context.Cause(limit)), unknown: unknown})
	}
}

// permitted waits for the BMC's turn (min_command_interval) and then makes the dear check of the permit, right before
// the command is handed over (S9, S10).
func (e *Engine) permitted(ctx context.Context, sh *shard, k recordKey, p bmc.Permit) error {
	if p == nil {
		return fmt.Errorf("%w: none was given", bmc.ErrPermit)
	}
	for {
		sh.mu.Lock()
		left := sh.pauseLocked(k, sh.clock())
		sh.mu.Unlock()
		if left <= 0 {
			break
		}
		t := time.NewTimer(left)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return context.Cause(ctx)
		}
	}
	if err := p.OK(ctx); err != nil {
		if errors.Is(err, bmc.ErrPermit) {
			return err
		}
		return fmt.Errorf("%w: %w", bmc.ErrPermit, err)
	}
	return nil
}

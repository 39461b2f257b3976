// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"ferrite/bmc/ipmi"
	"ferrite/node"
)

// A trap comes to whichever conductor the BMC was told of. What is not for this one's nodes is told to the conductor of the
// node, a batch at a time: nobody who sends traps makes a conductor look through its nodes more often than that.
const (
	relayMost  = 1024                   // BMCs in a batch; more are passed over, the power sync finds what they meant
	relayEvery = 250 * time.Millisecond // between two batches
	relayCalls = 8                      // calls at once
	relayTime  = 2 * time.Second        // for each of them
)

// listenTraps receives platform event traps when it is asked to: each brings a reading of the BMC that it is from.
func (c *Conductor) listenTraps() error {
	if c.cfg.PETListen == "" {
		return nil
	}
	hint := c.fleet.Sweep().Hint
	if c.membership != nil {
		c.relayed = make(chan netip.Addr, relayMost)
		hint = func(from netip.Addr) (nodes int, joined bool) {
			if nodes, joined = c.fleet.Sweep().Hint(from); nodes == 0 {
				select {
				case c.relayed <- from:
				default:
				}
			}
			return nodes, joined
		}
	}
	t, err := ipmi.ListenTraps(c.cfg.PETListen, hint)
	if err != nil {
		return err
	}
	c.traps = t
	c.began("traps", func(context.Context) error { return t.Close() })
	return nil
}

// relayTraps tells other conductors of traps of their nodes' BMCs.
func (c *Conductor) relayTraps(ctx context.Context) error {
	room := make(chan struct{}, relayCalls)
	var calls sync.WaitGroup
	defer calls.Wait()
	for {
		batch := map[netip.Addr]bool{}
		select {
		case <-ctx.Done():
			return nil
		case a := <-c.relayed:
			batch[a] = true
		}
		for more := true; more && len(batch) < relayMost; {
			select {
			case a := <-c.relayed:
				batch[a] = true
			default:
				more = false
			}
		}
		for uuid, hint := range c.behind(batch) {
			select {
			case <-ctx.Done():
				return nil
			case room <- struct{}{}:
			}
			calls.Go(func() {
				defer func() { <-room }()
				limit, cancel := context.WithTimeout(ctx, relayTime)
				defer cancel()
				_, _ = c.hop.Do(limit, uuid, node.Meta{}, hint) // a hint: the power sync does not need it
			})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(relayEvery):
		}
	}
}

// behind are the nodes of other conductors that have one of these BMCs, and what they are to be told. What names resolve to is
// known to the conductors of their nodes alone: each that has one with a name is told, at one of those, of all BMCs that no
// record has.
func (c *Conductor) behind(bmcs map[netip.Addr]bool) map[string]node.GetConfirmed {
	out := map[string]node.GetConfirmed{}
	named, found := map[string]string{}, map[netip.Addr]bool{}
	c.store.Nodes(nil, func(n *node.Node) bool {
		host := node.Endpoint(n)
		at, err := netip.ParseAddrPort(host)
		if host == "" || err == nil && !bmcs[at.Addr()] {
			return true
		}
		to := c.placement.owner(n)
		switch {
		case err == nil && to == c.cfg.Name:
			found[at.Addr()] = true
		case to == "" || to == c.cfg.Name:
		case err == nil:
			found[at.Addr()] = true
			out[n.UUID] = node.GetConfirmed{Hint: true}
		default:
			named[to] = n.UUID
		}
		return true
	})
	var rest []netip.Addr
	for at := range bmcs {
		if !found[at] {
			rest = append(rest, at)
		}
	}
	for _, uuid := range named {
		if len(rest) > 0 {
			out[uuid] = node.GetConfirmed{BMCs: rest}
		}
	}
	return out
}

// TrapsAt is where platform event traps are received, "" = nowhere.
func (c *Conductor) TrapsAt() string {
	if c.traps == nil {
		return ""
	}
	return c.traps.Addr().String()
}

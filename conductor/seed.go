// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"ferrite/node"
	"ferrite/persistence"
)

// seedBatch keeps an entry of seeded nodes far below the log's 512 KB.
const seedBatch = 64

// Seed stores count nodes as if they had been enrolled, verified and made available with their power off, many to an
// entry, and activates them. It is for benches: enrolling 50,000 nodes one by one measures something else.
func (c *Conductor) Seed(ctx context.Context, count int, info func(i int) (name string, driverInfo map[string]any)) error {
	now := time.Now().UTC()
	h, ok := node.FindHardware("ipmi")
	if !ok {
		return fmt.Errorf("hardware type ipmi is gone")
	}
	in := map[string]string{}
	for _, kind := range node.InterfaceKinds {
		in[kind] = h.Default(kind, c.cfg.Policy.Enabled, c.cfg.Policy.Defaults)
	}
	for from := 0; from < count; from += seedBatch {
		var tx persistence.Tx
		for i := from; i < min(from+seedBatch, count); i++ {
			name, di := info(i)
			n := &node.Node{
				UUID: uuid.NewString(), Name: name, Driver: "ipmi", DriverInfo: di, Interfaces: in, ConductorGroup: c.cfg.Group,
				Properties: map[string]any{"cpu_arch": "x86_64", "vendor": "intel corporation"}, PowerState: node.PowerOff,
				ProvisionState: node.Available, CreatedAt: now, ProvisionUpdatedAt: now, Outer: 1,
				Owner: node.Owner{Name: c.cfg.Name, Incarnation: c.incarnation, Epoch: 1},
			}
			key := persistence.Key{Kind: persistence.KindNode, ID: n.UUID}
			tx.If = append(tx.If, persistence.Cond{Key: key})
			tx.Put = append(tx.Put, persistence.Put{Key: key, Value: n, Uniq: []string{"name/" + name}})
		}
		if _, err := c.store.Commit(ctx, tx); err != nil {
			return fmt.Errorf("seeding nodes: %w", err)
		}
	}
	c.fleet.Reconcile()
	return nil
}

// Activated counts the nodes that the power sweep knows.
func (c *Conductor) Activated() int { return c.fleet.Sweep().Len() }

// Round reads the power of all nodes once, as fast as window readings at a time allow, and waits for the answers.
func (c *Conductor) Round(ctx context.Context, window int64) int {
	return c.fleet.Sweep().Round(ctx, window)
}

// SweepFigures are the counters that a bench compares before and after a round.
type SweepFigures struct {
	Polls, Matches, Failures uint64
	Transactions             uint64 // accepted by the store
}

// SweepFigures reads them.
func (c *Conductor) SweepFigures() SweepFigures {
	f := c.fleet.Stats()
	return SweepFigures{Polls: f.Polls, Matches: f.Matches, Failures: f.Failures, Transactions: c.store.Stats().Transactions}
}

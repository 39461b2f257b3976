// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"ferrite/cluster"
	"ferrite/persistence"
)

// leading makes a loop that runs only while this conductor leads the log: there is one publisher (N2).
func (c *Conductor) leading(run func(context.Context) error) func(context.Context) error {
	if c.cfg.Cluster == nil {
		return run
	}
	leads := func() bool { _, _, yes := c.store.Role(); return yes }
	const look = 50 * time.Millisecond
	return func(ctx context.Context) error {
		for ctx.Err() == nil {
			if !leads() {
				wait(ctx, look)
				continue
			}
			turn, end := context.WithCancel(ctx)
			go func() {
				for leads() && turn.Err() == nil {
					wait(turn, look)
				}
				end()
			}()
			err := run(turn)
			end()
			if err != nil {
				return err
			}
		}
		return nil
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// startTries is how long a start bears it that nobody leads the log.
const startTries = 30 * time.Second

// again repeats what a start reads from the log or writes into it: an election in the middle of it ends no process. Each of these
// looks first at what is there, so that a write of unknown outcome does no harm a second time.
func again(ctx context.Context, do func() error) error {
	for end := time.Now().Add(startTries); ; wait(ctx, 50*time.Millisecond) {
		err := do()
		var conflict *persistence.Conflict
		passing := errors.Is(err, persistence.ErrNoQuorum) || errors.Is(err, persistence.ErrUnknown) || errors.As(err, &conflict)
		if !passing || ctx.Err() != nil || time.Now().After(end) {
			return err
		}
	}
}

// agreed are the settings that all conductors must have alike (L4).
type agreed struct {
	Valid         time.Duration
	HardwareTypes []string
	Enabled       map[string][]string
}

var agreedKey = persistence.Key{Kind: persistence.KindSetting, ID: "agreed"}

// agree holds this conductor's settings against those of the cluster. A lone living conductor may change them, and so may several
// that have all been started with the same new ones; one that joins others may not.
func (c *Conductor) agree(ctx context.Context) error {
	mine := c.agreed()
	b, err := json.Marshal(mine)
	if err != nil {
		return err
	}
	for {
		r, ok := c.store.Get(agreedKey)
		old, _ := r.Value.([]byte)
		if ok && string(old) == string(b) {
			return nil
		}
		var theirs agreed
		_ = json.Unmarshal(old, &theirs) // what does not parse differs
		if ok && c.membership != nil && (c.othersKeep(mine) || theirs.Valid != mine.Valid && len(c.membership.View().Members) > 1) {
			return fmt.Errorf(differing, difference(theirs, mine))
		}
		_, err := c.store.Commit(ctx, persistence.Tx{
			If: []persistence.Cond{{Key: agreedKey, Rev: r.Rev}}, Put: []persistence.Put{{Key: agreedKey, Value: b}},
		})
		var conflict *persistence.Conflict
		if !errors.As(err, &conflict) {
			return err
		}
	}
}

// othersKeep reports that another living conductor has other settings than these. Those that are being started with the same new
// ones, after all were stopped, do not keep each other from it.
func (c *Conductor) othersKeep(mine agreed) bool {
	return slices.ContainsFunc(c.membership.View().Members, func(m cluster.Member) bool {
		return m.Name != c.cfg.Name && m.Settings != mine.hash()
	})
}

// hash names settings in few bytes.
func (a agreed) hash() string {
	b, _ := json.Marshal(a) // of plain fields
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:4])
}

// differing is what a conductor is told that has other settings.
const differing = "the cluster's settings differ from this conductor's: %s. Give all conductors the same; to change it, stop all, and start all with the new ones"

// agreed are this conductor's.
func (c *Conductor) agreed() agreed {
	return agreed{Valid: c.cfg.Policy.Valid, HardwareTypes: slices.Sorted(slices.Values(c.cfg.Policy.HardwareTypes)), Enabled: c.cfg.Policy.Enabled}
}

// differ words what a newcomer's settings are refused for, for it and for us; "" = nothing. What only another version has said
// otherwise is no reason yet: see agree.
func (c *Conductor) differ(theirs []byte) (told, tell string) {
	var x agreed
	mine := c.agreed()
	if err := json.Unmarshal(theirs, &x); err != nil || difference(x, mine) == otherVersion {
		return "", ""
	}
	return fmt.Sprintf(differing, difference(mine, x)), difference(x, mine)
}

const otherVersion = "they were written by another version"

// difference names the first setting that differs.
func difference(theirs, mine agreed) string {
	for _, row := range []struct {
		name         string
		theirs, mine any
	}{
		{"enabled_hardware_types", theirs.HardwareTypes, mine.HardwareTypes},
		{"enabled interfaces", theirs.Enabled, mine.Enabled},
		{"the validity of permits", theirs.Valid, mine.Valid},
	} {
		a, b := fmt.Sprint(row.theirs), fmt.Sprint(row.mine)
		if a != b {
			return fmt.Sprintf("%s is %s there and %s here", row.name, a, b)
		}
	}
	return otherVersion
}

// takers reports whether a View has others that take the nodes of a member.
func takers(v *cluster.View, name string) bool {
	self, ok := v.Find(name)
	return !ok || slices.ContainsFunc(v.Members, func(m cluster.Member) bool { return m.Name != name && m.Takes(self.Group) })
}

// handOver gives every node to the others before this conductor ends: it takes nothing new, running operations end here, and
// another one leads the log.
func (c *Conductor) handOver(ctx context.Context) {
	if c.membership == nil || c.fleet == nil || len(c.membership.View().Members) < 2 {
		return
	}
	if err := c.membership.SetDraining(true); err != nil {
		c.log.Warn("the others do not know that this conductor ends", "error", err)
	}
	for began := time.Now(); ctx.Err() == nil; wait(ctx, 20*time.Millisecond) {
		v := c.placement.view.Load()
		if m, ok := v.Find(c.cfg.Name); (!ok || m.Draining) && c.fleet.Len() == 0 {
			c.log.Info("all nodes are handed over", "took", time.Since(began).Round(time.Millisecond))
			break
		}
		if !takers(v, c.cfg.Name) {
			c.log.Warn("no other conductor of this group takes the nodes: they wait for the next one")
			break
		}
		if time.Since(c.store.LeaderContact()) > freezeAfter { // nobody takes anything, and the View would not tell
			c.log.Warn("no contact to the leader of the log: the nodes go to the others once there is one")
			break
		}
		if c.cfg.DrainTimeout > 0 && time.Since(began) > c.cfg.DrainTimeout/2 {
			c.log.Warn("operations still run: they go on where their nodes go next", "nodes", c.fleet.Len())
			break
		}
	}
	s, ok := c.store.(*persistence.Raft)
	if !ok {
		return
	}
	hand := s.HandOver
	if !slices.ContainsFunc(c.membership.View().Members, func(m cluster.Member) bool { return m.Name != c.cfg.Name && !m.Draining }) {
		hand = func(context.Context) error { return s.Yield() } // who ends too takes no vote
	}
	if err := hand(ctx); err != nil {
		c.log.Info("no other conductor leads the log yet", "error", err)
	}
}

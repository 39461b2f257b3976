// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"context"

	"ferrite/bmc/ipmi"
)

// listenTraps receives platform event traps when it is asked to: each brings a reading of the BMC that it is from.
func (c *Conductor) listenTraps() error {
	if c.cfg.PETListen == "" {
		return nil
	}
	t, err := ipmi.ListenTraps(c.cfg.PETListen, c.fleet.Sweep().Hint)
	if err != nil {
		return err
	}
	c.traps = t
	c.began("traps", func(context.Context) error { return t.Close() })
	return nil
}

// TrapsAt is where platform event traps are received, "" = nowhere.
func (c *Conductor) TrapsAt() string {
	if c.traps == nil {
		return ""
	}
	return c.traps.Addr().String()
}

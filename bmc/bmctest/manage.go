// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bmctest

import (
	"context"
	"errors"
	"math"
	"testing"

	"ferrite/bmc"
	"ferrite/node"
)

// sensors: what is read can be told, twice alike in kind, and reading changes nothing.
func sensors(t *testing.T, h Harness) {
	if h.Driver.Sensors == nil {
		return
	}
	before := 0
	if h.Mutations != nil {
		before = h.Mutations()
	}
	var ids [2][]string
	for i := range ids {
		all, err := h.Driver.Sensors.Sensors(t.Context(), h.Node)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			ids[i] = append(ids[i], s.ID)
			if s.ID == "" || s.Type == "" || math.IsNaN(s.Value) || math.IsInf(s.Value, 0) || len(s.Fields) == 0 {
				t.Errorf("a sensor that cannot be told: %+v", s)
			}
		}
	}
	if len(ids[0]) != len(ids[1]) {
		t.Errorf("read %q, then %q", ids[0], ids[1])
	}
	if h.Mutations != nil && h.Mutations() != before {
		t.Error("reading sensors has sent a mutating command")
	}
	if h.Silence == nil {
		return
	}
	h.Silence()
	_, err := h.Driver.Sensors.Sensors(t.Context(), h.Node)
	if failed := (*bmc.Error)(nil); !errors.As(err, &failed) {
		t.Errorf("sensors of a silent machine gave %v: wanted *bmc.Error", err)
	}
}

// manages: commands to the BMC itself need a permit like all others (S10), and are refused for a node that cannot work.
func manages(t *testing.T, h Harness) {
	m := h.Driver.Manager
	if m == nil {
		return
	}
	for name, command := range map[string]func(context.Context, *node.Node, bmc.Permit) error{
		"reset": func(ctx context.Context, n *node.Node, p bmc.Permit) error { return m.ResetBMC(ctx, n, true, p) },
		"light": func(ctx context.Context, n *node.Node, p bmc.Permit) error { return m.Identify(ctx, n, 0, p) },
		"clear": func(ctx context.Context, n *node.Node, p bmc.Permit) error { return m.ClearEvents(ctx, n, p) },
		"raw": func(ctx context.Context, n *node.Node, p bmc.Permit) error {
			_, err := m.SendRaw(ctx, n, []byte{6, 1}, p)
			return err
		},
	} {
		for _, p := range []bmc.Permit{nil, Permit{Refuse: bmc.ErrPermit}, Permit{Dead: true}} {
			if err := command(t.Context(), h.Node, p); !errors.Is(err, bmc.ErrPermit) {
				t.Errorf("%s with permit %+v gave %v", name, p, err)
			}
		}
		if h.Bad == nil {
			continue
		}
		if refused := (*node.Error)(nil); !errors.As(command(t.Context(), h.Bad, Permit{}), &refused) || refused.Kind != node.Invalid {
			t.Errorf("%s of a bad node was not refused as invalid", name)
		}
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"ferrite/sim"
)

// simulated is so many simulated BMCs, for as long as the test lasts.
func simulated(t *testing.T, n int) *sim.Fleet {
	t.Helper()
	return simulatedFrom(t, n, sim.Defaults().AddressBase)
}

// simulatedFrom is simulated from an address on.
func simulatedFrom(t *testing.T, n int, base netip.Addr) *sim.Fleet {
	t.Helper()
	cfg := sim.Defaults()
	cfg.BMCs, cfg.Listen, cfg.AddressBase = n, "0.0.0.0:0", base
	f, err := sim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- f.Run(context.Background()) }()
	t.Cleanup(func() { f.Close(); <-done })
	return f
}

// simulatedNode is what makes a node of a simulated BMC; more is further fields, after a comma.
func simulatedNode(f *sim.Fleet, i int, name, more string) string {
	a := f.Addr(i)
	return fmt.Sprintf(`{"name":%q,"driver":"ipmi","driver_info":{"ipmi_address":%q,"ipmi_port":%d,"ipmi_username":"admin","ipmi_password":"password"}%s}`, name, a.Addr(), a.Port(), more)
}

// managed makes nodes m0, m1 ... of all BMCs, whose power is to be watched; that they are managed may take a moment.
func managed(t *testing.T, c *Conductor, f *sim.Fleet, n int) {
	t.Helper()
	for i := range n {
		if code, text := ask(t, c, "POST", "/v1/nodes", simulatedNode(f, i, fmt.Sprintf("m%d", i), "")); code != 201 {
			t.Fatalf("%d %s", code, text)
		}
		ask(t, c, "PUT", fmt.Sprintf("/v1/nodes/m%d/states/provision", i), `{"target":"manage"}`)
	}
}

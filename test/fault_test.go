// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"net/http"
	"testing"

	"ferrite/sim"
)

// TestFaultyFleet runs a fleet in which many BMCs are not as they should be. None of them may harm the others, the
// process, or what is believed of a machine.
func TestFaultyFleet(t *testing.T) {
	t.Parallel()
	faults := sim.Faults()
	const each, healthy = 2, 40
	n := each*len(faults) + healthy
	f := newFarm(t, n)
	s := newSite(t, "--sync-power-state-interval", "1s", "--force-power-state-during-sync=false", "--ipmi-min-command-interval", "0", "--ipmi-command-retry-timeout", "5s", "--power-state-change-timeout", "10s")
	name := func(i int) string { return fmt.Sprintf("n%d", i) }
	for i := range n {
		s.enroll(name(i), f.driverInfo(i))
	}
	for i, fault := range faults { // from now on
		for k := range each {
			f.put(each*i+k, map[string]any{"fault": string(fault)})
		}
	}
	first := each * len(faults)
	for i := range n {
		if code, doc := s.call("PUT", "/v1/nodes/"+name(i)+"/states/power", map[string]any{"target": "power on"}); code != http.StatusAccepted {
			t.Fatalf("power on of %s: %d %v", name(i), code, doc)
		}
	}
	for i := first; i < n; i++ {
		s.await(name(i), power("power on"))
	}
	polls := func(i int) float64 { return f.get(i)["polls"].(float64) }
	before := polls(n - 1)
	until(t, "ten rounds of the healthy", func() bool { return polls(n-1) > before+10 })
	for i := range n {
		if got := len(f.commands(i)); i >= first && got != 1 {
			t.Errorf("%s, healthy, got %d commands", name(i), got)
		}
	}
	for i := range first {
		fault := faults[i/each]
		until(t, fmt.Sprintf("%s (%s) to have ended its operation", name(i), fault), func() bool { return s.node(name(i))["reservation"] == nil })
		node, machine := s.node(name(i)), f.get(i)
		if node["power_state"] == "power on" && machine["power"] != "on" {
			t.Errorf("%s (%s) is said to be on and is %v", name(i), fault, machine["power"])
		}
		f.put(i, map[string]any{"fault": ""})
	}
	for i := range n { // healed, all agree
		want := map[string]any{"reservation": nil, "power_state": "power " + f.get(i)["power"].(string), "maintenance": false}
		s.await(name(i), want)
	}
}

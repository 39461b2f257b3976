// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"testing"
	"time"

	"ferrite/node"
)

// fail puts a node on the table in maintenance, as the power sync does when its retries are used up.
func (b *benchSweep) fail(m *tableBMC, rev node.Rev) {
	b.s.update(m.e, &node.Node{
		UUID: m.e.uuid, Driver: "ipmi", ProvisionState: node.Manageable, PowerState: node.PowerError, Maintenance: true, Fault: node.FaultPower, Rev: rev,
		Interfaces: map[string]string{"power": "ipmitool"}, Properties: map[string]any{"index": 0},
	})
	if m.e.mode.Load() != modeRecover {
		b.t.Fatal("the node does not wait for its BMC")
	}
}

// However often a BMC has failed, a node in fault "power failure" is tried again within power_failure_recovery_interval, and
// hardly more often (spec power.md section 7).
func TestRecoveryIsTriedEveryInterval(t *testing.T) {
	for _, every := range []time.Duration{300 * time.Second, 20 * time.Second} {
		b := sweepOnTable(t, 1, nil)
		live := *b.fleet.live.Load()
		live.RecoveryEvery = every
		b.fleet.live.Store(&live)
		b.pass(2 * testInterval)
		m, most := b.bmcs[0], uint64(every/b.s.tick)
		m.dead = true
		b.pass(20 * time.Minute) // it fails so often that the pauses of the power sync are as long as they get
		if m.e.missed.Load() <= steadyMisses {
			t.Fatalf("the BMC failed %d times: this test shows nothing", m.e.missed.Load())
		}
		m.asked = []uint64{b.s.now}
		b.fail(m, 2)
		b.pass(20 * every)
		if n := len(m.asked); n < 20 || n > 24 {
			t.Errorf("every %s: %d readings in 20 intervals", every, n-1)
		}
		for i := 1; i < len(m.asked); i++ {
			if gap := m.asked[i] - m.asked[i-1]; gap > most {
				t.Errorf("every %s: try %d came %d ticks after the one before: wanted %d at most", every, i, gap, most)
			}
		}
		m.dead = false
		b.fleet.turns.out = maxSamples // what is found stands in line, where it can be seen
		b.pass(every + 14*time.Second)
		if m.e.late == nil || m.e.missed.Load() != 0 {
			t.Errorf("every %s: the BMC is back, found %v, failures in a row %d: wanted a finding and none", every, m.e.late != nil, m.e.missed.Load())
		}
	}
}

// A node that a conductor takes over in fault "power failure" is tried within that interval too, also where the power sync
// is rarer.
func TestRecoveryBeginsWithinTheIntervalAfterATakeover(t *testing.T) {
	b := sweepOnTable(t, 100, func(_ int, n *node.Node) { n.Maintenance, n.Fault = true, node.FaultPower })
	live := *b.fleet.live.Load()
	live.RecoveryEvery = testInterval / 3
	b.fleet.live.Store(&live)
	for _, m := range b.bmcs {
		m.dead = true
	}
	old := b.bmcs
	b.bmcs = nil
	for i, m := range old {
		n := &node.Node{
			UUID: m.e.uuid, Driver: "ipmi", ProvisionState: node.Manageable, Maintenance: true, Fault: node.FaultPower, Rev: 1,
			Interfaces: map[string]string{"power": "ipmitool"}, Properties: map[string]any{"index": i},
		}
		b.s.remove(m.e)
		b.bmcs = append(b.bmcs, &tableBMC{b: b, dead: true})
		b.bmcs[i].e = b.s.add(n, nil)
	}
	b.pass(live.RecoveryEvery / 2)
	half := 0
	for _, m := range b.bmcs {
		half += min(1, len(m.asked))
	}
	if half < 30 || half > 75 {
		t.Errorf("%d of 100 were tried in half of the interval: wanted them spread over it", half)
	}
	b.pass(live.RecoveryEvery / 2)
	for i, m := range b.bmcs {
		if len(m.asked) == 0 {
			t.Errorf("node %d was not tried within the interval", i)
		}
	}
}

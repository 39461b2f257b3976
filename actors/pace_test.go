// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"errors"
	"fmt"
	"math/rand"
	"net/netip"
	"slices"
	"testing"
	"time"

	"ferrite/bmc"
	"ferrite/node"
)

// benchSweep is a sweep on a table: nobody turns its wheel but the test, and BMCs answer at once.
type benchSweep struct {
	t     *testing.T
	s     *Sweep
	fleet *Fleet
	bmcs  []*tableBMC
}

// tableBMC is a BMC on the table. A dead one fails after patience; times are ticks.
type tableBMC struct {
	b        *benchSweep
	e        *entry
	dead     bool
	on       bool
	asked    []uint64 // when
	answered []uint64
	sinks    []bmc.Sink
	closed   int
}

func (m *tableBMC) Poll(to bmc.Sink) {
	m.asked = append(m.asked, m.b.s.now)
	if m.dead {
		m.sinks = append(m.sinks, to)
		return
	}
	m.answered = append(m.answered, m.b.s.now)
	state := node.PowerOff
	if m.on {
		state = node.PowerOn
	}
	to.PowerPolled(state, nil)
}

func (m *tableBMC) Close() { m.closed++ }

type tablePoller struct{ b *benchSweep }

func (p tablePoller) Prepare(n *node.Node) (bmc.Handle, error) {
	i := n.Properties["index"].(int)
	return p.b.bmcs[i], nil
}

const testInterval = 45 * time.Second

func sweepOnTable(t *testing.T, nodes int, change func(i int, n *node.Node)) *benchSweep {
	b := &benchSweep{t: t}
	d := &bmc.Driver{Poller: tablePoller{b}, Caps: bmc.Capabilities{PowerSync: true}}
	b.fleet = New(Config{SyncInterval: testInterval, RecoveryEvery: 300 * time.Second, Hints: true, Drivers: map[string]*bmc.Driver{"ipmitool": d}})
	t.Cleanup(b.fleet.Close)
	b.s = b.fleet.Sweep()
	rnd := rand.New(rand.NewSource(1))
	for i := range nodes {
		b.bmcs = append(b.bmcs, &tableBMC{b: b})
		n := &node.Node{
			UUID: fmt.Sprintf("%08x-0000-4000-8000-%012x", rnd.Uint32(), i), Driver: "ipmi", ProvisionState: node.Manageable, PowerState: node.PowerOff, Rev: 1,
			Interfaces: map[string]string{"power": "ipmitool"}, Properties: map[string]any{"index": i},
			DriverInfo: map[string]any{"ipmi_address": netip.AddrFrom4([4]byte{10, byte(i >> 12), byte(i >> 4), byte(i & 15)}).String()},
		}
		if change != nil {
			change(i, n)
		}
		b.bmcs[i].e = b.s.add(n, nil)
	}
	return b
}

// pass lets time pass; dead BMCs fail 14 s after they were asked.
func (b *benchSweep) pass(d time.Duration) {
	patience := uint64(14 * time.Second / b.s.tick)
	for end := b.s.now + uint64(d/b.s.tick); b.s.now < end; {
		b.s.mu.Lock()
		b.s.advance(b.s.now + 1)
		b.s.mu.Unlock()
		for _, m := range b.bmcs {
			if len(m.sinks) > 0 && b.s.now >= m.asked[len(m.asked)-1]+patience {
				sink := m.sinks[0]
				m.sinks = m.sinks[1:]
				sink.PowerPolled(node.PowerUnknown, errors.New("no answer"))
			}
		}
	}
}

func (b *benchSweep) turn() time.Duration { return roundTicks * b.s.tick }

// A settled node is read at least once an interval and hardly more often.
func TestSettledNodesAreReadOnceAnInterval(t *testing.T) {
	b := sweepOnTable(t, 200, nil)
	b.pass(20 * testInterval)
	most := uint64(testInterval / b.s.tick)
	var sooner, later bool  // than a turn after the last one: jitter
	var least, greatest int // places around the phase
	for i, m := range b.bmcs {
		if n := len(m.asked); n < 20 || n > 23 {
			t.Errorf("node %d was read %d times in 20 intervals", i, n)
		}
		for k := 1; k < len(m.asked); k++ {
			if gap := m.asked[k] - m.asked[k-1]; gap > most || gap < most*85/100 {
				t.Errorf("node %d: %d ticks between two readings, wanted 85 to 100 %% of %d", i, gap, most)
			} else {
				sooner, later = sooner || gap < roundTicks-strayTick/2, later || gap > roundTicks+strayTick/2
			}
			at := int((m.asked[k]+roundTicks/2-m.e.phase)%roundTicks) - roundTicks/2
			least, greatest = min(least, at), max(greatest, at)
		}
		if m.e.seen.Load() == 0 {
			t.Errorf("node %d: its power was never confirmed", i)
		}
	}
	if s := b.fleet.Stats(); s.Samples != 0 || s.Failures != 0 {
		t.Errorf("%d findings, %d failures: wanted none", s.Samples, s.Failures)
	}
	if !sooner || !later {
		t.Errorf("of 4000 readings some came sooner than their turn: %v, some later: %v; wanted jitter", sooner, later)
	}
	if least < -jitterTick || least > -jitterTick*3/4 || greatest > jitterTick || greatest < jitterTick*3/4 {
		t.Errorf("readings were %d to %d ticks from their phase, wanted about %d either way", least, greatest, jitterTick)
	}
}

// All phases of an interval are used, and none by many.
func TestPhasesAreSpread(t *testing.T) {
	b := sweepOnTable(t, 5000, nil)
	b.pass(b.turn())
	var slots [16]int
	for _, m := range b.bmcs {
		if len(m.asked) > 0 {
			slots[min(15, (m.asked[0]-1)*16/roundTicks)]++
		}
	}
	for i, n := range slots {
		if n < 5000/16*7/10 || n > 5000/16*13/10 {
			t.Errorf("%d of 5000 first readings came in part %d of 16: wanted about %d", n, i, 5000/16)
		}
	}
}

// After a change a node is read after an eighth, a quarter and a half of a turn, then in its turn.
func TestChangedNodesAreReadSooner(t *testing.T) {
	b := sweepOnTable(t, 1, nil)
	b.pass(3 * testInterval)
	m := b.bmcs[0]
	m.on, m.asked = true, nil
	n := &node.Node{
		UUID: m.e.uuid, Driver: "ipmi", ProvisionState: node.Manageable, PowerState: node.PowerOn, Rev: 2,
		Interfaces: map[string]string{"power": "ipmitool"}, Properties: map[string]any{"index": 0},
	}
	began, before := b.s.now, time.Now()
	b.s.update(m.e, n)
	if b.s.ConfirmedAt(m.e.uuid).Before(before) {
		t.Error("what was just read is not confirmed")
	}
	b.pass(3 * testInterval)
	if len(m.asked) < 5 {
		t.Fatalf("read %d times in 3 intervals after a change", len(m.asked))
	}
	last := began
	for i, part := range []uint64{8, 4, 2} {
		gap := m.asked[i] - last
		last = m.asked[i]
		if want := uint64(roundTicks) / part; gap < want*8/10 || gap > want*12/10+2 {
			t.Errorf("reading %d came after %d ticks: wanted about %d", i, gap, want)
		}
	}
	if n := len(m.asked); n > 7 {
		t.Errorf("read %d times in 3 intervals: wanted it to settle", n)
	}
}

// The same after a reading that is not what is recorded; while it stays so there is no more of it.
func TestNodesThatDifferAreReadSooner(t *testing.T) {
	b := sweepOnTable(t, 1, nil)
	b.pass(3 * testInterval)
	m := b.bmcs[0]
	if b.s.ConfirmedAt(m.e.uuid).IsZero() {
		t.Error("what was read is not confirmed")
	}
	m.on, m.asked = true, nil
	b.pass(10 * testInterval)
	if n := len(m.asked); n < 12 || n > 15 {
		t.Errorf("read %d times in 10 intervals: wanted two or three times more than else", n)
	}
}

// A BMC that fails is asked sooner at first, then less and less often.
func TestFailingBMCsAreAskedSoonerThenLess(t *testing.T) {
	b := sweepOnTable(t, 1, nil)
	b.pass(2 * testInterval)
	m := b.bmcs[0]
	m.dead, m.asked = true, nil
	b.pass(60 * time.Minute)
	gaps := []uint64{}
	patience := uint64(14 * time.Second / b.s.tick)
	for i := 1; i < len(m.asked); i++ {
		gaps = append(gaps, m.asked[i]-m.asked[i-1]-patience)
	}
	if len(gaps) < 8 {
		t.Fatalf("asked %d times in an hour", len(m.asked))
	}
	for i, want := range []uint64{roundTicks / 8, roundTicks / 4, roundTicks / 2} {
		if gaps[i] < want*8/10 || gaps[i] > want*12/10+2 {
			t.Errorf("failure %d was followed by a pause of %d ticks: wanted about %d", i+1, gaps[i], want)
		}
	}
	most := uint64(backOffMax / b.s.tick)
	for i := 6; i < len(gaps); i++ {
		if want := min(uint64(roundTicks)<<(i-4), most); gaps[i] < want*8/10 || gaps[i] > want*12/10+2 {
			t.Errorf("failure %d was followed by a pause of %d ticks: wanted about %d", i+1, gaps[i], want)
		}
	}
	if n := len(m.asked); n > 16 {
		t.Errorf("a dead BMC was asked %d times in an hour", n)
	}
	m.dead = false
	b.pass(backOffMax + 2*testInterval)
	m.asked = nil
	b.pass(4 * testInterval)
	if n := len(m.asked); n < 4 {
		t.Errorf("a BMC that is back is read %d times in 4 intervals", n)
	}
}

// What is asked between two turns and fails is not told to the node, whose retries it would use up.
func TestFailuresBetweenTurnsUseNoRetry(t *testing.T) {
	b := sweepOnTable(t, 1, nil)
	b.pass(2 * testInterval)
	m, line := b.bmcs[0], &b.fleet.turns
	m.dead = true
	line.out = maxSamples // findings stand in line, where they can be seen
	var told []bool
	for range 100_000 {
		missed := m.e.missed.Load()
		b.pass(b.s.tick)
		if m.e.missed.Load() == missed {
			continue
		}
		told = append(told, m.e.late != nil)
		m.e.late, line.line = nil, nil
		if len(told) == 6 {
			break
		}
	}
	if want := []bool{true, false, false, true, true, true}; !slices.Equal(told, want) { // the turn, an eighth and a quarter later, then turns
		t.Errorf("failures were told as %v: wanted %v", told, want)
	}
}

// Dead BMCs do not make what is known of the living older (p99 changes by less than a tenth).
func TestDeadBMCsDoNotSlowTheLiving(t *testing.T) {
	const nodes = 2000
	p99 := map[int]uint64{}
	for _, dead := range []int{0, 5, 20} {
		b := sweepOnTable(t, nodes, nil)
		for i, m := range b.bmcs {
			m.dead = i%100 < dead
		}
		b.pass(8 * testInterval)
		var ages []uint64
		for _, m := range b.bmcs {
			for k := 1; !m.dead && k < len(m.answered); k++ {
				ages = append(ages, m.answered[k]-m.answered[k-1])
			}
		}
		slices.Sort(ages)
		p99[dead] = ages[len(ages)*99/100]
		if want := nodes * (100 - dead) / 100 * 6; len(ages) < want {
			t.Errorf("%d %% dead: %d readings confirmed the living, wanted at least %d", dead, len(ages), want)
		}
	}
	for _, dead := range []int{5, 20} {
		if d := float64(p99[dead])/float64(p99[0]) - 1; d > 0.1 || d < -0.1 {
			t.Errorf("with %d %% dead the p99 age of the living is %d ticks, without %d: wanted less than 10 %% apart", dead, p99[dead], p99[0])
		}
	}
}

// A hint brings one reading of the nodes behind that BMC, and not another one at once.
func TestHintBringsOneReading(t *testing.T) {
	b := sweepOnTable(t, 40, nil)
	b.pass(2 * testInterval)
	for _, m := range b.bmcs {
		m.asked = nil
	}
	hint := netip.MustParseAddr("::ffff:10.0.1.3") // number 19
	if n, joined := b.s.Hint(hint); n != 1 || joined {
		t.Errorf("the first hint: %d nodes, has its reading already %v", n, joined)
	}
	if n, joined := b.s.Hint(hint); n != 1 || !joined {
		t.Errorf("the second hint: %d nodes, has its reading already %v", n, joined)
	}
	if n, _ := b.s.Hint(netip.MustParseAddr("192.0.2.1")); n != 0 {
		t.Errorf("%d nodes are at an address that is nobody's", n)
	}
	b.pass(3 * b.s.tick)
	read := 0
	for i, m := range b.bmcs {
		if len(m.asked) > 0 && i != 19 {
			read++ // in its turn
		}
	}
	if n := len(b.bmcs[19].asked); n != 1 || read > 4 {
		t.Errorf("the hinted node was read %d times, %d others were: wanted one reading", n, read)
	}
	b.s.remove(b.bmcs[19].e)
	if n, _ := b.s.Hint(hint); n != 0 || len(b.s.behind.by) != 39 {
		t.Errorf("a node that is gone is still behind its address (%d of them known)", len(b.s.behind.by))
	}
}

// A hint soon after another one has its reading when the time is over that lies between two; what changed meanwhile is seen. However
// many they are, it is one reading at once and one then.
func TestHintsSoonAfterAnother(t *testing.T) {
	b := sweepOnTable(t, 1, nil)
	b.pass(2 * testInterval)
	m, at := b.bmcs[0], netip.MustParseAddr("10.0.0.0")
	for m.e.due < b.s.now+roundTicks/2 { // its turn is far away
		b.pass(b.s.tick)
	}
	m.asked = nil
	b.s.Hint(at)
	b.pass(2 * time.Second)
	began := b.s.now
	for range 2000 {
		b.s.Hint(at)
		if b.s.now < began+20 {
			b.pass(b.s.tick)
		}
	}
	if n := len(m.asked); n != 1 {
		t.Fatalf("read %d times for hints within 4 s: wanted once", n)
	}
	b.pass(12 * time.Second)
	window := uint64(hintEvery / b.s.tick)
	if n := len(m.asked); n != 2 || m.asked[1]-m.asked[0] < window || m.asked[1]-m.asked[0] > window+2 {
		t.Errorf("read at ticks %v: wanted a second reading %d ticks after the first, and no third one", m.asked, window)
	}
	for k := 0; k < 60; k++ { // hints without an end
		b.s.Hint(at)
		b.pass(time.Second)
	}
	if n := len(m.asked); n < 12 || n > 2+13+2 {
		t.Errorf("read %d times after a minute of hints: wanted one reading in %s", n-2, hintEvery)
	}
}

// A hint during a reading has one of its own when that one has ended, which may have been asked before the change.
func TestAHintDuringAReading(t *testing.T) {
	b := sweepOnTable(t, 1, nil)
	b.pass(2 * testInterval)
	m, at := b.bmcs[0], netip.MustParseAddr("10.0.0.0")
	for m.e.due < b.s.now+roundTicks/2 {
		b.pass(b.s.tick)
	}
	m.dead, m.asked = true, nil // it answers late
	b.s.Hint(at)
	b.pass(time.Second)
	m.dead = false
	b.s.Hint(at)
	b.pass(10 * time.Second)
	if n := len(m.asked); n != 1 {
		t.Fatalf("asked %d times while the first question is open", n)
	}
	sink := m.sinks[0]
	m.sinks = nil
	sink.PowerPolled(node.PowerOff, nil)
	b.pass(time.Second)
	if n := len(m.asked); n != 2 {
		t.Errorf("asked %d times: wanted once more after the reading in which the hint came", n)
	}
	b.pass(8 * time.Second)
	if n := len(m.asked); n != 2 {
		t.Errorf("asked %d times: wanted nothing more for that hint", n)
	}
}

// After readings out of turn the next turn is not left out.
func TestHintsDoNotPutTurnsOff(t *testing.T) {
	b := sweepOnTable(t, 50, nil)
	b.pass(2 * testInterval)
	for i, m := range b.bmcs {
		m.asked = nil
		b.s.Hint(netip.AddrFrom4([4]byte{10, 0, byte(i >> 4), byte(i & 15)}))
	}
	b.pass(6 * testInterval)
	most := uint64(testInterval / b.s.tick)
	for i, m := range b.bmcs {
		for k := 1; k < len(m.asked); k++ {
			if gap := m.asked[k] - m.asked[k-1]; gap > most+strayTick {
				t.Errorf("node %d: %d ticks between readings %d and %d after a hint, wanted %d at most", i, gap, k, k+1, most)
			}
		}
	}
}

// A subnet that is down is one event, whose end must be seen soon: its BMCs are asked in every turn, however long it lasts.
func TestDownSubnetsAreAskedInEveryTurn(t *testing.T) {
	b := sweepOnTable(t, 25, func(i int, n *node.Node) { n.DriverInfo["ipmi_address"] = fmt.Sprintf("192.0.2.%d", i+1) })
	b.pass(2 * testInterval)
	for _, m := range b.bmcs {
		m.dead = true
	}
	b.pass(30 * time.Minute)
	before := make([]int, len(b.bmcs))
	for i, m := range b.bmcs {
		before[i] = len(m.asked)
	}
	b.pass(10 * time.Minute)
	for i, m := range b.bmcs {
		if n := len(m.asked) - before[i]; n < 8 { // each question waits 14 s
			t.Errorf("BMC %d was asked %d times in 10 minutes: wanted about 10", i, n)
		}
	}
}

// What a BMC did not answer confirms nothing, and what takes no part in the sync has no age.
func TestFailuresConfirmNothing(t *testing.T) {
	b := sweepOnTable(t, 3, nil)
	b.pass(2 * testInterval)
	m := b.bmcs[0]
	at := b.s.ConfirmedAt(m.e.uuid)
	m.dead = true
	b.pass(3 * testInterval)
	if got := b.s.ConfirmedAt(m.e.uuid); at.IsZero() || !got.Equal(at) {
		t.Errorf("confirmed at %s, and at %s after readings that failed", at, got)
	}
	ages := func() (n int) {
		b.s.Ages(time.Now(), func(time.Duration) { n++ })
		return n
	}
	if n := ages(); n != 3 {
		t.Errorf("%d nodes have an age: wanted 3, dead ones too", n)
	}
	b.s.update(b.bmcs[1].e, &node.Node{
		UUID: b.bmcs[1].e.uuid, Driver: "ipmi", ProvisionState: node.Manageable, PowerState: node.PowerOff, Maintenance: true, Rev: 2,
		Interfaces: map[string]string{"power": "ipmitool"}, Properties: map[string]any{"index": 1},
	})
	if n := ages(); n != 2 {
		t.Errorf("%d nodes have an age: wanted 2, none that is in maintenance", n)
	}
}

// Who leaves the sweep gives its BMC back, and so do all when it ends.
func TestNodesThatLeaveGiveTheirBMCBack(t *testing.T) {
	b := sweepOnTable(t, 3, nil)
	b.s.remove(b.bmcs[1].e)
	if n := b.bmcs[1].closed; n != 1 || b.bmcs[0].closed != 0 {
		t.Errorf("the BMC was given back %d times, another one %d times: wanted once, and not", n, b.bmcs[0].closed)
	}
	b.s.close()
	for i, m := range b.bmcs {
		if m.closed != 1 {
			t.Errorf("BMC %d was given back %d times in the end: wanted once", i, m.closed)
		}
	}
}

// A conductor that ends gives up the readings that are under way: no network has failed.
func TestTheEndIsNoFailureOfASubnet(t *testing.T) {
	b := sweepOnTable(t, 25, func(i int, n *node.Node) { n.DriverInfo["ipmi_address"] = fmt.Sprintf("192.0.2.%d", i+1) })
	b.pass(2 * testInterval)
	for _, m := range b.bmcs {
		m.dead = true
		m.e.poll(false)
	}
	b.s.close()
	for _, m := range b.bmcs {
		for _, sink := range m.sinks {
			sink.PowerPolled(node.PowerUnknown, errors.New("shutting down"))
		}
	}
	if n := b.fleet.Stats().SubnetsDown; n != 0 {
		t.Errorf("%d subnets are down in the end", n)
	}
}

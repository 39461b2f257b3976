// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"ferrite/bmc"
	"ferrite/bmc/bmctest"
	"ferrite/node"
	"ferrite/sim"
)

// count counts the commands of a kind that a simulated BMC has executed.
func count(b *sim.BMC, name string) int {
	n := 0
	for _, c := range b.Commands() {
		if c.Name == name {
			n++
		}
	}
	return n
}

func TestResetBMC(t *testing.T) {
	f, e := fleet(t, nil), engine(t, quick())
	b, n, m := f.BMC(0), at(f.Addr(0)), e.Driver().Manager
	for name, cold := range map[string]bool{"cold reset": true, "warm reset": false} {
		if err := m.ResetBMC(t.Context(), n, cold, bmctest.Permit{}); err != nil || count(b, name) != 1 {
			t.Errorf("%s: %v, done %d times: wanted once", name, err, count(b, name))
		}
	}
	// Without a permit, with a dead one and with one that is refused nothing leaves (S10).
	for _, p := range []bmc.Permit{nil, bmctest.Permit{Dead: true}, bmctest.Permit{Refuse: bmc.ErrPermit}} {
		if err := m.ResetBMC(t.Context(), n, true, p); !errors.Is(err, bmc.ErrPermit) || count(b, "cold reset") != 1 {
			t.Errorf("under the permit %+v: %v, done %d times", p, err, count(b, "cold reset"))
		}
	}
	n.DriverInfo["ipmi_priv_level"] = "OPERATOR"
	err := m.ResetBMC(t.Context(), n, true, bmctest.Permit{})
	if x := new(bmc.Error); !asBMC(err, &x) || !x.Auth || x.Unknown {
		t.Errorf("as operator: %v: wanted a refusal for want of privilege", err)
	}
}

// TestResetIsSentOnce: a reset whose answer is lost is not sent again (S12).
func TestResetIsSentOnce(t *testing.T) {
	for name, send := range map[string]func(bmc.Manager, context.Context, *node.Node) error{
		"bmc reset cold": func(m bmc.Manager, ctx context.Context, n *node.Node) error {
			return m.ResetBMC(ctx, n, true, bmctest.Permit{})
		},
		"raw 0x06 0x02": func(m bmc.Manager, ctx context.Context, n *node.Node) error {
			_, err := m.SendRaw(ctx, n, []byte{6, 2}, bmctest.Permit{})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, e := fleet(t, nil), engine(t, quick())
			b, n := f.BMC(0), at(f.Addr(0))
			b.SetLoseReplies(true)
			err := send(e.Driver().Manager, t.Context(), n)
			if x := new(bmc.Error); !asBMC(err, &x) || !x.Unknown || x.Command != name {
				t.Errorf("a lost answer gave %v: wanted an error of %q that says the outcome is unknown", err, name)
			}
			if got := count(b, "cold reset"); got != 1 {
				t.Errorf("it was done %d times: wanted once", got)
			}
		})
	}
}

func TestIdentify(t *testing.T) {
	f, e := fleet(t, nil), engine(t, patient())
	b, n, m := f.BMC(0), at(f.Addr(0)), e.Driver().Manager
	for _, x := range []struct {
		span time.Duration
		data []byte
		on   bool
	}{{-1, []byte{0, 1}, true}, {0, []byte{0}, false}, {200 * time.Second, []byte{200}, true}, {time.Millisecond, []byte{1}, true}} {
		if err := m.Identify(t.Context(), n, x.span, bmctest.Permit{}); err != nil {
			t.Fatal(err)
		}
		all := b.Commands()
		if last := all[len(all)-1]; last.Name != "chassis identify" || !bytes.Equal(last.Data, x.data) {
			t.Errorf("identify for %s sent %q % x: wanted % x", x.span, last.Name, last.Data, x.data)
		}
		if x.span > time.Minute && !b.Light() || x.span <= 0 && b.Light() != x.on {
			t.Errorf("after identify for %s the light is on: %v", x.span, b.Light())
		}
	}
	err := m.Identify(t.Context(), n, time.Hour, bmctest.Permit{})
	if x := (*node.Error)(nil); !errors.As(err, &x) || x.Kind != node.Invalid {
		t.Errorf("an hour of light gave %v: wanted a refusal", err)
	}
}

// meddler is a permit during whose check an event is logged, as often as times says.
type meddler struct {
	bmctest.Permit
	b     *sim.BMC
	times int
}

func (m *meddler) OK(context.Context) error {
	if m.times > 0 {
		m.times--
		m.b.LogEvent(systemKind, [13]byte{})
	}
	return nil
}

// TestClearEvents: the log is empty when it returns; what is logged while it is asked for makes it begin anew, some times;
// it needs a permit and is not sent again when its answer is lost (S10, S12).
func TestClearEvents(t *testing.T) {
	f, e := fleet(t, nil), engine(t, quick())
	d := e.Driver()
	for i, x := range []struct{ times, left, clears int }{{0, 0, 2}, {2, 0, 4}, {99, 6, eraseTries}} { // 2: erase, and look
		b, n := f.BMC(i), at(f.Addr(i))
		b.LogEvent(systemKind, [13]byte{})
		b.LogEvent(0xe1, [13]byte{})
		err := d.Manager.ClearEvents(t.Context(), n, &meddler{b: b, times: x.times})
		if (err == nil) != (x.left == 0) || err != nil && !strings.Contains(err.Error(), "reservation canceled") {
			t.Errorf("with %d events meanwhile: %v", x.times, err)
		}
		if all, err := d.Events.Events(t.Context(), n, 0); err != nil || len(all) != x.left {
			t.Errorf("with %d events meanwhile there are %d left, %v: wanted %d", x.times, len(all), err, x.left)
		}
		if got := count(b, "clear sel"); got != x.clears {
			t.Errorf("with %d events meanwhile it was sent %d times: wanted %d", x.times, got, x.clears)
		}
	}
	b, n := f.BMC(3), at(f.Addr(3))
	b.LogEvent(systemKind, [13]byte{})
	for _, p := range []bmc.Permit{nil, bmctest.Permit{Dead: true}, bmctest.Permit{Refuse: bmc.ErrPermit}} {
		if err := d.Manager.ClearEvents(t.Context(), n, p); !errors.Is(err, bmc.ErrPermit) || count(b, "clear sel") != 0 {
			t.Errorf("under the permit %+v: %v, sent %d times", p, err, count(b, "clear sel"))
		}
	}
	b.SetLoseReplies(true)
	err := d.Manager.ClearEvents(t.Context(), n, bmctest.Permit{})
	if x := new(bmc.Error); !asBMC(err, &x) || !x.Unknown || count(b, "clear sel") != 1 {
		t.Errorf("a lost answer gave %v after %d tries: wanted one, and an error that says the outcome is unknown", err, count(b, "clear sel"))
	}
}

func TestRaw(t *testing.T) {
	f, e := fleet(t, nil), engine(t, patient())
	n, m := at(f.Addr(0)), e.Driver().Manager
	if d, err := m.SendRaw(t.Context(), n, []byte{6, 4}, bmctest.Permit{}); err != nil || !bytes.Equal(d, []byte{0x55, 0}) {
		t.Errorf("Get Self Test Results gave % x, %v", d, err)
	}
	_, err := m.SendRaw(t.Context(), n, []byte{0x2e, 0x99, 1}, bmctest.Permit{})
	if err == nil || !strings.HasPrefix(err.Error(), "IPMI call failed: raw 0x2e 0x99 0x01.") || !refusedWith(err, 0xc1) {
		t.Errorf("an unknown command gave %v", err)
	}
	_, err = m.SendRaw(t.Context(), n, append([]byte{6, 0x47, 2, 2}, "a new password"...), bmctest.Permit{})
	if err == nil || !strings.HasPrefix(err.Error(), "IPMI call failed: raw 0x06 0x47 ******.") {
		t.Errorf("a password that was not set: %v: wanted an error without it", err)
	}
	for _, bad := range [][]byte{nil, {6}, {7, 1}, {0x40, 1}, make([]byte, 201)} {
		_, err := m.SendRaw(t.Context(), n, bad, bmctest.Permit{})
		if x := (*node.Error)(nil); !errors.As(err, &x) || x.Kind != node.Invalid {
			t.Errorf("% x was sent: %v", bad, err)
		}
	}
}

// TestSensorsGiveWay: a reading of the power goes before a sensor's, however many sensors wait, and there is one session
// and one command outstanding.
func TestSensorsGiveWay(t *testing.T) {
	b := onTable(t, nil)
	p := b.peer(1)
	var slow []*call
	for i := range byte(3) {
		c := &call{slow: true, step: step{netSensor, cmdSensorReading, []byte{i}}, done: make(chan outcome, 1)}
		b.sh.request(&request{rec: p.r, call: c})
		slow = append(slow, c)
	}
	b.sh.pump()
	s := p.poll()
	quick := &call{step: step{netApp, cmdDeviceID, nil}, done: make(chan outcome, 1)}
	b.sh.request(&request{rec: p.r, call: quick})
	var order []string
	for range 5 {
		q := p.only()
		order = append(order, map[byte]string{netSensor: "sensor", netChassis: "power", netApp: "device"}[q.netfn])
		p.deliver(p.answer(q, 0, 1, 0xc0, 0))
		b.sh.pump()
	}
	if want := []string{"sensor", "device", "power", "sensor", "sensor"}; !slices.Equal(order, want) {
		t.Errorf("sent in the order %q: wanted %q", order, want)
	}
	if s.n != 1 || s.state != node.PowerOn {
		t.Errorf("the reading of the power gave %+v", s)
	}
	for _, c := range append(slow, quick) {
		if o := <-c.done; o.err != nil {
			t.Error(o.err)
		}
	}
}

// TestSensorsAreRemembered: a second round asks for readings alone, until the repository has changed.
func TestSensorsAreRemembered(t *testing.T) {
	f, e := fleet(t, nil), engine(t, patient())
	b, d := f.BMC(0), e.Driver().Sensors
	read := func(i int) map[string]float64 {
		t.Helper()
		got, err := d.Sensors(t.Context(), at(f.Addr(i)))
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]float64{}
		for _, s := range got {
			out[s.ID] = s.Value
		}
		return out
	}
	if got := read(0); got["Inlet Temp (0x5)"] != 21 || len(got) != len(sim.StandardSensors()) {
		t.Fatalf("read %v", got)
	}
	before := f.Stats().Commands
	b.Change(5, func(s *sim.Sensor) { s.Raw = 25 })
	if got := read(0); got["Inlet Temp (0x5)"] != 25 {
		t.Errorf("the second round read %v", got)
	}
	if n, want := f.Stats().Commands-before, uint64(1+len(sim.StandardSensors())); n != want {
		t.Errorf("the second round sent %d commands: wanted %d", n, want)
	}
	b.SetSensors([]sim.Sensor{{Name: "Other", Number: 1, Type: 1, Reading: 1, Units: [3]byte{0, 1}, M: 1, Raw: 3}})
	if got := read(0); len(got) != 1 || got["Other (0x1)"] != 3 {
		t.Errorf("after a change of the repository it read %v", got)
	}
	if f.Sessions() != 1 {
		t.Errorf("%d sessions: wanted one", f.Sessions())
	}
	read(1)
	read(2)
	one, _ := e.sensors.get(key(t, e, f, 1))
	two, _ := e.sensors.get(key(t, e, f, 2))
	if one.shared != two.shared || one.image == "" {
		t.Error("two machines that tell the same keep it twice")
	}
}

func key(t *testing.T, e *Engine, f *sim.Fleet, i int) recordKey {
	t.Helper()
	k, err := driver{e}.key(t.Context(), at(f.Addr(i)), "test")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"strings"
	"testing"
	"time"

	"ferrite/bmc"
	"ferrite/bmc/bmctest"
	"ferrite/node"
	"ferrite/sim"
)

// stateSink keeps what a reading says.
type stateSink chan reading

type reading struct {
	state node.PowerState
	err   error
}

func (c stateSink) PowerPolled(s node.PowerState, err error) { c <- reading{s, err} }

func read(t *testing.T, h bmc.Handle) reading {
	t.Helper()
	c := make(stateSink, 1)
	h.Poll(c)
	select {
	case r := <-c:
		return r
	case <-time.After(2 * time.Minute):
		t.Fatal("a reading was never answered")
		return reading{}
	}
}

// truthful reads again and again while the machine is switched behind the engine's back: what is told must be true.
// It reports how many readings succeeded.
func truthful(t *testing.T, b *sim.BMC, h bmc.Handle, times int) (good int) {
	t.Helper()
	for i := range times {
		on := i%3 == 0
		b.SetPower(on)
		r := read(t, h)
		if r.err != nil {
			t.Logf("reading %d: %v", i, r.err)
			continue
		}
		good++
		if (r.state == node.PowerOn) != on {
			t.Fatalf("reading %d says %s, the machine is on: %v", i, r.state, on)
		}
	}
	return good
}

// Each personality of the simulator, next to a healthy BMC.
func TestPersonalities(t *testing.T) {
	for fault, check := range map[sim.Fault]func(t *testing.T, e *Engine, f *sim.Fleet){
		sim.Slow: func(t *testing.T, e *Engine, f *sim.Fleet) {
			if truthful(t, f.BMC(0), prepare(t, e, at(f.Addr(0))), 2) == 0 {
				t.Error("no reading succeeded")
			}
		},
		sim.Lossy: func(t *testing.T, e *Engine, f *sim.Fleet) {
			if truthful(t, f.BMC(0), prepare(t, e, at(f.Addr(0))), 4) == 0 {
				t.Error("no reading succeeded")
			}
		},
		sim.Duplicate: func(t *testing.T, e *Engine, f *sim.Fleet) {
			if n := truthful(t, f.BMC(0), prepare(t, e, at(f.Addr(0))), 30); n != 30 {
				t.Errorf("%d of 30 readings succeeded", n)
			}
			eventually(t, "duplicates are dropped", func() bool { d := e.Stats().Drops; return d["replay"]+d["late"] > 0 })
		},
		sim.Late: func(t *testing.T, e *Engine, f *sim.Fleet) {
			h := prepare(t, e, at(f.Addr(0)))
			good := 0
			for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
				good += truthful(t, f.BMC(0), h, 2)
			}
			if good == 0 {
				t.Error("no reading succeeded")
			}
			eventually(t, "late replies are dropped", func() bool { d := e.Stats().Drops; return d["replay"]+d["late"]+d["handshake"] > 0 })
		},
		sim.Reordered: func(t *testing.T, e *Engine, f *sim.Fleet) {
			if n := truthful(t, f.BMC(0), prepare(t, e, at(f.Addr(0))), 30); n < 25 {
				t.Errorf("%d of 30 readings succeeded", n)
			}
		},
		sim.Full: func(t *testing.T, e *Engine, f *sim.Fleet) {
			h := prepare(t, e, at(f.Addr(0)))
			for range 20 {
				if r := read(t, h); r.err == nil || !strings.Contains(r.err.Error(), "no free session slot") {
					t.Fatalf("a reading says %+v", r)
				}
			}
			if n := e.Stats().Handshakes; n != 1 {
				t.Errorf("%d handshakes with a full BMC within its back-off: wanted one", n)
			}
		},
		sim.Lockout: func(t *testing.T, e *Engine, f *sim.Fleet) {
			h := prepare(t, e, at(f.Addr(0), "ipmi_password", "wrong"))
			for range 20 {
				if r := read(t, h); r.err == nil {
					t.Fatal("the login succeeded with a wrong password")
				}
			}
			if n := f.Stats().AuthFailures; n > 1 {
				t.Errorf("the BMC counted %d bad logins: wanted one, the third locks it", n)
			}
			if r := read(t, prepare(t, e, at(f.Addr(0)))); r.err != nil {
				t.Errorf("the right password: %v", r.err)
			}
		},
		sim.Padding: func(t *testing.T, e *Engine, f *sim.Fleet) {
			if r := read(t, prepare(t, e, at(f.Addr(0)))); r.err == nil || !strings.Contains(r.err.Error(), "malformed") {
				t.Errorf("without the quirk: %+v", r)
			}
			if n := truthful(t, f.BMC(0), prepare(t, e, at(f.Addr(0), "ipmi_quirks", "padding")), 10); n != 10 {
				t.Errorf("%d of 10 readings succeeded with the quirk", n)
			}
		},
		sim.Garbage: func(t *testing.T, e *Engine, f *sim.Fleet) {
			if truthful(t, f.BMC(0), prepare(t, e, at(f.Addr(0))), 5) == 0 {
				t.Error("no reading succeeded")
			}
		},
		sim.Truncated: func(t *testing.T, e *Engine, f *sim.Fleet) {
			if truthful(t, f.BMC(0), prepare(t, e, at(f.Addr(0))), 5) == 0 {
				t.Error("no reading succeeded")
			}
		},
		sim.SoftOffLag: func(t *testing.T, e *Engine, f *sim.Fleet) {
			d, n := e.Driver(), at(f.Addr(0))
			f.BMC(0).SetPower(true)
			if err := d.Power.SetPower(t.Context(), n, bmc.SoftOff, bmctest.Permit{}); err != nil {
				t.Fatal(err)
			}
			if s, err := d.Power.PowerState(t.Context(), n); err != nil || s != node.PowerOn {
				t.Errorf("right after soft off: %s, %v: wanted on, as the BMC says", s, err)
			}
			eventually(t, "the machine is off", func() bool {
				s, err := d.Power.PowerState(t.Context(), n)
				return err == nil && s == node.PowerOff
			})
		},
		sim.Supermicro20: func(t *testing.T, e *Engine, f *sim.Fleet) {
			if n := truthful(t, f.BMC(0), prepare(t, e, at(f.Addr(0))), 10); n != 10 {
				t.Errorf("%d of 10 readings succeeded", n)
			}
		},
		sim.Sun20:   quirky("sun20"),
		sim.Intel20: quirky("intel20"),
		sim.ForgetsBoot: func(t *testing.T, e *Engine, f *sim.Fleet) {
			d, n := e.Driver(), at(f.Addr(0), "ipmi_force_boot_device", true)
			plan, err := BootPlan(n, "pxe", true, quick())
			if err != nil {
				t.Fatal(err)
			}
			n.DriverInternalInfo = plan.Internal
			if err := d.Power.SetPower(t.Context(), n, bmc.On, bmctest.Permit{}); err != nil {
				t.Fatal(err)
			}
			var order []byte
			for _, c := range f.BMC(0).Commands() {
				if c.NetFn == netChassis && (c.Cmd == cmdChassisControl || c.Cmd == cmdSetBootOptions && c.Data[0]&0x7f == 5) {
					order = append(order, c.Cmd)
				}
			}
			if string(order) != string([]byte{cmdSetBootOptions, cmdChassisControl}) {
				t.Errorf("commands %v: wanted the boot device to be set right before power on", order)
			}
		},
	} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			cfg := quick()
			if fault == sim.Slow {
				cfg.Timeouts = Defaults().Timeouts
			}
			f, e := fleet(t, func(c *sim.Config) { c.BMCs, c.Seed = 2, 7 }), engine(t, cfg)
			if err := f.BMC(0).SetFault(fault); err != nil {
				t.Fatal(err)
			}
			check(t, e, f)
			if n := truthful(t, f.BMC(1), prepare(t, e, at(f.Addr(1))), 5); n != 5 {
				t.Errorf("%d of 5 readings of the healthy BMC beside it succeeded", n)
			}
		})
	}
	if n := len(sim.Faults()); n != 15 {
		t.Errorf("the simulator has %d faults: this test knows 15", n)
	}
}

// quirky is the check of a BMC that opens a session with the quirk alone. It counts one login without it.
func quirky(name string) func(t *testing.T, e *Engine, f *sim.Fleet) {
	return func(t *testing.T, e *Engine, f *sim.Fleet) {
		h := prepare(t, e, at(f.Addr(0)))
		for range 5 {
			if r := read(t, h); r.err == nil || !strings.Contains(r.err.Error(), "refused the login") {
				t.Errorf("without the quirk: %+v", r)
			}
		}
		if n := f.Stats().AuthFailures; n > 1 {
			t.Errorf("the BMC counted %d bad logins: wanted one at most", n)
		}
		if n := truthful(t, f.BMC(0), prepare(t, e, at(f.Addr(0), "ipmi_quirks", name)), 10); n != 10 {
			t.Errorf("%d of 10 readings succeeded with the quirk", n)
		}
	}
}

// A fleet of all personalities at once, from a seed, does not keep the healthy from being read.
func TestAllPersonalitiesAtOnce(t *testing.T) {
	shares := map[sim.Fault]float64{}
	for _, x := range sim.Faults() {
		shares[x] = 0.03
	}
	f, e := fleet(t, func(c *sim.Config) { c.BMCs, c.Seed, c.Faults, c.Dead = 100, 7, shares, 0.05 }), engine(t, quick())
	c := sweep(t, handles(t, e, f))
	if n := c.off.Load(); n < 60 || c.on.Load() != 0 {
		t.Errorf("%d BMCs answered that they are off, %d that they are on: wanted most, and none", n, c.on.Load())
	}
}

// The portable socket, that systems without batches have, does the same.
func TestPortableSocket(t *testing.T) {
	cfg := quick()
	cfg.Portable = true
	bmctest.Run(t, func(t *testing.T) bmctest.Harness {
		f, e := fleet(t, nil), engine(t, cfg)
		b := f.BMC(0)
		return bmctest.Harness{
			Driver: e.Driver(), Node: at(f.Addr(0)), Bad: at(f.Addr(0), "ipmi_priv_level", "administrator"), On: b.Power, SetOn: b.SetPower,
			Mutations: func() int { return mutations(b) }, Silence: func() { b.SetDead(true) },
		}
	})
	cfg.Timeouts = patient().Timeouts
	f, e := fleet(t, func(c *sim.Config) { c.BMCs = 300 }), engine(t, cfg)
	if _, ok := e.four[0].sock.(*portable); !ok {
		t.Fatalf("the socket is a %T", e.four[0].sock)
	}
	hs := handles(t, e, f)
	for range 3 {
		if c := sweep(t, hs); c.off.Load() != 300 {
			t.Errorf("%d of 300 BMCs answered", c.off.Load())
		}
	}
	if s := e.Stats(); s.Sessions != 300 || s.Handshakes != 300 {
		t.Errorf("%d sessions after %d handshakes: wanted 300", s.Sessions, s.Handshakes)
	}
}

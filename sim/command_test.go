// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"bytes"
	"math/rand"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ferrite/internal/udpbatch"
)

func TestChassisControl(t *testing.T) {
	for _, tt := range []struct {
		name         string
		before       bool
		data         []byte
		refuse, want bool
		cc           byte
	}{
		{name: "on", data: []byte{1}, want: true},
		{name: "on when on", before: true, data: []byte{1}, want: true},
		{name: "off", before: true, data: []byte{0}},
		{name: "off when off", data: []byte{0}},
		{name: "cycle", before: true, data: []byte{2}, want: true},
		{name: "cycle when off", data: []byte{2}, cc: 0xd5},
		{name: "reset", before: true, data: []byte{3}, want: true},
		{name: "reset when off", data: []byte{3}, cc: 0xd5},
		{name: "nmi", before: true, data: []byte{4}, want: true},
		{name: "soft off", before: true, data: []byte{5}},
		{name: "unknown", data: []byte{9}, cc: 0xcc},
		{name: "no data", cc: 0xc7},
		{name: "too much data", data: []byte{1, 1}, cc: 0xc7},
		{name: "refused on", data: []byte{1}, refuse: true, cc: 0xd6},
		{name: "refused off", before: true, data: []byte{0}, refuse: true, want: true, cc: 0xd6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newConsole(t, fleet(t, nil), 0, 17).login().admin()
			b := c.f.BMC(0)
			b.SetPower(tt.before)
			b.SetRefusePower(tt.refuse)
			c.want(tt.cc, 0, 2, tt.data...)
			if d := c.want(0, 0, 1); b.Power() != tt.want || d[0]&1 == 1 != tt.want || len(d) < 3 {
				t.Errorf("power %v, status % x: wanted %v", b.Power(), d, tt.want)
			}
			cmds := b.Commands()
			last := cmds[len(cmds)-1]
			if last.NetFn != 0 || last.Cmd != 2 || last.Completion != tt.cc || !bytes.Equal(last.Data, tt.data) || last.Session != c.bmc || last.Source != c.peer {
				t.Errorf("logged %+v", last)
			}
			if !strings.HasPrefix(last.Name, "chassis control") {
				t.Errorf("logged as %q", last.Name)
			}
		})
	}
}

func TestPrivileges(t *testing.T) {
	c := newConsole(t, fleet(t, nil), 0, 17).login()
	c.want(0, 0, 1) // a session starts as user: it may look
	for _, cmd := range [][]byte{{2, 1}, {8, 5, 0x80, 4, 0, 0, 0}, {4}} {
		c.want(0xd4, 0, cmd[0], cmd[1:]...)
	}
	c.want(0xd4, 6, 2)
	c.want(0, 6, 0x3b, 3)
	c.want(0, 0, 2, 1)
	c.want(0, 0, 8, 5, 0x80, 4, 0, 0, 0)
	c.want(0xd4, 6, 2) // cold reset is the administrator's
	c.admin().want(0, 6, 3)
	c.want(0x81, 6, 0x3b, 5) // OEM privileges are not ours

	o := newConsole(t, c.f, 1, 17)
	o.role = 3
	o.login().want(0x81, 6, 0x3b, 4)
	o.want(0, 6, 0x3b, 3)
	o.want(0, 0, 2, 1)
}

func TestQuestions(t *testing.T) {
	c := newConsole(t, fleet(t, nil), 3, 3).login()
	if d := c.want(0, 6, 1); len(d) < 11 || d[4] != 2 || int(d[6])|int(d[7])<<8 != 343 {
		t.Errorf("device id % x: wanted IPMI 2.0 and Intel's number 343", d)
	}
	g := c.want(0, 6, 8)
	if !bytes.Equal(g, c.guid) || !bytes.Equal(g, c.want(0, 6, 0x37)) {
		t.Errorf("device GUID % x and the handshake's % x differ", g, c.guid)
	}
	if d := c.want(0, 6, 4); d[0] != 0x55 {
		t.Errorf("self test % x", d)
	}
	if d := c.want(0, 6, 0x3d, 0); len(d) < 6 || d[1] != 4 || d[2] != 1 || d[4] != 2 {
		t.Errorf("session info % x: wanted 4 possible, 1 active, user", d)
	}
	c.want(0, 6, 0x38, 0x8e, 4)
	c.want(0, 6, 0x54, 0x0e, 0, 0x80)
	if d := c.want(0, 0xa, 0x20); len(d) != 14 || d[0] != 0x51 {
		t.Errorf("SDR repository info % x", d)
	}
	if d := c.want(0, 0xa, 0x40); len(d) != 14 || d[0] != 0x51 || d[1]|d[2] != 0 {
		t.Errorf("SEL info % x", d)
	}
	c.want(0xc1, 6, 0x99)
	c.want(0xc1, 0x2c, 1, 2, 3)
	if n := c.f.BMC(3).Polls(); n != 0 {
		t.Errorf("%d polls without a Get Chassis Status", n)
	}
}

func TestBootOptions(t *testing.T) {
	const (
		once, always = 0xa0, 0xe0
		pxe, disk    = 0x04, 0x08
	)
	start := func(t *testing.T) (*console, *BMC) {
		c := newConsole(t, fleet(t, nil), 0, 17).login().admin()
		return c, c.f.BMC(0)
	}
	boots := func(t *testing.T, b *BMC, device string, persistent bool) {
		t.Helper()
		if d, p := b.BootDevice(); d != device || p != persistent {
			t.Errorf("boots from %q persistent %v, wanted %q %v", d, p, device, persistent)
		}
	}
	t.Run("set and get", func(t *testing.T) {
		c, b := start(t)
		c.want(0, 0, 8, 5, always, pxe, 0, 0, 0)
		if d := c.want(0, 0, 9, 5, 0, 0); !bytes.Equal(d, []byte{1, 5, always, pxe, 0, 0, 0}) {
			t.Errorf("flags % x", d)
		}
		boots(t, b, "pxe", true)
		c.want(0, 0, 8, 0, 1)
		if d := c.want(0, 0, 9, 0, 0, 0); !bytes.Equal(d, []byte{1, 0, 1}) {
			t.Errorf("set in progress % x", d)
		}
		c.want(0, 0, 8, 3, 8)
		if d := c.want(0, 0, 9, 3, 0, 0); !bytes.Equal(d, []byte{1, 3, 8}) {
			t.Errorf("valid bit clearing % x", d)
		}
		c.want(0, 0, 8, 4, 1, 1)
		if d := c.want(0, 0, 9, 4, 0, 0); len(d) != 4 {
			t.Errorf("acknowledge % x", d)
		}
		c.want(0x80, 0, 8, 99, 1)
		c.want(0x80, 0, 9, 99, 0, 0)
		c.want(0xc7, 0, 8, 5, 1)
		c.want(0xc7, 0, 8)
		c.want(0xc7, 0, 9, 5)
		boots(t, b, "pxe", true)
	})
	t.Run("once is used up by the next boot", func(t *testing.T) {
		for name, boot := range map[string]struct {
			on   bool
			data byte
		}{"on": {false, 1}, "cycle": {true, 2}, "reset": {true, 3}} {
			c, b := start(t)
			b.SetPower(boot.on)
			c.want(0, 0, 8, 3, 8)
			c.want(0, 0, 8, 5, once, pxe, 0, 0, 0)
			boots(t, b, "pxe", false)
			c.want(0, 0, 2, boot.data)
			if d, _ := b.BootDevice(); d != "" {
				t.Errorf("%s left boot device %q", name, d)
			}
			if d := c.want(0, 0, 9, 5, 0, 0); d[2]&0x80 != 0 {
				t.Errorf("%s left flags % x", name, d)
			}
		}
	})
	t.Run("what does not boot uses nothing up", func(t *testing.T) {
		c, b := start(t)
		b.SetPower(true)
		c.want(0, 0, 8, 5, once, disk, 0, 0, 0)
		for _, d := range []byte{1, 4, 0} {
			c.want(0, 0, 2, d)
		}
		boots(t, b, "disk", false)
	})
	t.Run("persistent stays", func(t *testing.T) {
		c, b := start(t)
		c.want(0, 0, 8, 3, 8)
		c.want(0, 0, 8, 5, always, disk, 0, 0, 0)
		c.want(0, 0, 2, 1)
		c.want(0, 0, 2, 2)
		boots(t, b, "disk", true)
	})
	t.Run("flags last 60 s", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, b := start(t)
			c.want(0, 0, 8, 5, once, pxe, 0, 0, 0)
			time.Sleep(59 * time.Second)
			boots(t, b, "pxe", false)
			time.Sleep(2 * time.Second)
			boots(t, b, "", false)
		})
	})
	t.Run("parameter 3 keeps them", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, b := start(t)
			c.want(0, 0, 8, 3, 8)
			c.want(0, 0, 8, 5, once, pxe, 0, 0, 0)
			time.Sleep(time.Hour)
			boots(t, b, "pxe", false)
		})
	})
}

func TestLogIsBounded(t *testing.T) {
	c := newConsole(t, fleet(t, nil), 0, 17).login().admin()
	b := c.f.BMC(0)
	for i := range 100 {
		c.want(0, 0, 2, byte(i&1))
		c.want(0, 0, 1)
	}
	cmds := b.Commands()
	if len(cmds) != 64 || b.Polls() != 100 {
		t.Fatalf("%d commands and %d polls, wanted the last 64 and 100", len(cmds), b.Polls())
	}
	for i, cmd := range cmds {
		if want := []string{"chassis control: power off", "chassis control: power on"}[i&1]; cmd.Name != want || i > 0 && cmd.Time.Before(cmds[i-1].Time) {
			t.Fatalf("command %d is %q, wanted %q, in order", i, cmd.Name, want)
		}
	}
}

func TestDeadAndBack(t *testing.T) {
	c := newConsole(t, fleet(t, nil), 0, 17).login()
	b := c.f.BMC(0)
	b.SetDead(true)
	if c.exchange(c.seal(5, message(0, 1, 5))) != nil || c.exchange([]byte{6, 0, 0xff, 6, 0, 0, 0x11, 0xbe, 0x80, 9, 0, 0}) != nil {
		t.Error("a dead BMC answered")
	}
	b.SetDead(false)
	c.login().want(0, 0, 1)
}

// Replies wait in the order of their time, whatever the order they came in; a full batch leaves the rest for at once.
func TestDelays(t *testing.T) {
	f := fleet(t, func(c *Config) { c.Latency = 20 * time.Millisecond })
	c := newConsole(t, f, 1, 17)
	if c.exchange([]byte{6, 0, 0xff, 6, 0, 0, 0x11, 0xbe, 0x80, 1, 0, 0}) != nil {
		t.Fatal("answered at once with latency on")
	}
	f.BMC(1).SetLatency(5 * time.Millisecond)
	c.exchange([]byte{6, 0, 0xff, 6, 0, 0, 0x11, 0xbe, 0x80, 2, 0, 0})
	n, next := f.late.due(time.Now().Add(-time.Second), c.out)
	if n != 0 || next <= 0 {
		t.Errorf("%d replies due before their time, next in %v", n, next)
	}
	later := time.Now().Add(time.Second)
	for _, tag := range []byte{2, 1} {
		n, next := f.late.due(later, c.out)
		if m := &c.out.Msgs[0]; n != 1 || m.Data()[9] != tag || m.Peer != c.peer || m.Local != c.to {
			t.Errorf("%d replies, tag %d to %v from %v, wanted tag %d", n, m.Data()[9], m.Peer, m.Local, tag)
		}
		if more := tag == 2; more != (next == 0) {
			t.Errorf("after tag %d the next is due in %v", tag, next)
		}
	}
}

func TestDelaysKeepOrder(t *testing.T) {
	var d delays
	d.wake = make(chan struct{}, 1)
	b, now := udpbatch.NewBatch(16), time.Now()
	r := rand.New(rand.NewSource(5))
	for round := range 3 { // later rounds use the buffers of earlier ones
		for _, i := range r.Perm(100) {
			b.Msgs[0].Set(netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddr("127.1.0.1"), []byte{byte(i)})
			d.add(now.Add(time.Duration(i)*time.Millisecond), &b.Msgs[0])
		}
		var got []byte
		for len(got) < 100 {
			n, _ := d.due(now.Add(time.Second), b)
			if n == 0 {
				t.Fatalf("round %d: only %d came out", round, len(got))
			}
			for i := range n {
				got = append(got, b.Msgs[i].Data()[0])
			}
		}
		if !slices.IsSorted(got) {
			t.Fatalf("round %d: %v", round, got)
		}
	}
	if n, next := d.due(now.Add(time.Hour), b); n != 0 || next != time.Hour || len(d.free) != 100 {
		t.Errorf("%d replies left, next in %v, %d buffers: wanted none and 100 buffers", n, next, len(d.free))
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"ferrite/internal/udpbatch"
)

func TestFaultsAreFixedByTheSeed(t *testing.T) {
	which := func(seed int64) (out []Fault) {
		f, err := New(Config{BMCs: 100, Listen: "0.0.0.0:0", AddressBase: Defaults().AddressBase, Seed: seed, Faults: map[Fault]float64{Slow: 0.1, Garbage: 0.05}})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		count := map[Fault]int{}
		for i := range f.Len() {
			out = append(out, f.BMC(i).fault)
			count[f.BMC(i).fault]++
		}
		if count[Slow] != 10 || count[Garbage] != 5 || count[""] != 85 {
			t.Errorf("faults %v, wanted 10 slow and 5 garbage", count)
		}
		return out
	}
	a, b, c := which(1), which(1), which(2)
	same, other := true, true
	for i := range a {
		same, other = same && a[i] == b[i], other && a[i] == c[i]
	}
	if !same || other {
		t.Errorf("equal with the same seed: %v, with another one: %v", same, other)
	}
}

func TestBadFaults(t *testing.T) {
	for _, row := range []struct {
		faults map[Fault]float64
		want   string
	}{
		{map[Fault]float64{"slwo": 0.1}, "wanted one of slow, lossy"},
		{map[Fault]float64{Slow: 1.1}, "wanted 0 to 1"},
		{map[Fault]float64{Slow: 0.6, Late: 0.6}, "wanted 1 at most"},
		{map[Fault]float64{"": 0.1}, "has no fault"},
	} {
		c := Defaults()
		c.Faults = row.faults
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%v: %v, wanted %q", row.faults, err, row.want)
		}
	}
}

func TestLockout(t *testing.T) {
	f := fleet(t, nil)
	if err := f.BMC(1).SetFault(Lockout); err != nil {
		t.Fatal(err)
	}
	try := func(password string) byte {
		c := newConsole(t, f, 1, 17)
		c.password = password
		if s := c.open(); s != 0 {
			return s
		}
		if s := c.rakp1(); s != 0 {
			return s
		}
		return c.rakp3()
	}
	good := Defaults().Password
	for i, row := range []struct {
		password string
		want     byte
	}{{"wrong", 0x0f}, {"wrong", 0x0f}, {good, 0}, {"wrong", 0x0f}, {"wrong", 0x0f}, {"wrong", 0x0f}, {good, 0x0d}} {
		if got := try(row.password); got != row.want {
			t.Errorf("login %d with %q: status %#x, wanted %#x", i, row.password, got, row.want)
		}
	}
	if err := f.BMC(1).SetFault(""); err != nil || try(good) != 0 {
		t.Error("a BMC that is healthy again refuses the login")
	}
	if err := f.BMC(1).SetFault("nonsense"); err == nil {
		t.Error("an unknown fault was taken")
	}
}

func TestFullTable(t *testing.T) {
	f := fleet(t, nil)
	_ = f.BMC(1).SetFault(Full)
	if s := newConsole(t, f, 1, 17).open(); s != 0x01 {
		t.Errorf("status %#x, wanted 0x01", s)
	}
}

func TestSoftOffLag(t *testing.T) {
	f := fleet(t, nil)
	_ = f.BMC(1).SetFault(SoftOffLag)
	f.BMC(1).SetPower(true)
	c := newConsole(t, f, 1, 17)
	c.login()
	c.want(0, 6, 0x3b, 4) // a session starts as user
	c.want(0, 0, 2, 5)    // soft off
	if d := c.want(0, 0, 1); d[0]&1 != 1 || f.BMC(1).Power() {
		t.Errorf("status %#x, machine on %v: wanted a machine that is off and a BMC that says on", d[0], f.BMC(1).Power())
	}
}

func TestForgetsBoot(t *testing.T) {
	f := fleet(t, nil)
	_ = f.BMC(1).SetFault(ForgetsBoot)
	c := newConsole(t, f, 1, 17)
	c.login()
	c.want(0, 6, 0x3b, 4) // a session starts as user
	c.want(0, 0, 8, 5, 0x80, 4, 0, 0, 0)
	if device, _ := f.BMC(1).BootDevice(); device != "" {
		t.Errorf("boot device %q, wanted none", device)
	}
}

// What a fault does to replies on their way out, from one seed: how many leave at once, are held back, lost, doubled or
// changed.
func TestFaultsOfReplies(t *testing.T) {
	const times = 400
	good := []byte("a reply of some bytes that a BMC sends")
	for fault, want := range map[Fault]struct {
		lost, held, more, changed [2]int // least and most
		least, most               time.Duration
	}{
		"":        {},
		Slow:      {held: [2]int{times, times}, least: time.Second, most: 3 * time.Second},
		Lossy:     {lost: [2]int{times / 5, times * 2 / 5}},
		Duplicate: {more: [2]int{times, times}},
		Late:      {more: [2]int{times, times}},
		Reordered: {held: [2]int{times / 3, times * 2 / 3}, most: 100 * time.Millisecond},
		Garbage:   {changed: [2]int{times / 3, times * 2 / 3}},
		Truncated: {changed: [2]int{times / 3, times * 2 / 3}},
	} {
		f, err := New(Config{BMCs: 1, Listen: "0.0.0.0:0", AddressBase: Defaults().AddressBase, Seed: 5})
		if err != nil {
			t.Fatal(err)
		}
		var lost, held, more, changed int
		begin := time.Now()
		for range times {
			out := &udpbatch.NewBatch(1).Msgs[0]
			out.Set(netip.MustParseAddrPort("127.0.0.1:9"), netip.MustParseAddr("127.0.0.2"), good)
			f.late.heap = nil
			delay, send := f.spoil(fault, out, 0)
			switch {
			case !send:
				lost++
				continue
			case delay > 0:
				held++
				if delay < want.least || delay > want.most {
					t.Errorf("%q holds a reply back for %s: wanted %s to %s", fault, delay, want.least, want.most)
				}
			}
			if !bytes.Equal(out.Data(), good) {
				changed++
			}
			for _, p := range f.late.heap {
				if more++; !bytes.Equal(p.data, good) || fault == Late && p.at.Before(begin.Add(2*time.Second)) {
					t.Errorf("%q sends %q once more at %s", fault, p.data, p.at)
				}
			}
		}
		f.Close()
		for _, x := range []struct {
			what string
			n    int
			want [2]int
		}{{"lost", lost, want.lost}, {"held back", held, want.held}, {"sent once more", more, want.more}, {"changed", changed, want.changed}} {
			if x.n < x.want[0] || x.n > x.want[1] {
				t.Errorf("%q: %d of %d replies are %s: wanted %d to %d", fault, x.n, times, x.what, x.want[0], x.want[1])
			}
		}
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"bytes"
	"fmt"
	"math/rand"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func TestWithoutSession(t *testing.T) {
	c := newConsole(t, fleet(t, nil), 2, 17)
	if r := c.exchange([]byte{6, 0, 0xff, 6, 0, 0, 0x11, 0xbe, 0x80, 9, 0, 0}); len(r) != 28 || r[8] != 0x40 || r[9] != 9 || r[20] != 0x81 {
		t.Errorf("presence pong % x: wanted message type 40h, the tag of the ping and IPMI supported", r)
	}
	old := func(m []byte) []byte { // the wrapper of IPMI 1.5
		r := c.exchange(append([]byte{6, 0, 0xff, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, byte(len(m))}, m...))
		if r == nil {
			return nil
		}
		if len(r) != 14+int(r[13]) {
			t.Fatalf("length of % x", r)
		}
		return bytes.Clone(r[14:])
	}
	plus := func(m []byte) []byte { return c.setup(0, m) }
	for name, send := range map[string]func([]byte) []byte{"1.5": old, "2.0": plus} {
		ask := func(cmd byte, data ...byte) (byte, []byte) {
			return c.parse(send(message(6, cmd, 5, data...)), 6, cmd, 5)
		}
		if cc, d := ask(0x38, 0x8e, 4); cc != 0 || len(d) != 8 || d[0] != 1 || d[1]&0x80 == 0 || d[2]&4 == 0 || d[3]&2 == 0 {
			t.Errorf("%s: channel authentication capabilities %#x % x: wanted channel 1, non-null users and IPMI 2.0", name, cc, d)
		}
		if cc, d := ask(0x54, 0x0e, 0, 0x80); cc != 0 || !bytes.Equal(d, []byte{1, 0xc0, 3, 1, 0x41, 0x81, 0xc0, 17, 3, 0x44, 0x81}) {
			t.Errorf("%s: cipher suites %#x % x: wanted 3 and 17", name, cc, d)
		}
		if cc, d := ask(0x54, 0x0e, 0, 0x81); cc != 0 || len(d) != 1 {
			t.Errorf("%s: second part of the cipher suites %#x % x: wanted none", name, cc, d)
		}
		if cc, d := ask(0x37); cc != 0 || len(d) != 16 {
			t.Errorf("%s: GUID %#x % x", name, cc, d)
		}
		if cc, _ := c.parse(send(message(0, 2, 5, 1)), 0, 2, 5); cc != 0xd4 {
			t.Errorf("%s: chassis control without a session: completion %#x, wanted 0xd4", name, cc)
		}
	}
	if b := c.f.BMC(2); b.Power() || len(b.Commands()) != 0 {
		t.Errorf("power %v, commands %v after questions without a session", b.Power(), b.Commands())
	}
}

func TestLogin(t *testing.T) {
	for _, tt := range []struct {
		name               string
		config             func(*Config)
		console            func(*console)
		open, rakp1, rakp3 byte
	}{
		{name: "suite 3", console: func(c *console) { c.suite = 3 }},
		{name: "suite 17"},
		{name: "name-only lookup", console: func(c *console) { c.role = 0x14 }},
		{name: "password of 16 bytes", config: password("0123456789abcdef"), console: func(c *console) { c.password = "0123456789abcdef" }},
		{name: "password of 20 bytes", config: password("0123456789abcdefghij"), console: func(c *console) { c.password = "0123456789abcdefghij" }},
		{name: "no user, no password", config: func(c *Config) { c.User, c.Password = "", "" }, console: func(c *console) { c.user, c.password = "", "" }},
		{name: "unknown user", console: func(c *console) { c.user = "nobody" }, rakp1: 0x0d},
		{name: "wrong password", console: func(c *console) { c.password = "Password" }, rakp3: 0x0f},
		{name: "impossible role", console: func(c *console) { c.role = 9 }, rakp1: 0x09},
		{name: "role above what was asked at open", console: func(c *console) { c.asked, c.role = 2, 4 }, rakp1: 0x0a},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := fleet(t, tt.config)
			c := newConsole(t, f, 1, 17)
			if tt.console != nil {
				tt.console(c)
			}
			for _, step := range []struct {
				name string
				send func() byte
				want byte
			}{{"open session", c.open, tt.open}, {"RAKP 1", c.rakp1, tt.rakp1}, {"RAKP 3", c.rakp3, tt.rakp3}} {
				got := step.send()
				if got != step.want {
					t.Fatalf("%s: status %#x, wanted %#x", step.name, got, step.want)
				}
				if got != 0 {
					if n := f.Sessions(); n != 0 {
						t.Errorf("%d sessions after a refused login", n)
					}
					return
				}
			}
			if d := c.want(0, 0, 1); d[0]&1 != 0 {
				t.Error("the machine is on at first")
			}
			if f.Sessions() != 1 || f.BMC(1).Sessions() != 1 {
				t.Errorf("%d sessions, wanted 1", f.Sessions())
			}
		})
	}
}

func password(p string) func(*Config) { return func(c *Config) { c.Password = p } }

func TestSuitesThatAreNotSpoken(t *testing.T) {
	c := newConsole(t, fleet(t, nil), 0, 17)
	for name, algorithms := range map[string][3]byte{"0": {0, 0, 0}, "1": {1, 0, 0}, "2": {1, 1, 0}, "8": {2, 2, 1}, "15": {3, 0, 0}, "16": {3, 4, 0}, "mixed": {3, 1, 1}} {
		p := c.openRequest()
		p[12], p[20], p[28] = algorithms[0], algorithms[1], algorithms[2]
		if r := c.setup(0x10, p); len(r) != 8 || r[1] != 0x11 {
			t.Errorf("suite %s: % x, wanted status 0x11", name, r)
		}
	}
	p := c.openRequest()
	for i := range p[8:] { // null algorithms: the BMC is to choose the best
		if i%8 == 3 {
			p[8+i] = 0
		}
	}
	if r := c.setup(0x10, p); len(r) != 36 || r[1] != 0 || r[16] != 3 || r[24] != 4 || r[32] != 1 {
		t.Errorf("null algorithms: % x, wanted suite 17", r)
	}
}

// A lost answer must cost a client nothing but time: sent again, each step of the handshake gives the same answer.
func TestHandshakeSentAgain(t *testing.T) {
	c := newConsole(t, fleet(t, nil), 0, 17)
	c.open()
	first := c.bmc
	if c.open(); c.bmc != first {
		t.Errorf("the second open made session %#x beside %#x", c.bmc, first)
	}
	c.rakp1()
	rm := c.rm
	if c.rakp1(); c.rm != rm {
		t.Error("RAKP 1 sent again changed the BMC's random number: RAKP 3 to the first answer would fail")
	}
	c.rakp3()
	c.admin()
	c.want(0, 0, 2, 1)
	if s := c.rakp3(); s != 0 {
		t.Errorf("RAKP 3 sent again: status %#x", s)
	}
	if d := c.want(0, 6, 0x3b, 0); d[0] != 4 {
		t.Errorf("RAKP 3 sent again put the privilege to %d", d[0])
	}
	good := c.password
	c.password = "guess"
	if s := c.rakp3(); s != 0x0f {
		t.Errorf("a forged RAKP 3: status %#x, wanted 0x0f", s)
	}
	c.password = good
	if s := c.rakp1(); s != 0x02 {
		t.Errorf("RAKP 1 to a live session: status %#x, wanted 0x02", s)
	}
	c.want(0, 0, 1) // none of that ended the session
}

func TestSessionSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fleet(t, nil)
		var cs []*console
		for i := range 4 {
			c := newConsole(t, f, 0, 17)
			c.id += uint32(i)
			cs = append(cs, c.login())
		}
		late := newConsole(t, f, 0, 17)
		late.id = 99
		if s := late.open(); s != 0x01 {
			t.Fatalf("fifth session: status %#x, wanted 0x01", s)
		}
		if n := f.Sessions(); n != 4 {
			t.Errorf("%d sessions, wanted 4", n)
		}
		time.Sleep(50 * time.Second)
		cs[0].want(0, 0, 1)
		time.Sleep(11 * time.Second) // the other three are silent for 61 s
		if n := f.Sessions(); n != 1 {
			t.Errorf("%d sessions after 61 s, wanted the one that was used", n)
		}
		if cs[1].exchange(cs[1].seal(1, message(0, 1, 1))) != nil {
			t.Error("a session answered after 61 s of silence")
		}
		cs[0].want(0, 0, 1)
		late.login()
		late.want(0, 6, 0x3c, u32(late.bmc)...)
		if late.exchange(late.seal(2, message(0, 1, 2))) != nil {
			t.Error("a closed session answered")
		}
		cs[0].want(0x87, 6, 0x3c, 1, 2, 3, 4)
		cs[0].want(0, 6, 0x3c, u32(cs[0].bmc)...)
		if n := f.Sessions(); n != 0 {
			t.Errorf("%d sessions at the end", n)
		}
		for i := range 9 { // handshakes that never end hold their slots for a while only
			c := newConsole(t, f, 0, 17)
			c.id = uint32(1000 + i)
			if s, want := c.open(), byte(i/4&1); s != want && i != 8 || i == 8 && s != 0 {
				t.Errorf("open %d: status %#x", i, s)
			}
			if i == 7 {
				time.Sleep(10 * time.Second)
			}
		}
	})
}

// What does not prove that it comes from the session's owner, or comes twice, gets no answer and does nothing.
func TestBadPackets(t *testing.T) {
	c := newConsole(t, fleet(t, nil), 0, 17).login().admin() // admin took sequence 1
	on := func() []byte { return message(0, 2, 3, 1) }
	good := c.seal(2, on())
	sealed := func(m []byte) []byte { // encrypted with a pad of the caller's
		iv := make([]byte, 16)
		for b := m; len(b) > 0; b = b[16:] {
			for i := range 16 {
				b[i] ^= iv[i]
			}
			c.aes.Encrypt(b[:16], b[:16])
			iv = b[:16]
		}
		return append(make([]byte, 16), m...)
	}
	badPad := append(on(), 1, 2, 3, 4, 5, 9, 7)
	for len(badPad)%16 != 0 {
		badPad = append(badPad, 7)
	}
	wrongSum := on()
	wrongSum[len(wrongSum)-1]++
	for name, p := range map[string][]byte{
		"flipped code":         flip(good, len(good)-1),
		"flipped payload":      flip(good, 40),
		"flipped sequence":     flip(good, 10),
		"flipped session":      flip(good, 6),
		"short":                good[:len(good)-1],
		"longer":               append(bytes.Clone(good), 0),
		"sequence 0":           c.seal(0, on()),
		"sequence seen":        c.seal(1, on()),
		"sequence too far":     c.seal(60, on()),
		"sequence far behind":  c.seal(1<<32-40, on()),
		"not encrypted":        c.sign(2, 0x40, on()),
		"empty payload":        c.sign(2, 0xc0, nil),
		"only an IV":           c.sign(2, 0xc0, make([]byte, 16)),
		"21 bytes":             c.sign(2, 0xc0, make([]byte, 21)),
		"bad pad":              c.sign(3, 0xc0, sealed(badPad)),
		"pad of 255":           c.sign(4, 0xc0, sealed(bytes.Repeat([]byte{0xff}, 16))),
		"bad message checksum": c.seal(5, wrongSum),
		"short message":        c.seal(6, []byte{0x20, 0, 0xe0}),
		"other payload type":   c.sign(7, 0xc1, sealed(make([]byte, 16))),
		"without code":         append(append([]byte{6, 0, 0xff, 7, 6, 0}, u32(c.bmc)...), append([]byte{2, 0, 0, 0, 8, 0}, on()...)...),
		"1.5 in a session":     append(append([]byte{6, 0, 0xff, 7, 0, 1, 0, 0, 0}, u32(c.bmc)...), append([]byte{8}, on()...)...),
	} {
		if r := c.exchange(p); r != nil {
			t.Errorf("%s: answered % x", name, r)
		}
	}
	if b := c.f.BMC(0); b.Power() || len(b.Commands()) != 1 {
		t.Errorf("power %v after bad packets, commands %+v", b.Power(), b.Commands())
	}
	c.seq = 9
	c.want(0, 0, 2, 1) // the session lives
	if n := c.f.Stats().AuthFailures; n < 3 {
		t.Errorf("%d authentication failures counted", n)
	}
}

func flip(p []byte, i int) []byte {
	p = bytes.Clone(p)
	p[i] ^= 0x40
	return p
}

func TestSequenceWindow(t *testing.T) {
	c := newConsole(t, fleet(t, nil), 0, 3).login()
	for _, step := range []struct {
		seq      uint32
		answered bool
	}{{1, true}, {1, false}, {17, true}, {2, true}, {2, false}, {1, false}, {16, true}, {33, true}, {17, false}, {18, true}, {16, false}, {50, false}, {49, true}} {
		if got := c.exchange(c.seal(step.seq, message(0, 1, byte(step.seq&0x3f)))) != nil; got != step.answered {
			t.Errorf("sequence %d: answered %v, wanted %v", step.seq, got, step.answered)
		}
	}
	if n := c.f.BMC(0).Polls(); n != 7 {
		t.Errorf("%d polls, wanted 7", n)
	}
}

// A client that heard nothing sends the same request under a new session sequence: it is answered, but done once.
func TestRetransmissionIsDoneOnce(t *testing.T) {
	c := newConsole(t, fleet(t, nil), 0, 17).login().admin()
	c.want(0, 0, 2, 1)
	send := func(seq uint32, rq byte, data ...byte) byte {
		cc, _ := c.parse(c.unseal(c.exchange(c.seal(seq, message(0, data[0], rq, data[1:]...)))), 0, data[0], rq)
		return cc
	}
	b := c.f.BMC(0)
	send(10, 7, 2, 0)
	b.SetPower(true)
	if cc := send(11, 7, 2, 0); cc != 0 || !b.Power() {
		t.Errorf("the repeated power off: completion %#x, on %v; wanted 0 and on", cc, b.Power())
	}
	if n := c.f.Stats().Repeats; n != 1 {
		t.Errorf("%d repeats counted, wanted 1", n)
	}
	if send(12, 8, 2, 0); b.Power() {
		t.Error("a new power off was taken for a repeated one")
	}
	send(13, 9, 8, 5, 0x80, 4, 0, 0, 0)
	if send(14, 9, 8, 5, 0x80, 8, 0, 0, 0); b.Power() {
		t.Error("on")
	}
	if d, _ := b.BootDevice(); d != "disk" {
		t.Errorf("boot device %s: a request with other data was taken for a repeated one", d)
	}
}

func TestOtherAddressesAreDropped(t *testing.T) {
	f := fleet(t, nil)
	c := newConsole(t, f, 0, 17)
	ping := []byte{6, 0, 0xff, 6, 0, 0, 0x11, 0xbe, 0x80, 9, 0, 0}
	for _, a := range []string{"10.0.0.1", "127.1.0.0", "127.1.0.5", "128.1.0.1", "0.0.0.0", "::1"} {
		c.to = netip.MustParseAddr(a)
		if c.exchange(ping) != nil {
			t.Errorf("%s answered: the BMCs are 127.1.0.1 to 127.1.0.4", a)
		}
	}
	c.to = netip.Addr{}
	if c.exchange(ping) != nil {
		t.Error("a datagram without destination was answered")
	}
	if n := f.Stats().Drops; n != 7 {
		t.Errorf("%d drops, wanted 7", n)
	}
}

func TestLossFollowsTheSeed(t *testing.T) {
	run := func(seed int64) string {
		c := newConsole(t, fleet(t, func(c *Config) { c.Loss, c.Seed = 0.3, seed }), 0, 17)
		s := ""
		for range 100 {
			if c.exchange([]byte{6, 0, 0xff, 6, 0, 0, 0x11, 0xbe, 0x80, 9, 0, 0}) == nil {
				s += "."
			} else {
				s += "x"
			}
		}
		return s
	}
	a, b := run(1), run(2)
	if a != run(1) || a == b {
		t.Errorf("loss is not the seed's: %s and %s", a, b)
	}
	if n := bytes.Count([]byte(a), []byte("x")); n < 30 || n > 70 { // 49 % come through both ways
		t.Errorf("%d of 100 came through with 30 %% loss each way", n)
	}
}

// Random damage to good packets behind the RMCP header, which no code covers: never a panic, never an executed command.
func TestDamagedPacketsDoNothing(t *testing.T) {
	r := rand.New(rand.NewSource(3))
	for _, suite := range []int{3, 17} {
		c := newConsole(t, fleet(t, nil), 0, suite).login().admin()
		seeds := [][]byte{
			c.seal(2, message(0, 2, 3, 1)),
			append([]byte{6, 0, 0xff, 7, 6, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0}, c.openRequest()...),
			append([]byte{6, 0, 0xff, 7, 6, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 33, 0}, c.rakp1Request()...),
			append([]byte{6, 0, 0xff, 7, 6, 0x14, 0, 0, 0, 0, 0, 0, 0, 0, byte(len(c.rakp3Request())), 0}, c.rakp3Request()...),
			append([]byte{6, 0, 0xff, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9}, message(6, 0x38, 1, 0x8e, 4)...),
		}
		for range 20000 {
			p := bytes.Clone(seeds[r.Intn(len(seeds))])
			for range 1 + r.Intn(3) {
				p[4+r.Intn(len(p)-4)] ^= byte(1 + r.Intn(255))
			}
			c.exchange(p[:len(p)-r.Intn(2)*r.Intn(len(p))])
		}
		if b := c.f.BMC(0); b.Power() || len(b.Commands()) != 1 {
			t.Errorf("suite %d: power %v, commands %v", suite, b.Power(), b.Commands())
		}
	}
}

func TestAddresses(t *testing.T) {
	f := fleet(t, func(c *Config) { c.BMCs = 50000 })
	port := f.Addr(0).Port()
	for i, want := range map[int]string{0: "127.1.0.1", 254: "127.1.0.255", 255: "127.1.1.0", 49999: "127.1.195.80"} {
		if got := f.Addr(i).String(); got != fmt.Sprintf("%s:%d", want, port) {
			t.Errorf("BMC %d is at %s, wanted %s", i, got, want)
		}
		if f.find(f.Addr(i).Addr()) != f.BMC(i) {
			t.Errorf("%s does not lead to BMC %d", want, i)
		}
	}
}

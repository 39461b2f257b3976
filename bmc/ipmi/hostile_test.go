// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"bytes"
	"crypto/aes"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"ferrite/bmc"
	"ferrite/bmc/bmctest"
	"ferrite/node"
	"ferrite/sim"
)

// hostile is a BMC that opens sessions as it should and answers commands as its script says. Its power is off, always.
type hostile struct {
	script   script
	shake    func(h *hostile, kind byte, payload []byte) []byte // changes its handshake messages, nil = as they should be
	su       *suite
	own      uint32 // its session id
	remote   uint32 // the engine's
	nonce    []byte // the engine's
	tail     []byte // role and user name
	s        *session
	controls int    // chassis control commands that came
	last     []byte // the last good answer, sealed
	rng      *rand.Rand
}

// script makes the packets that answer a command; the last one that is elsewhere comes from another port.
type script func(h *hostile, q seen) []forged

type forged struct {
	data      []byte
	elsewhere bool
}

func newHostile(s script) *hostile {
	return &hostile{script: s, rng: rand.New(rand.NewPCG(1, 2))} //nolint:gosec // repeatable
}

var hostileNonce, hostileGUID = bytes.Repeat([]byte{0xab}, 16), bytes.Repeat([]byte{0xcd}, 16)

// take is one packet to the BMC and its answers.
func (h *hostile) take(packet []byte) []forged {
	head, why := parse(bytes.Clone(packet))
	if why != accepted {
		return nil
	}
	p, key := head.payload, []byte("password")
	shake := func(kind byte, payload []byte) []forged {
		if h.shake != nil {
			payload = h.shake(h, kind, payload)
		}
		buf := make([]byte, headerSize+len(payload))
		return []forged{{data: buf[:plain(buf, kind, payload)]}}
	}
	switch {
	case head.id != 0:
		return h.command(packet)
	case head.kind == payloadOpenRequest:
		if h.su = suites[17]; p[12] == 1 {
			h.su = suites[3]
		}
		if remote := binary.LittleEndian.Uint32(p[4:]); remote != h.remote { // else it is the same request, sent again
			h.remote, h.own = remote, h.own+0x4711
		}
		h.s = nil
		out := append([]byte{p[0], 0, 4, 0}, le32(h.remote)...)
		out = append(out, le32(h.own)...)
		return shake(payloadOpenResponse, append(out, p[8:32]...))
	case head.kind == payloadRAKP1:
		h.nonce = bytes.Clone(p[8:24])
		h.tail = append([]byte{p[24]}, p[27:]...)
		mac := sum(h.su, key, le32(h.remote), le32(h.own), h.nonce, hostileNonce, hostileGUID, h.tail)
		out := append([]byte{p[0], 0, 0, 0}, le32(h.remote)...)
		return shake(payloadRAKP2, append(append(append(out, hostileNonce...), hostileGUID...), mac...))
	case head.kind == payloadRAKP3:
		k := sum(h.su, key, h.nonce, hostileNonce, h.tail)
		h.s = newSession(h.su, k, h.own, h.remote)
		out := append([]byte{p[0], 0, 0, 0}, le32(h.remote)...)
		return shake(payloadRAKP4, append(out, sum(h.su, k, h.nonce, le32(h.own), hostileGUID)[:h.su.icv]...))
	}
	return nil
}

func (h *hostile) command(packet []byte) []forged {
	packet = bytes.Clone(packet)
	head, _ := parse(packet)
	if h.s == nil || head.id != h.own {
		return nil
	}
	m, why := h.s.open(packet, head)
	if why != accepted {
		return nil
	}
	q := seen{netfn: m[1] >> 2, cmd: m[5], rqSeq: m[4] >> 2, seq: head.seq, data: m[6 : len(m)-1]}
	if q.cmd == cmdCloseSession || q.cmd == cmdSetPrivilege {
		return []forged{{data: seal(h.s, message(q, 0))}}
	}
	if q.netfn == netChassis && q.cmd == cmdChassisControl {
		h.controls++
	}
	return h.script(h, q)
}

// message is the answer to a command.
func message(q seen, code byte, data ...byte) []byte {
	m := []byte{consoleAddress, (q.netfn | 1) << 2, 0, bmcAddress, q.rqSeq << 2, q.cmd, code}
	m[2] = checksum(m[:2])
	m = append(m, data...)
	return append(m, checksum(m[3:]))
}

// seal encrypts and signs any message as it should be.
func seal(s *session, m []byte) []byte {
	buf := make([]byte, maxPacket)
	n := copy(buf[headerSize+aes.BlockSize:], m)
	return buf[:s.protect(buf, n, sik[:aes.BlockSize])]
}

// signed puts any payload as it is behind a header with these flags, with a right AuthCode.
func signed(s *session, flags byte, payload []byte) []byte {
	buf := make([]byte, maxPacket)
	s.out++
	putHeader(buf, flags, s.bmc, s.out, len(payload))
	return buf[:s.sign(buf, headerSize+copy(buf[headerSize:], payload))]
}

// lie and truth are the answers "on" and "off" to Get Chassis Status: whoever believes the lie fails the test.
func lie(q seen) []byte   { return message(q, 0, 0x01, 0, 0, 0) }
func truth(q seen) []byte { return message(q, 0, 0x00, 0, 0, 0) }

func each(packets ...[]byte) []forged {
	var out []forged
	for _, p := range packets {
		out = append(out, forged{data: p})
	}
	return out
}

// badPadding encrypts a message with a wrong confidentiality pad.
func badPadding(s *session, m []byte, pad func([]byte)) []byte { return frame(s, payloadIPMI, m, pad) }

// frame encrypts and signs a message as a payload of any type; pad fills what is behind it.
func frame(s *session, kind byte, m []byte, pad func([]byte)) []byte {
	text := append(bytes.Clone(m), make([]byte, aes.BlockSize-len(m)%aes.BlockSize)...)
	pad(text)
	prev := bytes.Clone(sik[:aes.BlockSize])
	out := bytes.Clone(prev)
	for off := 0; off < len(text); off += aes.BlockSize {
		x := make([]byte, aes.BlockSize)
		for i := range x {
			x[i] = text[off+i] ^ prev[i]
		}
		s.block.Encrypt(x, x)
		out, prev = append(out, x...), x
	}
	return signed(s, kind|flagEncrypted|flagAuthentic, out)
}

// forgeries are IPMI 1.5 replies outside a session, one for each rqSeq: one of them fits.
func forgeries(q seen) []forged {
	var out []forged
	for seq := range byte(64) {
		q.rqSeq = seq
		m := lie(q)
		out = append(out, forged{data: append([]byte{6, 0, 0xff, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, byte(len(m))}, m...)})
	}
	return out
}

// misdeeds are the scripts, the reasons that must be counted, and whether the right answer comes in the end.
var misdeeds = []struct {
	name   string
	script script
	why    []Reason
	right  bool
}{
	{"garbage", func(h *hostile, _ seen) (out []forged) {
		for range 50 {
			p := make([]byte, h.rng.IntN(200))
			for i := range p {
				p[i] = byte(h.rng.Uint32())
			}
			out = append(out, forged{data: p})
		}
		return out
	}, []Reason{dropShort, dropRMCP}, false},
	{"garbage in a right frame", func(h *hostile, q seen) (out []forged) {
		good := seal(h.s, lie(q))
		for range 50 {
			p := bytes.Clone(good)
			for i := range p[headerSize : headerSize+2*aes.BlockSize] {
				p[headerSize+i] = byte(h.rng.Uint32())
			}
			out = append(out, forged{data: p})
		}
		return out
	}, []Reason{dropAuth}, false},
	{"truncated", func(h *hostile, q seen) (out []forged) {
		good := seal(h.s, lie(q))
		for n := range good {
			out = append(out, forged{data: good[:n]})
		}
		return out
	}, []Reason{dropShort}, false},
	{"oversized", func(h *hostile, q seen) []forged {
		good := seal(h.s, lie(q))
		full := bytes.Clone(good)
		binary.LittleEndian.PutUint16(full[14:], 0xffff)
		return each(append(good, make([]byte, 1024)...), append(full, make([]byte, 60000)...), append(bytes.Clone(full), make([]byte, maxPacket-len(full))...))
	}, []Reason{dropLong}, false},
	{"encrypted flag on 0, 16 and 21 bytes", func(h *hostile, _ seen) (out []forged) {
		for _, n := range []int{0, 16, 21} {
			out = append(out, each(signed(h.s, flagEncrypted|flagAuthentic, make([]byte, n)))...)
		}
		return out
	}, []Reason{dropCipher}, false},
	{"encrypted flag on 0, 16 and 21 bytes, unsigned", func(h *hostile, _ seen) (out []forged) {
		for _, n := range []int{0, 16, 21} {
			for _, id := range []uint32{0, h.remote} {
				buf := make([]byte, headerSize+n)
				putHeader(buf, flagEncrypted, id, 1, n)
				out = append(out, forged{data: buf})
			}
		}
		return out
	}, []Reason{dropPlain, dropType}, false},
	{"bad padding", func(h *hostile, q seen) []forged {
		m := lie(q)
		return each(
			badPadding(h.s, m, func(b []byte) { b[len(b)-1] = 0xff }),
			badPadding(h.s, m, func(b []byte) { b[len(b)-1] = 16 }),
			badPadding(h.s, m, func(b []byte) { b[len(b)-1] = byte(len(b) - len(m) - 1) }), // right length, zeroes inside
		)
	}, []Reason{dropCipher}, false},
	{"not encrypted", func(h *hostile, q seen) []forged {
		bare := make([]byte, maxPacket)
		putHeader(bare, payloadIPMI, h.remote, 9, len(lie(q)))
		n := headerSize + copy(bare[headerSize:], lie(q))
		return each(signed(h.s, payloadIPMI|flagAuthentic, lie(q)), bare[:n])
	}, []Reason{dropPlain}, false},
	{"replies of another session", func(h *hostile, q seen) []forged {
		other := newSession(h.su, []byte("the keys of another session"), h.own, h.remote)
		stranger := newSession(h.su, sik, h.own, h.remote^0x7ff00000)
		other.out = h.s.out
		return each(seal(other, lie(q)), seal(stranger, lie(q)))
	}, []Reason{dropAuth, dropSession}, false},
	{"from another port", func(h *hostile, q seen) []forged {
		return []forged{{data: seal(h.s, lie(q)), elsewhere: true}}
	}, []Reason{dropSource}, false},
	{"forged IPMI 1.5", func(_ *hostile, q seen) []forged { return forgeries(q) }, []Reason{dropVersion}, false},
	{"RMCP+ outside of the session", func(_ *hostile, q seen) []forged {
		buf := make([]byte, maxPacket)
		return each(buf[:plain(buf, payloadIPMI, lie(q))])
	}, []Reason{dropType}, false},
	{"payloads nobody asked for", func(h *hostile, q seen) (out []forged) {
		for kind := byte(1); kind < 64; kind++ {
			m := lie(q)
			out = append(out, each(frame(h.s, kind, m, func(b []byte) {
				for i := range b[len(m):] {
					b[len(m)+i] = byte(i + 1)
				}
				b[len(b)-1] = byte(len(b) - len(m) - 1)
			}))...)
		}
		return out
	}, []Reason{dropType}, false},
	{"malformed messages", func(h *hostile, q seen) (out []forged) {
		good := lie(q)
		for n := range len(good) - 1 {
			out = append(out, each(seal(h.s, good[:n]))...)
		}
		for i := range good {
			bad := bytes.Clone(good)
			bad[i]++
			out = append(out, each(seal(h.s, bad))...)
		}
		return out
	}, []Reason{dropMessage}, false},
	{"answers to other commands", func(h *hostile, q seen) []forged {
		seq, cmd, fn := q, q, q
		seq.rqSeq = (q.rqSeq + 1) & 0x3f
		cmd.cmd, fn.netfn = q.cmd+1, q.netfn+2
		return each(seal(h.s, lie(seq)), seal(h.s, lie(cmd)), seal(h.s, lie(fn)))
	}, []Reason{dropLate}, false},
	{"handshake messages", func(h *hostile, _ seen) (out []forged) {
		for kind := byte(payloadOpenRequest); kind <= payloadRAKP4; kind++ {
			for _, status := range []byte{0, 1, 2, 0x0d} {
				buf := make([]byte, maxPacket)
				out = append(out, each(buf[:plain(buf, kind, append([]byte{1, status, 0, 0}, append(le32(h.remote), make([]byte, 80)...)...))])...)
			}
		}
		return out
	}, []Reason{dropHandshake, dropType}, false},
	{"late duplicates", func(h *hostile, q seen) []forged {
		before := q
		before.rqSeq = (q.rqSeq - 1) & 0x3f
		return each(h.last, seal(h.s, lie(before)), h.keep(seal(h.s, truth(q))), seal(h.s, lie(q)), seal(h.s, lie(q)))
	}, []Reason{dropReplay, dropLate}, true},
	{"a flood", func(h *hostile, q seen) (out []forged) {
		other := newSession(h.su, sik, h.own, h.remote)
		forged := forgeries(q)
		for range 8 {
			out = append(out, forged...)
			for range 64 {
				out = append(out, each(seal(other, lie(q)))...)
			}
		}
		return append(out, each(seal(h.s, truth(q)))...)
	}, []Reason{dropVersion, dropAuth}, true},
}

// keep remembers a packet for the next command and gives a copy.
func (h *hostile) keep(p []byte) []byte {
	h.last = bytes.Clone(p)
	return p
}

// 50 healthy BMCs and a hostile one in one shard, a poll a second for a minute, with a clock of its own: the healthy ones
// are read as often as they would be alone, and nobody believes the hostile one.
func TestHostileBMCSpoilsOnlyItself(t *testing.T) {
	for _, m := range misdeeds {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			alone, _, _ := sweeps(t, nil)
			beside, liar, b := sweeps(t, newHostile(m.script))
			for i := range alone {
				if alone[i] != beside[i] || alone[i] != rounds {
					t.Errorf("healthy BMC %d was read %d times, alone %d times: wanted %d", i, beside[i], alone[i], rounds)
				}
			}
			for _, why := range m.why {
				if b.drops(why) == 0 {
					t.Errorf("nothing was counted as %q: %v", why, counted(b))
				}
			}
			if b.sh.inflight != 0 {
				t.Errorf("%d in flight in the end: wanted none", b.sh.inflight)
			}
			liar.check(t, m.right)
		})
	}
}

const rounds, healthy = 60, 50

func counted(b *table) map[string]uint64 {
	out := map[string]uint64{}
	for r := range reasons {
		if n := b.drops(r); n > 0 {
			out[r.String()] = n
		}
	}
	return out
}

// A forged success is no success: a command to a hostile BMC ends as one that may have been executed.
func TestHostileBMCIsNotBelievedAnEffect(t *testing.T) {
	for _, m := range misdeeds {
		for _, a := range []bmc.Action{bmc.Off, bmc.Reset} {
			t.Run(string(a)+", "+m.name, func(t *testing.T) {
				b := onTable(t, nil)
				h, p := newHostile(m.script), b.peer(1)
				b.sh.forget(p.r)
				c := p.mutate(a, bmctest.Permit{})
				for range 600 {
					b.exchange(h, p.r)
					b.advance(1e8)
				}
				select {
				case o := <-c.done:
					if m.right != (o.err == nil) || m.right == o.unknown {
						t.Errorf("the outcome is %+v: wanted success %v, else an unknown one", o, m.right)
					}
				default:
					t.Error("the command never ended")
				}
				if want := 1; a == bmc.Reset && h.controls != want { // S12
					t.Errorf("chassis reset came %d times: wanted %d", h.controls, want)
				}
			})
		}
	}
}

// exchange lets a hostile BMC take and answer what was sent to it, until it has nothing more to say.
func (b *table) exchange(h *hostile, r *record) {
	for more := true; more; {
		sent := b.wire.sent
		b.wire.sent, more = nil, false
		for _, d := range sent {
			if d.to != r.addr {
				b.wire.sent = append(b.wire.sent, d)
				continue
			}
			for _, f := range h.take(d.data) {
				from := r.addr
				if f.elsewhere {
					from = netip.AddrPortFrom(from.Addr(), 9)
				}
				b.sh.packet(bytes.Clone(f.data[:min(len(f.data), maxPacket)]), from) // as much as the socket has room for
				more = true
			}
		}
		b.sh.pump()
	}
}

// sweeps polls healthy BMCs once a virtual second, with a hostile one unless h is nil, and counts the readings of each.
func sweeps(t *testing.T, h *hostile) (good []int, liar *verdict, b *table) {
	b = onTable(t, func(c *Config) { c.Window, c.Handshakes = healthy+1, 0 })
	peers := make([]*peer, healthy)
	for i := range peers {
		peers[i] = b.peer(byte(i + 1))
	}
	place := b.peer(200).r
	b.sh.forget(place)
	good, liar = make([]int, healthy), &verdict{}
	for range rounds {
		var sinks []*one
		for _, p := range peers {
			sinks = append(sinks, p.poll())
		}
		if h != nil && place.asking == nil && place.polls == nil {
			b.sh.request(&request{rec: place, sink: liar})
			b.sh.pump()
		}
		for range 10 { // of 100 ms
			for i, p := range peers {
				for _, q := range p.took() {
					p.deliver(p.answer(q, 0, byte(i&1)))
				}
			}
			if h != nil {
				b.exchange(h, place)
			}
			b.advance(1e8)
		}
		for i, s := range sinks {
			if want := [...]node.PowerState{node.PowerOff, node.PowerOn}[i&1]; s.n == 1 && s.state == want {
				good[i]++
			}
		}
	}
	b.advance(60e9) // what is still being tried comes to its end
	return good, liar, b
}

// verdict is a sink that remembers what it was told of the hostile BMC.
type verdict struct {
	mu             sync.Mutex
	on, off, other int
	errs           []error
	next           chan struct{} // gets one for each answer if it is not nil
}

func (v *verdict) PowerPolled(s node.PowerState, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case err != nil:
		v.errs = append(v.errs, err)
	case s == node.PowerOff:
		v.off++
	case s == node.PowerOn:
		v.on++
	default:
		v.other++
	}
	if v.next != nil {
		v.next <- struct{}{}
	}
}

// check wants errors of that node alone, or the truth alone.
func (v *verdict) check(t *testing.T, right bool) {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.on > 0 || v.other > 0:
		t.Errorf("a lie was believed: %d times on, %d times another state", v.on, v.other)
	case right && (v.off == 0 || len(v.errs) > 0):
		t.Errorf("the right answer came, but %d readings, errors %v", v.off, v.errs)
	case !right && (v.off > 0 || len(v.errs) == 0):
		t.Errorf("%d readings and %d errors: wanted errors alone", v.off, len(v.errs))
	}
	for _, err := range v.errs {
		var failed *bmc.Error
		if !asBMC(err, &failed) || failed.Auth || !strings.Contains(err.Error(), "not believed") {
			t.Errorf("the error is %v: wanted one that speaks of packets that were not believed", err)
		}
	}
}

// The same BMCs over real sockets.
func TestHostileBMCOverUDP(t *testing.T) {
	for _, m := range misdeeds {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			f := fleet(t, func(c *sim.Config) { c.BMCs = healthy })
			cfg := quick()
			cfg.Shards = 1 // all through one socket
			cfg.Timeouts = []time.Duration{100 * time.Millisecond, 300 * time.Millisecond, 600 * time.Millisecond}
			e := engine(t, cfg)
			liar := &verdict{next: make(chan struct{}, 1)}
			h := prepare(t, e, at(serve(t, newHostile(m.script))))
			all := handles(t, e, f)
			const times = 10
			h.Poll(liar)
			for n, late := 0, 0; n < times; n++ {
				if c := sweep(t, all); c.failed.Load() != 0 { // a busy machine may stand still for a second; a liar that harms others always does
					if late++; late > 2 {
						t.Fatalf("%d of %d healthy BMCs failed, in the third sweep of %d", c.failed.Load(), healthy, n+1)
					}
					n--
				}
				select {
				case <-liar.next:
					h.Poll(liar)
				default:
				}
			}
			<-liar.next
			for i := range healthy {
				if n := f.BMC(i).Polls(); n < times {
					t.Errorf("healthy BMC %d was read %d times: wanted %d", i, n, times)
				}
			}
			for _, why := range m.why {
				if e.Stats().Drops[why.String()] == 0 {
					t.Errorf("nothing was counted as %q: %v", why, e.Stats().Drops)
				}
			}
			liar.check(t, m.right)
		})
	}
}

// A BMC that sends without being asked, as fast as it can, delays nobody for good: what others lose by it is asked again.
func TestFloodOverUDP(t *testing.T) {
	const times, flood = 10, 100_000
	f := fleet(t, func(c *sim.Config) { c.BMCs = healthy })
	cfg := patient()
	cfg.Shards = 1
	e := engine(t, cfg)
	all := handles(t, e, f)
	sweep(t, all)
	l := listenUDP(t)
	liar := &verdict{}
	prepare(t, e, at(netip.MustParseAddrPort(l.LocalAddr().String()))).Poll(liar)
	_, to, err := l.ReadFromUDPAddrPort(make([]byte, 2048))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		packet := forgeries(seen{cmd: cmdChassisStatus})[1].data
		for range flood {
			_, _ = l.WriteToUDPAddrPort(packet, to)
		}
	}()
	for n := 0; n < times; {
		select {
		case <-done:
			n++ // the last ones without the flood
		default:
		}
		if c := sweep(t, all); c.failed.Load() != 0 {
			t.Fatalf("%d of %d healthy BMCs failed", c.failed.Load(), healthy)
		}
	}
	if n := e.Stats().Drops[dropVersion.String()]; n < flood/100 {
		t.Errorf("%d of %d packets of the flood were counted", n, flood)
	}
	t.Logf("%d readings beside %d packets, %d sent again", e.Stats().Polls, e.Stats().Drops[dropVersion.String()], e.Stats().Retransmits)
}

// serve puts a hostile BMC on a port.
func serve(t *testing.T, h *hostile) netip.AddrPort {
	t.Helper()
	l, other := listenUDP(t), listenUDP(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 2048)
		for {
			n, from, err := l.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			for _, f := range h.take(b[:n]) {
				c := l
				if f.elsewhere {
					c = other
				}
				_, _ = c.WriteToUDPAddrPort(f.data, from)
			}
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return netip.MustParseAddrPort(l.LocalAddr().String())
}

func listenUDP(t *testing.T) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"bytes"
	"context"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
	"unique"

	"ferrite/bmc"
	"ferrite/bmc/bmctest"
	"ferrite/node"
)

// wire is a transport that keeps what was sent.
type wire struct {
	buf  [maxPacket]byte
	sent []datagram
}

type datagram struct {
	to   netip.AddrPort
	data []byte
}

var _ transport = (*wire)(nil)

func (w *wire) receive() (int, error)               { return 0, nil }
func (w *wire) arm(time.Time)                       {}
func (w *wire) wait() (int, error)                  { return 0, nil }
func (w *wire) packet(int) ([]byte, netip.AddrPort) { return nil, netip.AddrPort{} }
func (w *wire) room() []byte                        { return w.buf[:] }
func (w *wire) push(n int, to netip.AddrPort) {
	w.sent = append(w.sent, datagram{to, bytes.Clone(w.buf[:n])})
}
func (w *wire) flush()        {}
func (w *wire) wake()         {}
func (w *wire) capacity() int { return 0 }
func (w *wire) close() error  { return nil }

// table is a shard on a table: no goroutine, no socket, and time moves when told to.
type table struct {
	t    *testing.T
	sh   *shard
	wire *wire
}

// sik is any session integrity key.
var sik = []byte("a session integrity key of 32 b.")

func onTable(t *testing.T, change func(*Config)) *table {
	cfg := quick()
	cfg.Timeouts = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}
	if change != nil {
		change(&cfg)
	}
	w := &wire{}
	b := &table{t: t, wire: w, sh: newShard(&cfg, w, cfg.Handshakes)}
	b.sh.now = int64(time.Hour) // as if it had run for a while
	b.sh.wheel.now = b.sh.now / int64(tick)
	t.Cleanup(func() {
		if n := b.sh.stats.panics.Load(); n > 0 && !t.Failed() && !meantToPanic[t.Name()] {
			t.Errorf("the shard panicked %d times", n)
		}
	})
	return b
}

// meantToPanic are the tests that make the shard panic.
var meantToPanic = map[string]bool{}

// advance lets time pass in small steps.
func (b *table) advance(d time.Duration) {
	for end := b.sh.now + int64(d); b.sh.now < end; {
		b.sh.now += int64(tick)
		b.sh.wheel.advance(b.sh.now, b.sh.fire)
		b.sh.pump()
	}
}

// peer is the BMC's side.
type peer struct {
	b *table
	r *record
	s *session // the BMC's: same keys, sends with the console's id
}

// peer makes a BMC with an open session.
func (b *table) peer(i byte) *peer {
	k := recordKey{netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, i}), 623), unique.Make(login{user: "admin", password: "password", priv: 4})}
	r := b.sh.recordLocked(k)
	r.users = 1
	p := &peer{b: b, r: r}
	p.open()
	return p
}

// open gives both sides a session.
func (p *peer) open() {
	own := p.b.sh.newID(p.r, 0)
	p.r.sess = newSession(suites[17], sik, own, 0x7700+p.r.slot)
	p.r.sess.priv, p.r.lastUse = privUser, p.b.sh.now
	p.b.sh.stats.sessions.Add(1)
	p.s = newSession(suites[17], sik, p.r.sess.bmc, own)
}

func (p *peer) poll() *one {
	s := &one{}
	p.b.sh.request(&request{rec: p.r, sink: s})
	p.b.sh.pump()
	return s
}

// one is a sink for one poll.
type one struct {
	n     int
	state node.PowerState
	err   error
}

func (o *one) PowerPolled(s node.PowerState, err error) { o.n++; o.state, o.err = s, err }

// request is a command as the BMC sees it.
type seen struct {
	netfn, cmd, rqSeq byte
	seq               uint32
	data              []byte
}

// took reads all commands of the session that were sent since the last call.
func (p *peer) took() []seen {
	p.b.t.Helper()
	var out []seen
	rest := p.b.wire.sent[:0]
	for _, d := range p.b.wire.sent {
		h, why := parse(d.data)
		if d.to != p.r.addr || why != accepted || h.id == 0 || h.id != p.s.own {
			rest = append(rest, d)
			continue
		}
		m, why := p.s.open(d.data, h)
		if why != accepted {
			p.b.t.Fatalf("the BMC cannot read a packet: %s", why)
		}
		out = append(out, seen{netfn: m[1] >> 2, cmd: m[5], rqSeq: m[4] >> 2, seq: h.seq, data: m[6 : len(m)-1]})
	}
	p.b.wire.sent = rest
	return out
}

// answer makes the reply packet to a command.
func (p *peer) answer(q seen, code byte, data ...byte) []byte {
	buf := make([]byte, maxPacket)
	m := buf[headerSize+16:]
	m[0], m[1] = consoleAddress, (q.netfn|1)<<2
	m[2] = checksum(m[:2])
	m[3], m[4], m[5], m[6] = bmcAddress, q.rqSeq<<2, q.cmd, code
	n := 7 + copy(m[7:], data)
	m[n] = checksum(m[3:n])
	return buf[:p.s.protect(buf, n+1, p.b.sh.iv())]
}

func (p *peer) deliver(packet []byte) {
	p.b.sh.packet(bytes.Clone(packet), p.r.addr) // it is decrypted in place
	p.b.sh.pump()
}

// only is the one command that was sent.
func (p *peer) only() seen {
	p.b.t.Helper()
	got := p.took()
	if len(got) != 1 {
		p.b.t.Fatalf("%d commands were sent (%+v): wanted one", len(got), got)
	}
	return got[0]
}

func (p *peer) mutate(a bmc.Action, permit bmc.Permit) *call {
	c := &call{
		step: step{netChassis, cmdChassisControl, []byte{controls[a].value}}, priv: privOperator, mutating: true,
		once: a.Class() == node.Once, permit: permit, done: make(chan outcome, 1),
	}
	p.b.sh.request(&request{rec: p.r, call: c})
	p.b.sh.pump()
	return c
}

func (b *table) drops(why Reason) uint64 { return b.sh.stats.drops[why].Load() }

// handshakes are the handshake messages of a kind that were sent, and the console session id of each.
func (b *table) handshakes(kind byte) (tags []byte, ids []uint32) {
	for _, d := range b.wire.sent {
		if h, why := parse(d.data); why == accepted && h.kind == kind {
			tags = append(tags, h.payload[0])
			ids = append(ids, binary.LittleEndian.Uint32(h.payload[4:]))
		}
	}
	return tags, ids
}

// refuse answers the handshake message that awaits its answer with a status.
func (b *table) refuse(r *record, kind, status byte) {
	p := []byte{r.hs.tag, status, 0, 0}
	p = binary.LittleEndian.AppendUint32(p, r.hs.own)
	buf := make([]byte, maxPacket)
	b.sh.packet(buf[:plain(buf, kind, p)], r.addr)
	b.sh.pump()
}

// mortal is a permit that can end.
type mortal struct{ bmctest.Permit }

func (m *mortal) OK(context.Context) error { return m.Refuse }
func (m *mortal) Live() bool               { return !m.Dead }

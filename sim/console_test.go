// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // IPMI cipher suite 3
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"net/netip"
	"testing"

	"ferrite/internal/udpbatch"
)

// fleet is a bound fleet that nobody serves: tests hand it datagrams one by one.
func fleet(t testing.TB, change func(*Config)) *Fleet {
	t.Helper()
	cfg := Defaults()
	cfg.BMCs, cfg.Listen = 4, "0.0.0.0:0"
	if change != nil {
		change(&cfg)
	}
	f, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// console is the remote side, written apart from the simulator's codec.
type console struct {
	t        testing.TB
	f        *Fleet
	to       netip.Addr
	peer     netip.AddrPort
	in, out  *udpbatch.Batch
	user     string
	password string
	suite    int
	role     byte // of RAKP 1: privilege level and the name-only bit
	asked    byte // privilege of Open Session

	id, bmc uint32
	rc, rm  [16]byte
	guid    []byte
	sik     []byte
	mac     hash.Hash
	aes     cipher.Block
	seq     uint32
	rq      byte
}

func newConsole(t testing.TB, f *Fleet, i, suite int) *console {
	return &console{
		t: t, f: f, to: f.Addr(i).Addr(), peer: netip.MustParseAddrPort("127.0.0.1:5000"), in: udpbatch.NewBatch(1), out: udpbatch.NewBatch(1),
		user: "admin", password: "password", suite: suite, role: 4, id: 0xc0de0001,
	}
}

// exchange hands over one datagram; the answer is nil when there is none.
func (c *console) exchange(p []byte) []byte {
	c.in.Msgs[0].Set(c.peer, c.to, p)
	if c.f.receive(&c.in.Msgs[0], &c.out.Msgs[0]) == 0 {
		return nil
	}
	if m := &c.out.Msgs[0]; m.Peer != c.peer || m.Local != c.to {
		c.t.Fatalf("answer from %v to %v: wanted from %v to %v", m.Local, m.Peer, c.to, c.peer)
	}
	return c.out.Msgs[0].Data()
}

func (c *console) hash() func() hash.Hash {
	if c.suite == 3 {
		return sha1.New
	}
	return sha256.New
}

func (c *console) codeLen() int { return map[int]int{3: 12, 17: 16}[c.suite] }

func (c *console) hmac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(c.hash(), key)
	h.Write(bytes.Join(parts, nil))
	return h.Sum(nil)
}

func u32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }

// setup sends one payload outside of a session and returns the answer's payload.
func (c *console) setup(typ byte, p []byte) []byte {
	c.t.Helper()
	pkt := append([]byte{6, 0, 0xff, 7, 6, typ, 0, 0, 0, 0, 0, 0, 0, 0}, byte(len(p)), byte(len(p)>>8))
	r := c.exchange(append(pkt, p...))
	if r == nil {
		return nil
	}
	if len(r) < 16 || !bytes.Equal(r[:5], pkt[:5]) || r[5] != typ+1 && typ != 0 || len(r) != 16+int(r[14])+int(r[15])<<8 {
		c.t.Fatalf("answer to payload %#x: % x", typ, r)
	}
	return bytes.Clone(r[16:])
}

func (c *console) openRequest() []byte {
	auth, integrity := byte(1), byte(1)
	if c.suite == 17 {
		auth, integrity = 3, 4
	}
	p := append([]byte{7, c.asked, 0, 0}, u32(c.id)...)
	return append(p, 0, 0, 0, 8, auth, 0, 0, 0, 1, 0, 0, 8, integrity, 0, 0, 0, 2, 0, 0, 8, 1, 0, 0, 0)
}

// open sends Open Session and returns the status.
func (c *console) open() byte {
	c.t.Helper()
	r := c.setup(0x10, c.openRequest())
	if len(r) < 8 || r[0] != 7 || !bytes.Equal(r[4:8], u32(c.id)) {
		c.t.Fatalf("open session response: % x", r)
	}
	if r[1] == 0 {
		c.bmc = binary.LittleEndian.Uint32(r[8:])
	}
	return r[1]
}

func (c *console) nameRole() []byte { return append([]byte{c.role, byte(len(c.user))}, c.user...) }

func (c *console) rakp1Request() []byte {
	p := append([]byte{8, 0, 0, 0}, u32(c.bmc)...)
	p = append(p, c.rc[:]...)
	return append(append(p, c.role, 0, 0, byte(len(c.user))), c.user...)
}

// rakp1 sends RAKP 1, checks RAKP 2 when the status is 0, and returns the status.
func (c *console) rakp1() byte {
	c.t.Helper()
	r := c.setup(0x12, c.rakp1Request())
	if len(r) < 8 || r[0] != 8 {
		c.t.Fatalf("RAKP 2: % x", r)
	}
	if r[1] != 0 {
		return r[1]
	}
	copy(c.rm[:], r[8:24])
	c.guid = r[24:40]
	want := c.hmac([]byte(c.password), u32(c.id), u32(c.bmc), c.rc[:], c.rm[:], c.guid, c.nameRole())
	if c.password == "password" && !hmac.Equal(want, r[40:]) {
		c.t.Fatalf("RAKP 2 code % x, wanted % x", r[40:], want)
	}
	return 0
}

func (c *console) rakp3Request() []byte {
	p := append([]byte{9, 0, 0, 0}, u32(c.bmc)...)
	return append(p, c.hmac([]byte(c.password), c.rm[:], u32(c.id), c.nameRole())...)
}

// rakp3 sends RAKP 3, checks RAKP 4 and takes the keys when the status is 0; it returns the status.
func (c *console) rakp3() byte {
	c.t.Helper()
	r := c.setup(0x14, c.rakp3Request())
	if len(r) < 8 || r[0] != 9 {
		c.t.Fatalf("RAKP 4: % x", r)
	}
	if r[1] != 0 {
		return r[1]
	}
	c.sik = c.hmac([]byte(c.password), c.rc[:], c.rm[:], c.nameRole())
	if want := c.hmac(c.sik, c.rc[:], u32(c.bmc), c.guid)[:c.codeLen()]; !hmac.Equal(want, r[8:]) {
		c.t.Fatalf("RAKP 4 code % x, wanted % x", r[8:], want)
	}
	c.mac = hmac.New(c.hash(), c.hmac(c.sik, bytes.Repeat([]byte{1}, 20)))
	c.aes, _ = aes.NewCipher(c.hmac(c.sik, bytes.Repeat([]byte{2}, 20))[:16])
	return 0
}

// login opens a session or ends the test.
func (c *console) login() *console {
	c.t.Helper()
	if s := [3]byte{c.open(), c.rakp1(), c.rakp3()}; s != [3]byte{} {
		c.t.Fatalf("login: status codes % x", s)
	}
	return c
}

func checksum(p []byte) (s byte) {
	for _, b := range p {
		s -= b
	}
	return s
}

func message(netfn, cmd, rq byte, data ...byte) []byte {
	m := []byte{0x20, netfn << 2, 0, 0x81, rq << 2, cmd}
	m[2] = checksum(m[:2])
	m = append(m, data...)
	return append(m, checksum(m[3:]))
}

// seal makes a session packet of a message.
func (c *console) seal(seq uint32, m []byte) []byte {
	pad := (16 - (len(m)+1)%16) % 16
	for i := range pad {
		m = append(m, byte(i+1))
	}
	m = append(m, byte(pad))
	iv := bytes.Repeat([]byte{0xa5}, 16)
	cipher.NewCBCEncrypter(c.aes, iv).CryptBlocks(m, m)
	return c.sign(seq, 0xc0, append(iv, m...))
}

// sign adds header, integrity pad and code.
func (c *console) sign(seq uint32, typ byte, payload []byte) []byte {
	p := append([]byte{6, 0, 0xff, 7, 6, typ}, u32(c.bmc)...)
	p = append(append(p, u32(seq)...), byte(len(payload)), byte(len(payload)>>8))
	p = append(p, payload...)
	fill := (4 - (len(p)-4+2)%4) % 4
	p = append(append(p, bytes.Repeat([]byte{0xff}, fill)...), byte(fill), 7)
	return append(p, c.code(p[4:])...)
}

func (c *console) code(p []byte) []byte {
	c.mac.Reset()
	c.mac.Write(p)
	return c.mac.Sum(nil)[:c.codeLen()]
}

// unseal checks a session answer and returns its message.
func (c *console) unseal(p []byte) []byte {
	c.t.Helper()
	n := c.codeLen()
	if len(p) < 16+n+2 || p[5] != 0xc0 || !bytes.Equal(p[6:10], u32(c.id)) || !hmac.Equal(p[len(p)-n:], c.code(p[4:len(p)-n])) || p[len(p)-n-1] != 7 {
		c.t.Fatalf("session answer: % x", p)
	}
	size := int(p[14]) + int(p[15])<<8
	if (len(p)-n-4)%4 != 0 || len(p)-n-2-int(p[len(p)-n-2]) != 16+size {
		c.t.Fatalf("integrity pad of % x", p)
	}
	m := bytes.Clone(p[32 : 16+size])
	cipher.NewCBCDecrypter(c.aes, p[16:32]).CryptBlocks(m, m)
	pad := int(m[len(m)-1])
	for i, b := range m[len(m)-1-pad : len(m)-1] {
		if b != byte(i+1) {
			c.t.Fatalf("confidentiality pad of % x", m)
		}
	}
	return m[:len(m)-1-pad]
}

// parse checks an answer message and returns completion code and data.
func (c *console) parse(m []byte, netfn, cmd, rq byte) (byte, []byte) {
	c.t.Helper()
	if len(m) < 8 || checksum(m[:3]) != 0 || checksum(m[3:]) != 0 || m[0] != 0x81 || m[1] != (netfn|1)<<2 || m[3] != 0x20 || m[4] != rq<<2 || m[5] != cmd {
		c.t.Fatalf("answer to %#x/%#x/%d: % x", netfn, cmd, rq, m)
	}
	return m[6], m[7 : len(m)-1]
}

// run executes a command in the session.
func (c *console) run(netfn, cmd byte, data ...byte) (byte, []byte) {
	c.t.Helper()
	c.seq, c.rq = c.seq+1, (c.rq+1)&0x3f
	r := c.exchange(c.seal(c.seq, message(netfn, cmd, c.rq, data...)))
	if r == nil {
		c.t.Fatalf("no answer to %#x/%#x", netfn, cmd)
	}
	return c.parse(c.unseal(r), netfn, cmd, c.rq)
}

// want executes a command and compares the completion code.
func (c *console) want(cc, netfn, cmd byte, data ...byte) []byte {
	c.t.Helper()
	got, d := c.run(netfn, cmd, data...)
	if got != cc {
		c.t.Fatalf("%#x/%#x % x: completion %#x, wanted %#x", netfn, cmd, data, got, cc)
	}
	return d
}

// admin raises the session to administrator.
func (c *console) admin() *console {
	c.t.Helper()
	c.want(0, 6, 0x3b, 4)
	return c
}

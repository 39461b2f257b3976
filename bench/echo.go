// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"net/netip"
	"os"
	"time"

	"ferrite/internal/udpbatch"
)

// The echo bench is the physical limit: as many UDP round trips as a power sweep makes, each sealed and opened with the
// crypto of cipher suite 17 (AES-CBC-128, HMAC-SHA256-128), with the same batching, and nothing else.

const (
	echoPacket  = 64 // bytes, as a Get Chassis Status request
	echoPayload = 16 // one AES block
	echoAuth    = 16
)

// EchoServer answers every datagram with itself until the connection is closed.
func EchoServer(listen string) (*udpbatch.Conn, error) {
	c, err := udpbatch.Listen(listen, udpbatch.Options{PktInfo: true, Buffer: 16 << 20})
	if err != nil {
		return nil, err
	}
	go func() {
		in, out := udpbatch.NewBatch(64), udpbatch.NewBatch(64)
		for {
			n, err := c.Recv(in)
			if err != nil {
				return
			}
			for i := range n {
				m := &in.Msgs[i]
				out.Msgs[i].Set(m.Peer, m.Local, m.Data())
			}
			_ = c.Send(out, n)
		}
	}()
	return c, nil
}

// sealer has one key for all: the cost does not depend on it.
type sealer struct {
	block cipher.Block
	mac   hash.Hash
	sum   [sha256.Size]byte
}

func newSealer() *sealer {
	b, _ := aes.NewCipher(make([]byte, 16)) // the size is right
	return &sealer{block: b, mac: hmac.New(sha256.New, make([]byte, 20))}
}

// seal builds a datagram in place: header, IV, one encrypted block, authentication code.
func (s *sealer) seal(buf []byte, id uint32) {
	p := buf[echoPacket-echoAuth-echoPayload : echoPacket-echoAuth]
	p[0], p[1], p[2], p[3] = byte(id>>24), byte(id>>16), byte(id>>8), byte(id)
	for i := range echoPayload { // CBC of one block: the IV stands before it
		p[i] ^= buf[16+i]
	}
	s.block.Encrypt(p, p)
	s.auth(buf[:echoPacket-echoAuth], buf[echoPacket-echoAuth:echoPacket])
}

func (s *sealer) auth(data, out []byte) {
	s.mac.Reset()
	s.mac.Write(data)
	copy(out, s.mac.Sum(s.sum[:0])[:echoAuth])
}

func (s *sealer) open(buf []byte) bool {
	if len(buf) != echoPacket {
		return false
	}
	var want [echoAuth]byte
	s.auth(buf[:echoPacket-echoAuth], want[:])
	p := buf[echoPacket-echoAuth-echoPayload : echoPacket-echoAuth]
	s.block.Decrypt(p, p)
	return hmac.Equal(want[:], buf[echoPacket-echoAuth:])
}

// echoPatience is how long the echo waits for answers before it calls them lost.
const echoPatience = 10 * time.Second

// echoRound makes one round trip with each of n addresses, window at a time, and returns how many came back. One goroutine
// sends and receives, as a shard of the engine does.
func echoRound(c *udpbatch.Conn, base netip.Addr, port uint16, n, window int) (int, error) {
	in, out, s := udpbatch.NewBatch(64), udpbatch.NewBatch(64), newSealer()
	a, sent, got := base, 0, 0
	for got < n {
		for sent < n && sent-got < window {
			k := 0
			for ; k < len(out.Msgs) && sent < n && sent-got < window; k++ {
				m := &out.Msgs[k]
				m.Peer = netip.AddrPortFrom(a, port)
				clear(m.Buf()[:echoPacket])
				s.seal(m.Buf(), uint32(sent)) //nolint:gosec // a number in the packet
				m.Len(echoPacket)
				a = a.Next()
				sent++
			}
			if err := c.Send(out, k); err != nil {
				return got, err
			}
		}
		c.SetReadDeadline(time.Now().Add(echoPatience))
		k, err := c.Recv(in)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return got, fmt.Errorf("echo: %d of %d answers were lost", n-got, n)
		}
		if err != nil {
			return got, err
		}
		for i := range k {
			if s.open(in.Msgs[i].Data()) {
				got++
			}
		}
	}
	return got, nil
}

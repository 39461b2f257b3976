// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"crypto/aes"
	crand "crypto/rand"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// shard is one socket and the one goroutine that owns it and every record on it (BMC.md section 7).
type shard struct {
	cfg    *Config
	log    *slog.Logger
	order  []*suite
	wanted atomic.Int32 // share of the rates: one in so many; see reshare
	spread int          // shards that a subnet's BMCs are on
	window int          // BMCs that may have something outstanding at once
	stats  counters
	start  time.Time // shard time 0
	stop   chan struct{}
	ended  chan struct{}

	// Owned by the goroutine.
	sock     transport
	now      int64 // nanoseconds of shard time
	wheel    wheel
	fire     func(*record)
	run      queue // records that want to begin
	urgent   queue // records that somebody waits for, and that wait for a handshake token
	shakes   queue // others that do
	logins   logins
	inflight int
	slots    []*record // by console session id; slot 0 is never used
	free     []uint32
	shaking  map[netip.AddrPort]*record // handshakes under way
	suspects suspects
	spare    *waiter
	rng      *rand.Rand
	random   [1024]byte // unused random bytes for IVs are at randomAt and after
	randomAt int
	work     []request
	at       *record // record that is being worked on, for rescue
	leaving  bool    // Close was called
	leaveBy  int64

	all     *bucket                    // of the whole shard
	probing map[netip.AddrPort]*record // probes under way
	quiet   int64                      // no session is opened for readings before

	mu       sync.Mutex // guards below
	nets     map[netip.Prefix]*bucket
	inbox    []request
	records  map[netip.AddrPort]*record // one of each BMC's; the others are its kin
	paced    map[netip.AddrPort]int64   // when the last mutating command to a BMC ended
	sleeping bool                       // the goroutine waits for packets: wake it
	closed   bool                       // the goroutine has ended or is about to
}

func newShard(cfg *Config, sock transport, rate float64) *shard {
	var seed [32]byte
	_, _ = crand.Read(seed[:]) // never fails
	sh := &shard{
		cfg: cfg, log: cfg.Logger, order: cfg.order(), logins: logins{rate: rate, share: 1}, spread: cfg.shards(), window: cfg.Window, start: time.Now(), sock: sock,
		stop: make(chan struct{}), ended: make(chan struct{}), slots: make([]*record, 1),
		rng: rand.New(rand.NewChaCha8(seed)), //nolint:gosec // spreads load
		all: newBucket(cfg.Rate/float64(cfg.shards()), 1), probing: map[netip.AddrPort]*record{}, nets: map[netip.Prefix]*bucket{},
		shaking: map[netip.AddrPort]*record{}, records: map[netip.AddrPort]*record{}, paced: map[netip.AddrPort]int64{},
	}
	if room := sock.capacity() / packetWeight; room > 0 { // more answers at once than fit would be lost
		sh.window = min(sh.window, max(room, batch))
	}
	sh.wanted.Store(1)
	sh.randomAt = len(sh.random)
	sh.fire = sh.expired
	return sh
}

func (sh *shard) clock() int64 { return int64(time.Since(sh.start)) }

// loop runs until Close. Each turn takes requests, fires timers, starts what may start, sends, and takes packets.
func (sh *shard) loop() {
	defer close(sh.ended)
	for {
		sh.now = sh.clock()
		sh.take()
		sh.wheel.advance(sh.now, sh.fire)
		sh.pump()
		sh.sock.flush()
		if sh.left() {
			return
		}
		n, err := sh.sock.receive()
		if n == 0 && err == nil {
			n, err = sh.sleep()
		}
		if err != nil {
			sh.stats.socketErrors.Add(1)
		}
		if n > 0 {
			sh.now = sh.clock()
			for i := range n {
				b, from := sh.sock.packet(i)
				sh.packet(b, from)
			}
		}
	}
}

// take handles what was asked since the last turn.
func (sh *shard) take() {
	sh.mu.Lock()
	sh.work, sh.inbox = sh.inbox, sh.work[:0]
	sh.mu.Unlock()
	for i := range sh.work {
		sh.request(&sh.work[i])
		sh.work[i] = request{}
	}
	if !sh.leaving {
		select {
		case <-sh.stop:
			sh.leave()
		default:
		}
	}
}

// sleep waits for packets, the next timer or a request.
func (sh *shard) sleep() (int, error) {
	var until time.Time
	next, ok := sh.wheel.next()
	if sh.shakes.head != nil || sh.urgent.head != nil {
		next, ok = min(sh.now+int64(tick), orMax(next, ok)), true
	}
	if sh.leaving {
		next, ok = min(sh.leaveBy, orMax(next, ok)), true
	}
	if ok {
		until = sh.start.Add(time.Duration(next))
	}
	sh.sock.arm(until) // before sleeping is set, so that a wake is not overwritten
	sh.mu.Lock()
	if len(sh.inbox) > 0 || sh.stopped() {
		sh.mu.Unlock()
		return 0, nil
	}
	sh.sleeping = true
	sh.mu.Unlock()
	n, err := sh.sock.wait()
	sh.mu.Lock()
	sh.sleeping = false
	sh.mu.Unlock()
	return n, err
}

// stopped reports whether Close was called, but not yet noticed.
func (sh *shard) stopped() bool {
	if sh.leaving {
		return false
	}
	select {
	case <-sh.stop:
		return true
	default:
		return false
	}
}

func orMax(v int64, ok bool) int64 {
	if ok {
		return v
	}
	return 1<<63 - 1
}

// rouseLocked unlocks mu and wakes the goroutine if it sleeps.
func (sh *shard) rouseLocked() {
	asleep := sh.sleeping
	sh.sleeping = false
	sh.mu.Unlock()
	if asleep {
		sh.sock.wake()
	}
}

// iv gives fresh random bytes for one packet.
func (sh *shard) iv() []byte {
	if sh.randomAt+aes.BlockSize > len(sh.random) {
		_, _ = crand.Read(sh.random[:]) // never fails
		sh.randomAt = 0
	}
	b := sh.random[sh.randomAt : sh.randomAt+aes.BlockSize]
	sh.randomAt += aes.BlockSize
	return b
}

// jittered is d +- 20 %.
func (sh *shard) jittered(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*sh.rng.Float64()))
}

// packetWeight is what a small datagram weighs in a receive buffer, in bytes, by the kernel's account.
const packetWeight = 1024

const (
	slotBits = 20
	slotMask = 1<<slotBits - 1
)

// newID makes a console session id: the record's slot, and random bits above it that differ from those before.
func (sh *shard) newID(r *record, before uint32) uint32 {
	if r.slot == 0 {
		if n := len(sh.free); n > 0 {
			r.slot = sh.free[0]
			sh.free = sh.free[1:]
			sh.slots[r.slot] = r
		} else {
			r.slot = uint32(len(sh.slots)) //nolint:gosec // memory ends before
			sh.slots = append(sh.slots, r)
		}
	}
	for {
		id := binary.LittleEndian.Uint32(sh.iv())&^slotMask | r.slot
		if id != before && (r.bye.session == nil || id != r.bye.own) {
			return id
		}
	}
}

// bySession finds the record that a console session id belongs to.
func (sh *shard) bySession(id uint32) *record {
	if i := id & slotMask; int(i) < len(sh.slots) {
		return sh.slots[i]
	}
	return nil
}

// rescue keeps a failure of ours to the record that it happened on.
func (sh *shard) rescue() {
	p := recover()
	if p == nil {
		return
	}
	sh.stats.panics.Add(1)
	r := sh.at
	address := ""
	if r != nil {
		address = r.addr.String()
	}
	sh.log.Error("the IPMI engine failed on a BMC, which is left alone for a while", "bmc", address, "panic", p, "stack", string(debug.Stack()))
	if r != nil {
		sh.quarantine(r)
	}
}

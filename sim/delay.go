// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"net/netip"
	"sync"
	"time"

	"ferrite/internal/udpbatch"
)

// delays holds replies that are on their way: one heap, no timer a packet, and buffers that are used again.
type delays struct {
	mu   sync.Mutex // guards heap and free
	heap []latePacket
	free [][]byte
	wake chan struct{} // holds 1: the first one changed
}

type latePacket struct {
	at    time.Time
	peer  netip.AddrPort
	local netip.Addr
	data  []byte
}

func (d *delays) add(at time.Time, m *udpbatch.Msg) {
	d.mu.Lock()
	var buf []byte
	if n := len(d.free); n > 0 {
		buf, d.free = d.free[n-1], d.free[:n-1]
	}
	d.heap = append(d.heap, latePacket{at, m.Peer, m.Local, append(buf[:0], m.Data()...)})
	h, i := d.heap, len(d.heap)-1
	for i > 0 && h[i].at.Before(h[(i-1)/2].at) { // up
		h[i], h[(i-1)/2] = h[(i-1)/2], h[i]
		i = (i - 1) / 2
	}
	d.mu.Unlock()
	if i > 0 {
		return
	}
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// due moves what is due into b; next is how long until more is.
func (d *delays) due(now time.Time, b *udpbatch.Batch) (n int, next time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.heap) > 0 && n < len(b.Msgs) {
		p := &d.heap[0]
		if w := p.at.Sub(now); w > 0 {
			return n, w
		}
		b.Msgs[n].Set(p.peer, p.local, p.data)
		d.free = append(d.free, p.data)
		d.removeFirst()
		n++
	}
	if len(d.heap) > 0 {
		return n, 0
	}
	return n, time.Hour
}

// removeFirst takes the earliest out of the heap; the caller holds mu.
func (d *delays) removeFirst() {
	last := len(d.heap) - 1
	d.heap[0], d.heap[last] = d.heap[last], latePacket{}
	d.heap = d.heap[:last]
	for h, i := d.heap, 0; ; {
		c := 2*i + 1
		if c >= last {
			return
		}
		if c+1 < last && h[c+1].at.Before(h[c].at) {
			c++
		}
		if !h[c].at.Before(h[i].at) {
			return
		}
		h[i], h[c] = h[c], h[i]
		i = c
	}
}

// sendLate sends delayed replies when their time has come; with latency on, nobody else sends on the batch path often,
// and SendOne may run beside it.
func (f *Fleet) sendLate(ended <-chan struct{}) {
	b := udpbatch.NewBatch(64)
	t := time.NewTimer(time.Hour)
	defer t.Stop()
	for {
		n, next := f.late.due(time.Now(), b)
		for i := range n {
			f.conn.SendOne(&b.Msgs[i])
		}
		f.stats.out.Add(uint64(n)) //nolint:gosec // a count
		t.Reset(next)
		select {
		case <-t.C:
		case <-f.late.wake:
		case <-ended:
			return
		}
	}
}

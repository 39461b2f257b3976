// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"container/heap"
	"net/netip"
	"sync"
	"time"

	"ferrite/internal/udpbatch"
)

// delays holds replies that are on their way: one heap, no timer a packet.
type delays struct {
	mu   sync.Mutex // guards heap
	heap lateHeap
	wake chan struct{} // holds 1
}

type latePacket struct {
	at    time.Time
	peer  netip.AddrPort
	local netip.Addr
	data  []byte
}

type lateHeap []latePacket

func (h lateHeap) Len() int           { return len(h) }
func (h lateHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h lateHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push and Pop are for container/heap.
func (h *lateHeap) Push(x any) { *h = append(*h, x.(latePacket)) }

// Pop removes the last.
func (h *lateHeap) Pop() any {
	o := *h
	x := o[len(o)-1]
	o[len(o)-1] = latePacket{}
	*h = o[:len(o)-1]
	return x
}

func (d *delays) add(at time.Time, m *udpbatch.Msg) {
	d.mu.Lock()
	heap.Push(&d.heap, latePacket{at, m.Peer, m.Local, append([]byte(nil), m.Data()...)})
	d.mu.Unlock()
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
		if w := d.heap[0].at.Sub(now); w > 0 {
			return n, w
		}
		p := heap.Pop(&d.heap).(latePacket)
		b.Msgs[n].Set(p.peer, p.local, p.data)
		n++
	}
	if len(d.heap) > 0 {
		return n, 0
	}
	return n, time.Hour
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

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Errors of a call.
var (
	// ErrLost: the member went away, or did not answer in time. Whether it did what was asked is not known.
	ErrLost = errors.New("the conductor that was asked gave no answer: the outcome is not known")
	// ErrBusy: the member has too many calls under way; it did nothing.
	ErrBusy = errors.New("the conductor that was asked has too many requests under way")
)

// What a packet holds: the sender's address, then frames of a sort, a number, and for calls the time left.
const (
	frameCall   = 1
	frameReply  = 2
	frameCancel = 3
	frameBusy   = 4
	frameAsk    = 5 // is this call under way?
	frameTaken  = 6 // it is
	frameLost   = 7 // it is not
)

// A packet may be lost with its stream, and with it a call or an answer. So who waits asks every askTime whether the call is
// under way, and gives up after maxSilence without an answer to that.
const (
	askTime    = time.Second
	maxSilence = 3 // times askTime
)

const (
	maxServing = 8192    // calls under way from others
	maxPacket  = 1 << 20 // bytes after which a packet takes no more frames; gRPC takes 4 MB
	waitingOut = 4096    // frames that wait for a peer
)

// Router makes calls to other members and answers theirs: many calls and answers share a packet, each has a deadline, and
// who gives up says so on the same stream, so that a call that waited in a paused process is not run afterwards (S6).
type Router struct {
	t     Transport
	serve func(ctx context.Context, body []byte) []byte

	life    context.Context
	end     context.CancelFunc
	running sync.WaitGroup
	slots   chan struct{}

	mu      sync.Mutex // guards below
	next    uint64
	calls   map[uint64]*outgoing
	serving map[origin]context.CancelFunc
	peers   map[string]*peer
	closed  bool
}

type outgoing struct {
	to   string
	done chan []byte // holds 1; nil = lost
	busy bool
	quit bool // its caller gives up: the member is to be told

	heard atomic.Bool // since it was asked for
}

type origin struct {
	from string
	corr uint64
}

// peer is what waits for one member.
type peer struct {
	out   chan []byte
	stop  chan struct{}
	ended chan struct{} // closed when nothing is sent any more
}

// NewRouter routes over a transport. serve answers the calls of others, each in a goroutine of its own; its context ends at
// the caller's deadline or when the caller gives up.
func NewRouter(t Transport, serve func(ctx context.Context, body []byte) []byte) *Router {
	r := &Router{t: t, serve: serve, slots: make(chan struct{}, maxServing), calls: map[uint64]*outgoing{}, serving: map[origin]context.CancelFunc{}, peers: map[string]*peer{}}
	r.next = rand.Uint64() //nolint:gosec // tells the calls of this life from those of the one before at the same address: their answers may still come
	r.life, r.end = context.WithCancel(context.Background())
	t.Handle(r.packet)
	return r
}

// Call asks a member. The error is ErrLost or ErrBusy, or that the router is closed.
func (r *Router) Call(ctx context.Context, to string, body []byte) ([]byte, error) {
	left := time.Minute
	if at, ok := ctx.Deadline(); ok {
		left = time.Until(at)
	}
	if left <= 0 {
		return nil, context.DeadlineExceeded
	}
	o := &outgoing{to: to, done: make(chan []byte, 1)}
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil, errors.New("cluster: the router is closed")
	}
	r.next++
	corr := r.next
	r.calls[corr] = o
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.calls, corr)
		r.mu.Unlock()
	}()
	b := head(frameCall, corr, len(body)+4)
	b = binary.BigEndian.AppendUint32(b, uint32(min(left/time.Millisecond, 1<<31-1))) //nolint:gosec // bounded
	if !r.post(to, append(b, body...)) {
		return nil, ErrBusy
	}
	ask := time.NewTicker(askTime)
	defer ask.Stop()
	for silent := 0; silent < maxSilence; {
		select {
		case b := <-o.done:
			switch {
			case o.busy:
				return nil, ErrBusy
			case b == nil && !o.quit:
				return nil, ErrLost
			case b != nil:
				return b, nil
			}
		case <-ask.C:
			if silent++; o.heard.Swap(false) {
				silent = 0
			}
			r.post(to, head(frameAsk, corr, 0))
			continue
		case <-ctx.Done():
		case <-r.life.Done():
		}
		break
	}
	r.post(to, head(frameCancel, corr, 0))
	return nil, ErrLost
}

// flushTime is how long the transport has to write what tells a member that is gone of calls nobody waits for.
const flushTime = 20 * time.Millisecond

// Gone fails what waits for a member that has left the View. It may be paused only, and read later what was sent: so it is
// told that nobody waits any more, on the same stream, before that is dropped (S6).
func (r *Router) Gone(addr string) {
	var lost []byte
	r.mu.Lock()
	for corr, o := range r.calls {
		if o.to == addr {
			delete(r.calls, corr)
			o.done <- nil
			lost = append(lost, head(frameCancel, corr, 0)...)
		}
	}
	p := r.peers[addr]
	delete(r.peers, addr)
	r.mu.Unlock()
	if p != nil {
		close(p.stop)
		<-p.ended // no call comes after its cancellation
	}
	if len(lost) > 0 {
		r.t.Send(addr, append(r.top(), lost...))
		time.Sleep(flushTime)
	}
	r.t.Drop(addr)
}

// Keep fails what waits for members that are not at any of these addresses: a call may begin after Gone was told, by a View
// that is frozen (S7), and nobody would answer it.
func (r *Router) Keep(living []string) {
	var gone []string
	r.mu.Lock()
	for _, o := range r.calls {
		if !slices.Contains(living, o.to) && !slices.Contains(gone, o.to) {
			gone = append(gone, o.to)
		}
	}
	r.mu.Unlock()
	for _, addr := range gone {
		r.Gone(addr)
	}
}

// GiveUp fails what waits for a member that lives and cannot do it. It is told so on the same stream, behind the call: what it has
// not begun it does not begin (S6).
func (r *Router) GiveUp(addr string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for corr, o := range r.calls {
		if o.to == addr {
			delete(r.calls, corr)
			o.quit = true
			o.done <- nil
		}
	}
}

// top is what every packet begins with: where it comes from.
func (r *Router) top() []byte {
	return append(binary.AppendUvarint(nil, uint64(len(r.t.Addr()))), r.t.Addr()...)
}

// Close ends calls of both directions and waits for those that are served.
func (r *Router) Close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.end()
	err := r.t.Close()
	r.running.Wait()
	return err
}

// post puts a frame into the next packet for a member; false = it takes none.
func (r *Router) post(to string, frame []byte) bool {
	r.mu.Lock()
	p := r.peers[to]
	if p == nil && !r.closed {
		p = &peer{out: make(chan []byte, waitingOut), stop: make(chan struct{}), ended: make(chan struct{})}
		r.peers[to] = p
		r.running.Go(func() { r.pump(to, p) })
	}
	r.mu.Unlock()
	if p == nil {
		return false
	}
	select {
	case p.out <- frame:
		return true
	default:
		return false
	}
}

// pump sends what waits for a member, as much as there is in one packet.
func (r *Router) pump(to string, p *peer) {
	defer close(p.ended)
	for {
		b := r.top()
		select {
		case f := <-p.out:
			b = append(b, f...)
		case <-p.stop:
			return
		case <-r.life.Done():
			return
		}
		for more := true; more && len(b) < maxPacket; {
			select {
			case f := <-p.out:
				b = append(b, f...)
			default:
				more = false
			}
		}
		r.t.Send(to, b)
	}
}

func head(kind byte, corr uint64, size int) []byte {
	b := make([]byte, 0, 13+size)
	b = append(b, kind)
	b = binary.BigEndian.AppendUint64(b, corr)
	return binary.BigEndian.AppendUint32(b, uint32(size)) //nolint:gosec // bodies are far smaller
}

// packet takes one in. What does not parse is dropped: deadlines see to the rest.
func (r *Router) packet(b []byte) {
	n, at := binary.Uvarint(b)
	if at <= 0 || n > uint64(len(b)-at) { //nolint:gosec // at is positive
		return
	}
	from := string(b[at : at+int(n)]) //nolint:gosec // checked
	b = b[at+int(n):]                 //nolint:gosec // checked
	for len(b) >= 13 {
		kind, corr, size := b[0], binary.BigEndian.Uint64(b[1:]), int(binary.BigEndian.Uint32(b[9:]))
		if size > len(b)-13 {
			return
		}
		body := b[13 : 13+size]
		b = b[13+size:]
		switch kind {
		case frameCall:
			if size >= 4 {
				left := time.Duration(binary.BigEndian.Uint32(body)) * time.Millisecond
				r.begin(origin{from, corr}, left, append([]byte(nil), body[4:]...))
			}
		case frameReply, frameBusy:
			r.mu.Lock()
			if o := r.calls[corr]; o != nil && o.to == from {
				delete(r.calls, corr)
				o.busy = kind == frameBusy
				o.done <- append([]byte{}, body...)
			}
			r.mu.Unlock()
		case frameAsk:
			r.mu.Lock()
			kind := byte(frameLost)
			if r.serving[origin{from, corr}] != nil {
				kind = frameTaken
			}
			r.mu.Unlock()
			r.post(from, head(kind, corr, 0))
		case frameTaken, frameLost:
			r.mu.Lock()
			if o := r.calls[corr]; o != nil && o.to == from {
				o.heard.Store(true)
				if kind == frameLost { // its answer would have come before this
					delete(r.calls, corr)
					o.done <- nil
				}
			}
			r.mu.Unlock()
		case frameCancel:
			r.mu.Lock()
			if stop := r.serving[origin{from, corr}]; stop != nil {
				stop()
			}
			r.mu.Unlock()
		}
	}
}

// begin serves a call.
func (r *Router) begin(who origin, left time.Duration, body []byte) {
	select {
	case r.slots <- struct{}{}:
	default:
		r.post(who.from, head(frameBusy, who.corr, 0))
		return
	}
	ctx, stop := context.WithTimeout(r.life, left)
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		stop()
		<-r.slots
		return
	}
	r.serving[who] = stop
	r.running.Add(1)
	r.mu.Unlock()
	go func() {
		defer r.running.Done()
		defer func() {
			stop()
			r.mu.Lock()
			delete(r.serving, who)
			r.mu.Unlock()
			<-r.slots
		}()
		answer := r.serve(ctx, body)
		r.post(who.from, append(head(frameReply, who.corr, len(answer)), answer...))
	}()
}

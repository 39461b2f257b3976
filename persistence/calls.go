// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"ferrite/node"
)

// What members ask one another. A frame is its length (4 bytes), a number that the answer carries too (8), the sort of
// call (1), and the rest.
const (
	callPropose = 1 // an entry; answered with an encoded outcome
	callRead    = 2 // nothing; answered with an encoded outcome whose rev is the read index
	callStatus  = 3 // nothing; answered with a MemberStatus in JSON
	callEvict   = 4 // the name of a member; answered with an encoded outcome
	callRefuse  = 5 // why a newcomer is not taken in; answered with nothing
)

const (
	maxFrame = maxEntry + 64<<10
	frameTop = 4 + 8 + 1
)

// Codes of an encoded outcome.
const (
	codeOK        = 0
	codeConflict  = 1
	codeNotUnique = 2
	codeNotLeader = 3 // certainly not written
	codeUnknown   = 4
	codeOther     = 5 // as is every code that this version does not know
)

// refusals are errors for which an entry certainly was not written, and never will be.
var refusals = map[byte]error{6: ErrUnreadable, 7: ErrNoCondition, 8: ErrTooBig, 9: ErrNoMember}

// refusal is one of them, in another member's words.
type refusal struct {
	text string
	err  error
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.err }

var (
	errNotLeader = errors.New("the asked member does not lead the log")
	errLost      = errors.New("the connection to the log's leader broke")
)

func encodeOutcome(rev node.Rev, err error) []byte {
	var conflict *Conflict
	var taken *NotUnique
	for code, refused := range refusals {
		if errors.Is(err, refused) {
			return appendString([]byte{code}, err.Error())
		}
	}
	switch {
	case err == nil:
		return binary.AppendUvarint([]byte{codeOK}, uint64(rev))
	case errors.As(err, &conflict):
		b := binary.AppendUvarint([]byte{codeConflict}, uint64(conflict.Cur.Rev))
		return appendKey(b, conflict.Cur.Key)
	case errors.As(err, &taken):
		return appendKey(appendString([]byte{codeNotUnique}, taken.Uniq), taken.Holder)
	case errors.Is(err, errNotLeader), errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress), errors.Is(err, ErrNoQuorum):
		return appendString([]byte{codeNotLeader}, err.Error())
	case errors.Is(err, ErrUnknown), errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrRaftShutdown):
		return appendString([]byte{codeUnknown}, err.Error())
	default:
		return appendString([]byte{codeOther}, err.Error())
	}
}

// decodeOutcome is the other way; local is where the record of a conflict is looked up.
func decodeOutcome(b []byte) (node.Rev, error) {
	if len(b) == 0 {
		return 0, errLost
	}
	r := &reader{b: b[1:]}
	switch b[0] {
	case codeOK:
		return node.Rev(r.uvarint()), nil
	case codeConflict:
		rev := node.Rev(r.uvarint())
		return 0, &Conflict{Cur: Record{Rev: rev, Key: r.key()}}
	case codeNotUnique:
		uniq := r.string()
		return 0, &NotUnique{Uniq: uniq, Holder: r.key()}
	case codeNotLeader:
		return 0, fmt.Errorf("%w: %s", errNotLeader, r.string())
	case codeUnknown:
		return 0, fmt.Errorf("%w: %s", errLost, r.string())
	default:
		if refused := refusals[b[0]]; refused != nil {
			return 0, &refusal{r.string(), refused}
		}
		return 0, errors.New(r.string())
	}
}

// line is a connection on which calls are made; answers come in any order.
type line struct {
	to   string
	conn net.Conn
	out  chan []byte
	done chan struct{}

	mu      sync.Mutex // guards below
	next    uint64
	pending map[uint64]func([]byte, error)
	broken  bool
}

// open makes a line to a member.
func (p *port) open(to string, timeout time.Duration) (*line, error) {
	c, err := p.dial(to, lineCall, timeout)
	if err != nil {
		return nil, err
	}
	if !p.hold(c) {
		_ = c.Close()
		return nil, ErrClosed
	}
	l := &line{to: to, conn: c, out: make(chan []byte, 4*groupSize), done: make(chan struct{}), pending: map[uint64]func([]byte, error){}}
	p.ended.Go(func() { pump(c, l.out, l.done); l.end() })
	p.ended.Go(func() {
		_ = frames(c, func(corr uint64, _ byte, body []byte) {
			l.mu.Lock()
			done := l.pending[corr]
			delete(l.pending, corr)
			l.mu.Unlock()
			if done != nil {
				done(body, nil)
			}
		})
		l.end()
		p.drop(c)
	})
	return l, nil
}

// end breaks the line: whoever waits hears that the outcome is not known.
func (l *line) end() {
	l.mu.Lock()
	if l.broken {
		l.mu.Unlock()
		return
	}
	l.broken = true
	pending := l.pending
	l.pending = nil
	close(l.done)
	l.mu.Unlock()
	_ = l.conn.Close()
	for _, done := range pending {
		done(nil, errLost)
	}
}

// retireTime is how long a line that takes no more calls waits for its last answers.
const retireTime = 2 * time.Second

// retire ends a line when its last call is answered, or soon.
func (p *port) retire(l *line) {
	if !p.spawn(func() {
		defer l.end()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for end := time.Now().Add(retireTime); time.Now().Before(end); {
			l.mu.Lock()
			idle := len(l.pending) == 0
			l.mu.Unlock()
			if idle {
				return
			}
			select {
			case <-tick.C:
			case <-l.done:
				return
			case <-p.done:
				return
			}
		}
	}) {
		l.end()
	}
}

func (l *line) alive() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.broken
}

// send makes a call; done is called once. An error means that nothing was sent.
func (l *line) send(kind byte, body []byte, done func([]byte, error)) error {
	l.mu.Lock()
	if l.broken {
		l.mu.Unlock()
		return errNotLeader
	}
	l.next++
	corr := l.next
	l.pending[corr] = done
	l.mu.Unlock()
	select {
	case l.out <- frame(corr, kind, body):
	case <-l.done: // end has told done, or will
	}
	return nil
}

// ask is send that waits.
func (l *line) ask(ctx context.Context, kind byte, body []byte) ([]byte, error) {
	type answer struct {
		b   []byte
		err error
	}
	ch := make(chan answer, 1)
	if err := l.send(kind, body, func(b []byte, err error) { ch <- answer{append([]byte(nil), b...), err} }); err != nil {
		return nil, err
	}
	select {
	case a := <-ch:
		return a.b, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func frame(corr uint64, kind byte, body []byte) []byte {
	b := make([]byte, 0, frameTop+len(body))
	b = binary.BigEndian.AppendUint32(b, uint32(8+1+len(body))) //nolint:gosec // below maxFrame
	b = binary.BigEndian.AppendUint64(b, corr)
	b = append(b, kind)
	return append(b, body...)
}

// frames reads a connection until it breaks. body is good during fn only.
func frames(c net.Conn, fn func(corr uint64, kind byte, body []byte)) error {
	in := bufio.NewReaderSize(c, 64<<10)
	var buf []byte
	for {
		var top [4]byte
		if _, err := io.ReadFull(in, top[:]); err != nil {
			return err
		}
		n := int(binary.BigEndian.Uint32(top[:]))
		if n < 9 || n > maxFrame {
			return fmt.Errorf("a frame of %d bytes", n)
		}
		if cap(buf) < n {
			buf = make([]byte, n)
		}
		buf = buf[:n]
		if _, err := io.ReadFull(in, buf); err != nil {
			return err
		}
		fn(binary.BigEndian.Uint64(buf), buf[8], buf[9:])
	}
}

// pump writes frames, as many as there are to a flush.
func pump(c net.Conn, out <-chan []byte, done <-chan struct{}) {
	w := bufio.NewWriterSize(c, 64<<10)
	for {
		select {
		case b := <-out:
			if _, err := w.Write(b); err != nil {
				return
			}
		case <-done:
			return
		}
		if len(out) == 0 {
			if err := w.Flush(); err != nil {
				return
			}
		}
	}
}

// serve answers the calls of a connection.
func (p *port) serve(c net.Conn) {
	if !p.hold(c) {
		_ = c.Close()
		return
	}
	defer p.drop(c)
	out, done := make(chan []byte, 4*groupSize), make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() { pump(c, out, done); _ = c.Close() })
	defer writing.Wait()
	defer close(done)
	reply := func(corr uint64, body []byte) {
		select {
		case out <- frame(corr, 0, body):
		case <-done:
		}
	}
	_ = frames(c, func(corr uint64, kind byte, body []byte) {
		switch kind {
		case callPropose:
			data := append([]byte(nil), body...)
			e, err := p.s.codec.read(data)
			if err != nil {
				reply(corr, encodeOutcome(0, err))
				return
			}
			pr := &proposal{data: data, foreign: true, done: p.s.remember(e, func(rev node.Rev, err error) {
				select {
				case out <- frame(corr, 0, encodeOutcome(rev, err)):
				default: // it does not take its answers: the committer must not wait for it
					_ = c.Close()
				}
			})}
			if p.s.committer == nil || p.s.committer.add(pr) != nil {
				p.s.proposed.Delete(e.id)
				reply(corr, encodeOutcome(0, errNotLeader))
			}
		case callRead:
			p.s.background.Go(func() {
				rev, err := p.s.leaderRounds.join(p.s.life)
				reply(corr, encodeOutcome(rev, err))
			})
		case callStatus:
			b, _ := json.Marshal(p.s.status()) // of plain fields
			reply(corr, b)
		case callRefuse:
			if why := string(body); (p.s.open.Load() || p.s.isMember()) && p.s.said.anew(why) {
				p.s.log.Error("the log's leader refuses this conductor", "reason", why)
			}
			select {
			case p.s.refused <- string(body):
			default:
			}
			reply(corr, nil)
		case callEvict:
			name := string(body)
			p.s.background.Go(func() { reply(corr, encodeOutcome(0, p.s.evictHere(name))) })
		}
	})
}

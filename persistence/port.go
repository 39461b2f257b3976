// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// Net is a conductor's part in a log of several members. A Config without one is a log of its own, without a port.
type Net struct {
	// Listener is the log's port. The store closes it.
	Listener net.Listener
	// Address tells where the log's port of a member is (by gossip). It is asked for each connection, so that members may
	// come back elsewhere.
	Address func(name string) (hostPort string, ok bool)
	// Dial connects to a member's log's port; nil = over TCP as the network is.
	Dial func(ctx context.Context, hostPort string) (net.Conn, error)
	// Live lists the members that are alive by gossip, this one included. The log's leader takes them in, and replaces
	// voters that are not among them.
	Live func() []string
	// Bootstrap begins a new log with this member as its only voter, if the folder has none. Without it a new folder waits
	// to be taken in by the leader of a log that exists.
	Bootstrap bool
	// TLS is for both directions, with certificates on both sides; nil = plain TCP.
	TLS *tls.Config
	// Stop ends the waiting for a log at the start; nil = nothing does.
	Stop <-chan struct{}
	// Patience is how long the silence of a leader lasts before others stand; 0 = 500 ms.
	Patience time.Duration
	// Grace is how long a voter may be away before another member takes its place, and how long a start among strangers waits
	// for members of its own log; 0 = 10 s.
	Grace time.Duration
	// Version of this binary, for the list of members.
	Version string
	// Settings are those of this conductor that all must have alike; Differ holds a newcomer's against them and words the
	// difference for it and for us, "" = there is none (L4). Who differs is not taken in. nil = nothing is compared.
	Settings []byte
	Differ   func(theirs []byte) (told, tell string)
}

func (n *Net) grace() time.Duration {
	if n.Grace == 0 {
		return 10 * time.Second
	}
	return n.Grace
}

// What a connection to the log's port is for: its first byte.
const (
	lineRaft = 'r' // raft's own messages
	lineCall = 'c' // what members ask one another: calls.go
)

// portVersion is the version of hello and calls.
const portVersion = 1

const (
	helloTime = 3 * time.Second
	maxHello  = 64 << 10
)

// hello is what both sides of a new connection say first: members of different clusters, or with different keys, do each
// other no harm (L3, L4).
type hello struct {
	Version int
	Cluster string   // id of the cluster, "" = none yet
	Former  []string `json:",omitempty"` // ids of its log before it was recovered or restored
	Open    bool     `json:",omitempty"` // its store is open: it is no start that may still be refused
	Name    string   // stable name
	ID      string   // of the member in the log: see memberID
	Keys    []string // fingerprints of the cluster keys
	Process uint64   // random: two that have one are one
	Refused string   // in an answer: why the connection is not taken, "" = it is
}

// Refused says that another member would not talk to us, or we not to it.
type Refused struct{ Peer, Reason string }

func (e *Refused) Error() string { return e.Peer + " refuses this conductor: " + e.Reason }

// clusterKey is the record that names the cluster.
var clusterKey = Key{KindSetting, "cluster_id"}

func (s *Raft) hello() hello { return s.helloAs(s.mine()) }

// helloAs is what a member of that cluster says.
func (s *Raft) helloAs(b belonging) hello {
	h := hello{Version: portVersion, Name: s.cfg.Name, ID: string(s.id), Keys: s.codec.seal.fingerprints(), Process: s.process, Open: s.open.Load()}
	h.Cluster, h.Former = b.Cluster, b.Former
	if h.Cluster == "" {
		h.Cluster = settingIn(s.Get(clusterKey))
	}
	return h
}

// opens reports whether who has these keys opens what the other one seals.
func opens(keys, others []string) bool { return len(others) > 0 && slices.Contains(keys, others[0]) }

// port is the log's port: connections of both kinds.
type port struct {
	s     *Raft
	ln    net.Listener
	of    atomic.Pointer[raft.Raft] // whose port it is; nil = it has not begun
	raft  chan net.Conn
	done  chan struct{}
	once  sync.Once
	ended sync.WaitGroup

	ending chan struct{} // nobody waits for members that are not there
	gone   sync.Once

	mu    sync.Mutex // guards conns
	conns map[net.Conn]bool
}

func newPort(s *Raft) *port {
	return &port{s: s, ln: s.cfg.Net.Listener, raft: make(chan net.Conn), done: make(chan struct{}), ending: make(chan struct{}), conns: map[net.Conn]bool{}}
}

// begin takes connections from now on.
func (p *port) begin() { p.ended.Go(p.accept) }

func (p *port) accept() {
	for {
		c, err := p.ln.Accept()
		if err != nil {
			select {
			case <-p.done:
				return
			case <-time.After(20 * time.Millisecond): // out of descriptors: others end
			}
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		if !p.spawn(func() { p.greet(c) }) {
			_ = c.Close()
		}
	}
}

// greet takes a connection in, or says why not.
func (p *port) greet(c net.Conn) {
	_ = c.SetDeadline(time.Now().Add(helloTime))
	c, ok := p.secure(c)
	if !ok {
		return
	}
	var kind [1]byte
	var theirs hello
	if _, err := io.ReadFull(c, kind[:]); err != nil {
		_ = c.Close()
		return
	}
	if kind[0] == tlsRecord && p.s.cfg.Net.TLS == nil {
		p.unsecured(c)
		return
	}
	if err := readJSON(c, &theirs); err != nil {
		_ = c.Close()
		return
	}
	mine := p.s.hello()
	why := objection(mine, theirs)
	if kind[0] == lineRaft {
		var err error
		if mine, why, err = p.s.enrol(theirs); err != nil {
			p.s.log.Error("the cluster that this conductor joins cannot be noted in the data folder", "dir", p.s.cfg.Dir, "err", err, "do", remedy(err))
			_ = c.Close()
			return
		}
	}
	mine.Refused = why.text
	err := writeJSON(c, mine)
	if why.kind != noQuarrel { // the other one has heard it: this one may end
		p.s.quarrel(theirs, why, c.RemoteAddr().String())
	} else {
		p.s.quarrels.settled(theirs)
	}
	if err != nil || why.kind != noQuarrel {
		_ = c.Close()
		return
	}
	_ = c.SetDeadline(time.Time{})
	if kind[0] == lineCall {
		p.serve(c)
		return
	}
	if !p.hold(c) {
		_ = c.Close()
		return
	}
	h := &heldConn{c, p}
	select {
	case p.raft <- h:
	case <-p.done:
		_ = h.Close()
	}
}

// heldConn is a connection that the port closes at its end, if raft has not: raft's transport leaves its own ones open.
type heldConn struct {
	net.Conn
	p *port
}

// Close implements net.Conn.
func (h *heldConn) Close() error {
	h.p.drop(h.Conn)
	return nil
}

func (n *Net) connect(at string, timeout time.Duration) (net.Conn, error) {
	if n.Dial == nil {
		return net.DialTimeout("tcp", at, timeout)
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return n.Dial(ctx, at)
}

// dial opens a connection to a member.
func (p *port) dial(name string, kind byte, timeout time.Duration) (net.Conn, error) {
	id := name
	name = nameOf(raft.ServerID(name))
	at, ok := p.s.cfg.Net.Address(name)
	if !ok {
		return nil, fmt.Errorf("conductor %s is not among the living", name)
	}
	c, err := p.s.cfg.Net.connect(at, timeout)
	if err != nil {
		return nil, err
	}
	if t := p.s.cfg.Net.TLS; t != nil {
		t = t.Clone()
		if t.ServerName == "" {
			t.ServerName, _, _ = net.SplitHostPort(at)
		}
		c = tls.Client(c, t)
	}
	_ = c.SetDeadline(time.Now().Add(max(timeout, helloTime)))
	if over, ok := c.(*tls.Conn); ok {
		err = over.Handshake()
	}
	if err == nil {
		_, err = c.Write([]byte{kind})
	}
	if err == nil {
		err = writeJSON(c, p.s.hello())
	}
	var theirs hello
	if err == nil {
		err = readJSON(c, &theirs)
	}
	if trouble := (*unsafe)(nil); errors.As(named(err), &trouble) {
		err = fmt.Errorf("%s at %s: %w", name, at, trouble)
		if kind == lineRaft && p.s.said.anew(name+trouble.text) {
			p.s.log.Warn("a conductor cannot be spoken with", "name", name, "address", at, "reason", trouble.text)
		}
	}
	if err == nil && theirs.Refused != "" {
		why := objection(theirs, p.s.hello()).mirrored()
		why.text = theirs.Refused
		p.s.quarrel(theirs, why, at)
		err = &Refused{Peer: name + " at " + at, Reason: theirs.Refused}
	}
	if err == nil && theirs.Name != name {
		err = fmt.Errorf("at %s is conductor %s, wanted %s", at, theirs.Name, name)
	}
	if err == nil && kind == lineRaft && theirs.ID != id { // what is meant for one that is gone would be taken for words to this one
		err = fmt.Errorf("at %s is %s, wanted its former self %s", at, theirs.ID, id)
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	p.s.quarrels.settled(theirs)
	_ = c.SetDeadline(time.Time{})
	return c, nil
}

// end lets nobody wait for members any more; raft can end then.
func (p *port) end() { p.gone.Do(func() { close(p.ending) }) }

func (p *port) close() {
	p.end()
	_ = p.ln.Close()
	p.mu.Lock()
	p.once.Do(func() { close(p.done) })
	for c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.ended.Wait()
}

func (p *port) closed() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// spawn runs f, which close waits for; false = the port is closed.
func (p *port) spawn(f func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed() {
		return false
	}
	p.ended.Go(f)
	return true
}

// hold keeps a connection on the list of those that close ends; false = the port is closed.
func (p *port) hold(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed() {
		return false
	}
	p.conns[c] = true
	return true
}

func (p *port) drop(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
}

// layer is the port as raft's transport wants it; addresses are member ids.
type layer struct{ *port }

var _ raft.StreamLayer = layer{}

// Accept implements net.Listener.
func (l layer) Accept() (net.Conn, error) {
	select {
	case c := <-l.raft:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l layer) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.ln.Close()
}

// Addr implements net.Listener: the member's id, whatever its address is.
func (l layer) Addr() net.Addr { return memberAddr(l.s.id) }

// Dial implements raft.StreamLayer. The leader's waits for a member that is not alive: raft would try ever more seldom, up to
// ten seconds, and a member that is back would be without the log for so long. Who stands for election asks anew in each try:
// its does not wait for long, or what asks the dead would pile up for as long as there is no quorum.
func (l layer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	for began := time.Now(); ; {
		if _, ok := l.s.cfg.Net.Address(nameOf(raft.ServerID(address))); ok {
			return l.dial(string(address), lineRaft, timeout)
		}
		if r := l.of.Load(); (r == nil || r.State() != raft.Leader) && time.Since(began) > voteWait {
			return nil, fmt.Errorf("conductor %s is not among the living", nameOf(raft.ServerID(address)))
		}
		select {
		case <-l.ending:
			return nil, net.ErrClosed
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// voteWait is how long a member that does not lead waits for another one to be alive.
const voteWait = 500 * time.Millisecond

type memberAddr string

func (memberAddr) Network() string  { return "ferrite" }
func (a memberAddr) String() string { return string(a) }

func writeJSON(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)) //nolint:gosec // short
	return err
}

func readJSON(r io.Reader, v any) error {
	var n [4]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(n[:])
	if size > maxHello {
		return fmt.Errorf("a hello of %d bytes, wanted %d at most", size, maxHello)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

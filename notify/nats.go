// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Link says where NATS is and how to speak with it.
type Link struct {
	URL         string // nats://host:port, several with commas; user and password or token inside
	InProcess   Local  // a server in this process (*embedded.Server); then URL is not used
	Credentials string // path of a NATS credentials file, "" = none
	Name        string // shown in the server's list of connections
	JetStream   bool   // wait for a stream's acknowledgement of each message
	Cluster     string // as in Config: tells our own messages in a stream
}

// Local is a NATS server in this process.
type Local interface {
	InProcessConn() (net.Conn, error)
	Login() (user, password string) // who may publish there; no user = everybody
}

const (
	dialWait    = 2 * time.Second  // for one server to answer
	confirmWait = 10 * time.Second // for a confirmation, or for the socket to take bytes
)

// headers of a published message.
const (
	headerID    = nats.MsgIdHdr // which JetStream uses to drop duplicates
	headerPlace = "Ferrite-Rev"
	headerNode  = "Ironic-Node"
)

// natsBus is a Bus over NATS. It makes a connection of its own for every try and lets it go at the first error: the
// client library's reconnecting would join the end of a batch, sent on the new connection, to a beginning that was lost
// with the old one, and confirm both (N2: in revision order).
type natsBus struct {
	link Link
	opts []nats.Option

	conn  *nats.Conn // nil = none
	line  net.Conn   // under conn
	unbar func() bool
	js    *streams
	head  nats.Header // reused for each message
}

var _ Bus = (*natsBus)(nil)

// Connect checks the link and returns its Bus. The connection itself is made by the first Publish, so a NATS that is
// not there yet is no error.
func Connect(l Link) (Bus, error) {
	if l.InProcess == nil {
		if err := checkURL(l.URL); err != nil {
			return nil, err
		}
	}
	b := &natsBus{link: l, head: make(nats.Header, 3)}
	b.opts = []nats.Option{
		nats.Name(l.Name), nats.NoReconnect(), nats.Timeout(dialWait), nats.FlusherTimeout(confirmWait),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // Confirm reads the error; the default prints it
	}
	if l.InProcess != nil {
		if user, password := l.InProcess.Login(); user != "" {
			b.opts = append(b.opts, nats.UserInfo(user, password))
		}
	}
	if l.Credentials != "" {
		b.opts = append(b.opts, nats.UserCredentials(l.Credentials))
	}
	return b, nil
}

func checkURL(list string) error {
	for _, one := range strings.Split(list, ",") {
		one = strings.TrimSpace(one)
		u, err := url.Parse(one)
		if err != nil || u.Host == "" || u.Hostname() == "" {
			return fmt.Errorf("nats-url: wanted nats://host:port, found %q", redacted(one, u))
		}
	}
	return nil
}

// shown is a list of addresses without passwords.
func shown(list string) string {
	parts := strings.Split(list, ",")
	for i, one := range parts {
		u, err := url.Parse(one)
		if err != nil {
			u = nil
		}
		parts[i] = redacted(one, u)
	}
	return strings.Join(parts, ",")
}

// redacted keeps passwords out of the error.
func redacted(text string, u *url.URL) string {
	if u == nil || u.User == nil {
		if i := strings.LastIndexByte(text, '@'); i >= 0 {
			return "..." + text[i:]
		}
		return text
	}
	return u.Redacted()
}

// Publish sends a packet on the connection of this try.
func (b *natsBus) Publish(ctx context.Context, p Packet) error {
	if b.conn == nil {
		if err := b.dial(ctx); err != nil {
			return err
		}
	}
	b.head[headerID] = []string{p.ID}
	delete(b.head, headerPlace)
	if p.Place != "" { // else it is in no log
		b.head[headerPlace] = []string{p.Place}
	}
	delete(b.head, headerNode)
	if p.Node != "" {
		b.head[headerNode] = []string{p.Node}
	}
	m := &nats.Msg{Subject: p.Subject, Header: b.head, Data: p.Body}
	var err error
	if b.js != nil {
		err = b.js.publish(ctx, m)
	} else {
		err = b.conn.PublishMsg(m)
	}
	if hopeless(err) {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}

// tooBigForStream is the JetStream error code of a message above the stream's limit.
const tooBigForStream = 10054

func hopeless(err error) bool {
	if api := (*jetstream.APIError)(nil); errors.As(err, &api) {
		return api.ErrorCode == tooBigForStream
	}
	return errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrBadSubject)
}

// Confirm makes a round trip: the server answers it after all that was sent before. An error that the server reported
// on the way (a forbidden subject) counts, since it then dropped a message.
func (b *natsBus) Confirm(ctx context.Context) error {
	if b.conn == nil {
		return nats.ErrConnectionClosed
	}
	ctx, cancel := context.WithTimeout(ctx, confirmWait)
	defer cancel()
	if err := b.conn.FlushWithContext(ctx); err != nil {
		return err
	}
	return b.conn.LastError()
}

// Reset closes the connection.
func (b *natsBus) Reset() {
	if b.conn == nil {
		return
	}
	b.unbar()
	b.line.Close() // first, so that Close has nothing to wait for
	b.conn.Close()
	b.conn, b.line, b.js = nil, nil, nil
}

// dial makes a connection that is cut when ctx ends, whatever it is doing.
func (b *natsBus) dial(ctx context.Context) error {
	d := &dialer{ctx: ctx, inner: b.link.InProcess}
	opts := append(b.opts[:len(b.opts):len(b.opts)], nats.SetCustomDialer(d))
	if b.link.InProcess != nil {
		opts = append(opts, nats.InProcessServer(d))
	}
	conn, err := nats.Connect(b.link.URL, opts...)
	if err != nil {
		d.cut()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	b.conn, b.line, b.unbar = conn, d.conn, d.stop
	if b.link.JetStream {
		if b.js, err = newStreams(conn, spaceOf(b.link.Cluster)); err != nil {
			return err
		}
	}
	return nil
}

// dialer opens the line under a connection and closes it when ctx ends.
type dialer struct {
	ctx   context.Context
	inner Local
	conn  net.Conn
	stop  func() bool
}

// Dial opens a line to a server over the network.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: dialWait}).DialContext(d.ctx, network, address)
	return d.keep(c, err)
}

// InProcessConn opens a line to a server in this process.
func (d *dialer) InProcessConn() (net.Conn, error) {
	c, err := d.inner.InProcessConn()
	return d.keep(c, err)
}

func (d *dialer) keep(c net.Conn, err error) (net.Conn, error) {
	d.cut()
	if err != nil {
		return nil, err
	}
	d.conn = c
	d.stop = context.AfterFunc(d.ctx, func() { c.Close() })
	return c, nil
}

// cut lets go of a line that led to no connection.
func (d *dialer) cut() {
	if d.conn != nil {
		d.stop()
		d.conn.Close()
		d.conn = nil
	}
}

// streams publishes with acknowledgements. Every message names the sequence number that the stream must be at, so that
// a publisher that was deposed without noticing cannot write between the messages of its successor (N2).
type streams struct {
	js    jetstream.JetStream
	space uuid.UUID
	names map[string]string // subject -> stream
	ends  map[string]*ending
}

// ending is where a stream ends.
type ending struct {
	seq uint64 // of its last message
	// at is the place of that message when it is ours; else zero. As we write in order of places, all up to there is in
	// the stream, however long ago: what JetStream itself remembers of message ids ends after two minutes.
	at place
}

func newStreams(c *nats.Conn, space uuid.UUID) (*streams, error) {
	js, err := jetstream.New(c)
	if err != nil {
		return nil, err
	}
	return &streams{js: js, space: space, names: make(map[string]string), ends: make(map[string]*ending)}, nil
}

func (s *streams) publish(ctx context.Context, m *nats.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, confirmWait)
	defer cancel()
	name, ok := s.names[m.Subject]
	if !ok {
		var err error
		if name, err = s.find(ctx, m.Subject); err != nil {
			return err
		}
		s.names[m.Subject] = name
	}
	end := s.ends[name]
	if rev, index, err := ParsePlace(m.Header.Get(headerPlace)); err == nil && !end.at.before(place{rev, index}) {
		return nil
	}
	ack, err := s.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequence(end.seq))
	if err != nil {
		return fmt.Errorf("stream %s: %w", name, err)
	}
	if !ack.Duplicate { // the acknowledgement of a duplicate names the first one's place
		end.seq = ack.Sequence
	}
	return nil
}

// find looks up the stream that takes a subject and where it ends.
func (s *streams) find(ctx context.Context, subject string) (string, error) {
	name, err := s.js.StreamNameBySubject(ctx, subject)
	if err != nil {
		return "", fmt.Errorf("wanted a stream that takes %s: %w: create one, or switch JetStream off", subject, err)
	}
	if s.ends[name] != nil {
		return name, nil
	}
	stream, err := s.js.Stream(ctx, name)
	if err != nil {
		return "", fmt.Errorf("stream %s: %w", name, err)
	}
	end := &ending{seq: stream.CachedInfo().State.LastSeq}
	if end.seq > 0 {
		last, err := stream.GetMsg(ctx, end.seq)
		switch {
		case err == nil:
			end.at = s.ours(last.Header)
		case !errors.Is(err, jetstream.ErrMsgNotFound): // expired or deleted: nothing is known
			return "", fmt.Errorf("stream %s: its last message: %w", name, err)
		}
	}
	s.ends[name] = end
	return name, nil
}

// ours is the place of a message of this cluster, as its id proves; zero for others.
func (s *streams) ours(h nats.Header) place {
	rev, index, err := ParsePlace(h.Get(headerPlace))
	if err != nil || h.Get(headerID) != messageID(s.space, Place(rev, index)) {
		return place{}
	}
	return place{rev, index}
}

// before reports whether a lies before b.
func (a place) before(b place) bool { return a.rev < b.rev || a.rev == b.rev && a.index < b.index }

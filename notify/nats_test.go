// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ferrite/node"
	"ferrite/notify/embedded"
)

const patience = 30 * time.Second // of a test that waits for what must come

// consumer subscribes to all notifications and keeps what it gets.
type consumer struct {
	conn *nats.Conn
	back chan struct{} // one value for each reconnection

	mu  sync.Mutex // guards the fields below
	got []*nats.Msg
	new chan struct{} // closed and replaced with each message
}

func consume(t *testing.T, url string) *consumer {
	t.Helper()
	c := &consumer{back: make(chan struct{}, 100), new: make(chan struct{})}
	conn, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(5*time.Millisecond), nats.ReconnectJitter(0, 0),
		nats.ReconnectHandler(func(*nats.Conn) { c.back <- struct{}{} }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	c.conn = conn
	if _, err := conn.Subscribe(DefaultTopic+".>", func(m *nats.Msg) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.got = append(c.got, m)
		close(c.new)
		c.new = make(chan struct{})
	}); err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	return c
}

// places returns where the messages came from, in order of arrival, once the last one of want is among them.
func (c *consumer) places(t *testing.T, want []string) []string {
	t.Helper()
	limit := time.After(patience)
	for {
		c.mu.Lock()
		var out []string
		for _, m := range c.got {
			out = append(out, m.Header.Get("Ferrite-Rev"))
		}
		again := c.new
		c.mu.Unlock()
		if slices.Contains(out, want[len(want)-1]) {
			return out
		}
		select {
		case <-again:
		case <-limit:
			t.Fatalf("waited for %s, got %d messages", want[len(want)-1], len(out))
		}
	}
}

// once drops messages whose id was there before, as a consumer would.
func (c *consumer) once() (places []string, duplicates int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := map[string]bool{}
	for _, m := range c.got {
		id := m.Header.Get("Nats-Msg-Id")
		if seen[id] {
			duplicates++
			continue
		}
		seen[id] = true
		places = append(places, m.Header.Get("Ferrite-Rev"))
	}
	return places, duplicates
}

func serve(t *testing.T, listen string) *embedded.Server {
	t.Helper()
	s, err := embedded.Start(embedded.Config{Listen: listen, Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return s
}

func connect(t *testing.T, l Link) Bus {
	t.Helper()
	b, err := Connect(l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Reset)
	return b
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for limit := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// TestOverNATS: encoded notices arrive in order, each once, with subject, headers and id, over TCP and in process.
func TestOverNATS(t *testing.T) {
	for _, inProcess := range []bool{true, false} {
		s := serve(t, "127.0.0.1:0")
		link := Link{URL: s.ClientURL()}
		if inProcess {
			link = Link{InProcess: s}
		}
		c := consume(t, s.ClientURL())
		feed := newOutbox()
		p := New(Config{Feed: feed, Bus: connect(t, link)})
		stop := start(t, p)
		enc := &Encoder{Host: "c1", Level: "info"}
		for range 300 {
			var entry []Message
			for _, status := range []node.Status{node.Start, node.End} {
				msgs, err := enc.Encode(notice("node", "power_set", status, true))
				if err != nil {
					t.Fatal(err)
				}
				entry = append(entry, msgs...)
			}
			feed.put(entry...)
		}
		want := feed.places()
		if got := c.places(t, want); !slices.Equal(got, want) {
			t.Errorf("got %d messages %v", len(got), got)
		}
		eventually(t, "all confirmed", func() bool { return p.Stats().Published == 600 })
		stop()
		if s := p.Stats(); s.Retries != 0 || s.Failures != 0 || !s.Up {
			t.Errorf("%+v", s)
		}
		c.mu.Lock()
		for i, m := range c.got {
			e := decode(t, m.Data)
			if id := m.Header.Get("Nats-Msg-Id"); id != e.MessageID || id == "" || m.Header.Get("Ironic-Node") != fullNode().UUID {
				t.Errorf("headers %v, message_id %s", m.Header, e.MessageID)
			}
			if status := []string{"start", "end"}[i%2]; m.Subject != DefaultTopic+".info.baremetal.node.power_set."+status {
				t.Errorf("message %d on %s", i, m.Subject)
			}
		}
		c.mu.Unlock()
		s.Shutdown()
	}
}

// hooked calls before with the number of the confirmation that is about to be asked for, from 1.
type hooked struct {
	Bus
	before func(n int)
	n      int
}

func (h *hooked) Confirm(ctx context.Context) error {
	h.n++
	h.before(h.n)
	return h.Bus.Confirm(ctx)
}

// gate is a clock whose pauses end only when the test opens it.
type gate struct {
	systemClock
	pauses chan func() // the ends of pauses, in order
}

func (g *gate) AfterFunc(d time.Duration, f func()) func() bool {
	if d >= cursorEvery/2 { // the cursor's turn
		return g.systemClock.AfterFunc(d, f)
	}
	g.pauses <- f
	return func() bool { return true }
}

// TestServerKilled: NATS dies with a batch on its way and comes back on the same port: once the consumer listens again,
// all events arrive in order, and those that come twice have the same id (N2).
func TestServerKilled(t *testing.T) {
	s := serve(t, "127.0.0.1:0")
	listen := strings.TrimPrefix(s.ClientURL(), "nats://")
	c := consume(t, s.ClientURL())
	feed, log := newOutbox(), &lines{}
	clock := &gate{pauses: make(chan func(), 10)}
	var killed sync.Once
	bus := &hooked{Bus: connect(t, Link{URL: s.ClientURL()})}
	bus.before = func(n int) {
		if n > 2 {
			killed.Do(s.Shutdown)
		}
	}
	p := New(Config{Feed: feed, Bus: bus, Clock: clock, Logger: log.logger()})
	stop := start(t, p)
	for range 2 { // two batches in peace; core NATS forgets what it has not delivered when it dies
		feed.add(20)
		c.places(t, feed.places())
		n := uint64(len(feed.places()))
		eventually(t, "confirmed", func() bool { return p.Stats().Published == n })
	}
	for range 10 {
		feed.add(30)
	}
	var awake func()
	select {
	case awake = <-clock.pauses: // the publisher has seen the failure
	case <-time.After(patience):
		t.Fatal("NATS is dead and the publisher does not notice")
	}
	if s := p.Stats(); s.Up || s.Published != 40 || s.Lag == 0 {
		t.Errorf("while NATS is dead: %+v", s)
	}
	feed.add(5)
	serve(t, listen)
	<-c.back
	if err := c.conn.FlushTimeout(patience); err != nil {
		t.Fatal(err)
	}
	awake()
	want := feed.places()
	c.places(t, want)
	eventually(t, "all confirmed", func() bool { return p.Stats().Published == uint64(len(want)) })
	stop()
	if got, _ := c.once(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if s := p.Stats(); s.Retries != 1 || !s.Up || log.count("level=WARN") != 1 || log.count("level=INFO") != 1 {
		t.Errorf("%+v, log %s", s, log.b.String())
	}
	if rev, index := feed.Cursor(); Place(rev, index) != want[len(want)-1] {
		t.Errorf("cursor %d.%d", rev, index)
	}
}

// relay passes bytes between clients and a server, and cuts the first line after limit bytes towards the server.
type relay struct {
	net.Listener
	target string
	limit  int64
	wg     sync.WaitGroup
}

func newRelay(t *testing.T, target string, limit int64) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{Listener: l, target: target, limit: limit}
	r.wg.Go(r.run)
	return r
}

func (r *relay) run() {
	for n := 0; ; n++ {
		in, err := r.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", r.target)
		if err != nil {
			in.Close()
			continue
		}
		var from io.Reader = in
		if n == 0 {
			from = io.LimitReader(in, r.limit)
		}
		r.wg.Go(func() { io.Copy(out, from); in.Close(); out.(*net.TCPConn).CloseWrite() })
		r.wg.Go(func() { io.Copy(in, out); in.Close(); out.Close() })
	}
}

// paused stops before the hundredth packet until the line that carried the first ones has been noticed to be gone. On a
// busy machine the line may break before, and then there is nothing to wait for.
type paused struct {
	*natsBus
	t     *testing.T
	n     int
	first *nats.Conn
}

func (p *paused) Publish(ctx context.Context, packet Packet) error {
	if p.first == nil {
		p.first = p.conn
	}
	if p.n++; p.n == 100 && p.conn != nil && p.conn == p.first {
		conn := p.conn
		conn.FlushTimeout(patience) // pushes them out; the answer never comes
		for limit := time.Now().Add(patience); !conn.IsClosed() && conn.Stats().Reconnects == 0; time.Sleep(time.Millisecond) {
			if time.Now().After(limit) {
				p.t.Error("the line was never gone")
				break
			}
		}
	}
	return p.natsBus.Publish(ctx, packet)
}

// TestLineCut: the line breaks within a batch of which NATS has already delivered a part. The batch comes again as a
// whole: never a later event before an earlier one that was lost, even if there is a new line before the next packet.
func TestLineCut(t *testing.T) {
	s := serve(t, "127.0.0.1:0")
	c := consume(t, s.ClientURL())
	r := newRelay(t, strings.TrimPrefix(s.ClientURL(), "nats://"), 20_000)
	feed := newOutbox()
	feed.add(200)
	bus := &paused{natsBus: connect(t, Link{URL: "nats://" + r.Addr().String()}).(*natsBus), t: t}
	p := New(Config{Feed: feed, Bus: bus})
	stop := start(t, p)
	want := feed.places()
	eventually(t, "all confirmed", func() bool { return p.Stats().Published == uint64(len(want)) })
	got := c.places(t, want)
	stop()
	once, duplicates := c.once()
	if !slices.Equal(once, want) {
		t.Errorf("got %v", once)
	}
	if duplicates == 0 || duplicates >= len(want) || p.Stats().Retries == 0 {
		t.Errorf("%d duplicates, %+v: the cut missed the batch", duplicates, p.Stats())
	}
	if !slices.Equal(got, append(want[:duplicates:duplicates], want...)) {
		t.Errorf("arrived as %v: wanted a beginning, then all", got)
	}
	r.Close()
	r.wg.Wait()
}

// TestDeadOrMute: a NATS that is not there, or accepts and never says a word, holds up nothing but the publisher, which
// ends at once when told.
func TestDeadOrMute(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan net.Conn, 100)
	go func() {
		defer close(accepted)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	feed := newOutbox()
	feed.add(1)
	p := New(Config{Feed: feed, Bus: connect(t, Link{URL: "nats://" + l.Addr().String()})})
	stop := start(t, p)
	mute := <-accepted
	stop() // while the publisher waits for the first word
	if s := p.Stats(); s.Published != 0 || s.Up {
		t.Errorf("mute: %+v", s)
	}
	mute.Close()
	l.Close()
	for conn := range accepted {
		conn.Close()
	}
	stop = start(t, p)
	eventually(t, "three retries", func() bool { return p.Stats().Retries >= 3 })
	feed.add(1) // does not block
	stop()
	if s := p.Stats(); s.Published != 0 || s.Up || s.Runs || s.Stuck || !s.Waits.IsZero() || s.LastError == "" { // who ended is no alarm
		t.Errorf("dead: %+v", s)
	}
	if rev, _ := feed.Cursor(); rev != 0 {
		t.Errorf("cursor moved to %d", rev)
	}
}

// TestTooBig: what exceeds the server's limit is refused for good, and the connection goes on.
func TestTooBig(t *testing.T) {
	s := serve(t, "127.0.0.1:0")
	c := consume(t, s.ClientURL())
	feed := newOutbox()
	subject := DefaultTopic + ".info.x"
	feed.put(Message{Subject: subject, Body: []byte(`{"a":1}`)}, Message{Subject: subject, Body: make([]byte, 9<<20)},
		Message{Subject: "two words", Body: []byte(`{}`)}, Message{Subject: subject, Body: []byte(`{"a":2}`)})
	p := New(Config{Feed: feed, Bus: connect(t, Link{InProcess: s})})
	stop := start(t, p)
	got := c.places(t, feed.places())
	eventually(t, "confirmed", func() bool { return p.Stats().Published == 2 })
	stop()
	if s := p.Stats(); !slices.Equal(got, []string{"10.0", "10.3"}) || s.Refused != 2 || s.Retries != 0 {
		t.Errorf("got %v, %+v", got, s)
	}
}

// run starts a NATS server with any options, for what package embedded does not offer.
func run(t *testing.T, o *server.Options) *server.Server {
	t.Helper()
	o.Host, o.Port, o.NoSigs, o.NoLog = "127.0.0.1", server.RANDOM_PORT, true, true
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		t.Fatal("the server is not ready")
	}
	return s
}

// TestForbidden: a subject that the account may not publish to is not taken for confirmed, though the server answers.
func TestForbidden(t *testing.T) {
	s := run(t, &server.Options{Users: []*server.User{{
		Username: "u", Password: "p",
		Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{DefaultTopic + ".>"}}},
	}}})
	feed := newOutbox()
	feed.add(1)
	p := New(Config{Feed: feed, Bus: connect(t, Link{URL: strings.Replace(s.ClientURL(), "nats://", "nats://u:p@", 1)})})
	stop := start(t, p)
	eventually(t, "two retries", func() bool { return p.Stats().Retries >= 2 })
	stop()
	if s := p.Stats(); s.Published != 0 || s.Up || !strings.Contains(strings.ToLower(s.LastError), "permissions violation") {
		t.Errorf("%+v", s)
	}
}

// TestJetStream: the stream holds every event once and in order even when the publisher starts from an old cursor; a
// publisher whose stream was written to by another one is stopped; without a stream nothing counts as published.
func TestJetStream(t *testing.T) {
	s := run(t, &server.Options{JetStream: true, StoreDir: t.TempDir()})
	feed := newOutbox()
	feed.add(3)
	bus := connect(t, Link{URL: s.ClientURL(), JetStream: true})
	p := New(Config{Feed: feed, Bus: bus})
	stop := start(t, p)
	eventually(t, "a failure without a stream", func() bool { return strings.Contains(p.Stats().LastError, "wanted a stream") })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "N", Subjects: []string{DefaultTopic + ".>"}, MaxMsgSize: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "three acknowledged", func() bool { return p.Stats().Published == 3 })
	stop()
	feed.cursor = place{} // as after a crash before the cursor was written
	feed.put(Message{Subject: DefaultTopic + ".info.x", Body: make([]byte, 200_000)})
	feed.add(2)
	p = New(Config{Feed: feed, Bus: bus})
	stop = start(t, p)
	eventually(t, "all acknowledged", func() bool { return p.Stats().Published == 5 })
	stop()
	if st := p.Stats(); st.Refused != 1 || st.Retries != 0 {
		t.Errorf("%+v", st)
	}
	info, err := stream.Info(ctx)
	if err != nil || info.State.Msgs != 5 {
		t.Fatalf("%+v, %v", info, err)
	}
	var got []string
	for seq := uint64(1); seq <= 5; seq++ {
		m, err := stream.GetMsg(ctx, seq)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, m.Header.Get("Ferrite-Rev"))
	}
	if all := feed.places(); !slices.Equal(got, slices.Delete(all, 3, 4)) {
		t.Errorf("the stream holds %v", got)
	}
	// Somebody else writes after this publisher's last message: it may not go on without looking again.
	packet := func(place string) Packet {
		return Packet{Subject: DefaultTopic + ".info.x", ID: place, Place: place, Body: []byte("{}")}
	}
	if err := bus.Publish(ctx, packet("a")); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(ctx, DefaultTopic+".info.y", nil); err != nil {
		t.Fatal(err)
	}
	if err := bus.Publish(ctx, packet("b")); err == nil || !strings.Contains(err.Error(), "wrong last sequence") || errors.Is(err, ErrRefused) {
		t.Errorf("wanted a wrong last sequence, found %v", err)
	}
	bus.Reset()
	if err := bus.Publish(ctx, packet("b")); err != nil {
		t.Error(err)
	}
}

// TestJetStreamForgets: long after JetStream has forgotten the ids, an old cursor still doubles nothing: the place of the
// stream's last message tells what it holds. Another cluster's places say nothing.
func TestJetStreamForgets(t *testing.T) {
	s := run(t, &server.Options{JetStream: true, StoreDir: t.TempDir()})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "N", Subjects: []string{DefaultTopic + ".>"}, Duplicates: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	feed := newOutbox()
	publish := func(cluster string, events int) {
		t.Helper()
		p := New(Config{Feed: feed, Bus: connect(t, Link{URL: s.ClientURL(), JetStream: true, Cluster: cluster}), Cluster: cluster})
		stop := start(t, p)
		eventually(t, "all acknowledged", func() bool { return p.Stats().Published == uint64(events) })
		stop()
	}
	feed.add(3)
	publish("one", 3)
	probe := nats.NewMsg(DefaultTopic + ".info.probe")
	probe.Header.Set("Nats-Msg-Id", "probe")
	probes := 0
	eventually(t, "JetStream to forget the ids", func() bool {
		a, err := js.PublishMsg(ctx, probe)
		if err == nil && !a.Duplicate {
			probes++
		}
		return probes == 2
	})
	feed.add(1)
	publish("one", 1)
	holds := func(want int) {
		t.Helper()
		if info, err := stream.Info(ctx); err != nil || info.State.Msgs != uint64(want+probes) {
			t.Errorf("%+v, %v: wanted %d of ours", info, err, want)
		}
	}
	holds(4)
	feed.cursor = place{}
	publish("one", 4)
	holds(4)
	feed.cursor = place{}
	publish("two", 4)
	holds(8)
}

// TestBadURL: a wrong URL is told at once, without its password; a NATS that is not there is not an error.
func TestBadURL(t *testing.T) {
	for _, u := range []string{"", "127.0.0.1", "nats://", "nats://:4222", "nats://a:4222,", "nats://u:pa55@", "u:pa55@ho st:%zz"} {
		if _, err := Connect(Link{URL: u}); err == nil || strings.Contains(err.Error(), "pa55") || !strings.Contains(err.Error(), "nats-url") {
			t.Errorf("%q: %v", u, err)
		}
	}
	for _, u := range []string{"nats://127.0.0.1:1", "tls://u:p@host:4222,nats://b:4222"} {
		if _, err := Connect(Link{URL: u}); err != nil {
			t.Errorf("%q: %v", u, err)
		}
	}
}

// TestOsloOverNATS: the id is inside the wrapped envelope.
func TestOsloOverNATS(t *testing.T) {
	s := serve(t, "127.0.0.1:0")
	c := consume(t, s.ClientURL())
	feed := newOutbox()
	msgs, err := (&Encoder{Host: "c1", Level: "info", Format: Oslo}).Encode(notice("port", "create", node.End, true))
	if err != nil {
		t.Fatal(err)
	}
	feed.put(msgs...)
	stop := start(t, New(Config{Feed: feed, Bus: connect(t, Link{InProcess: s}), Cluster: "lab"}))
	c.places(t, feed.places())
	stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	var e envelope
	if err := json.Unmarshal([]byte(unwrap(t, c.got[0].Data)), &e); err != nil || e.MessageID != c.got[0].Header.Get("Nats-Msg-Id") || e.MessageID == MessageID(10, 0) {
		t.Errorf("%+v, %v, %v", e, err, c.got[0].Header)
	}
}

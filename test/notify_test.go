// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// natsVariable makes this test binary a NATS server: its port, and with a comma the folder of its streams. So it can be
// killed like one.
const natsVariable = "FERRITE_TEST_NATS"

func init() {
	text := os.Getenv(natsVariable)
	if text == "" {
		return
	}
	port, dir, streams := strings.Cut(text, ",")
	n, err := strconv.Atoi(port)
	if err == nil {
		var s *server.Server
		if s, err = server.NewServer(&server.Options{Host: "127.0.0.1", Port: n, JetStream: streams, StoreDir: dir, NoLog: true, NoSigs: true}); err == nil {
			s.Start()
			s.WaitForShutdown()
			os.Exit(0)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// natsd is a NATS server in a process of its own.
type natsd struct {
	t    *testing.T
	port int
	dir  string // of its streams, "" = core only
	cmd  *exec.Cmd
}

func newNATS(t *testing.T, dir string) *natsd {
	t.Helper()
	d := &natsd{t: t, port: freePort(t, "tcp"), dir: dir}
	t.Cleanup(func() { d.kill() })
	d.start()
	return d
}

func (d *natsd) address() string { return fmt.Sprintf("127.0.0.1:%d", d.port) }
func (d *natsd) url() string     { return "nats://" + d.address() }

func (d *natsd) start() {
	d.t.Helper()
	text := strconv.Itoa(d.port)
	if d.dir != "" {
		text += "," + d.dir
	}
	self, err := os.Executable()
	if err != nil {
		d.t.Fatal(err)
	}
	d.cmd = exec.Command(self)
	d.cmd.Env = append(os.Environ(), natsVariable+"="+text)
	d.cmd.Stderr = os.Stderr
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	until(d.t, "the NATS server", func() bool {
		c, err := nats.Connect(d.url(), nats.NoReconnect())
		if err != nil {
			return false
		}
		defer c.Close()
		js, err := jetstream.New(c)
		if err != nil || d.dir == "" {
			return err == nil
		}
		_, err = js.AccountInfo(d.t.Context())
		return err == nil
	})
}

func (d *natsd) kill() {
	if d.cmd != nil {
		_ = d.cmd.Process.Kill()
		_ = d.cmd.Wait()
		d.cmd = nil
	}
}

// line is a TCP line to a server that can be cut, held up and mended.
type line struct {
	t  *testing.T
	ln net.Listener
	to string

	mu    sync.Mutex // guards the fields below
	conns []net.Conn
	cut   bool
	held  chan struct{} // closed = bytes pass
}

func newLine(t *testing.T, to string) *line {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{t: t, ln: ln, to: to, cut: true, held: make(chan struct{})}
	close(l.held)
	t.Cleanup(func() { _ = ln.Close(); l.set(true); l.hold(false) })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go l.carry(c)
		}
	}()
	return l
}

func (l *line) url() string { return "nats://" + l.ln.Addr().String() }

func (l *line) carry(c net.Conn) {
	defer c.Close()
	l.mu.Lock()
	cut := l.cut
	l.mu.Unlock()
	if cut {
		return
	}
	s, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	defer s.Close()
	l.mu.Lock()
	l.conns = append(l.conns, c, s)
	cut = l.cut
	l.mu.Unlock()
	if cut {
		return
	}
	go func() { l.pass(c, s); _ = c.Close() }()
	l.pass(s, c)
}

// pass copies bytes while they may pass.
func (l *line) pass(to, from net.Conn) {
	defer to.Close()
	b := make([]byte, 16<<10)
	for {
		n, err := from.Read(b)
		l.mu.Lock()
		held := l.held
		l.mu.Unlock()
		<-held
		if _, werr := to.Write(b[:n]); err != nil || werr != nil {
			return
		}
	}
}

// set cuts the line or mends it.
func (l *line) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
	if cut {
		for _, c := range l.conns {
			_ = c.Close()
		}
		l.conns = nil
	}
}

// hold lets no byte pass, or all again.
func (l *line) hold(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.held:
		if on {
			l.held = make(chan struct{})
		}
	default:
		if !on {
			close(l.held)
		}
	}
}

// told is a notification as its headers name it.
type told struct{ rev, id, subject, node string }

// consumer listens to NATS and drops what it has seen, by header Ferrite-Rev.
type consumer struct {
	t    *testing.T
	conn *nats.Conn

	mu      sync.Mutex // guards the fields below
	seen    map[string]told
	order   []told
	doubles int
	wrong   []string
}

func newConsumer(t *testing.T, url string) *consumer {
	t.Helper()
	c := &consumer{t: t, seen: map[string]told{}}
	var err error
	if c.conn, err = nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.conn.Close)
	if _, err := c.conn.Subscribe("ironic_versioned_notifications.>", c.hear); err != nil {
		t.Fatal(err)
	}
	c.flush()
	return c
}

func (c *consumer) hear(m *nats.Msg) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := told{m.Header.Get("Ferrite-Rev"), m.Header.Get("Nats-Msg-Id"), m.Subject, m.Header.Get("Ironic-Node")}
	var body struct {
		ID string `json:"message_id"`
	}
	if err := json.Unmarshal(m.Data, &body); err != nil || body.ID != n.id {
		c.wrong = append(c.wrong, fmt.Sprintf("%+v says message_id %q", n, body.ID))
	}
	if old, ok := c.seen[n.rev]; ok {
		c.doubles++
		if old != n {
			c.wrong = append(c.wrong, fmt.Sprintf("%+v came again as %+v", old, n))
		}
		return
	}
	c.seen[n.rev] = n
	c.order = append(c.order, n)
}

// flush returns when all that the server had for us has arrived.
func (c *consumer) flush() {
	c.t.Helper()
	until(c.t, "the consumer's connection", func() bool { return c.conn.FlushTimeout(time.Second) == nil })
}

func (c *consumer) len() int { c.mu.Lock(); defer c.mu.Unlock(); return len(c.order) }

func (c *consumer) all() []told { c.mu.Lock(); defer c.mu.Unlock(); return slices.Clone(c.order) }

// verdict counts what came twice, and says what should not have come at all.
func (c *consumer) verdict() (doubles int, wrong []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.doubles, slices.Clone(c.wrong)
}

// kept is what the conductor's outbox keeps, by the API, in the order of the log.
func (s *site) kept() []told {
	s.t.Helper()
	list, _ := s.outbox()
	return list
}

// idBytes are the bytes of a message_id in a body, which the outbox does not hold.
const idBytes = len(`"message_id":"12345678-1234-1234-1234-123456789012",`)

// outbox is kept with the bytes that the outbox counts.
func (s *site) outbox() (out []told, size int) {
	s.t.Helper()
	for from := "oldest"; from != ""; {
		r, err := http.Get(s.api + "/v1/x/notifications?from=" + from)
		if err != nil {
			s.t.Fatal(err)
		}
		lines := bufio.NewScanner(r.Body)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			var l struct {
				Rev, ID, Subject, Node string
				Body                   json.RawMessage
			}
			if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
				s.t.Fatalf("%s: %v", lines.Bytes(), err)
			}
			out = append(out, told{l.Rev, l.ID, l.Subject, l.Node})
			size += len(l.Subject) + len(l.Node) + len(l.Body) - idBytes
		}
		_ = r.Body.Close()
		if r.StatusCode != http.StatusOK || lines.Err() != nil {
			s.t.Fatalf("notifications from %s: %s %v", from, r.Status, lines.Err())
		}
		from = r.Header.Get("Ferrite-Next")
	}
	return out, size
}

// figure is a value of /metrics; -1 when it cannot be read.
func (s *site) figure(name string) float64 {
	r, err := http.Get(s.api + "/metrics")
	if err != nil {
		return -1
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body)
	for l := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(l, name+" "); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				s.t.Fatal(err)
			}
			return f
		}
	}
	return -1
}

// writers change nodes through the API, each its own, until stopped. An answer that got lost with the conductor may or
// may not be a change; one of 200 is.
type writers struct {
	s     *site
	wg    sync.WaitGroup
	stop  atomic.Bool
	mu    sync.Mutex     // guards acked
	acked map[string]int // node UUID -> changes answered with 200
}

func (s *site) write(n int) *writers {
	s.t.Helper()
	w := &writers{s: s, acked: map[string]int{}}
	for i := range n {
		code, doc := s.call("POST", "/v1/nodes", map[string]any{"driver": "fake-hardware", "name": fmt.Sprintf("w%d", i)})
		if code != http.StatusCreated {
			s.t.Fatalf("POST node: %d %v", code, doc)
		}
		id := doc["uuid"].(string)
		w.wg.Go(func() {
			for k := 0; !w.stop.Load(); k++ {
				code, _, err := s.try("PATCH", "/v1/nodes/"+id, []map[string]any{{"op": "add", "path": "/extra/k", "value": k}})
				if err == nil && code == http.StatusOK {
					w.mu.Lock()
					w.acked[id]++
					w.mu.Unlock()
				}
				time.Sleep(5 * time.Millisecond) // a pace that leaves the machine room, no condition
			}
		})
	}
	return w
}

// total counts acknowledged changes.
func (w *writers) total() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, k := range w.acked {
		n += k
	}
	return n
}

// more waits for so many further acknowledged changes.
func (w *writers) more(n int) {
	w.s.t.Helper()
	goal := w.total() + n
	until(w.s.t, "more changes", func() bool { return w.total() >= goal })
}

func (w *writers) end() { w.stop.Store(true); w.wg.Wait() }

// check holds what was told against what was committed: the same, in the same order, each once; and every acknowledged
// change is among it with start and end.
func (w *writers) check(got []told) {
	t := w.s.t
	t.Helper()
	want := w.s.kept()
	if !slices.Equal(got, want) {
		at := 0
		for at < len(got) && at < len(want) && got[at] == want[at] {
			at++
		}
		t.Errorf("told %d notifications, committed %d; they differ from number %d on: told %+v, committed %+v", len(got), len(want), at, next(got, at), next(want, at))
	}
	ends, ids := map[string]int{}, map[string]bool{}
	for _, n := range want {
		if ids[n.id] {
			t.Errorf("id %s is used twice", n.id)
		}
		ids[n.id] = true
		if strings.HasSuffix(n.subject, ".node.update.end") {
			ends[n.node]++
		}
	}
	for id, n := range w.acked {
		if ends[id] < n {
			t.Errorf("node %s: %d changes acknowledged, %d told", id, n, ends[id])
		}
	}
}

func next(list []told, at int) any {
	if at < len(list) {
		return list[at]
	}
	return "nothing"
}

// The line to NATS is cut and held up, NATS is killed, the conductor is killed, and both at once, while nodes change: a
// consumer that drops by Ferrite-Rev sees every committed notification once and in order (N1, N2).
func TestNATSAwaySlowAndBack(t *testing.T) {
	d := newNATS(t, "")
	l := newLine(t, d.address())
	s := newSite(t, "--nats-url", l.url(), "--nats-listen", "")
	c := newConsumer(t, d.url())
	l.set(false)
	w := s.write(4)
	restart := func() { s.p.kill(); s.start() }
	for i, trouble := range []struct {
		what string
		do   func()
	}{
		{"cut", func() { l.set(true); w.more(40); l.set(false) }},
		{"slow", func() { l.hold(true); w.more(60); l.hold(false) }},
		{"slow, then cut", func() {
			l.hold(true)
			w.more(30)
			l.set(true)
			l.hold(false)
			w.more(10)
			l.set(false)
		}},
		{"conductor killed", restart},
		{"NATS killed", func() {
			l.set(true) // what NATS has confirmed, it has for us: fetch it before it dies
			c.flush()
			d.kill()
			w.more(40)
			d.start()
			c.flush() // a consumer that is not there misses what core NATS is given
			l.set(false)
		}},
		{"cut, conductor killed", func() { l.set(true); w.more(20); restart(); w.more(20); l.set(false) }},
		{"slow, conductor killed", func() { l.hold(true); w.more(20); restart(); l.hold(false) }},
		{"conductor killed twice", func() { restart(); restart() }},
	} {
		before := c.len()
		trouble.do()
		w.more(20)
		until(t, fmt.Sprintf("news after trouble %d, %s", i, trouble.what), func() bool { return c.len() > before })
	}
	w.end()
	until(t, "an empty outbox", func() bool { return s.figure("conductor_notify_outbox") == 0 })
	c.flush()
	got := c.all()
	w.check(got)
	doubles, wrong := c.verdict()
	if len(wrong) > 0 {
		t.Errorf("%d wrong notifications: %s", len(wrong), wrong[0])
	}
	if d := s.figure("conductor_notify_dropped_total"); d != 0 {
		t.Errorf("%v dropped", d)
	}
	t.Logf("%d changes, %d notifications, %d came twice", w.total(), len(got), doubles)
}

// Conductor and NATS are killed in the middle of publishing: the stream holds every committed notification once and in
// order, without help of its consumers, and also when JetStream has long forgotten the ids (N2).
func TestJetStreamHoldsEachOnce(t *testing.T) {
	d := newNATS(t, t.TempDir())
	conn, err := nats.Connect(d.url(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ironic", Subjects: []string{"ironic_versioned_notifications.>"}, Duplicates: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	holds := func() uint64 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if info, err := stream.Info(ctx); err == nil {
			return info.State.Msgs
		}
		return 0
	}
	s := newSite(t, "--nats-url", d.url(), "--nats-listen", "", "--nats-jetstream")
	w := s.write(4)
	for round := range 8 {
		before := holds()
		until(t, "news in the stream", func() bool { return holds() > before+20 })
		if round%3 != 1 {
			s.p.kill() // the cursor is written once a second: what was published since then is not known to be
		}
		if round%3 != 0 {
			d.kill()
			d.start()
		}
		if round%3 != 1 {
			s.start()
		}
	}
	w.end()
	until(t, "an empty outbox", func() bool { return s.figure("conductor_notify_outbox") == 0 })
	var got []told
	info, err := stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
		m, err := stream.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, told{m.Header.Get("Ferrite-Rev"), m.Header.Get("Nats-Msg-Id"), m.Subject, m.Header.Get("Ironic-Node")})
	}
	w.check(got)
	t.Logf("%d changes, %d notifications in the stream", w.total(), len(got))
}

// A deaf NATS fills the outbox up to its bound: the oldest are dropped, counted and logged; what is left is told once
// NATS is back (N2). Nothing else notices.
func TestOutboxBound(t *testing.T) {
	d := newNATS(t, "")
	l := newLine(t, d.address())
	s := newSite(t, "--nats-url", l.url(), "--nats-listen", "", "--outbox-max-mb", "1")
	code, doc := s.call("POST", "/v1/nodes", map[string]any{"driver": "fake-hardware", "name": "n1"})
	if code != http.StatusCreated {
		t.Fatalf("%d %v", code, doc)
	}
	events := 2
	pad := strings.Repeat("x", 20<<10)
	for i := 0; s.figure("conductor_notify_dropped_total") < 10; i++ {
		code, doc := s.call("PATCH", "/v1/nodes/n1", []map[string]any{{"op": "add", "path": "/extra/pad", "value": fmt.Sprint(i, pad)}})
		if code != http.StatusOK {
			t.Fatalf("%d %v", code, doc)
		}
		if events += 2; events > 4000 {
			t.Fatal("a bound of 1 MB dropped nothing of 80 MB")
		}
	}
	until(t, "the outbox to be within its bound", func() bool { _, size := s.outbox(); return size <= 1<<20 })
	if out := s.p.out.String(); !strings.Contains(out, "unpublished events dropped from the outbox") {
		t.Errorf("the loss is not logged:\n%s", out)
	}
	want, dropped := s.kept(), int(s.figure("conductor_notify_dropped_total"))
	if len(want)+dropped != events {
		t.Errorf("%d kept and %d dropped of %d", len(want), dropped, events)
	}
	if code, doc := s.call("GET", "/v1/x/notifications?from=1", nil); code != http.StatusGone || !strings.Contains(fmt.Sprint(doc), want[0].rev) {
		t.Errorf("from what was dropped: %d %v, wanted 410 and %s", code, doc, want[0].rev)
	}
	c := newConsumer(t, d.url())
	l.set(false)
	until(t, "an empty outbox", func() bool { return s.figure("conductor_notify_outbox") == 0 })
	c.flush()
	got := c.all()
	if len(got) < len(want) || !slices.Equal(got[len(got)-len(want):], want) {
		t.Errorf("told %d, kept %d", len(got), len(want))
	}
	if events-len(got) > dropped { // the batch under way was in the publisher's hands
		t.Errorf("%d of %d told, but only %d counted as dropped", len(got), events, dropped)
	}
}

// What was sent is kept for replay, through a restart; publishing it again doubles nothing for who drops by Ferrite-Rev.
func TestReplay(t *testing.T) {
	s := newSite(t)
	c := newConsumer(t, "nats://"+s.nats)
	for i := range 5 {
		if code, doc := s.call("POST", "/v1/nodes", map[string]any{"driver": "fake-hardware", "name": fmt.Sprintf("n%d", i)}); code != http.StatusCreated {
			t.Fatalf("%d %v", code, doc)
		}
	}
	until(t, "all told", func() bool { return c.len() == 10 && s.figure("conductor_notify_outbox") == 0 })
	s.p.kill()
	s.start()
	c.flush()
	want := c.all()
	replay := func(args ...string) (string, int) {
		p := run(t, append([]string{"notifications", "replay", "--api-url", s.api}, args...)...)
		code := p.exit()
		return p.out.String(), code
	}
	out, code := replay("--from", want[4].rev, "-o", "json")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != 0 || len(lines) != 6 || !strings.Contains(lines[0], want[4].id) || !strings.Contains(lines[5], want[9].id) {
		t.Errorf("code %d, %d lines:\n%s", code, len(lines), out)
	}
	rev, _, _ := strings.Cut(want[2].rev, ".")
	if out, code = replay("--from", "oldest", "--to", rev, "--subject", "*.*.baremetal.node.create.end"); code != 0 || strings.Count(out, "\n") != 2 || !strings.HasPrefix(out, want[1].rev) {
		t.Errorf("code %d:\n%s", code, out)
	}
	if out, code = replay("--from", "1"); code != 1 || !strings.Contains(out, "the oldest that is kept is "+want[0].rev) {
		t.Errorf("code %d: %s", code, out)
	}
	before, _ := c.verdict()
	if out, code = replay("--from", want[6].rev, "--publish", "--nats-url", "nats://"+s.nats); code != 0 || !strings.Contains(out, "published 4 notifications again") {
		t.Errorf("code %d: %s", code, out)
	}
	c.flush()
	until(t, "the four again", func() bool { doubles, _ := c.verdict(); return doubles >= before+4 })
	_, wrong := c.verdict()
	if got := c.all(); !slices.Equal(got, want) || len(wrong) > 0 {
		t.Errorf("%v %v", got, wrong)
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// ensemble is several conductors that are one cluster, each a process of its own.
type ensemble struct {
	t      *testing.T
	all    []*site
	key    string // file
	join   string // gossip addresses of all
	expect int
	args   []string
	http   *http.Client
}

// newEnsemble starts n conductors on the loopback and waits until all are ready.
func newEnsemble(t *testing.T, n int, args ...string) *ensemble {
	t.Helper()
	e := prepared(t, n, args...)
	e.startAll()
	return e
}

// prepared is an ensemble that nobody has started yet.
func prepared(t *testing.T, n int, args ...string) *ensemble {
	t.Helper()
	hosts := make([]string, n)
	for i := range hosts {
		hosts[i] = "127.0.0.1"
	}
	return preparedAt(t, hosts, args...)
}

func preparedAt(t *testing.T, hosts []string, args ...string) *ensemble {
	t.Helper()
	e := &ensemble{t: t, key: newKey(t), expect: len(hosts), args: args}
	e.http = &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64, DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext}}
	t.Cleanup(e.http.CloseIdleConnections)
	var gossip []string
	for _, h := range hosts {
		gossip = append(gossip, fmt.Sprintf("%s:%d", h, freePort(t, "tcp")))
	}
	e.join = strings.Join(gossip, ",")
	for i, h := range hosts {
		e.all = append(e.all, e.member(fmt.Sprintf("c%d", i+1), h, gossip[i]))
	}
	return e
}

func newKey(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	out, err := exec.Command(binary, "cluster", "key").Output()
	if err == nil {
		err = os.WriteFile(file, out, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// member is one conductor, not started; the folder lives as long as the test.
func (e *ensemble) member(name, host, gossip string) *site {
	e.t.Helper()
	at := func() string { return fmt.Sprintf("%s:%d", host, freePort(e.t, "tcp")) }
	if gossip == "" {
		gossip = at()
	}
	s := &site{t: e.t, dir: e.t.TempDir(), api: "http://" + at(), nats: at()}
	s.args = append([]string{
		"--name", name, "--cluster-key-file", e.key, "--gossip-listen", gossip, "--gossip-profile", "mid", "--raft-listen", at(), "--remote-listen", at(),
		"--nats-routes-listen", at(), "--join", e.join, "--bootstrap-expect", fmt.Sprint(e.expect), "--ipmi-min-command-interval", "0",
	}, e.args...)
	return s
}

func (s *site) name() string { return s.args[slices.Index(s.args, "--name")+1] }

// startAll starts those that do not run and waits until all are ready and see one another.
func (e *ensemble) startAll() {
	e.t.Helper()
	for _, s := range e.all {
		if !s.runs() {
			s.launch()
		}
	}
	e.whole()
}

// whole waits until every conductor is ready and knows all of them as living members with a vote in the log.
func (e *ensemble) whole() {
	e.t.Helper()
	for _, s := range e.all {
		last := ""
		end := time.Now().Add(patience)
		for !e.sees(s, &last) {
			select {
			case <-s.p.done:
				e.t.Fatalf("%s ended:\n%s", s.name(), s.p.out)
			case <-time.After(50 * time.Millisecond):
			}
			if time.Now().After(end) {
				e.t.Fatalf("%s never saw all members alive; the last it said: %s", s.name(), last)
			}
		}
	}
}

func (e *ensemble) sees(s *site, last *string) bool {
	if code, _, _, err := e.do(s, "GET", "/readyz", nil, nil); err != nil || code != http.StatusOK {
		*last = fmt.Sprintf("readyz %d %v", code, err)
		return false
	}
	code, doc, _, err := e.do(s, "GET", "/v1/x/cluster", nil, nil)
	*last = fmt.Sprint(code, doc, err)
	members, _ := doc["members"].([]any)
	alive := 0
	for _, m := range members {
		x, _ := m.(map[string]any)
		if x["state"] == "alive" && (x["role"] == "leader" || x["role"] == "voter") {
			alive++
		}
	}
	if alive != len(e.all) || doc["quorum"] != true {
		return false
	}
	code, doc, _, err = e.do(s, "GET", "/v1/x/cluster/owners", nil, nil) // by the View that places nodes
	*last = fmt.Sprint(code, doc, err)
	rows, _ := doc["conductors"].([]any)
	return len(rows) == len(e.all) && !strings.Contains(fmt.Sprint(rows), "alive:false")
}

// runs reports whether the process is there.
func (s *site) runs() bool {
	if s.p == nil {
		return false
	}
	select {
	case <-s.p.done:
		return false
	default:
		return true
	}
}

// do is one request to one conductor, decoded; an error tells that there was no answer.
func (e *ensemble) do(s *site, method, path string, body any, header map[string]string) (int, map[string]any, http.Header, error) {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, nil, nil, err
		}
		in = bytes.NewReader(b)
	}
	q, err := http.NewRequest(method, s.api+path, in)
	if err != nil {
		return 0, nil, nil, err
	}
	q.Header.Set("X-OpenStack-Ironic-API-Version", "1.89")
	q.Header.Set("Content-Type", "application/json")
	for k, v := range header {
		q.Header.Set(k, v)
	}
	r, err := e.http.Do(q)
	if err != nil {
		return 0, nil, nil, err
	}
	defer r.Body.Close()
	doc := map[string]any{}
	b, err := io.ReadAll(r.Body)
	if len(b) > 0 && err == nil {
		_ = json.Unmarshal(b, &doc)
	}
	return r.StatusCode, doc, r.Header, err
}

// ask is what a good client does: it goes to another conductor when one refuses the connection, and with a read also when
// the answer did not come or is 503. An error means: not known whether it was done.
func (e *ensemble) ask(method, path string, body any) (code int, doc map[string]any, err error) {
	for try, i := range rand.Perm(len(e.all)) {
		var header http.Header
		code, doc, header, err = e.do(e.all[i], method, path, body, nil)
		if err == nil && header.Get("Ferrite-Stale") != "" { // R4: who wants to know how things are now asks on
			err = errors.New("the answer may be old")
		}
		again := unsent(err) || method == http.MethodGet && (err != nil || code == http.StatusServiceUnavailable)
		if !again || try == len(e.all)-1 {
			break
		}
	}
	return code, doc, err
}

// unsent tells of an error that the request never left: nobody took the connection.
func unsent(err error) bool {
	var e *net.OpError
	return errors.As(err, &e) && e.Op == "dial"
}

// must is ask with the answer that it must get; what is refused with 503, or finds nobody, is asked for again.
func (e *ensemble) must(want int, method, path string, body any) map[string]any {
	e.t.Helper()
	var code int
	var doc map[string]any
	var err error
	again := false
	until(e.t, fmt.Sprintf("%s %s to answer %d", method, path, want), func() bool {
		code, doc, err = e.ask(method, path, body)
		if named, ok := body.(map[string]any); ok && again && method == http.MethodPost && code == http.StatusConflict { // the first try was made after all
			if code, doc, err = e.ask(http.MethodGet, fmt.Sprintf("%s/%v", path, named["name"]), nil); err == nil && code == http.StatusOK {
				code = want
			}
		}
		again = true
		if err == nil && code != want && code != http.StatusServiceUnavailable {
			e.t.Fatalf("%s %s: %d %v, wanted %d", method, path, code, doc, want)
		}
		return err == nil && code == want
	})
	return doc
}

// await polls a node at any conductor until its fields have these values.
func (e *ensemble) await(ident string, want map[string]any) map[string]any {
	e.t.Helper()
	var last map[string]any
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		code, doc, err := e.ask("GET", "/v1/nodes/"+ident, nil)
		if err == nil && code == http.StatusOK {
			last = doc
			if has(doc, want) {
				return doc
			}
		}
		if time.Now().After(end) {
			seen := map[string]any{"last_error": last["last_error"], "conductor": last["conductor"]}
			for k := range want {
				seen[k] = last[k]
			}
			e.t.Fatalf("node %s never had %v; in the end %v", ident, want, seen)
		}
	}
}

func has(doc, want map[string]any) bool {
	for k, v := range want {
		if doc[k] != v {
			return false
		}
	}
	return true
}

// ends is a SIGTERM and the exit that follows; one that does not end says where it hangs, and is killed.
func (s *site) ends() {
	s.t.Helper()
	s.p.signal(syscall.SIGTERM)
	select {
	case <-s.p.done:
		if code := s.p.exit(); code != 0 && s.p.out.String() != "" { // one that had not begun yet dies as any process does
			s.t.Errorf("%s ended with %d:\n%s", s.name(), code, s.p.out)
		}
	case <-time.After(2 * patience):
		s.p.signal(syscall.SIGQUIT)
		select {
		case <-s.p.done:
		case <-time.After(patience):
		}
		s.t.Errorf("%s did not end at SIGTERM; its goroutines are in its log", s.name())
		s.p.kill()
	}
}

// leader is the conductor that leads the log.
func (e *ensemble) leader() *site {
	e.t.Helper()
	var found *site
	until(e.t, "a leader of the log", func() bool {
		_, doc, err := e.ask("GET", "/v1/x/cluster", nil)
		for _, s := range e.all {
			if err == nil && s.runs() && s.name() == doc["leader"] {
				found = s
				return true
			}
		}
		return false
	})
	return found
}

// others are all conductors but one.
func (e *ensemble) others(not *site) (out []*site) {
	for _, s := range e.all {
		if s != not {
			out = append(out, s)
		}
	}
	return out
}

// tidings are what subscribers at every conductor heard together.
type tidings struct {
	mu   sync.Mutex // guards byID
	byID map[string]*nats.Msg
}

// listen subscribes at every conductor, with patience for those that come and go.
func (e *ensemble) listen() *tidings {
	e.t.Helper()
	h := &tidings{byID: map[string]*nats.Msg{}}
	for _, s := range e.all {
		nc, err := nats.Connect("nats://"+s.nats, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.ReconnectJitter(0, 0),
			nats.IgnoreDiscoveredServers())
		if err != nil {
			e.t.Fatal(err)
		}
		e.t.Cleanup(nc.Close)
		sub, err := nc.Subscribe("ironic_versioned_notifications.>", func(m *nats.Msg) {
			h.mu.Lock()
			defer h.mu.Unlock()
			if id := m.Header.Get(nats.MsgIdHdr); h.byID[id] == nil {
				h.byID[id] = m
			}
		})
		if err == nil {
			err = sub.SetPendingLimits(-1, -1)
		}
		if err == nil {
			err = nc.Flush()
		}
		if err != nil {
			e.t.Fatal(err)
		}
	}
	return h
}

// events are the events of a node without "baremetal.", in the order of their commits, each once.
func (h *tidings) events(uuid string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	type row struct {
		rev, index uint64
		event      string
	}
	var rows []row
	for _, m := range h.byID {
		if m.Header.Get("Ironic-Node") != uuid {
			continue
		}
		var r row
		_, _ = fmt.Sscanf(m.Header.Get("Ferrite-Rev"), "%d.%d", &r.rev, &r.index)
		_, r.event, _ = strings.Cut(m.Subject, "baremetal.")
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, b row) int {
		if a.rev != b.rev {
			return int(a.rev) - int(b.rev) //nolint:gosec // small
		}
		return int(a.index) - int(b.index) //nolint:gosec // small
	})
	var out []string
	for _, r := range rows {
		out = append(out, r.event)
	}
	return out
}

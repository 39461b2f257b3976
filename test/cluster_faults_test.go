// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// crew writes: each member changes a node of its own again and again, and knows what a client knows.
type crew struct {
	e    *ensemble
	all  []*client
	stop chan struct{}
	done sync.WaitGroup

	mu       sync.Mutex // guards refusals
	refusals []string   // answers that were neither 200 nor a refused connection
}

func newCrew(e *ensemble, size int) *crew {
	e.t.Helper()
	w := &crew{e: e, stop: make(chan struct{})}
	for i := range size {
		x := &client{name: fmt.Sprintf("w%02d", i)}
		e.must(http.StatusCreated, "POST", "/v1/nodes", map[string]any{"driver": "fake-hardware", "name": x.name})
		w.all = append(w.all, x)
	}
	for _, x := range w.all {
		w.done.Go(func() { w.write(x) })
	}
	e.t.Cleanup(w.end)
	return w
}

func (w *crew) end() {
	select {
	case <-w.stop:
	default:
		close(w.stop)
	}
	w.done.Wait()
}

func (w *crew) write(x *client) {
	for {
		select {
		case <-w.stop:
			return
		default:
		}
		v := x.asked.Add(1)
		code, doc, err := w.e.ask("PATCH", "/v1/nodes/"+x.name, []map[string]any{
			{"op": "add", "path": "/extra/value", "value": v}, {"op": "add", "path": "/description", "value": fmt.Sprint(v)},
		})
		if err == nil && code == http.StatusOK {
			x.acked.Store(v)
			continue
		}
		if !unsent(err) { // that one asked nobody: every conductor refused
			w.mu.Lock()
			w.refusals = append(w.refusals, fmt.Sprintf("%s=%d: %d %v %v", x.name, v, code, doc["error_message"], err))
			w.mu.Unlock()
		}
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
	}
}

func (w *crew) acked() (n int64) {
	for _, x := range w.all {
		n += x.acked.Load()
	}
	return n
}

// more waits until so many more changes are acknowledged.
func (w *crew) more(n int64) {
	w.e.t.Helper()
	enough := w.acked() + n
	untilLong(w.e.t, fmt.Sprintf("%d more changes", n), func() bool { return w.acked() >= enough })
}

// kept looks at every conductor for what was acknowledged: none may have less, or what nobody asked for (R1).
func (w *crew) kept() {
	t := w.e.t
	t.Helper()
	for _, s := range w.e.all {
		for _, x := range w.all {
			n := w.e.confirmed(s, x.name)
			extra, _ := n["extra"].(map[string]any)
			value, _ := extra["value"].(float64)
			if int64(value) < x.acked.Load() || int64(value) > x.asked.Load() {
				t.Errorf("%s has %v at %s: acknowledged was %d, asked for %d", x.name, value, s.name(), x.acked.Load(), x.asked.Load())
			}
			if n["description"] != fmt.Sprint(int64(value)) {
				t.Errorf("half of a change of %s is at %s: extra says %v, description %v", x.name, s.name(), value, n["description"])
			}
		}
	}
}

// confirmed is a node as one conductor knows it for sure; while it cannot, for want of a leader, it says so and is asked again.
func (e *ensemble) confirmed(s *site, ident string) map[string]any {
	e.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		code, n, header, err := e.do(s, "GET", "/v1/nodes/"+ident, nil, nil)
		if err == nil && code == http.StatusOK && header.Get("Ferrite-Stale") == "" {
			return n
		}
		if time.Now().After(end) {
			e.t.Fatalf("%s never told of %s: the last answer was %d %v", s.name(), ident, code, err)
		}
	}
}

// calm: the long tests have the machine for themselves. In the short ones it may stand still for seconds, and then 503 is the
// right answer.
func calm() bool { return os.Getenv("FERRITE_LONG") != "" }

// unharmed: no change failed. On a busy machine, none that was asked for in vain counts, and few may have no answer: what
// fails as a rule fails dozens.
func (w *crew) unharmed() {
	t := w.e.t
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	most, failed := 10, 0
	if calm() {
		most = 0
	}
	for _, r := range w.refusals {
		if calm() || !strings.Contains(r, ": 503 ") || strings.Contains(r, "outcome") {
			failed++
			t.Logf("a change failed: %s", r)
		}
	}
	if failed > most {
		t.Errorf("%d of %d changes failed", failed, w.acked())
	}
}

// TestClusterLeaderIsKilled kills the log's leader under writers, twice: what was acknowledged is at every conductor, and
// all of it was told (L2, R3, N2).
func TestClusterLeaderIsKilled(t *testing.T) {
	t.Parallel()
	e := newEnsemble(t, 3)
	heard := e.listen()
	w := newCrew(e, 12)
	for range 2 {
		w.more(200)
		s := e.leader()
		s.p.kill()
		w.more(200)
		e.startAll()
	}
	w.more(100)
	w.end()
	w.kept()
	for _, x := range w.all {
		n := e.must(http.StatusOK, "GET", "/v1/nodes/"+x.name, nil)
		id, _ := n["uuid"].(string)
		until(t, "the updates of "+x.name+" to be told", func() bool {
			got := heard.events(id)
			count := int64(0)
			for _, event := range got {
				if event == "node.update.end" {
					count++
				}
			}
			return count >= x.acked.Load()-int64(w.lostAnswers(x))
		})
	}
}

// lostAnswers counts a writer's changes that may not have happened.
func (w *crew) lostAnswers(x *client) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.refusals {
		if strings.HasPrefix(r, x.name+"=") {
			n++
		}
	}
	return n
}

// TestClusterRollingRestart ends one conductor after the other by SIGTERM under writers. No change fails: who is refused the
// connection asks another one (S4).
func TestClusterRollingRestart(t *testing.T) {
	t.Parallel()
	e := newEnsemble(t, 3)
	w := newCrew(e, 12)
	var reads, failed atomic.Int64
	w.done.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-w.stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
			reads.Add(1)
			if code, _, err := e.ask("GET", "/v1/nodes/"+w.all[i%len(w.all)].name, nil); err != nil || code != http.StatusOK {
				failed.Add(1)
			}
		}
	})
	for _, s := range e.all {
		w.more(200)
		s.ends()
		w.more(100)
		e.startAll()
	}
	w.more(100)
	w.end()
	w.kept()
	t.Logf("%d changes, %d reads", w.acked(), reads.Load())
	w.unharmed()
	if n := failed.Load(); n > 0 && calm() {
		t.Errorf("%d reads failed at every conductor", n)
	}
}

// TestClusterEndsAmongTheReturning ends the survivor by SIGTERM when the two that were killed have just come back: it ends,
// and no client waits for calls that went to the dead (S6).
func TestClusterEndsAmongTheReturning(t *testing.T) {
	t.Parallel()
	e := newEnsemble(t, 3)
	w := newCrew(e, 24)
	w.more(100)
	last := e.leader()
	for _, s := range e.others(last) {
		s.p.kill()
	}
	until(t, "changes to be refused", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.refusals) > 0 })
	for _, s := range e.others(last) {
		s.launch()
	}
	w.more(50)
	last.ends()
	e.startAll()
	w.more(50)
	w.end()
	w.kept()
}

// TestClusterWithoutQuorum kills two of three: changes are refused, reads first too, then stale ones say so; all recovers by
// itself (R4).
func TestClusterWithoutQuorum(t *testing.T) {
	t.Parallel()
	e := newEnsemble(t, 3)
	e.must(http.StatusCreated, "POST", "/v1/nodes", map[string]any{"driver": "fake-hardware", "name": "n"})
	e.must(http.StatusOK, "PATCH", "/v1/nodes/n", []map[string]any{{"op": "add", "path": "/extra/a", "value": "before"}})
	last := e.leader()
	if _, _, _, err := e.do(last, "GET", "/v1/nodes/n", nil, nil); err != nil {
		t.Fatal(err)
	}
	for _, s := range e.others(last) {
		s.p.kill()
	}
	change := func() (int, map[string]any, http.Header) {
		code, doc, header, err := e.do(last, "PATCH", "/v1/nodes/n", []map[string]any{{"op": "add", "path": "/extra/a", "value": "meanwhile"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return code, doc, header
	}
	code, doc, header := change()
	if code != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
		t.Errorf("a change without quorum: %d %v, Retry-After %q", code, doc, header.Get("Retry-After"))
	}
	code, _, header, err := e.do(last, "GET", "/v1/nodes/n", nil, nil)
	if since, _ := strconv.Atoi(header.Get("Ferrite-Stale")); err != nil || code != http.StatusServiceUnavailable && since < 10 { // for 10 s from the loss, which a busy machine may take to come here
		t.Errorf("the first read without quorum: %d after %d s, %v", code, since, err)
	}
	code, doc, header, err = e.do(last, "GET", "/v1/nodes/n", nil, map[string]string{"Ferrite-Stale": "1"})
	if err != nil || code != http.StatusOK || header.Get("Ferrite-Stale") == "" || fmt.Sprint(doc["extra"]) != "map[a:before]" {
		t.Errorf("a read that wants a stale answer: %d %v, header %q, %v", code, doc["extra"], header.Get("Ferrite-Stale"), err)
	}
	if code, _, _, err := e.do(last, "GET", "/readyz", nil, nil); err != nil || code != http.StatusServiceUnavailable {
		t.Errorf("readyz without quorum: %d %v", code, err)
	}
	until(t, "stale reads that say so", func() bool {
		code, doc, header, err := e.do(last, "GET", "/v1/nodes/n", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return code == http.StatusOK && header.Get("Ferrite-Stale") != "" && fmt.Sprint(doc["extra"]) == "map[a:before]"
	})
	if code, doc, _ := change(); code != http.StatusServiceUnavailable {
		t.Errorf("a change without quorum: %d %v", code, doc)
	}
	e.startAll()
	doc = e.confirmed(last, "n")
	if a := fmt.Sprint(doc["extra"]); a != "map[a:before]" && a != "map[a:meanwhile]" { // its outcome was not known
		t.Errorf("extra is %s", a)
	}
	e.must(http.StatusOK, "PATCH", "/v1/nodes/n", []map[string]any{{"op": "add", "path": "/extra/a", "value": "after"}})
	for _, s := range e.all {
		if doc := e.confirmed(s, "n"); fmt.Sprint(doc["extra"]) != "map[a:after]" {
			t.Errorf("%s says %v", s.name(), doc["extra"])
		}
	}
}

// refused starts a conductor that must not be let in, and looks for what it and another one say.
func (e *ensemble) refused(s *site, here, there string) {
	t := e.t
	t.Helper()
	s.launch()
	if here != "" {
		until(t, fmt.Sprintf("the stranger to say %q", here), func() bool { return strings.Contains(s.p.out.String(), here) })
	}
	if there != "" {
		until(t, fmt.Sprintf("a member to say %q", there), func() bool {
			return slices.ContainsFunc(e.all, func(s *site) bool { return strings.Contains(s.p.out.String(), there) })
		})
	}
	if code, _, _, err := e.do(s, "GET", "/readyz", nil, nil); err == nil && code == http.StatusOK {
		t.Error("the stranger is ready")
	}
	s.p.kill()
}

// TestClusterRefusesStrangers: another key, a taken name, another cluster's folder and other settings. Each gets a clear
// line, and the cluster goes on unharmed (L3, L4).
func TestClusterRefusesStrangers(t *testing.T) {
	t.Parallel()
	e := newEnsemble(t, 3)
	w := newCrew(e, 4)
	w.more(20)

	other := e.member("c4", "127.0.0.1", "")
	other.args = swapped(other.args, "--cluster-key-file", newKey(t))
	e.refused(other, "has it the same cluster key?", "somebody with another cluster key")

	taken := e.member("c2", "127.0.0.1", "")
	e.refused(taken, `"c2" is alive at`, "two conductors have one name")

	differs := e.member("c5", "127.0.0.1", "")
	differs.args = append(differs.args, "--enabled-hardware-types", "fake-hardware")
	e.refused(differs, "enabled_hardware_types is [fake-hardware ipmi] there and [fake-hardware] here", "its settings differ")

	foreign := &ensemble{t: t, key: e.key, expect: 1, http: e.http}
	lone := foreign.member("c6", "127.0.0.1", "")
	foreign.all = []*site{lone}
	foreign.startAll()
	lone.ends()
	lone.args = swapped(lone.args, "--join", e.join)
	e.refused(lone, "is of cluster", "a conductor of another cluster gossips here")

	w.more(50)
	w.end()
	w.kept()
	for _, s := range e.all {
		if !s.runs() {
			t.Errorf("%s ended", s.name())
		}
	}
	w.unharmed()
}

// swapped is args with another value of a flag.
func swapped(args []string, flag, value string) []string {
	args = slices.Clone(args)
	args[slices.Index(args, flag)+1] = value
	return args
}

// TestClusterWipedFolder: a conductor that lost its folder comes back with an empty one and gets everything (L5).
func TestClusterWipedFolder(t *testing.T) {
	t.Parallel()
	e := newEnsemble(t, 3)
	w := newCrew(e, 8)
	w.more(100)
	s := e.all[1]
	s.p.kill()
	w.more(50)
	s.dir = t.TempDir()
	e.startAll()
	w.more(50)
	w.end()
	w.kept()
}

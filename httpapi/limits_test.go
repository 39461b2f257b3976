// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"fmt"
	"maps"
	"strings"
	"syscall"
	"testing"
	"time"

	"ferrite/httpapi"
)

// counted is what a server has counted by reason, without the zeros.
func counted(m map[string]uint64) map[string]uint64 {
	maps.DeleteFunc(m, func(_ string, n uint64) bool { return n == 0 })
	return m
}

// wantCounts waits for counters: a refusal is told a moment before or after it is counted.
func (w *world) wantCounts(what string, read func(httpapi.Stats) map[string]uint64, want map[string]uint64) {
	w.t.Helper()
	var got map[string]uint64
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if got = counted(read(w.api.Stats())); maps.Equal(got, want) {
			return
		}
	}
	w.t.Errorf("%s: counted %v, wanted %v", what, got, want)
}

// idle waits until so many connections wait for their next request: a client has its answer a moment before.
func (w *world) idle(want int) {
	w.t.Helper()
	for end := time.Now().Add(patience); w.api.Stats().Idle != want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("%d idle connections, wanted %d", w.api.Stats().Idle, want)
		}
	}
}

// working waits until so many requests are at work: a client has its answer a moment before its request has ended.
func (w *world) working(want int) {
	w.t.Helper()
	for end := time.Now().Add(patience); w.api.Stats().Working != want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("%d requests are at work, wanted %d", w.api.Stats().Working, want)
		}
	}
}

func requests(s httpapi.Stats) map[string]uint64    { return s.RefusedRequests }
func connections(s httpapi.Stats) map[string]uint64 { return s.RefusedConnections }

func TestRefusedRequestsAreCounted(t *testing.T) {
	for reason, send := range map[string]string{
		"header":    "GET /v1/nodes HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("y", 20<<10) + "\r\n\r\n",
		"size":      "POST /v1/nodes HTTP/1.1\r\nHost: h\r\nContent-Length: 1048577\r\n\r\n",
		"framing":   "POST /v1/nodes HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
		"coding":    post("{}", "Content-Encoding: gzip"),
		"version":   "GET /v1/nodes HTTP/2.0\r\nHost: h\r\n\r\n",
		"malformed": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
		"json":      post(strings.Repeat("[", 100) + strings.Repeat("]", 100)),
		"memory":    "POST /v1/nodes HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n",
		"slow":      "GET /v1/nod",
		"":          get,
	} {
		t.Run(reason, func(t *testing.T) {
			w := newWorld(t, func(c *httpapi.Config) {
				switch reason {
				case "memory":
					c.Limits.HeldBytes = 100 << 10
				case "slow":
					c.Limits.HeaderTimeout = 50 * time.Millisecond
				}
			})
			c := dial(t, w.real()).send(send)
			if status, text, _ := c.next(); (status == 200) != (reason == "") {
				t.Errorf("%d %s", status, text)
			}
			want := map[string]uint64{reason: 1}
			delete(want, "")
			w.wantCounts("requests", requests, want)
			w.wantCounts("connections", connections, map[string]uint64{})
		})
	}
}

// slowMembers hold up GET /v1/conductors.
type slowMembers struct {
	members
	entered, gate chan struct{}
}

func (s slowMembers) Conductors() []httpapi.Conductor {
	s.entered <- struct{}{}
	<-s.gate
	return s.members.Conductors()
}

// held is a world with a request at work until release.
func held(t *testing.T, change func(*httpapi.Config)) (w *world, addr string, first *client, release func()) {
	t.Helper()
	slow := slowMembers{entered: make(chan struct{}, 8), gate: make(chan struct{})}
	w = newWorld(t, func(c *httpapi.Config) { c.Members = slow; change(c) })
	addr = w.real()
	first = dial(t, addr).send("GET /v1/conductors HTTP/1.1\r\nHost: h\r\nX-OpenStack-Ironic-API-Version: 1.80\r\n\r\n")
	<-slow.entered
	return w, addr, first, func() { close(slow.gate) }
}

func TestRefusedConnectionsAreCounted(t *testing.T) {
	t.Run("all are at work", func(t *testing.T) {
		w, addr, first, release := held(t, func(c *httpapi.Config) { c.Limits.Connections = 1 })
		if status, text, _ := dial(t, addr).next(); status != 503 {
			t.Errorf("%d %s", status, text)
		}
		w.wantCounts("connections", connections, map[string]uint64{"total": 1})
		if s := w.api.Stats(); s.Connections != 1 || s.Working != 1 {
			t.Errorf("%d connections, %d working, wanted one each", s.Connections, s.Working)
		}
		release()
		if status, text, _ := first.next(); status != 200 {
			t.Errorf("%d %s", status, text)
		}
	})
	t.Run("too many requests at work", func(t *testing.T) {
		w, addr, _, release := held(t, func(c *httpapi.Config) { c.Limits.Working = 1 })
		if status, text, h := dial(t, addr).send(get).next(); status != 503 || h.Get("Retry-After") == "" {
			t.Errorf("%d %s", status, text)
		}
		w.wantCounts("requests", requests, map[string]uint64{"busy": 1})
		release()
	})
	t.Run("an idle one makes room", func(t *testing.T) {
		w := newWorld(t, func(c *httpapi.Config) { c.Limits.Connections = 1 })
		addr := w.real()
		idle := dial(t, addr).send(get)
		if status, text, _ := idle.next(); status != 200 {
			t.Fatalf("%d %s", status, text)
		}
		w.idle(1)
		if status, text, _ := dial(t, addr).send(get).next(); status != 200 {
			t.Errorf("%d %s", status, text)
		}
		idle.closed()
		w.wantCounts("connections", connections, map[string]uint64{"idle": 1})
	})
	t.Run("too many of one address", func(t *testing.T) {
		w := newWorld(t, func(c *httpapi.Config) { c.Limits.PerAddress = 1 })
		addr := w.real()
		if status, text, _ := dial(t, addr).send(get).next(); status != 200 {
			t.Fatalf("%d %s", status, text)
		}
		if status, text, _ := dial(t, addr).next(); status != 503 {
			t.Errorf("%d %s", status, text)
		}
		w.wantCounts("connections", connections, map[string]uint64{"address": 1})
	})
}

// TestLimitsAreTakenAnew: what a running API is told counts from the next connection and request on; what cannot be
// changes nothing.
func TestLimitsAreTakenAnew(t *testing.T) {
	first := httpapi.Limits{PerAddress: 1, HeldBytes: 100 << 10, Working: 1}
	w := newWorld(t, func(c *httpapi.Config) { c.Limits = first })
	addr := w.real()
	for i := range 3 {
		w.create(fmt.Sprintf(`{"driver":"fake-hardware","name":"n%d"}`, i))
	}
	pages := func() int { return len(w.want(200, "GET", "/v1/nodes", "").list("nodes")) }
	large := "POST /v1/nodes HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", 1000000)
	one := dial(t, addr).send(get)
	if status, text, _ := one.next(); status != 200 || pages() != 3 {
		t.Fatalf("%d %s", status, text)
	}
	if status, text, _ := dial(t, addr).next(); status != 503 {
		t.Errorf("a second connection before the change: %d %s", status, text)
	}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	if files.Cur < 1<<20 {
		if err := w.api.Update(httpapi.Limits{Connections: int(files.Cur), PerAddress: 9}, 2); err == nil || !strings.Contains(err.Error(), "api.max_connections") { //nolint:gosec // below 1<<20
			t.Errorf("more connections than files: %v", err)
		}
		if pages() != 3 {
			t.Error("a change that cannot be was taken in part")
		}
	}
	if err := w.api.Update(httpapi.Limits{PerAddress: 3, HeldBytes: 100 << 10, Working: 2}, 2); err != nil {
		t.Fatal(err)
	}
	if pages() != 2 {
		t.Error("the largest page is what it was")
	}
	if status, text, _ := dial(t, addr).send(large).next(); status != 503 {
		t.Errorf("a large body before the change: %d %s", status, text)
	}
	if err := w.api.Update(httpapi.Limits{PerAddress: 8, HeldBytes: 100 << 20}, 0); err != nil {
		t.Fatal(err)
	}
	if status, text, _ := dial(t, addr).send(large).next(); status != 400 || !strings.Contains(text, "Malformed JSON") {
		t.Errorf("a large body after it: %d %.200s", status, text)
	}
	if status, text, _ := one.send(get).next(); status != 200 || pages() != 3 {
		t.Errorf("the first connection: %d %s", status, text)
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"testing"
	"time"

	"ferrite/httpapi"
	"ferrite/node"
	"ferrite/persistence"
)

// A refusal says when to come again: by what was asked, and by how many are before it; equal ones say the same.
func TestRetryAfterGoesByRankAndQueue(t *testing.T) {
	w := newWorld(t)
	w.seed()
	ahead := 0
	var asked node.Meta
	w.owner.before = func(string, node.Msg) (any, error, bool) {
		return nil, &node.Error{Kind: node.Unavailable, Text: "too many", Ahead: ahead}, true
	}
	w.owner.heard = func(m node.Meta) { asked = m }
	const n = "/v1/nodes/rack7-u12"
	for _, row := range []struct {
		method, path, body string
		rank               node.Rank
	}{
		{"PUT", n + "/states/power", `{"target":"power on"}`, node.RankCommand},
		{"PUT", n + "/states/provision", `{"target":"manage"}`, node.RankCommand},
		{"PUT", n + "/maintenance", "", node.RankCommand},
		{"DELETE", n + "/maintenance", "", node.RankCommand},
		{"PUT", n + "/management/boot_device", `{"boot_device":"pxe"}`, node.RankCommand},
		{"PATCH", n, `[{"op":"add","path":"/extra/a","value":1}]`, node.RankRecord},
		{"PUT", n + "/traits", `{"traits":[]}`, node.RankRecord},
		{"DELETE", n, "", node.RankRecord},
		{"POST", "/v1/nodes", `{"driver":"fake-hardware"}`, node.RankBulk},
	} {
		for queue, want := range map[int][3]string{ // record, command, bulk
			0: {"2", "1", "5"}, 64: {"2", "1", "5"}, 1023: {"2", "1", "5"}, 1024: {"4", "2", "10"}, 4096: {"10", "5", "25"}, 1 << 30: {"60", "60", "60"},
		} {
			ahead = queue
			a := w.want(503, row.method, row.path, row.body)
			if got := a.Header.Get("Retry-After"); got != want[row.rank] || asked.Rank != row.rank {
				t.Errorf("%s %s behind %d: Retry-After %q as rank %s, wanted %q as %s", row.method, row.path, queue, got, asked.Rank, want[row.rank], row.rank)
			}
			a = w.want(503, row.method, row.path, row.body, "User-Agent: python-ironicclient") // fails on it, and tries again by itself
			if got := a.Header.Get("Retry-After"); got != "" {
				t.Errorf("%s %s tells python-ironicclient Retry-After %q", row.method, row.path, got)
			}
		}
	}
	w.store.SetQuorum(false)
	for path, want := range map[string]string{n: "2", "/v1/nodes": "5", "/v1/nodes/detail": "5", "/v1/ports": "5"} {
		if got := w.want(503, "GET", path, "").Header.Get("Retry-After"); got != want {
			t.Errorf("GET %s: Retry-After %q, wanted %q", path, got, want)
		}
	}
}

// slowLists hold up whoever walks over all nodes.
type slowLists struct {
	*persistence.Memory
	entered, gate chan struct{}
}

func (s slowLists) Nodes(after *node.Node, fn func(*node.Node) bool) {
	s.entered <- struct{}{}
	<-s.gate
	s.Memory.Nodes(after, fn)
}

// Lists that are slow leave room for commands and for reads of one node, however many there are.
func TestBulkLeavesRoom(t *testing.T) {
	slow := slowLists{entered: make(chan struct{}, 64), gate: make(chan struct{})}
	w := newWorld(t, func(c *httpapi.Config) {
		slow.Memory = c.Reader.(*persistence.Memory)
		c.Reader, c.Limits.Working, c.ReadWait = slow, 4, 200*time.Millisecond // for so long the fourth list waits
	})
	w.seed()
	addr := w.real()
	var lists []*client
	for range 3 {
		lists = append(lists, dial(t, addr).send(get))
		<-slow.entered
	}
	for range 3 {
		status, text, h := dial(t, addr).send(get).next()
		if status != 503 || h.Get("Retry-After") != "5" {
			t.Errorf("a fourth list: %d, Retry-After %q: %s", status, h.Get("Retry-After"), text)
		}
		w.want(200, "GET", "/v1/nodes/rack7-u12", "")
		w.want(202, "PUT", "/v1/nodes/rack7-u12/states/power", `{"target":"power on"}`)
	}
	w.working(3) // the lists
	close(slow.gate)
	for i, c := range lists {
		if status, text, _ := c.next(); status != 200 {
			t.Errorf("list %d: %d %s", i, status, text)
		}
	}
	w.want(200, "GET", "/v1/nodes", "")
	w.working(0)
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"ferrite/node"
	"ferrite/persistence"
)

// herd is a large fleet that changes while somebody pages through it. Of ten nodes each, number 9 may go at any time.
type herd struct {
	w    *world
	size int
	mu   sync.Mutex // guards came and gone
	came int
	gone map[string]bool
}

const (
	perCommit = 250
	perPage   = 100 // turns of churn while the next page is read
)

func newHerd(w *world, size int) *herd {
	h := &herd{w: w, size: size, gone: map[string]bool{}}
	for from := 0; from < size; from += perCommit {
		tx := persistence.Tx{}
		for i := from; i < min(from+perCommit, size); i++ {
			put := h.put(i)
			tx.Put = append(tx.Put, put)
			tx.If = append(tx.If, persistence.Cond{Key: put.Key})
		}
		h.commit(tx)
	}
	return h
}

func (h *herd) put(i int) persistence.Put {
	n := &node.Node{
		UUID: fleetID(i), Name: fmt.Sprintf("m%07d", (i*7919)%10_000_000), Driver: "ipmi", ResourceClass: []string{"gold", "tin"}[i%2],
		Description: fmt.Sprintf("Row %d", i%4), Shard: []string{"s1", "s2", "s3"}[i%3], ProvisionState: node.Available,
	}
	return persistence.Put{Key: persistence.Key{Kind: persistence.KindNode, ID: n.UUID}, Value: n, Uniq: []string{"name/" + n.Name}}
}

func (h *herd) commit(tx persistence.Tx) {
	h.w.t.Helper()
	if _, err := h.w.store.Commit(h.w.t.Context(), tx); err != nil {
		h.w.t.Error(err)
	}
}

// drop deletes a node, if it is still there.
func (h *herd) drop(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n, ok := h.w.store.Node(id)
	if !ok {
		return
	}
	h.gone[id] = true
	key := persistence.Key{Kind: persistence.KindNode, ID: id}
	h.commit(persistence.Tx{If: []persistence.Cond{{Key: key, Rev: n.Rev}}, Del: []persistence.Key{key}})
}

// churn creates, deletes and changes a node for each turn that it is given; those that stay only change their power.
func (h *herd) churn(turns <-chan int) {
	for i := range turns {
		h.drop(fleetID((i*7817%(h.size/10))*10 + 9))
		h.mu.Lock()
		put := h.put(h.size + h.came)
		h.came++
		h.commit(persistence.Tx{If: []persistence.Cond{{Key: put.Key}}, Put: []persistence.Put{put}})
		id := fleetID((i * 6661) % h.size)
		if n, ok := h.w.store.Node(id); ok {
			c := n.Clone()
			c.PowerState = node.PowerOn
			key := persistence.Key{Kind: persistence.KindNode, ID: id}
			h.commit(persistence.Tx{If: []persistence.Cond{{Key: key, Rev: n.Rev}}, Put: []persistence.Put{{Key: key, Value: c, Uniq: []string{"name/" + n.Name}}}})
		}
		h.mu.Unlock()
	}
}

// TestPagesUnderChange: whoever is there all the time is seen exactly once, in any order and under any filter, although
// others come and go and every marker is deleted before the page behind it is asked for.
func TestPagesUnderChange(t *testing.T) {
	const size = 50_000
	w := newWorld(t)
	h := newHerd(w, size)
	turns, done, turn := make(chan int, perPage), make(chan struct{}), 0
	go func() { defer close(done); h.churn(turns) }()
	end := sync.OnceFunc(func() { close(turns); <-done })
	defer end()
	for _, c := range []struct {
		query string
		want  func(i int) bool
	}{
		{"fields=uuid", func(int) bool { return true }},
		{"fields=uuid&sort_key=name&sort_dir=desc&resource_class=gold&description_contains=ROW%202", func(i int) bool { return i%4 == 2 }},
		{"fields=uuid&sort_dir=desc&shard=s1,s3&maintenance=false&driver=ipmi", func(i int) bool { return i%3 != 1 }},
		{"fields=uuid&sort_key=updated_at&shard=s2&limit=700", func(i int) bool { return i%3 == 1 }},
	} {
		filters, _ := url.ParseQuery(c.query)
		seen := make(map[string]int, size)
		pages := 0
		for path := "/v1/nodes?" + c.query; path != ""; pages++ {
			for range perPage {
				turns <- turn
				turn++
			}
			a := w.want(200, "GET", path, "")
			last := ""
			for _, x := range a.list("nodes") {
				last, _ = x.(map[string]any)["uuid"].(string)
				seen[last]++
			}
			next, _ := a.get("next").(string)
			path = strings.TrimPrefix(next, "http://h:6385")
			if path == "" {
				continue
			}
			u, err := url.Parse(path)
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range filters {
				if k != "limit" && u.Query().Get(k) != v[0] {
					t.Fatalf("next lost %s=%s: %s", k, v[0], next)
				}
			}
			if u.Query().Get("marker") != last {
				t.Fatalf("marker of %s is not the last item %s", next, last)
			}
			h.drop(last)
		}
		h.mu.Lock()
		missing, twice, wrong, stayed := 0, 0, 0, 0
		for i := range size {
			id := fleetID(i)
			n := seen[id]
			if n > 1 {
				twice++
			}
			if n > 0 && !c.want(i) {
				wrong++
			}
			if !h.gone[id] && i%10 != 9 && c.want(i) {
				stayed++
				if n == 0 {
					missing++
				}
			}
		}
		t.Logf("%s: %d pages, %d items, %d stayed; so far %d came and %d went", c.query, pages, len(seen), stayed, h.came, len(h.gone))
		if missing+twice+wrong > 0 || stayed == 0 || pages < 10 {
			t.Errorf("%s: of %d nodes that stayed %d were not seen; %d seen twice, %d do not fit the filters, %d pages", c.query, stayed, missing, twice, wrong, pages)
		}
		h.mu.Unlock()
	}
	end()
	if h.came == 0 || len(h.gone) < 100 {
		t.Errorf("only %d came and %d went: nothing was tested", h.came, len(h.gone))
	}
}

// TestAMarkerThatNobodyKnows is refused as before.
func TestAMarkerThatNobodyKnows(t *testing.T) {
	w := newWorld(t)
	w.fleet()
	w.want(404, "GET", "/v1/nodes?marker="+fleetID(77), "")
	w.want(200, "GET", "/v1/nodes?limit=3", "")
	if got := numbers(w.want(200, "GET", "/v1/nodes?marker="+fleetID(2), "")); got != "3 4 5 6 7 9" {
		t.Errorf("behind 2: %s", got)
	}
}

// TestAMarkerThatMoves: the item that a page ended with changes so that it sorts elsewhere; those that stayed as they
// were are still seen once.
func TestAMarkerThatMoves(t *testing.T) {
	for _, name := range []string{"a", "zz"} {
		w := newWorld(t)
		w.fleet() // names n9 to n0
		first := w.want(200, "GET", "/v1/nodes?include_children=True&sort_key=name&limit=4", "")
		if got := numbers(first); got != "9 8 7 6" {
			t.Fatalf("first page: %s", got)
		}
		w.want(200, "PATCH", "/v1/nodes/"+fleetID(6), `[{"op":"replace","path":"/name","value":"`+name+`"}]`)
		next, _ := first.get("next").(string)
		rest := numbers(w.want(200, "GET", strings.TrimPrefix(next, "http://h:6385"), ""))
		if !strings.HasPrefix(rest, "5 4 3 2") {
			t.Errorf("renamed to %s: behind it %s, wanted 5 4 3 2", name, rest)
		}
	}
}

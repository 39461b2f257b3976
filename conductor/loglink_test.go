// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	cables "ferrite/internal/cut"
	"ferrite/node"
	"ferrite/persistence"
)

// loglinks are three conductors, and what cuts the third one off from the log alone: its gossip and the calls between the
// conductors go on.
func loglinks(t *testing.T) (cs []*Conductor, cut func(bool)) {
	t.Helper()
	host := func(i int) string { return fmt.Sprintf("127.80.0.%d", i+1) }
	var all []*cables.Switch
	cs = several(t, 3, func(i int, cfg *Config) {
		s := cables.New(host(i))
		t.Cleanup(s.Close)
		cfg.Cluster.Raft, cfg.Cluster.Cable = host(i)+":0", s
		all = append(all, s)
	})
	agree(t, cs...)
	return cs, func(yes bool) {
		var ways []cables.Way
		for i := range 2 {
			if yes {
				ways = append(ways, cables.Way{From: host(2), To: host(i)}, cables.Way{From: host(i), To: host(2)})
			}
		}
		for _, s := range all {
			s.Set(ways...)
		}
	}
}

// Where only the log's connections of an owner are cut, a request through another conductor is refused in seconds, and not done
// when the owner hears the log again; then another one is the owner.
func TestAnOwnerWithoutTheLogKeepsNobodyWaiting(t *testing.T) { // S6, S7
	cs, cut := loglinks(t)
	c1, c3 := cs[0], cs[2]
	until(t, "all are together", func() bool {
		leader, _, _ := c1.store.Role()
		return leader != "" && leader != "c3" && len(c1.store.(*persistence.Raft).Voters()) == 3
	})
	var mine *node.Node
	for i := 0; mine == nil; i++ {
		if code, text := ask(t, c1, "POST", "/v1/nodes", fmt.Sprintf(`{"name":"n%d","driver":"fake-hardware"}`, i)); code != 201 {
			t.Fatal(code, text)
		}
		key, _ := c1.store.Holder(fmt.Sprint("name/n", i))
		if n, ok := c1.store.Node(key.ID); ok && c1.placement.owner(n) == "c3" {
			mine = n
		}
	}
	patch := func(key string) (int, string) {
		return askOnce(t, c1, "PATCH", "/v1/nodes/"+mine.UUID, `[{"op":"add","path":"/extra/`+key+`","value":1}]`)
	}
	type answer struct {
		code int
		text string
	}
	var refused []string
	rounds := 0
	for seen := false; !seen; { // again, if a busy machine has given the node to another one before the request came
		until(t, "c3 has the node", func() bool { return c1.placement.owner(mine) == "c3" })
		cut(true)
		for code := http.StatusServiceUnavailable; code == http.StatusServiceUnavailable && !seen; {
			key, came := fmt.Sprint("first", len(refused)), make(chan answer, 1)
			go func() {
				code, text := patch(key)
				came <- answer{code, text}
			}()
			select {
			case a := <-came:
				if code = a.code; code == http.StatusServiceUnavailable {
					refused = append(refused, key)
				}
				seen = strings.Contains(a.text, "conductor c3, which owns the node, has no contact to the leader of the log: nothing was done")
			case <-time.After(testTime): // long before the end of the API's own patience
				t.Fatal("no answer while the owner lacks the log")
			}
		}
		if rounds++; !seen && rounds == 5 {
			t.Fatal("the owner without the log was never told of")
		}
		cut(seen)
	}
	until(t, "another one does it", func() bool { code, _ := patch("second"); return code == http.StatusOK })
	cut(false)
	until(t, "c3 hears the log again", func() bool {
		n, ok := c3.store.Node(mine.UUID)
		return ok && n.Extra["second"] != nil && !c3.membership.Self().Cut && time.Since(c3.store.LeaderContact()) < freezeAfter
	})
	if _, err := c3.store.ReadIndex(t.Context()); err != nil {
		t.Fatal(err)
	}
	n, _ := c3.store.Node(mine.UUID)
	for _, key := range refused {
		if n.Extra[key] != nil {
			t.Errorf("what was refused was done: %v", n.Extra)
		}
	}
}

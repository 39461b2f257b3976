// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"ferrite/httpapi"
	"ferrite/persistence"
)

func overviewOf(t *testing.T, c *Conductor) (s httpapi.ClusterStatus) {
	t.Helper()
	code, text := ask(t, c, "GET", "/v1/x/cluster", "")
	if err := json.Unmarshal([]byte(text), &s); code != 200 || err != nil {
		t.Fatal(code, text, err)
	}
	return s
}

// sees waits until a conductor's overview is right; if it never is, the last one is told.
func sees(t *testing.T, c *Conductor, what string, ok func(httpapi.ClusterStatus) bool) {
	t.Helper()
	var s httpapi.ClusterStatus
	defer func() {
		if t.Failed() {
			t.Logf("the last overview: %+v", s)
		}
	}()
	until(t, what, func() bool { s = overviewOf(t, c); return ok(s) })
}

func roles(s httpapi.ClusterStatus) string {
	var out []string
	for _, m := range s.Members {
		out = append(out, m.Name+" "+m.State+" "+strings.Replace(m.Role, "leader", "voter", 1))
	}
	return strings.Join(out, ", ")
}

// A drain moves all nodes, loses no request, and is undone by uncordon; the last conductor of a group is not drained.
func TestDrainAndCordon(t *testing.T) { // S4
	cs := three(t)
	const nodes = 30
	for i := range nodes {
		if code, text := ask(t, cs[i%3], "POST", "/v1/nodes", fmt.Sprintf(`{"name":"n%d","driver":"fake-hardware"}`, i)); code != 201 {
			t.Fatalf("%d %s", code, text)
		}
	}
	until(t, "all three vote", func() bool { return roles(overviewOf(t, cs[0])) == "c1 alive voter, c2 alive voter, c3 alive voter" })
	if _, err := cs[1].store.ReadIndex(t.Context()); err != nil { // the overview asks nobody: it is for bad days
		t.Fatal(err)
	}
	had := 0
	sees(t, cs[1], "all is well", func(s httpapi.ClusterStatus) bool {
		had = s.Here.Active
		return s.Survives == 1 && s.Quorum && s.Nodes == nodes && s.Leader != "" && s.Advice == "survives the loss of any 1 of the voters c1, c2 and c3" &&
			s.Here.State == "active" && had == s.Members[1].Nodes && owned(cs...) == nodes
	})
	if code, text := ask(t, cs[0], "PUT", "/v1/x/cluster/self", `{"state":"draining","conductor":"c2"}`); code != 409 || !strings.Contains(text, "This is conductor c1, not c2") {
		t.Errorf("the wrong conductor: %d %s", code, text)
	}
	for _, c := range []struct {
		at    int
		state string
		code  int
	}{
		{1, "draining", 200},
		{1, "draining", 200}, // again: nothing happens
		{1, "cordoned", 409},
		{1, "asleep", 400},
	} {
		if code, text := ask(t, cs[c.at], "PUT", "/v1/x/cluster/self", `{"state":"`+c.state+`"}`); code != c.code {
			t.Errorf("%s: %d %s", c.state, code, text)
		}
		for i := range nodes { // meanwhile
			if code, text := ask(t, cs[i%3], "PATCH", fmt.Sprintf("/v1/nodes/n%d", i), `[{"op":"add","path":"/extra/a","value":1}]`); code != 200 {
				t.Errorf("%d %s", code, text)
			}
		}
	}
	until(t, "c2 has no node", func() bool { s := overviewOf(t, cs[1]); return s.Here.Active == 0 && s.Here.State == "draining" })
	until(t, "all see it", func() bool {
		s := overviewOf(t, cs[0])
		return s.Members[1].State == "draining" && s.Members[1].Nodes == 0 && owned(cs...) == nodes
	})
	if code, text := ask(t, cs[1], "PUT", "/v1/x/cluster/self", `{"state":"active"}`); code != 200 {
		t.Fatal(code, text)
	}
	until(t, "c2 has its share again", func() bool { return overviewOf(t, cs[1]).Here.Active == had && owned(cs...) == nodes })
	for _, at := range []int{0, 2} {
		until(t, "it drains: the other one is not taken for dead", func() bool {
			code, _ := ask(t, cs[at], "PUT", "/v1/x/cluster/self", `{"state":"draining"}`)
			return code == 200
		})
	}
	until(t, "c2 knows that it is the last", func() bool {
		s := overviewOf(t, cs[1])
		return s.Members[0].State == "draining" && s.Members[2].State == "draining"
	})
	sees(t, cs[1], "it is warned", func(s httpapi.ClusterStatus) bool {
		return len(s.Warnings) == 1 && strings.Contains(s.Warnings[0], `only c2 takes nodes of conductor_group ""`)
	})
	if code, text := ask(t, cs[1], "PUT", "/v1/x/cluster/self", `{"state":"draining"}`); code != 409 || !strings.Contains(text, "nothing was changed") {
		t.Errorf("the last one: %d %s", code, text)
	}
}

// crash ends a conductor's gossip without a word; what it still does then does not matter.
func crash(t *testing.T, c *Conductor) {
	t.Helper()
	c.cfg.DrainTimeout = time.Millisecond // nobody takes anything from it
	for i := range c.steps {
		if c.steps[i].name == "gossip" {
			c.steps[i].end = func(context.Context) error { return nil }
			break // there is also the loop that follows it
		}
	}
	if err := c.membership.Close(); err != nil {
		t.Fatal(err)
	}
}

// Whose a node is, who is evicted, and what the figures say of a takeover.
func TestOwnersAndEvict(t *testing.T) {
	cs := three(t)
	const nodes = 20
	for i := range nodes {
		if code, text := ask(t, cs[i%3], "POST", "/v1/nodes", fmt.Sprintf(`{"name":"n%d","driver":"fake-hardware"}`, i)); code != 201 {
			t.Fatalf("%d %s", code, text)
		}
	}
	until(t, "all nodes are active", func() bool { return owned(cs...) == nodes })
	until(t, "all three vote", func() bool { return roles(overviewOf(t, cs[0])) == "c1 alive voter, c2 alive voter, c3 alive voter" })
	text := ""
	defer func() {
		if t.Failed() {
			t.Logf("the last answer: %s", text)
		}
	}()
	until(t, "all nodes have an owner that lives", func() bool {
		var o httpapi.Owners
		var code int
		code, text = ask(t, cs[0], "GET", "/v1/x/cluster/owners", "")
		if err := json.Unmarshal([]byte(text), &o); code != 200 || err != nil {
			t.Fatal(code, text, err)
		}
		placed, recorded := 0, 0
		for _, r := range o.Conductors {
			placed += r.Placed
			recorded += r.Recorded
		}
		return o.Nodes == nodes && placed == nodes && recorded == nodes && len(o.Conductors) == 3 && o.Recorded.Gone == 0 && o.Unserved == 0
	})
	until(t, "the owner of one is told", func() bool {
		var n httpapi.NodeOwner
		var code int
		code, text = ask(t, cs[2], "GET", "/v1/x/cluster/owners/n3", "")
		if err := json.Unmarshal([]byte(text), &n); code != 200 || err != nil {
			t.Fatal(code, text, err)
		}
		return n.Name == "n3" && n.Placed != "" && n.Owner != "" && n.Alive && n.Epoch != 0 && n.Why == "placed there by its hash" && n.Operation == nil
	})
	if code, text := ask(t, cs[0], "DELETE", "/v1/x/cluster/members/c3", ""); code != 409 || !strings.Contains(text, "is alive: stop it first") {
		t.Errorf("a living one: %d %s", code, text)
	}
	if code, text := ask(t, cs[0], "DELETE", "/v1/x/cluster/members/c9", ""); code != 409 || !strings.Contains(text, "not a member") {
		t.Errorf("a stranger: %d %s", code, text)
	}
	had := []int{cs[0].fleet.Len(), cs[1].fleet.Len()}
	crash(t, cs[2])
	until(t, "c3 is gone", func() bool { return overviewOf(t, cs[0]).Members[2].State == "gone" })
	until(t, "the others have its nodes", func() bool { return cs[0].fleet.Len()+cs[1].fleet.Len() == nodes })
	until(t, "the takeover is counted", func() bool {
		for i, c := range cs[:2] {
			_, m := get(t, c.APIURL()+"/metrics")
			for _, want := range []string{"conductor_takeover_seconds_count ", "conductor_members 2\n", "conductor_raft_voters 3\n", fmt.Sprintf("conductor_nodes_owned %d\n", c.fleet.Len())} {
				if !strings.Contains(m, want) {
					return false
				}
			}
			// The hash may give one of the two all of c3's nodes: the other has nothing to count. False alarms on a busy machine count too.
			if c.fleet.Len() > had[i] && strings.Contains(m, "conductor_takeover_seconds_count 0\n") {
				return false
			}
		}
		return true
	})
	stop(t, cs[2])
	if code, text := ask(t, cs[1], "DELETE", "/v1/x/cluster/members/c3", ""); code != 204 {
		t.Fatalf("%d %s", code, text)
	}
	until(t, "two are left", func() bool {
		return roles(overviewOf(t, cs[0])) == "c1 alive voter, c2 alive non-voter" || roles(overviewOf(t, cs[0])) == "c1 alive non-voter, c2 alive voter"
	})
	if _, ok := cs[0].store.Get(persistence.Key{Kind: persistence.KindConductor, ID: "c3"}); ok {
		if _, err := cs[0].store.ReadIndex(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, ok := cs[0].store.Get(persistence.Key{Kind: persistence.KindConductor, ID: "c3"}); ok {
			t.Error("c3 is still on the list of conductors")
		}
	}

	// Of an eviction that came no further than the log a row is left: the next one takes it off, whoever is asked.
	for i, name := range []string{"left1", "left2"} {
		key := persistence.Key{Kind: persistence.KindConductor, ID: name}
		if _, err := cs[0].store.Commit(t.Context(), persistence.Tx{
			If: []persistence.Cond{{Key: key}}, Put: []persistence.Put{{Key: key, Value: fmt.Appendf(nil, `{"Hostname":%q}`, name)}},
		}); err != nil {
			t.Fatal(err)
		}
		listed := func() bool {
			_, text := ask(t, cs[i], "GET", "/v1/conductors", "")
			return strings.Contains(text, name)
		}
		until(t, name+" is on the list", listed)
		if code, text := ask(t, cs[i], "DELETE", "/v1/x/cluster/members/"+name, ""); code != 204 || listed() {
			t.Errorf("%s: %d %s, on the list: %t", name, code, text, listed())
		}
		if code, text := ask(t, cs[i], "DELETE", "/v1/x/cluster/members/"+name, ""); code != 409 || !strings.Contains(text, "not a member") {
			t.Errorf("%s again: %d %s", name, code, text)
		}
	}
}

// A lone conductor tells of itself, and has nobody to hand over to.
func TestLoneOverview(t *testing.T) {
	c := start(t, settings(t))
	s := overviewOf(t, c)
	if roles(s) != "c1 alive voter" || s.Survives != 0 || s.Members[0].API != c.APIURL() || s.Advice != "one conductor alone: while it is away nothing is done" {
		t.Errorf("%+v", s)
	}
	for _, q := range [][2]string{{"PUT", "/v1/x/cluster/self"}, {"DELETE", "/v1/x/cluster/members/c1"}} {
		if code, text := ask(t, c, q[0], q[1], map[string]string{"PUT": `{"state":"draining"}`}[q[0]]); code != 409 || !strings.Contains(text, "is alone") {
			t.Errorf("%s: %d %s", q[1], code, text)
		}
	}
}

func TestSurvival(t *testing.T) { // L5
	for _, c := range []struct {
		quorum                    bool
		voters, answering, others []string
		want                      string
	}{
		{true, []string{"a"}, []string{"a"}, []string{"b"}, "survives the loss of b (no vote), but not of a, the only voter; with a third conductor it survives the loss of any one"},
		{false, []string{"a"}, nil, []string{"b"}, "no quorum: changes are refused until a is there, the only voter; start it, and only if it is lost for good see \"ferrite cluster recover --help\""},
		{true, []string{"a", "b", "c"}, []string{"a", "b"}, nil, "survives the loss of no further voter while c is missing: start it, or add another conductor, which takes over its vote"},
		{true, []string{"a", "b", "c", "d", "e"}, []string{"b", "d", "e"}, nil, "survives the loss of no further voter while a and c are missing: start them, or add other conductors, which take over their votes"},
		{true, []string{"a", "b"}, []string{"a", "b"}, nil, "survives the loss of no voter: 2 of 2 are needed; add another conductor"},
		{true, []string{"a", "b", "c", "d", "e"}, []string{"a", "b", "c", "d", "e"}, nil, "survives the loss of any 2 of the voters a, b, c, d and e"},
		{false, []string{"a", "b", "c"}, []string{"b"}, nil, "no quorum: changes are refused until 2 of the voters a, b and c are there, now b; start the missing ones, and only if they are lost for good see \"ferrite cluster recover --help\""},
	} {
		if got := survival(c.quorum, c.voters, c.answering, c.others); got != c.want {
			t.Errorf("%v: %q, wanted %q", c.voters, got, c.want)
		}
	}
}

// Whose disk is full is said by the refusal, wherever it is asked for, by the list of members and by that conductor itself.
func TestAFullDiskHasAName(t *testing.T) {
	cs := several(t, 2, nil)
	agree(t, cs...)
	stop(t, cs[1])
	full := cs[1].cfg
	full.DiskMinFree = 1 << 60 // no disk has so much; with a new folder it would not start
	cs[1] = start(t, full)
	agree(t, cs...)
	const whose = "conductor c2: the disk is nearly full"
	seen := false
	for i := 0; i < 200 && !seen; i++ { // about half of them are c2's
		code, text := askOnce(t, cs[0], "POST", "/v1/nodes", fmt.Sprintf(`{"name":"n%d","driver":"fake-hardware"}`, i))
		seen = code == 503 && strings.Contains(text, whose)
		if strings.Contains(text, "nearly full") && !seen {
			t.Fatal(code, text)
		}
	}
	if !seen {
		t.Error("c2 refuses nothing")
	}
	if code, text := askOnce(t, cs[1], "POST", "/v1/chassis", `{}`); code != 503 || !strings.Contains(text, whose) {
		t.Errorf("asked of c2 itself: %d %s", code, text)
	}
	for _, c := range cs {
		sees(t, c, "who is full", func(s httpapi.ClusterStatus) bool {
			return len(s.Warnings) == 1 && s.Warnings[0] == "the disk of c2 is nearly full: changes of its nodes are refused until there is room"
		})
	}
	for i, want := range []string{"ready\n", "ready, but " + fullDisk + "\n"} {
		if code, text := get(t, cs[i].APIURL()+"/readyz"); code != 200 || text != want {
			t.Errorf("c%d: %d %q, wanted %q", i+1, code, text, want)
		}
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"ferrite/cluster"
	"ferrite/node"
	"ferrite/persistence"
)

// unservedAsks are requests for a node "g" of a group that nobody alive serves, with what they are answered: as Ironic does.
var unservedAsks = []struct {
	method, path, body string
	code               int
}{
	{"PUT", "/v1/nodes/g/states/power", `{"target":"power on"}`, 404},
	{"PUT", "/v1/nodes/g/states/power", `{"target":"nonsense"}`, 404},
	{"PUT", "/v1/nodes/g/states/provision", `{"target":"manage"}`, 404},
	{"PUT", "/v1/nodes/g/states/console", `{"enabled":true}`, 404},
	{"PUT", "/v1/nodes/g/management/boot_device", `{"boot_device":"pxe"}`, 404},
	{"PUT", "/v1/nodes/g/traits", `{"traits":["CUSTOM_A"]}`, 404},
	{"POST", "/v1/ports", `{"node_uuid":"UUID","address":"02:00:00:00:00:01"}`, 404},
	{"GET", "/v1/nodes/g/management/boot_device", "", 404},
	{"GET", "/v1/nodes/g/management/boot_device/supported", "", 404},
	{"GET", "/v1/nodes/g/states/console", "", 404},
	{"GET", "/v1/nodes/g/validate", "", 404},
	{"GET", "/v1/x/nodes/g/sensors", "", 404},
	{"PUT", "/v1/nodes/g/maintenance", `{}`, 400},
	{"DELETE", "/v1/nodes/g/maintenance", "", 400},
	{"PATCH", "/v1/nodes/g", `[{"op":"add","path":"/extra/a","value":1}]`, 400},
	{"PATCH", "/v1/nodes/g", `[{"op":"add","path":"/conductor_group","value":"rack8"}]`, 400},
	{"DELETE", "/v1/nodes/g", "", 400},
	{"POST", "/v1/nodes", `{"driver":"fake-hardware","conductor_group":"rack7"}`, 400},
	{"GET", "/v1/nodes/g", "", 200},
	{"GET", "/v1/nodes/g/states", "", 200},
	{"GET", "/v1/nodes/g/traits", "", 200},
	{"GET", "/v1/nodes/g/ports", "", 200},
	{"GET", "/v1/nodes?conductor_group=rack7", "", 200},
}

// refusesUnserved asks for all of that; no actor and no new revision may come of it.
func refusesUnserved(t *testing.T, uuid string, cs ...*Conductor) {
	t.Helper()
	before, _ := cs[0].store.Node(uuid)
	for i, q := range unservedAsks {
		c := cs[i%len(cs)]
		code, text := ask(t, c, q.method, q.path, strings.ReplaceAll(q.body, "UUID", uuid))
		if code != q.code || code != 200 && !strings.Contains(text, "No valid host was found. Reason: No conductor service registered which supports driver fake-hardware for conductor group") {
			t.Errorf("%s %s %s at %s: %d %s, wanted %d", q.method, q.path, q.body, c.cfg.Name, code, text, q.code)
		}
	}
	if after, _ := cs[0].store.Node(uuid); after.Rev != before.Rev {
		t.Errorf("the node was written: %+v", after)
	}
}

// The nodes of a group whose only conductor is dead are not touched by conductors of other groups, whatever is asked; a change of
// their group, and a release by force, are the ways out.
func TestNobodyTouchesTheNodesOfADeadGroup(t *testing.T) { // S6, S13
	cs := several(t, 3, func(i int, c *Config) {
		c.Fake.PowerDelay, c.Policy.Valid = "100000", 200*time.Millisecond
		if i == 2 {
			c.Group = "rack7"
		}
	})
	others, c3 := cs[:2], cs[2]
	takes := func(c *Conductor, name, group string) bool {
		m, ok := c.placement.view.Load().Find(name)
		return ok && m.Takes(group)
	}
	until(t, "all count on all", func() bool {
		for _, c := range cs {
			if !takes(c, "c1", "") || !takes(c, "c2", "") || !takes(c, "c3", "rack7") {
				return false
			}
		}
		return true
	})
	for _, name := range []string{"g", "h"} {
		if code, text := ask(t, cs[0], "POST", "/v1/nodes", `{"name":"`+name+`","driver":"fake-hardware","conductor_group":"rack7"}`); code != 201 {
			t.Fatal(code, text)
		}
	}
	if code, text := ask(t, cs[1], "PUT", "/v1/nodes/h/states/power", `{"target":"power on"}`); code != 202 {
		t.Fatal(code, text)
	}
	if n := owned(others...); n != 0 {
		t.Fatalf("the conductors of the other group have %d of its nodes", n)
	}
	crash(t, c3)
	until(t, "c3 is gone", func() bool {
		return !takes(cs[0], "c3", "rack7") && !takes(cs[1], "c3", "rack7")
	})
	g, _ := cs[0].store.Holder("name/g")
	h, _ := cs[0].store.Holder("name/h")
	refusesUnserved(t, g.ID, others...)
	if code, text := ask(t, cs[0], "PATCH", "/v1/nodes/h", `[{"op":"remove","path":"/conductor_group"}]`); code != 409 || !strings.Contains(text, "ferrite node release "+h.ID+" --force") {
		t.Errorf("a node with an operation under way gets another group: %d %s", code, text)
	}
	if n := owned(others...); n != 0 {
		t.Errorf("the conductors of the other group have %d of its nodes", n)
	}
	if code, text := ask(t, cs[1], "POST", "/v1/x/nodes/h/release", `{"force":true}`); code != 200 {
		t.Errorf("released: %d %s", code, text)
	}
	for _, name := range []string{"g", "h"} {
		if code, text := ask(t, cs[0], "PATCH", "/v1/nodes/"+name, `[{"op":"remove","path":"/conductor_group"}]`); code != 200 {
			t.Errorf("%s gets a group that is served: %d %s", name, code, text)
		}
	}
	until(t, "the others have both", func() bool { return owned(others...) == 2 })
}

// A lone conductor that was started with another group lets the nodes of its former one alone.
func TestALoneConductorLetsOtherGroupsAlone(t *testing.T) {
	cfg := settings(t)
	cfg.Group = "rack7"
	c := start(t, cfg)
	if code, text := ask(t, c, "POST", "/v1/nodes", `{"name":"g","driver":"fake-hardware","conductor_group":"rack7"}`); code != 201 {
		t.Fatal(code, text)
	}
	stop(t, c)
	cfg.Group = ""
	c = start(t, cfg)
	g, _ := c.store.Holder("name/g")
	refusesUnserved(t, g.ID, c)
	if n := owned(c); n != 0 {
		t.Errorf("it has %d nodes", n)
	}
	if code, text := ask(t, c, "PATCH", "/v1/nodes/g", `[{"op":"remove","path":"/conductor_group"}]`); code != 200 {
		t.Error(code, text)
	}
	until(t, "it has the node", func() bool { return owned(c) == 1 })
}

// The list of members says of each group whose nodes nobody has why that is so.
func TestWhyNobodyLooksAfterNodes(t *testing.T) {
	v := cluster.NewView(1, []cluster.Member{{Name: "c1", Cordoned: true}, {Name: "c2", Cordoned: true}})
	got := overview{}.thin(v, map[string]int{"": 1, "rack7": 3})
	want := []string{
		`nobody looks after 1 node: no conductor of conductor_group "" takes nodes now: c1 (cordoned) and c2 (cordoned)`,
		`nobody looks after 3 nodes: no living conductor serves conductor_group "rack7"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, wanted %q", got, want)
	}
}

// Where a group's conductors live and none takes nodes, nothing is refused for good: who asks is told why, and to try again.
func TestAGroupWhoseConductorsTakeNothing(t *testing.T) {
	p := &placement{self: "c1"}
	p.view.Store(cluster.NewView(1, []cluster.Member{{Name: "c1"}, {Name: "c2", Group: "rack7", Cordoned: true}, {Name: "c3", Group: "rack7", Cut: true}, {Name: "c4", Group: "rack7", Joining: true}}))
	n := &node.Node{UUID: "a", ConductorGroup: "rack7"}
	s := persistence.NewMemory(persistence.MemoryOptions{})
	defer s.Close()
	if _, err := s.Commit(t.Context(), persistence.Tx{If: []persistence.Cond{{Key: persistence.Key{Kind: persistence.KindNode, ID: "a"}}}, Put: []persistence.Put{{Key: persistence.Key{Kind: persistence.KindNode, ID: "a"}, Value: n}}}); err != nil {
		t.Fatal(err)
	}
	h := &hop{place: p, store: s}
	refusal := h.place.unserved("SetPower", n)
	if to := p.owner(n); to != "" || refusal != nil {
		t.Errorf("owner %q, %v", to, refusal)
	}
	_, err := h.Do(t.Context(), "a", node.Meta{}, node.SetPower{Target: node.PowerOn})
	var e *node.Error
	if !errors.As(err, &e) || e.Kind != node.Unavailable || e.Text != `no conductor of conductor_group "rack7" takes nodes now: c2 (cordoned), c3 (cut) and c4 (starting): nothing was done, try again` {
		t.Errorf("%v", err)
	}
}

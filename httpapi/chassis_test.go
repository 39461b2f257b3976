// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ferrite/httpapi"
	"ferrite/inventory"
	"ferrite/node"
	"ferrite/persistence"
)

// cabinet keeps chassis in memory by the rules of package inventory.
type cabinet struct {
	mu    sync.Mutex
	nodes func(chassis string) int
	all   []*inventory.Chassis
	rev   node.Rev
	told  []string
	spoil int // so many changes find the chassis changed meanwhile
}

func (c *cabinet) Chassis(uuid string) (*inventory.Chassis, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.all, func(x *inventory.Chassis) bool { return x.UUID == uuid })
	if i < 0 {
		return nil, false
	}
	return c.all[i], true
}

func (c *cabinet) ListChassis() []*inventory.Chassis {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.all)
}

func (c *cabinet) Change(_ context.Context, _ node.Meta, m node.Msg) (*inventory.Chassis, error) {
	old, _ := c.Chassis(inventory.ChassisOf(m))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.spoil > 0 {
		c.spoil--
		return nil, &node.Error{Kind: node.Stale, Text: "stale"}
	}
	d, err := inventory.StepChassis(node.Env{Now: time.Now().UTC()}, old, c.nodes(inventory.ChassisOf(m)), m)
	for _, x := range d.Notices {
		c.told = append(c.told, x.Action+"."+string(x.Status))
	}
	if err != nil {
		return nil, err
	}
	c.rev++
	c.all = slices.DeleteFunc(c.all, func(x *inventory.Chassis) bool { return x.UUID == d.Chassis.UUID })
	if d.Delete {
		return nil, nil
	}
	made := *d.Chassis
	made.Rev = c.rev
	if made.Created == 0 {
		made.Created = c.rev
	}
	c.all = append(c.all, &made)
	slices.SortFunc(c.all, func(a, b *inventory.Chassis) int { return int(a.Created) - int(b.Created) })
	return &made, nil
}

// withChassis is a world that has chassis.
func withChassis(t *testing.T) (*world, *cabinet) {
	c := &cabinet{}
	w := newWorld(t, func(cfg *httpapi.Config) { cfg.Chassis = c })
	c.nodes = func(id string) (n int) {
		w.store.Nodes(nil, func(x *node.Node) bool {
			if x.ChassisUUID == id {
				n++
			}
			return true
		})
		return n
	}
	return w, c
}

const sampleChassis = "0e6c7a1b-55a1-4a1b-9d70-6f3c1f2a9b03"

// TestChassisIsIronics: the answer is the sample, but for the time of creation (spec samples/24).
func TestChassisIsIronics(t *testing.T) {
	w, _ := withChassis(t)
	sample, err := os.ReadFile("testdata/24-chassis-detail-nested-nodes.json")
	if err != nil {
		t.Fatal(err)
	}
	a := w.want(201, "POST", "/v1/chassis", `{"uuid":"`+strings.ToUpper(sampleChassis)+`","description":"row 3"}`)
	if got := a.Header.Get("Location"); got != "http://h:6385/v1/chassis/"+sampleChassis {
		t.Errorf("location %q", got)
	}
	created, _ := a.get("created_at").(string)
	want := strings.TrimSpace(strings.Replace(string(sample), "2026-03-02T08:15:30.120450+00:00", created, 1))
	if created == "" || a.text != want {
		t.Errorf("got\n%s\nwanted\n%s", a.text, want)
	}
	if got := w.want(200, "GET", "/v1/chassis/"+sampleChassis, "").text; got != want {
		t.Errorf("GET gave\n%s", got)
	}
	if got := w.want(200, "GET", "/v1", "").list("chassis"); len(got) != 2 {
		t.Errorf("the v1 document has chassis %v", got)
	}
}

func TestChassisLifeCycle(t *testing.T) {
	w, c := withChassis(t)
	var ids []string
	for i := range 5 {
		id, _ := w.want(201, "POST", "/v1/chassis", fmt.Sprintf(`{"description":"row %d","extra":{"n":%d}}`, 9-i, i)).get("uuid").(string)
		ids = append(ids, id)
	}
	one := "/v1/chassis/" + ids[0]
	c.spoil = 2 // read again and repeat
	if a := w.want(200, "PATCH", one, `[{"op":"replace","path":"/description","value":"hall"},{"op":"add","path":"/extra/x","value":1}]`); a.get("description") != "hall" || a.get("updated_at") == nil || fmt.Sprint(a.get("extra")) != "map[n:0 x:1]" {
		t.Errorf("patched: %s", a.text)
	}
	if a := w.want(200, "PATCH", one, `[{"op":"remove","path":"/description"}]`); a.get("description") != nil {
		t.Errorf("removed: %s", a.text)
	}
	n1 := w.create(`{"driver":"fake-hardware","chassis_uuid":"` + strings.ToUpper(ids[0]) + `"}`)
	n2 := w.create(`{"driver":"fake-hardware"}`)
	w.want(200, "PATCH", "/v1/nodes/"+n2, `[{"op":"add","path":"/chassis_uuid","value":"`+ids[0]+`"}]`)
	w.create(`{"driver":"fake-hardware"}`)
	for _, path := range []string{one + "/nodes", one + "/nodes/detail", one + "/nodes?detail=True", "/v1/nodes?chassis_uuid=" + ids[0]} {
		got := w.want(200, "GET", path, "").list("nodes")
		if len(got) != 2 || got[0].(map[string]any)["uuid"] != n1 || got[1].(map[string]any)["uuid"] != n2 {
			t.Errorf("%s: %v", path, got)
		}
	}
	page := w.want(200, "GET", one+"/nodes?limit=1&fields=uuid", "")
	next, _ := page.get("next").(string)
	if !strings.HasPrefix(next, "http://h:6385"+one+"/nodes?") || len(page.list("nodes")) != 1 {
		t.Fatalf("first page: %s", page.text)
	}
	if got := w.want(200, "GET", strings.TrimPrefix(next, "http://h:6385"), "").list("nodes"); len(got) != 1 || got[0].(map[string]any)["uuid"] != n2 {
		t.Errorf("second page: %v", got)
	}
	if a := w.want(400, "DELETE", one, ""); !strings.Contains(a.fault(t)["faultstring"].(string), "contains nodes") {
		t.Errorf("not empty: %s", a.text)
	}
	for _, n := range []string{n1, n2} {
		w.want(200, "PATCH", "/v1/nodes/"+n, `[{"op":"remove","path":"/chassis_uuid"}]`)
	}
	w.want(204, "DELETE", one, "")
	w.want(404, "GET", one, "")
	if got := fmt.Sprint(c.told[len(c.told)-4:]); got != "[delete.start delete.error delete.start delete.end]" {
		t.Errorf("told %s", got)
	}
	for query, want := range map[string][]string{
		"": ids[1:], "?sort_dir=desc": {ids[4], ids[3], ids[2], ids[1]}, "?sort_key=description": {ids[4], ids[3], ids[2], ids[1]},
		"?limit=2": ids[1:3], "?marker=" + ids[2]: ids[3:], "/detail": ids[1:], "?fields=uuid": ids[1:], "?detail=True": ids[1:],
	} {
		var got []string
		for _, x := range w.want(200, "GET", "/v1/chassis"+query, "").list("chassis") {
			got = append(got, x.(map[string]any)["uuid"].(string))
		}
		if !slices.Equal(got, want) {
			t.Errorf("list %s: %v, wanted %v", query, got, want)
		}
	}
	short := w.want(200, "GET", "/v1/chassis", "").list("chassis")[0].(map[string]any)
	if got := sorted(short); strings.Join(got, " ") != "description links uuid" {
		t.Errorf("short list has %v", got)
	}
}

func TestChassisRefusals(t *testing.T) {
	w, _ := withChassis(t)
	w.want(201, "POST", "/v1/chassis", `{"uuid":"`+sampleChassis+`"}`)
	const nobody = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
	for _, c := range []struct {
		method, path, minor, body string
		status                    int
		text                      string
	}{
		{"POST", "/v1/chassis", "1.1", `{"name":"x"}`, 400, "'name' was unexpected"},
		{"POST", "/v1/chassis", "1.1", `{"uuid":"x"}`, 400, "UUID"},
		{"POST", "/v1/chassis", "1.1", `{"extra":[]}`, 400, "extra"},
		{"POST", "/v1/chassis", "1.1", `{"description":"` + strings.Repeat("x", 256) + `"}`, 400, "too long"},
		{"POST", "/v1/chassis", "1.1", `{"uuid":"` + sampleChassis + `"}`, 409, "already exists"},
		{"GET", "/v1/chassis/rack", "1.115", "", 400, "Expected a UUID but received rack."},
		{"GET", "/v1/chassis/" + nobody, "1.115", "", 404, "Chassis " + nobody + " could not be found."},
		{"GET", "/v1/chassis/" + nobody + "/nodes", "1.115", "", 404, nobody},
		{"GET", "/v1/nodes?chassis_uuid=" + nobody, "1.115", "", 404, nobody},
		{"GET", "/v1/chassis?fields=uuid", "1.7", "", 406, "1.8"},
		{"GET", "/v1/chassis?fields=nodes", "1.115", "", 400, "nodes"},
		{"GET", "/v1/chassis?sort_key=extra", "1.115", "", 400, "extra"},
		{"GET", "/v1/chassis?detail=True", "1.42", "", 400, "detail"},
		{"PATCH", "/v1/chassis/" + sampleChassis, "1.115", `[{"op":"add","path":"/uuid","value":"x"}]`, 400, "Only the following can be updated: description, extra"},
		{"PATCH", "/v1/chassis/" + nobody, "1.115", `[]`, 404, nobody},
		{"PATCH", "/v1/chassis", "1.115", `[]`, 400, "Missing mandatory parameter: chassis_uuid"},
		{"DELETE", "/v1/chassis/" + nobody, "1.115", "", 404, nobody},
		{"POST", "/v1/nodes", "1.115", `{"driver":"ipmi","chassis_uuid":"` + nobody + `"}`, 400, "Chassis " + nobody},
	} {
		if a := w.at(c.minor).want(c.status, c.method, c.path, c.body); !strings.Contains(a.fault(t)["faultstring"].(string), c.text) {
			t.Errorf("%s %s: %s; wanted %q", c.method, c.path, a.text, c.text)
		}
	}
	if w.store.Len(persistence.KindNode) != 0 {
		t.Error("a refused node was stored")
	}
}

// Every list can be walked along its own next links, and each item is seen once.
func TestNextLinksLeadOn(t *testing.T) {
	w, _ := withChassis(t)
	w.fleet()
	w.want(201, "POST", "/v1/chassis", `{"uuid":"`+sampleChassis+`"}`)
	w.want(201, "POST", "/v1/chassis", `{}`)
	for i := range 3 {
		w.want(200, "PATCH", "/v1/nodes/"+fleetID(i), `[{"op":"add","path":"/chassis_uuid","value":"`+sampleChassis+`"}]`)
		w.want(201, "POST", "/v1/ports", fmt.Sprintf(`{"address":"52:54:00:00:00:%02d","node_uuid":"%s"}`, i, fleetID(0)))
		w.put(persistence.KindHistory, fmt.Sprintf("%s/%04d", fleetID(0), i), &node.Entry{UUID: fleetID(90 + i), Node: fleetID(0), CreatedAt: sampleMade.Add(time.Duration(i) * time.Second)})
	}
	for _, c := range []struct {
		path, envelope string
		want           int
	}{
		{"nodes", "nodes", 9},
		{"nodes/detail", "nodes", 9},
		{"chassis", "chassis", 2},
		{"chassis/detail", "chassis", 2},
		{"chassis/" + sampleChassis + "/nodes", "nodes", 3},
		{"chassis/" + sampleChassis + "/nodes/detail", "nodes", 3},
		{"ports", "ports", 3},
		{"ports/detail", "ports", 3},
		{"nodes/" + fleetID(0) + "/ports", "ports", 3},
		{"nodes/" + fleetID(0) + "/ports/detail", "ports", 3},
		{"nodes/" + fleetID(0) + "/history", "history", 3},
		{"nodes/" + fleetID(0) + "/history/detail", "history", 3},
		{"conductors", "conductors", 2},
	} {
		queries := []string{"?limit=1", "?limit=1&sort_dir=desc", "?limit=1&sort_key=created_at"}
		if !strings.HasSuffix(c.path, "/detail") {
			queries = append(queries, "?limit=1&detail=true")
		}
		for _, q := range queries {
			seen := map[string]int{}
			for path := "/v1/" + c.path + q; path != ""; {
				a := w.want(200, "GET", path, "")
				for _, x := range a.list(c.envelope) {
					m, _ := x.(map[string]any)
					seen[fmt.Sprint(m["uuid"], m["hostname"])]++
				}
				next, _ := a.get("next").(string)
				path = strings.TrimPrefix(next, "http://h:6385")
			}
			if len(seen) != c.want {
				t.Errorf("%s%s: %d items, wanted %d: %v", c.path, q, len(seen), c.want, seen)
			}
			for id, n := range seen {
				if n != 1 {
					t.Errorf("%s%s: %s is seen %d times", c.path, q, id, n)
				}
			}
		}
	}
}

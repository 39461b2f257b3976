// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"cmp"
	"strings"
	"testing"
	"time"

	"ferrite/httpapi"
	"ferrite/httpapi/wire"
	"ferrite/node"
)

// Fields of our own are shown to those alone that ask for them by header (P6).
func TestExtensionsAreAskedFor(t *testing.T) {
	at := time.Date(2026, 11, 21, 10, 20, 30, 4000, time.UTC)
	w := newWorld(t, func(c *httpapi.Config) {
		c.Confirmed = func(string) time.Time { return at }
	})
	w.fleet()
	const header, field = wire.HeaderExtensions + ": 1", "power_confirmed_at"
	paths := []string{"/v1/nodes/n9", "/v1/nodes/detail?limit=1", "/v1/nodes?detail=true&limit=1", "/v1/nodes?limit=1"}
	for _, path := range paths {
		for _, h := range [][]string{nil, {wire.HeaderExtensions + ": 0"}, {wire.HeaderExtensions + ": true"}} {
			if a := w.want(200, "GET", path, "", h...); strings.Contains(a.text, field) {
				t.Errorf("%s with %q shows %s to a client that did not ask for it", path, h, field)
			}
		}
		a := w.want(200, "GET", path, "", header)
		if strings.Contains(a.text, `"`+field+`":"2026-11-21T10:20:30.000004+00:00"`) == (path == "/v1/nodes?limit=1") {
			t.Errorf("%s with the header: %s", path, a.text)
		}
	}
	w.want(400, "GET", "/v1/nodes?fields="+field, "")
	w.want(400, "GET", "/v1/nodes?sort_key="+field, "", header)
	w.want(400, "PATCH", "/v1/nodes/n9", `[{"op":"replace","path":"/`+field+`","value":"2026-11-21T10:20:30+00:00"}]`, header)
	for path, keys := range map[string]int{"/v1/nodes/n9?fields=" + field: 2, "/v1/nodes/n9?fields=name," + field: 3} {
		if a := w.want(200, "GET", path, "", header); len(a.object()) != keys || a.get(field) == nil {
			t.Errorf("%s: %s", path, a.text)
		}
	}
	if a := w.want(200, "GET", "/v1/nodes?limit=1&fields=uuid,"+field, "", header); !strings.Contains(a.get("next").(string), field) {
		t.Errorf("the next page does not have the field: %s", a.text)
	}
	if len(w.owner.asked) != 0 {
		t.Errorf("what is known here was asked of the owner: %v", w.owner.asked)
	}
	at = time.Time{}
	if a := w.want(200, "GET", "/v1/nodes/n9", "", header); !strings.Contains(a.text, `"`+field+`":null`) {
		t.Errorf("not confirmed yet: %s", a.text)
	}
}

// shared are members of which two look after nodes.
type shared struct {
	httpapi.Members
	of map[string]string // owner by UUID, cond-a where there is none
}

func (m shared) OwnerOf(n *node.Node) string {
	return cmp.Or(m.of[n.UUID], m.Self())
}

// What other conductors know is asked of them, by one call to each for one page; who does not answer spoils nothing.
func TestConfirmedAtIsAskedOfTheOwners(t *testing.T) {
	of := map[string]string{fleetID(0): "cond-b", fleetID(3): "cond-b", fleetID(5): "cond-b", fleetID(1): "cond-c", fleetID(7): "cond-c"}
	here := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	w := newWorld(t, func(c *httpapi.Config) {
		c.Members = shared{c.Members, of}
		c.Confirmed = func(uuid string) time.Time {
			if uuid == fleetID(2) {
				return here
			}
			return time.Time{}
		}
	})
	w.fleet()
	const header = wire.HeaderExtensions + ": 1"
	at := time.Date(2026, 11, 21, 10, 20, 30, 4000, time.UTC)
	away := "" // conductor
	w.owner.before = func(first string, m node.Msg) (any, error, bool) {
		q, ok := m.(node.GetConfirmed)
		if !ok {
			return nil, nil, false
		}
		if of[first] == away {
			return nil, &node.Error{Op: "GetConfirmed", Kind: node.Unavailable, Text: "away"}, true
		}
		told := node.Confirmed{At: at, All: map[string]time.Time{fleetID(2): at, fleetID(4): at}} // of which the latter are not its own
		for _, uuid := range q.Nodes {
			if of[uuid] != of[first] {
				t.Errorf("%s, which looks after %s, is asked of %s", of[first], first, uuid)
			}
			if uuid != fleetID(5) { // not confirmed yet
				told.All[uuid] = at
			}
		}
		return told, nil, true
	}
	asked := func() (calls, nodes int) {
		for _, m := range w.owner.asked {
			calls, nodes = calls+1, nodes+1+len(m.(node.GetConfirmed).Nodes)
		}
		w.owner.asked = nil
		return calls, nodes
	}
	want := func(what string, wantCalls, wantNodes int) {
		t.Helper()
		if calls, nodes := asked(); calls != wantCalls || nodes != wantNodes {
			t.Errorf("%s asked of %d nodes in %d calls, wanted %d in %d", what, nodes, calls, wantNodes, wantCalls)
		}
	}
	asked()
	const told, told2 = "2026-11-21T10:20:30.000004+00:00", "2026-11-21T10:00:00+00:00"
	for _, path := range []string{"/v1/nodes/" + fleetID(3), "/v1/nodes/" + fleetID(3) + "?fields=power_confirmed_at,name"} {
		if a := w.want(200, "GET", path, "", header); a.get("power_confirmed_at") != told {
			t.Errorf("%s: %s", path, a.text)
		}
		want(path, 1, 1)
	}

	w.want(200, "GET", "/v1/nodes/n9", "")
	w.want(200, "GET", "/v1/nodes/"+fleetID(3)+"?fields=name", "", header)
	w.want(200, "GET", "/v1/nodes", "", header)
	w.want(200, "GET", "/v1/nodes/detail", "")
	w.want(200, "GET", "/v1/nodes/"+fleetID(2), "", header)
	w.want(200, "GET", "/v1/nodes/"+fleetID(4), "", header) // ours, and not confirmed yet
	want("who does not want to know, or knows", 0, 0)

	list := func(path string) string {
		a := w.want(200, "GET", path, "", header)
		var out []string
		for _, x := range a.get("nodes").([]any) {
			n := x.(map[string]any)
			switch n["power_confirmed_at"] {
			case told:
				out = append(out, n["uuid"].(string)[35:])
			case told2:
				out = append(out, "here")
			case nil:
			default:
				t.Errorf("%s: %v", path, n["power_confirmed_at"])
			}
		}
		return strings.Join(out, " ")
	}
	for _, c := range []struct {
		path, away, told string
		calls, nodes     int
	}{
		{"/v1/nodes/detail", "", "0 1 here 3 7", 2, 5},
		{"/v1/nodes/detail", "cond-b", "1 here 7", 2, 5},
		{"/v1/nodes?fields=uuid,power_confirmed_at", "cond-c", "0 here 3", 2, 5},
		{"/v1/nodes?fields=uuid,power_confirmed_at&limit=3", "", "0 1 here", 2, 2},
		{"/v1/nodes?fields=uuid,power_confirmed_at&limit=3&marker=" + fleetID(2), "", "3", 1, 2},
	} {
		away = c.away
		if got := list(c.path); got != c.told {
			t.Errorf("%s tells of %s, wanted %s", c.path, got, c.told)
		}
		want(c.path, c.calls, c.nodes)
	}
	away = "cond-b"
	if a := w.want(200, "GET", "/v1/nodes/"+fleetID(3), "", header); !strings.Contains(a.text, `"power_confirmed_at":null`) {
		t.Errorf("an owner that is away: %s", a.text)
	}
}

// What a node's sensors said when they were read last is told by the same call, and only where it is wanted.
func TestSensorHealthIsAskedOfTheOwners(t *testing.T) {
	of := map[string]string{fleetID(0): "cond-b", fleetID(3): "cond-b", fleetID(1): "cond-c"}
	at := time.Date(2026, 11, 21, 10, 20, 30, 0, time.UTC)
	w := newWorld(t, func(c *httpapi.Config) {
		c.Members = shared{c.Members, of}
		c.SensorHealth = func(uuid string) *node.Health {
			if uuid == fleetID(2) {
				return &node.Health{State: node.HealthOK, At: at}
			}
			return nil
		}
	})
	w.fleet()
	w.owner.before = func(first string, m node.Msg) (any, error, bool) {
		q, ok := m.(node.GetConfirmed)
		switch {
		case !ok:
			return nil, nil, false
		case of[first] == "cond-c": // an older one, which knows nothing of it
			return node.Confirmed{At: at}, nil, true
		case !q.Health:
			return node.Confirmed{}, nil, true
		}
		return node.Confirmed{Health: map[string]node.Health{fleetID(3): {State: node.HealthCritical, At: at, Sensors: []string{"Fan (0x1)", "Temp (0x2)"}}}}, nil, true
	}
	const header = wire.HeaderExtensions + ": 1"
	const ok, broken, none = `"sensor_health":"ok","sensor_health_at":"2026-11-21T10:20:30+00:00","sensor_health_sensors":[]`,
		`"sensor_health":"critical","sensor_health_at":"2026-11-21T10:20:30+00:00","sensor_health_sensors":["Fan (0x1)","Temp (0x2)"]`,
		`"sensor_health":null,"sensor_health_at":null,"sensor_health_sensors":null`
	for i, want := range map[int]string{0: none, 1: none, 2: ok, 3: broken, 4: none} {
		if a := w.want(200, "GET", "/v1/nodes/"+fleetID(i), "", header); !strings.Contains(strings.ReplaceAll(a.text, ", ", ","), want) {
			t.Errorf("node %d: wanted %s, got %s", i, want, a.text)
		}
		if a := w.want(200, "GET", "/v1/nodes/"+fleetID(i), ""); strings.Contains(a.text, "sensor_health") {
			t.Errorf("node %d tells a client of Ironic's of it", i)
		}
	}
	w.owner.asked = nil
	a := w.want(200, "GET", "/v1/nodes?fields=uuid,sensor_health", "", header)
	told := map[string]any{}
	for _, x := range a.list("nodes") {
		n := x.(map[string]any)
		told[n["uuid"].(string)] = n["sensor_health"]
	}
	if told[fleetID(2)] != "ok" || told[fleetID(3)] != "critical" || told[fleetID(0)] != nil || len(w.owner.asked) != 2 {
		t.Errorf("a list in %d calls: %v", len(w.owner.asked), told)
	}
	w.owner.asked = nil
	w.want(200, "GET", "/v1/nodes?fields=uuid,power_confirmed_at", "", header)
	for _, m := range w.owner.asked {
		if m.(node.GetConfirmed).Health {
			t.Error("health is asked for that nobody wants")
		}
	}
	w.want(400, "GET", "/v1/nodes?sort_key=sensor_health", "", header)
	w.want(400, "GET", "/v1/nodes?fields=sensor_health", "")
}

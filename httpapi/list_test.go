// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"ferrite/inventory"
	"ferrite/node"
	"ferrite/persistence"
)

// fleet stores ten nodes n0 to n9 in this order of creation.
func (w *world) fleet() {
	w.t.Helper()
	for i := range 10 {
		n := &node.Node{
			UUID: fleetID(i), Name: fmt.Sprintf("n%d", 9-i), Driver: "ipmi", ProvisionState: node.Active, Interfaces: map[string]string{"power": "ipmitool"},
			CreatedAt: sampleMade.Add(time.Duration(i) * time.Second), Description: fmt.Sprintf("Row %d", i%2),
		}
		if i%2 == 1 {
			n.Maintenance, n.ResourceClass, n.PlacedOwner, n.Shard = true, "gold", "alice", "s1"
		}
		switch i {
		case 2:
			n.InstanceUUID, n.InstanceName = fleetID(90), "vm"
		case 4:
			n.Driver, n.ConductorGroup, n.Fault = "fake-hardware", "west", node.FaultPower
		case 6:
			n.ProvisionState, n.Lessee, n.Retired, n.Shard = node.Enroll, "alice", true, "s2"
		case 8:
			n.ParentNode = fleetID(0)
		}
		w.put(persistence.KindNode, n.UUID, n, "name/"+n.Name)
	}
}

func fleetID(i int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", i) }

// numbers are the nodes or events of a list by number: "0 1 2".
func numbers(a answer) string {
	var out []string
	for _, x := range append(a.list("nodes"), a.list("history")...) {
		id, _ := x.(map[string]any)["uuid"].(string)
		out = append(out, strings.TrimLeft(id[len(id)-12:len(id)-1], "0")+id[len(id)-1:])
	}
	return strings.Join(out, " ")
}

func TestFilters(t *testing.T) {
	w := newWorld(t)
	w.fleet()
	for query, want := range map[string]string{
		"":                                            "0 1 2 3 4 5 6 7 9",
		"include_children=true":                       "0 1 2 3 4 5 6 7 8 9",
		"include_children=no":                         "0 1 2 3 4 5 6 7 9",
		"parent_node=" + fleetID(0):                   "8",
		"maintenance=TRUE":                            "1 3 5 7 9",
		"maintenance=false":                           "0 2 4 6",
		"associated=true":                             "2",
		"instance_uuid=" + fleetID(90):                "2",
		"instance_uuid=" + fleetID(91):                "",
		"chassis_uuid=" + fleetID(91):                 "",
		"provision_state=enroll":                      "6",
		"driver=fake-hardware":                        "4",
		"resource_class=gold":                         "1 3 5 7 9",
		"fault=power+failure":                         "4",
		"conductor_group=west":                        "4",
		"conductor_group=":                            "0 1 2 3 5 6 7 9",
		"conductor=cond-a&limit=2":                    "0 1",
		"conductor=cond-b":                            "",
		"owner=alice":                                 "1 3 5 7 9",
		"lessee=alice":                                "6",
		"project=alice":                               "1 3 5 6 7 9",
		"description_contains=row%201":                "1 3 5 7 9",
		"retired=1":                                   "6",
		"shard=s1,s2":                                 "1 3 5 6 7 9",
		"sharded=false":                               "0 2 4",
		"instance_name=vm":                            "2",
		"maintenance=true&driver=ipmi":                "1 3 5 7 9",
		"sort_dir=desc":                               "9 7 6 5 4 3 2 1 0",
		"sort_key=name":                               "9 7 6 5 4 3 2 1 0",
		"sort_key=name&sort_dir=desc":                 "0 1 2 3 4 5 6 7 9",
		"sort_key=owner":                              "0 2 4 6 1 3 5 7 9",
		"sort_key=owner&sort_dir=desc":                "9 7 5 3 1 6 4 2 0",
		"sort_key=maintenance&limit=3":                "0 2 4",
		"sort_key=created_at":                         "0 1 2 3 4 5 6 7 9",
		"sort_key=uuid&marker=" + fleetID(5):          "6 7 9",
		"marker=" + fleetID(5):                        "6 7 9",
		"marker=" + fleetID(8):                        "9",
		"limit=2&marker=" + fleetID(8):                "9",
		"sort_dir=desc&marker=" + fleetID(2):          "1 0",
		"sort_key=owner&limit=3&marker=" + fleetID(4): "6 1 3",
	} {
		if got := numbers(w.want(200, "GET", "/v1/nodes?"+query, "")); got != want {
			t.Errorf("?%s lists %q, wanted %q", query, got, want)
		}
	}
}

// Following next gives every item once, with the filters kept, whatever the order.
func TestPaging(t *testing.T) {
	w := newWorld(t)
	w.fleet()
	for query, want := range map[string]string{
		"limit=2&resource_class=gold":                            "1 3 5 7 9",
		"limit=1&resource_class=gold&fields=uuid,name":           "1 3 5 7 9",
		"limit=3&description_contains=row%201&detail=true":       "1 3 5 7 9",
		"limit=2&owner=alice&sort_key=name&sort_dir=asc":         "9 7 5 3 1",
		"limit=4&sort_key=resource_class&include_children=true":  "0 2 4 6 8 1 3 5 7 9",
		"limit=5&sort_key=maintenance&sort_dir=desc&driver=ipmi": "9 7 5 3 1 6 2 0",
	} {
		var got []string
		path, pages := "/v1/nodes?"+query, 0
		for ; path != "" && pages < 20; pages++ {
			a := w.want(200, "GET", path, "")
			if s := numbers(a); s != "" {
				got = append(got, s)
			}
			path = ""
			if next, ok := a.get("next").(string); ok {
				u, err := url.Parse(next)
				if err != nil || u.Host != "h:6385" || u.Path != "/v1/nodes" {
					t.Fatalf("next is %q", next)
				}
				path = u.RequestURI()
			}
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("?%s gives %q in %d pages, wanted %q", query, s, pages, want)
		}
	}
	a := w.want(200, "GET", "/v1/nodes?limit=1", "")
	if got, want := a.get("next"), "http://h:6385/v1/nodes?sort_key=id&sort_dir=asc&fields=uuid,name,instance_uuid,maintenance,power_state,provision_state&limit=1&marker="+fleetID(0); got != want {
		t.Errorf("next is %q, wanted %q", got, want)
	}
	if a := w.want(200, "GET", "/v1/nodes?limit=20", ""); a.get("next") != nil {
		t.Errorf("a short page has next %v", a.get("next"))
	}
	if a := w.want(200, "GET", "/v1/nodes?limit=1&instance_uuid="+fleetID(90), ""); a.get("next") != nil {
		t.Errorf("with instance_uuid there is next %v", a.get("next"))
	}
	if a := w.want(200, "GET", "/v1/nodes/detail?limit=1", ""); !strings.HasPrefix(fmt.Sprint(a.get("next")), "http://h:6385/v1/nodes/detail?sort_key=id&sort_dir=asc&limit=1&marker=") {
		t.Errorf("next of detail is %v", a.get("next"))
	}
}

func TestFieldsAsked(t *testing.T) {
	w := newWorld(t)
	w.fleet()
	for query, want := range map[string]string{
		"fields=":                          "links",
		"fields=Name%2C+uuid,uuid":         "links name uuid",
		"fields=name&fields=driver":        "driver links name",
		"fields=traits,links":              "links traits",
		"":                                 "instance_uuid links maintenance name power_state provision_state uuid",
		"detail=false":                     "instance_uuid links maintenance name power_state provision_state uuid",
		"fields=conductor,power_interface": "conductor links power_interface",
	} {
		a := w.want(200, "GET", "/v1/nodes?limit=1&"+query, "")
		keys := map[string]any{}
		for k := range a.list("nodes")[0].(map[string]any) {
			keys[k] = nil
		}
		if got := strings.Join(sorted(keys), " "); got != want {
			t.Errorf("?%s shows %q, wanted %q", query, got, want)
		}
	}
	if a := w.want(200, "GET", "/v1/nodes?detail=true&limit=1", ""); len(a.list("nodes")[0].(map[string]any)) != 69 {
		t.Errorf("detail shows %s", a.text)
	}
	if a := w.want(200, "GET", "/v1/nodes/n9?fields=name", ""); len(a.object()) != 2 {
		t.Errorf("fields of one node shows %s", a.text)
	}
	if a := w.want(200, "GET", "/v1/nodes/n9/name", ""); a.get("name") != "n9" || len(a.object()) != 2 {
		t.Errorf("a field as path shows %s", a.text)
	}
}

func sorted(m map[string]any) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	for i := range out {
		for j := i; j > 0 && out[j] < out[j-1]; j-- {
			out[j], out[j-1] = out[j-1], out[j]
		}
	}
	return out
}

func TestPortLists(t *testing.T) {
	w := newWorld(t)
	w.fleet()
	for i := range 6 {
		p := inventory.Defaults()
		p.UUID, p.NodeUUID, p.Address = fleetID(50+i), fleetID(i%3), fmt.Sprintf("52:54:00:00:00:%02x", i)
		p.Description = fmt.Sprintf("uplink %d", i)
		w.put(persistence.KindPort, p.UUID, p, "mac/"+p.Address)
	}
	for path, want := range map[string]int{
		"/v1/ports": 6, "/v1/ports/detail": 6, "/v1/ports?node=n9": 2, "/v1/ports?node_uuid=" + fleetID(1): 2,
		"/v1/nodes/n8/ports": 2, "/v1/nodes/n8/ports/detail": 2, "/v1/nodes/n5/ports": 0, "/v1/ports?shard=s1": 2,
		"/v1/ports?description_contains=UPLINK%203": 1, "/v1/ports?conductor_groups=west": 0, "/v1/ports?conductor_groups=,west": 6,
		"/v1/ports?address=52:54:00:00:00:02": 1, "/v1/ports?address=52:54:00:00:00:02&node=n9": 0,
		"/v1/ports?marker=" + fleetID(53): 2, "/v1/ports?node=n9&marker=" + fleetID(50): 1, "/v1/ports?sort_key=address&sort_dir=desc&limit=4": 4,
		"/v1/ports?fields=node_uuid,uuid,address&address=52:54:00:00:00:01": 1,
	} {
		a := w.want(200, "GET", path, "")
		if got := a.list("ports"); got == nil || len(got) != want {
			t.Errorf("%s lists %d ports, wanted %d", path, len(got), want)
		}
	}
}

func TestOtherReads(t *testing.T) {
	w := newWorld(t)
	w.fleet()
	fake := w.create(`{"driver":"fake-hardware","name":"fake"}`)
	rows := []struct{ path, want string }{
		{"/v1/nodes/n9/children", `{"children":["` + fleetID(8) + `"],"links":{"href":"http://h:6385/v1/nodes?parent_node=` + fleetID(0) + `","rel":"children"}}`},
		{"/v1/nodes/n9/traits", `{"traits":[]}`},
		{"/v1/nodes/n9/vifs", `{"vifs":[]}`},
		{"/v1/nodes/n9/bios?detail=true", `{"bios":[]}`},
		{"/v1/nodes/n9/firmware", `{"firmware":[]}`},
		{"/v1/nodes/n9/history", `{"history":[]}`},
		{"/v1/nodes/n9/portgroups", `{"portgroups":[]}`},
		{"/v1/nodes/n9/volume/connectors", `{"connectors":[]}`},
		{"/v1/nodes/n9/volume/targets?detail=true", `{"targets":[]}`},
		{"/v1/nodes/n9/vendor_passthru/methods", `{}`},
		{"/v1/nodes/n9/states/console", `{"console_enabled":false,"console_info":null}`},
		{"/v1/nodes/n9/management/boot_device", `{"boot_device":"pxe","persistent":false}`},
		{"/v1/nodes/n9/management/boot_device/supported", `{"supported_boot_devices":["pxe","disk","cdrom","bios","safe"]}`},
		{"/v1/nodes/fake/management/indicators/led@system", `{"state":"on"}`},
		{"/v1/shards", `{"shards":[{"name":"None","count":5},{"name":"s1","count":5},{"name":"s2","count":1}]}`},
		{"/v1/drivers/ipmi/properties", `{"ipmi_address":"IP address or hostname of the node. Required."}`},
		{"/v1/drivers/properties?driver_name=ipmi", `{"ipmi_address":"IP address or hostname of the node. Required."}`},
		{"/v1/drivers?type=classic", `{"drivers":[]}`},
	}
	for _, row := range rows {
		if got := strings.TrimSpace(w.want(200, "GET", row.path, "").text); got != row.want {
			t.Errorf("%s is %s, wanted %s", row.path, got, row.want)
		}
	}
	a := w.want(200, "GET", "/v1/nodes/fake/validate", "")
	if got := strings.Join(sorted(a.object()), " "); got != "bios boot console deploy firmware inspect management network power raid rescue storage" {
		t.Errorf("validate has %s", got)
	}
	if got := show(a.get("console")) + show(a.get("power")); got != `{"reason":"text","result":false}{"result":true}` {
		t.Errorf("validate says %s", got)
	}
	if r, _ := a.get("rescue").(map[string]any); r["result"] != false || r["reason"] == "" {
		t.Errorf("an interface that the driver says nothing of is %v", r)
	}
	if b := w.want(200, "GET", "/v1/nodes/validate?node="+fake, ""); b.text != a.text {
		t.Errorf("validate by query says %s", b.text)
	}
	if a := w.want(200, "GET", "/v1/drivers?detail=true", ""); len(a.list("drivers")) != 2 || len(a.list("drivers")[0].(map[string]any)) != 31 {
		t.Errorf("drivers in detail are %s", a.text)
	}
	if a := w.at("1.13").want(200, "GET", "/v1/drivers", ""); len(a.list("drivers")[0].(map[string]any)) != 3 {
		t.Errorf("drivers at 1.13 are %s", a.text)
	}
	if a := w.want(200, "GET", "/v1/drivers?fields=name,hosts", ""); show(a.list("drivers")[1].(map[string]any)["hosts"]) != `["cond-a"]` {
		t.Errorf("hosts are %s: a dead conductor serves nothing", a.text)
	}
	if a := w.want(200, "GET", "/v1/conductors?detail=true&marker=cond-a", ""); len(a.list("conductors")) != 1 || len(a.list("conductors")[0].(map[string]any)) != 7 {
		t.Errorf("conductors behind cond-a are %s", a.text)
	}
	if a := w.at("1.81").want(200, "GET", "/v1", ""); a.get("shards") != nil || a.get("conductors") == nil {
		t.Errorf("/v1 at 1.81 is %s", a.text)
	}
}

// Long events are cut in the short list alone.
func TestHistory(t *testing.T) {
	w := newWorld(t)
	w.seed()
	long := strings.Repeat("é", 200)
	w.put(persistence.KindHistory, sampleNode+"/0002", &node.Entry{UUID: fleetID(1), Node: sampleNode, CreatedAt: sampleUpdated, Severity: "INFO", Event: long})
	a := w.want(200, "GET", "/v1/nodes/rack7-u12/history", "")
	if len(a.list("history")) != 2 {
		t.Fatalf("the history is %s", a.text)
	}
	short, _ := a.list("history")[1].(map[string]any)
	if len(short) != 5 || short["event"] != strings.Repeat("é", 125)+"..." {
		t.Errorf("the short entry is %v", short)
	}
	if a := w.want(200, "GET", "/v1/nodes/rack7-u12/history/"+fleetID(1), ""); a.get("event") != long {
		t.Errorf("the entry is %s", a.text)
	}
	for path, want := range map[string]int{"?limit=1": 1, "?marker=" + sampleEvent: 1, "?sort_key=created_at&sort_dir=desc": 2} {
		if got := len(w.want(200, "GET", "/v1/nodes/rack7-u12/history"+path, "").list("history")); got != want {
			t.Errorf("%s lists %d entries, wanted %d", path, got, want)
		}
	}
}

// A page of the history whose last entry is trimmed before the next page is asked for: what is left follows, once.
func TestHistoryIsTrimmedBetweenPages(t *testing.T) {
	w := newWorld(t)
	w.fleet()
	key := func(i int) persistence.Key {
		return persistence.Key{Kind: persistence.KindHistory, ID: fmt.Sprintf("%s/%04d", fleetID(0), i)}
	}
	revs := map[int]node.Rev{}
	for i := 1; i < 6; i++ {
		e := &node.Entry{UUID: fleetID(i), Node: fleetID(0), CreatedAt: sampleMade.Add(time.Duration(i) * time.Second)}
		rev, err := w.store.Commit(t.Context(), persistence.Tx{If: []persistence.Cond{{Key: key(i)}}, Put: []persistence.Put{{Key: key(i), Value: e}}})
		if err != nil {
			t.Fatal(err)
		}
		revs[i] = rev
	}
	path := "/v1/nodes/" + fleetID(0) + "/history"
	for _, c := range []struct {
		query, page, rest string
		trim              []int
	}{{"?limit=2", "1 2", "3 4", []int{1, 2}}, {"?limit=1&sort_dir=asc", "3", "4", []int{3}}, {"?limit=1&sort_dir=desc", "5", "4", nil}} {
		first := w.want(200, "GET", path+c.query, "")
		for _, i := range c.trim {
			if _, err := w.store.Commit(t.Context(), persistence.Tx{If: []persistence.Cond{{Key: key(i), Rev: revs[i]}}, Del: []persistence.Key{key(i)}}); err != nil {
				t.Fatal(err)
			}
		}
		next, _ := first.get("next").(string)
		if page, rest := numbers(first), numbers(w.want(200, "GET", strings.TrimPrefix(next, "http://h:6385"), "")); page != c.page || rest != c.rest {
			t.Errorf("%s: %s, and behind it %s; wanted %s and %s", c.query, page, rest, c.page, c.rest)
		}
	}
	w.want(404, "GET", "/v1/nodes/"+fleetID(1)+"/history?marker="+fleetID(2), "") // another node's entry
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strings"
	"testing"
	"time"

	"ferrite/httpapi"
	"ferrite/inventory"
	"ferrite/node"
	"ferrite/persistence"
)

// The samples are replies of Ironic's API; testdata/NN-*.json holds them, the objects below are what they show.
const (
	sampleNode  = "5b0c3a52-0d1e-4a77-9b1f-2d0f5a7c9e11"
	samplePort  = "c1f0a9d4-7a35-4a0c-8f59-0a4e1f4f7d02"
	sampleEvent = "9a3e7d55-1f2b-4a61-8f0e-3b5f7c2d1e04"
)

var (
	sampleMade    = time.Date(2026, 3, 2, 8, 15, 30, 120450000, time.UTC)
	sampleUpdated = time.Date(2026, 3, 2, 9, 0, 1, 0, time.UTC)
)

// put stores a record as it is.
func (w *world) put(kind persistence.Kind, id string, value any, uniq ...string) {
	w.t.Helper()
	key := persistence.Key{Kind: kind, ID: id}
	_, err := w.store.Commit(context.Background(), persistence.Tx{
		If: []persistence.Cond{{Key: key}}, Put: []persistence.Put{{Key: key, Value: value, Uniq: uniq}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// rewrite makes a node's record what n says, whatever it is now.
func (w *world) rewrite(n *node.Node) {
	w.t.Helper()
	key := persistence.Key{Kind: persistence.KindNode, ID: n.UUID}
	cur, _ := w.store.Get(key)
	_, err := w.store.Commit(context.Background(), persistence.Tx{
		If: []persistence.Cond{{Key: key, Rev: cur.Rev}}, Put: []persistence.Put{{Key: key, Value: n, Uniq: []string{"name/" + n.Name}}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// seed stores the objects of the samples.
func (w *world) seed() {
	w.t.Helper()
	off := false
	w.put(persistence.KindNode, sampleNode, &node.Node{
		UUID: sampleNode, Name: "rack7-u12", Driver: "ipmi", ResourceClass: "baremetal", Traits: []string{"CUSTOM_GOLD"},
		DriverInfo: map[string]any{"ipmi_address": "10.9.8.7", "ipmi_username": "op", "ipmi_password": "geheim"},
		Properties: map[string]any{"cpu_arch": "x86_64"}, BootMode: "uefi", SecureBoot: &off,
		PowerState: node.PowerOff, ProvisionState: node.Available,
		Interfaces: map[string]string{
			"bios": "no-bios", "boot": "ipxe", "console": "no-console", "deploy": "direct", "firmware": "no-firmware", "inspect": "agent",
			"management": "ipmitool", "network": "noop", "power": "ipmitool", "raid": "no-raid", "rescue": "no-rescue", "storage": "noop", "vendor": "no-vendor",
		},
		CreatedAt: sampleMade, UpdatedAt: sampleUpdated, ProvisionUpdatedAt: sampleUpdated, Outer: 1,
	}, "name/rack7-u12")
	p := inventory.Defaults()
	p.UUID, p.NodeUUID, p.Address, p.CreatedAt = samplePort, sampleNode, "52:54:00:12:34:56", sampleMade
	w.put(persistence.KindPort, samplePort, p, "mac/"+p.Address)
	w.put(persistence.KindHistory, sampleNode+"/0001", &node.Entry{
		UUID: sampleEvent, Node: sampleNode, CreatedAt: sampleMade, Severity: "ERROR", EventType: "cleaning", Event: "text",
		Conductor: "cond-a", State: node.CleanFailed, TargetProvisionState: node.Available,
	})
}

// oneConductor is the cluster of the samples.
type oneConductor struct{ members }

func (oneConductor) Conductors() []httpapi.Conductor {
	return []httpapi.Conductor{{Hostname: "cond-a", Alive: true, Drivers: []string{"ipmi"}, CreatedAt: sampleMade, UpdatedAt: sampleUpdated}}
}

func TestSamples(t *testing.T) {
	rows := []struct {
		file, minor, method, path string
		status                    int
		skip                      string // keys that differ by intention
	}{
		{"01-root", "1.115", "GET", "/", 200, "description"},
		// Resources of a later issue are not announced; the place of the documentation is ours.
		{"02-v1-at-1.115", "1.115", "GET", "/v1", 200, "chassis portgroups volume lookup heartbeat allocations events deploy_templates runbooks inspection_rules continue_inspection links"},
		{"03-node-detail-at-1.115", "1.115", "GET", "/v1/nodes/rack7-u12", 200, ""},
		{"03-node-detail-at-1.115", "latest", "GET", "/nodes/" + sampleNode + "/", 200, ""},
		{"04-nodes-list-with-next", "1.115", "GET", "/v1/nodes?limit=1", 200, "next"}, // TestPaging has next
		{"05-nodes-fields", "1.115", "GET", "/v1/nodes/?fields=uuid,driver", 200, ""},
		{"06-node-detail-at-1.1", "", "GET", "/v1/nodes/" + sampleNode, 200, ""},
		{"06-node-detail-at-1.1", "1.1", "GET", "/v1/nodes/" + sampleNode, 200, ""},
		{"07-node-states-at-1.75", "1.75", "GET", "/v1/nodes/rack7-u12/states", 200, ""},
		{"09-error-handled-404", "1.115", "GET", "/v1/nodes/rack9", 404, ""},
		{"10-error-routing-404", "1.115", "GET", "/v1/nix", 404, ""},
		{"14-drivers-list", "1.115", "GET", "/v1/drivers", 200, ""},
		{"16-conductors-list", "1.115", "GET", "/v1/conductors", 200, ""},
		{"17-conductor-detail", "1.115", "GET", "/v1/conductors/cond-a", 200, ""},
		{"18-port-detail-at-1.111", "1.111", "GET", "/v1/ports/" + samplePort, 200, ""},
		{"19-ports-list", "1.115", "GET", "/v1/ports", 200, ""},
		// How long an entry's state lasted is not recorded.
		{"22-history-detail-at-1.115", "1.115", "GET", "/v1/nodes/rack7-u12/history?detail=true", 200, "duration_seconds"},
	}
	w := newWorld(t, func(c *httpapi.Config) { c.Members, c.Hardware = oneConductor{}, ipmiOnly{} })
	w.seed()
	for _, row := range rows {
		t.Run(row.file+" at "+row.minor, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("testdata", row.file+".json"))
			if err != nil {
				t.Fatal(err)
			}
			var want any
			if err := json.Unmarshal(data, &want); err != nil {
				t.Fatal(err)
			}
			a := w.at(row.minor).want(row.status, row.method, row.path, "")
			drop := strings.Fields(row.skip)
			if diff := differences("", strip(a.body, drop), strip(want, drop)); len(diff) > 0 {
				t.Errorf("%s %s differs:\n%s", row.method, row.path, strings.Join(diff, "\n"))
			}
		})
	}
}

// ipmiOnly is a catalogue with one hardware type.
type ipmiOnly struct{ hardware }

func (ipmiOnly) Types() []node.HardwareType { return node.HardwareTypes[:1] }

// strip leaves keys out at any depth and opens error_message, whose text is JSON.
func strip(v any, keys []string) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
	next:
		for k, x := range v {
			for _, drop := range keys {
				if k == drop && (k != "links" || v["media_types"] != nil) {
					continue next
				}
			}
			var inner any
			if s, ok := x.(string); ok && k == "error_message" && json.Unmarshal([]byte(s), &inner) == nil {
				x = inner
			}
			out[k] = strip(x, keys)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = strip(v[i], keys)
		}
		return out
	default:
		return v
	}
}

// differences lists where two JSON values differ.
func differences(at string, got, want any) []string {
	g, ok1 := got.(map[string]any)
	w, ok2 := want.(map[string]any)
	if !ok1 || !ok2 {
		if reflect.DeepEqual(got, want) {
			return nil
		}
		return []string{at + ": got " + show(got) + ", wanted " + show(want)}
	}
	keys := map[string]bool{}
	for k := range g {
		keys[k] = true
	}
	for k := range w {
		keys[k] = true
	}
	var out []string
	for k := range keys {
		x, inGot := g[k]
		y, inWant := w[k]
		switch {
		case !inGot:
			out = append(out, at+"/"+k+": missing, wanted "+show(y))
		case !inWant:
			out = append(out, at+"/"+k+": unexpected "+show(x))
		default:
			out = append(out, differences(at+"/"+k, x, y)...)
		}
	}
	sort.Strings(out)
	return out
}

func show(v any) string { b, _ := json.Marshal(v); return string(b) }

// Keys that a request sees at each microversion: exactly those of the table whose minimum it reaches (spec node.json).
func TestFieldsByMicroversion(t *testing.T) {
	w := newWorld(t)
	w.seed()
	counts := map[string]int{"1.1": 22, "1.2": 22, "1.5": 24, "1.31": 41, "1.82": 63, "1.115": 69}
	for minor, want := range counts {
		a := w.at(minor).want(200, "GET", "/v1/nodes/"+sampleNode, "")
		if got := len(a.object()); got != want {
			t.Errorf("at %s a node has %d keys, wanted %d", minor, got, want)
		}
		if state := a.get("provision_state"); (state == nil) != (minor == "1.1") {
			t.Errorf("at %s provision_state is %v", minor, state)
		}
	}
	w.put(persistence.KindNode, sampleEvent, &node.Node{UUID: sampleEvent, Driver: "ipmi", ProvisionState: node.InspectWait})
	for minor, want := range map[string]string{"1.38": "inspecting", "1.39": "inspect wait"} {
		if got := w.at(minor).want(200, "GET", "/v1/nodes/"+sampleEvent, "").get("provision_state"); got != want {
			t.Errorf("at %s inspect wait is shown as %v, wanted %s", minor, got, want)
		}
	}
}

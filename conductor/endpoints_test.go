// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"ferrite/node"
	"ferrite/persistence"
)

// behind commits a node behind a BMC; address "" deletes the node.
func behind(t *testing.T, s persistence.Store, uuid, address string) {
	t.Helper()
	key := persistence.Key{Kind: persistence.KindNode, ID: uuid}
	tx := persistence.Tx{If: []persistence.Cond{{Key: key}}}
	if n, ok := s.Node(uuid); ok {
		tx.If[0].Rev = n.Rev
	}
	if address == "" {
		tx.Del = []persistence.Key{key}
	} else {
		tx.Put = []persistence.Put{{Key: key, Value: &node.Node{UUID: uuid, Interfaces: map[string]string{"power": "ipmitool"}, DriverInfo: map[string]any{"ipmi_address": address}}}}
	}
	if _, err := s.Commit(context.Background(), tx); err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(testTime); !is(); {
		if time.Now().After(end) {
			t.Fatal("never came true: " + what)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestEndpointsFollowTheStore: nodes that were there, that come, that move and that go are all counted. // S15
func TestEndpointsFollowTheStore(t *testing.T) {
	s := persistence.NewMemory(persistence.MemoryOptions{})
	t.Cleanup(func() { _ = s.Close() })
	behind(t, s, "a", "192.0.2.1")
	behind(t, s, "b", "192.0.2.1")
	e := newEndpoints(s)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.run(ctx) }()
	counts := func(want int) { t.Helper(); eventually(t, "the count", func() bool { return e.shared() == want }) }
	warns := func(uuid, want string) {
		t.Helper()
		n, _ := s.Node(uuid)
		if got := e.warning(n); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("node %s is warned %q; wanted %q", uuid, got, want)
		}
	}
	counts(1)
	warns("a", "192.0.2.1:623 is also that of node b:")
	warns("b", "192.0.2.1:623 is also that of node a:")
	behind(t, s, "c", "192.0.2.1")
	counts(2)
	warns("c", "node a and of 1 more:")
	behind(t, s, "a", "192.0.2.9") // moves away
	counts(1)
	warns("a", "")
	behind(t, s, "b", "") // deleted
	counts(0)
	warns("c", "")
	cancel()
	if err := <-done; err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// TestValidateWarnsOfASharedBMC through the API; the interface stays valid. // S15
func TestValidateWarnsOfASharedBMC(t *testing.T) {
	c := start(t, settings(t))
	for _, name := range []string{"one", "two"} {
		r, err := http.Post(c.APIURL()+"/v1/nodes", "application/json", strings.NewReader(`{"driver":"ipmi","driver_info":{"ipmi_address":"127.0.0.1","ipmi_port":`+map[string]string{"one": "16230", "two": `"16230"`}[name]+`}}`))
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		if r.StatusCode != 201 {
			t.Fatalf("creating %s: %d", name, r.StatusCode)
		}
	}
	eventually(t, "the metric", func() bool {
		_, metrics := get(t, c.APIURL()+"/metrics")
		return strings.Contains(metrics, "conductor_bmc_shared_nodes 1\n")
	})
	var list struct{ Nodes []struct{ UUID string } }
	_, body := get(t, c.APIURL()+"/v1/nodes")
	if err := json.Unmarshal([]byte(body), &list); err != nil || len(list.Nodes) != 2 {
		t.Fatalf("%v in %s", err, body)
	}
	for i, n := range list.Nodes {
		_, body := get(t, c.APIURL()+"/v1/nodes/"+n.UUID+"/validate")
		var found map[string]struct {
			Result bool
			Reason string
		}
		if err := json.Unmarshal([]byte(body), &found); err != nil {
			t.Fatal(err)
		}
		if p := found["power"]; !p.Result || !strings.Contains(p.Reason, list.Nodes[1-i].UUID) || !strings.Contains(p.Reason, "127.0.0.1:16230") {
			t.Errorf("power is %+v; wanted true with a warning that names the other node", p)
		}
		if m := found["management"]; !m.Result || m.Reason != "" {
			t.Errorf("management is %+v; wanted true", m)
		}
	}
}

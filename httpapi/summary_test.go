// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"ferrite/node"
	"ferrite/persistence"
)

// TestSummary: every node is counted once, trouble has names, secrets have none, and only operators may ask.
func TestSummary(t *testing.T) { // P6
	w := newWorld(t)
	w.want(http.StatusForbidden, "GET", "/v1/x/summary", "")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = w.api.Serve(ln) }() // until the world ends
	put := func(i int, change func(*node.Node)) {
		n := &node.Node{
			UUID: fmt.Sprintf("00000000-0000-0000-0000-%012d", i), Name: fmt.Sprintf("n%d", i), Driver: "ipmi", PowerState: node.PowerOn, ProvisionState: node.Active,
			Interfaces: map[string]string{"power": "ipmitool"}, Properties: map[string]any{"vendor": "Dell Inc "},
			DriverInfo: map[string]any{"ipmi_address": fmt.Sprintf("10.0.0.%d", i), "ipmi_password": "geheim"},
		}
		change(n)
		key := persistence.Key{Kind: persistence.KindNode, ID: n.UUID}
		if _, err := w.store.Commit(context.Background(), persistence.Tx{If: []persistence.Cond{{Key: key}}, Put: []persistence.Put{{Key: key, Value: n}}}); err != nil {
			t.Fatal(err)
		}
	}
	put(1, func(n *node.Node) { n.Maintenance, n.Fault = true, node.FaultPower })
	put(2, func(n *node.Node) {
		n.SyncFails = 1
		n.LastError = "the BMC refused the login: ipmi_password is wrong"
		n.DriverInfo["ipmi_cipher_suite"] = "3"
	})
	put(3, func(*node.Node) {})
	put(4, func(n *node.Node) { n.Maintenance = true; n.PowerState = "" })
	put(5, func(n *node.Node) { n.Quarantined = "panic: no" })
	put(6, func(n *node.Node) {
		n.Driver, n.Interfaces, n.Properties, n.DriverInfo = "fake-hardware", nil, nil, nil
		n.Intent = &node.Intent{ID: "op", Verb: "set power", Since: time.Unix(1, 0)}
	})
	code, body, err := fetch(t, "GET", "http://"+ln.Addr().String()+"/v1/x/summary", "")
	if err != nil || code != http.StatusOK {
		t.Fatal(code, err)
	}
	if strings.Contains(string(body), "geheim") {
		t.Errorf("a password is in %s", body)
	}
	type class struct {
		Driver, Vendor string
		Nodes, Failing int
		GivenUp        int            `json:"given_up"`
		Refused        int            `json:"login_refused"`
		Suites         map[string]int `json:"cipher_suites"`
		Sample         *struct{ Why string }
	}
	var got struct {
		Nodes       int
		Power       map[string]int `json:"power_state"`
		Maintenance map[string]int
		Quarantined int
		Quarantine  []struct{ Why string }
		Faults      []any
		Operations  int
		Oldest      struct{ Verb string } `json:"oldest_operation"`
		Classes     []class
	}
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	if got.Nodes != 6 || got.Power["power on"] != 5 || got.Power["unknown"] != 1 || got.Maintenance["none"] != 1 || got.Maintenance["power failure"] != 1 ||
		got.Quarantined != 1 || got.Quarantine[0].Why != "panic: no" || len(got.Faults) != 1 || got.Operations != 1 || got.Oldest.Verb != "set power" || len(got.Classes) != 2 {
		t.Fatalf("summary: %s", body)
	}
	if c := got.Classes[0]; c.Driver != "fake-hardware" || c.Nodes != 1 || c.Sample != nil {
		t.Errorf("class %+v", c)
	}
	if c := got.Classes[1]; c.Vendor != "dell inc" || c.Nodes != 5 || c.Failing != 1 || c.GivenUp != 1 || c.Refused != 1 || c.Suites["3"] != 1 || c.Suites[""] != 4 || c.Sample.Why != "10.0.0.3:623" {
		t.Errorf("class %+v: wanted a sample that is well", c)
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"ferrite/cluster"
	"ferrite/httpapi/wire"
	"ferrite/sim"
)

// TestAnyConductorKnowsWhenPowerWasConfirmed: the owner alone reads the BMC, and each conductor tells what it knows.
func TestAnyConductorKnowsWhenPowerWasConfirmed(t *testing.T) {
	cfg := sim.Defaults()
	cfg.BMCs, cfg.Listen = 1, "0.0.0.0:0"
	f, err := sim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- f.Run(context.Background()) }()
	t.Cleanup(func() { f.Close(); <-done })

	net := cluster.NewNetwork()
	var cs []*Conductor
	for i := range 2 {
		var join []string
		if i > 0 {
			join = []string{cs[0].membership.Addr()}
		}
		c := oneOf(t, net, fmt.Sprintf("c%d", i+1), join...)
		c.SyncInterval = 200 * time.Millisecond
		cs = append(cs, start(t, c))
	}
	a := f.Addr(0)
	body := fmt.Sprintf(`{"name":"m1","driver":"ipmi","driver_info":{"ipmi_address":%q,"ipmi_port":%d,"ipmi_username":"admin","ipmi_password":"password"}}`, a.Addr(), a.Port())
	if code, text := ask(t, cs[0], "POST", "/v1/nodes", body); code != 201 {
		t.Fatalf("%d %s", code, text)
	}
	ask(t, cs[0], "PUT", "/v1/nodes/m1/states/provision", `{"target":"manage"}`)
	confirmed := func(c *Conductor) (at time.Time) {
		q, _ := http.NewRequest(http.MethodGet, c.APIURL()+"/v1/nodes/m1?fields="+wire.PowerConfirmedAt, nil)
		q.Header.Set("X-OpenStack-Ironic-API-Version", "1.80")
		q.Header.Set(wire.HeaderExtensions, "1")
		r, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		var doc struct {
			At *time.Time `json:"power_confirmed_at"`
		}
		if err := json.NewDecoder(r.Body).Decode(&doc); err == nil && doc.At != nil {
			at = *doc.At
		}
		return at
	}
	// Each tells of readings that came after the question was thought of, while one alone looks after the node.
	began := time.Now()
	until(t, "every conductor tells of a reading from now on", func() bool {
		for _, c := range cs {
			if !confirmed(c).After(began) {
				return false
			}
		}
		return true
	})
	own := 0
	for _, c := range cs {
		if n := c.fleet.Len(); n > 0 {
			own += n
		}
	}
	if own != 1 {
		t.Errorf("%d conductors look after the node", own)
	}
}

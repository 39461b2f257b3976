// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ferrite/httpapi/wire"
)

// TestAnyConductorKnowsWhenPowerWasConfirmed: the owner alone reads the BMC, and each conductor tells what it knows, of one node
// and in lists of nodes of several owners.
func TestAnyConductorKnowsWhenPowerWasConfirmed(t *testing.T) {
	const nodes = 6
	f := simulated(t, nodes)
	cs := several(t, 2, func(_ int, c *Config) {
		c.SyncInterval, c.IPMI.Rate, c.IPMI.SubnetRate = 200*time.Millisecond, 0, 0 // a reading of sensors is 75 commands
	})
	managed(t, cs[0], f, nodes)
	type told struct {
		At     *time.Time `json:"power_confirmed_at"`
		Health string     `json:"sensor_health"`
		Nodes  []told
	}
	confirmed := func(c *Conductor, path string) (doc told) {
		q, _ := http.NewRequest(http.MethodGet, c.APIURL()+path+"?fields="+wire.PowerConfirmedAt+","+wire.SensorHealth, nil)
		q.Header.Set("X-OpenStack-Ironic-API-Version", "1.80")
		q.Header.Set(wire.HeaderExtensions, "1")
		r, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		_ = json.NewDecoder(r.Body).Decode(&doc) // 503 while they find one another
		return doc
	}
	// Each tells of readings that came after the question was thought of, while one alone looks after the node.
	began := time.Now()
	late := func(x told) bool { return x.At != nil && x.At.After(began) }
	until(t, "every conductor tells of readings from now on", func() bool {
		for _, c := range cs {
			list := confirmed(c, "/v1/nodes").Nodes
			if !late(confirmed(c, "/v1/nodes/m1")) || len(list) != nodes || slices.ContainsFunc(list, func(x told) bool { return !late(x) }) {
				return false
			}
		}
		return true
	})
	// Whoever asks for the sensors, their owner remembers what they said, and each conductor tells.
	for i, c := range cs {
		name := "m" + strconv.Itoa(i)
		until(t, "the sensors of "+name+" are read", func() bool {
			code, _ := get(t, c.APIURL()+"/v1/x/nodes/"+name+"/sensors")
			return code == http.StatusOK
		})
	}
	until(t, "every conductor tells what the sensors of two machines said", func() bool {
		for _, c := range cs {
			list := confirmed(c, "/v1/nodes").Nodes
			if n := len(slices.DeleteFunc(list, func(x told) bool { return x.Health != "critical" })); n != 2 {
				return false
			}
		}
		return true
	})
	until(t, "each age is in one conductor's histogram", func() bool {
		sum := 0
		for _, c := range cs {
			_, text := get(t, c.APIURL()+"/metrics")
			_, count, _ := strings.Cut(text, "\nconductor_power_age_seconds_count ")
			n, _ := strconv.Atoi(strings.TrimSpace(strings.SplitN(count, "\n", 2)[0]))
			sum += n
		}
		return sum == nodes
	})
	until(t, "each node has one conductor", func() bool { return owned(cs...) == nodes })
}

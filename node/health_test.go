// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestHealthOf(t *testing.T) {
	at := time.Unix(1, 0)
	sensor := func(id, status string, states ...string) Sensor {
		return Sensor{ID: id, Known: true, Status: status, States: states}
	}
	unread := Sensor{ID: "u", Status: "Lower Critical"}
	many := []Sensor{sensor("w", "Upper Non-Critical")}
	for i := range 20 {
		many = append(many, sensor(fmt.Sprint(i), "Upper Critical"))
	}
	for _, c := range []struct {
		all  []Sensor
		want string
	}{
		{nil, ""},
		{[]Sensor{unread}, ""},
		{[]Sensor{unread, sensor("a", "ok")}, "ok "},
		{[]Sensor{sensor("a", "", "Presence detected"), sensor("b", "", "state 3")}, "ok "},
		{[]Sensor{sensor("a", "Lower Non-Critical"), sensor("b", "ok")}, "warning a"},
		{[]Sensor{sensor("a", "Upper Non-Critical"), sensor("b", "Upper Critical")}, "critical b a"},
		{[]Sensor{sensor("a", "Lower Non-Recoverable")}, "critical a"},
		{[]Sensor{sensor("a", "", "Presence detected", "Predictive Failure"), sensor("b", "ok")}, "warning a"},
		{[]Sensor{sensor("a", "", "Predictive Failure", "Power Supply Failure detected", "Configuration error")}, "critical a"},
		{[]Sensor{sensor("a", "", "AC lost / Power input lost ")}, "critical a"},
		{many, "critical 0 1 2 3 4 5 6 7"},
	} {
		got := ""
		if h := HealthOf(c.all, at); h != nil {
			got = h.State + " " + strings.Join(h.Sensors, " ")
			if !h.At.Equal(at) {
				t.Errorf("at %s", h.At)
			}
		}
		if got != c.want {
			t.Errorf("%+v: %q, wanted %q", c.all, got, c.want)
		}
	}
}

func TestBrokenStatesAreOfTheList(t *testing.T) {
	for words, state := range brokenStates {
		if severity(state) <= severity(HealthOK) || words != strings.TrimSpace(words) {
			t.Errorf("%q is %q", words, state)
		}
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"testing"
	"time"

	"ferrite/node"
)

// faulty is a bus that keeps what it takes.
type faulty struct {
	taken  []string
	err    error
	resets int
}

func (f *faulty) Publish(_ context.Context, p Packet) error {
	if f.err == nil {
		f.taken = append(f.taken, p.Subject)
	}
	return f.err
}
func (f *faulty) Confirm(context.Context) error { return f.err }
func (f *faulty) Reset()                        { f.resets++ }

// TestSensorMessage: field for field as Ironic sends it (spec notifications.md section 5).
func TestSensorMessage(t *testing.T) {
	e := &SensorEncoder{Host: "c1", Types: []string{"power", "Temperature"}}
	field := func(reading string) []node.Field {
		return []node.Field{{Name: "Sensor Reading", Value: reading}, {Name: "Readable Thresholds", Value: "lcr ucr "}}
	}
	sorted := e.Sorted([]node.Sensor{
		{ID: "Temp (0x1)", Type: "Temperature", Fields: field("1")}, {ID: "Status (0x85)", Type: "Power Supply", Fields: field("0h")},
		{ID: "Fan (0x2)", Type: "Fan", Fields: field("3")}, {ID: "Temp (0x1)", Type: "Temperature", Fields: field("2")},
	})
	want := map[string]map[string]map[string]string{
		"Temperature": {"Temp (0x1)": {"Sensor Reading": "2", "Readable Thresholds": "lcr ucr"}}, "Power": {"Status (0x85)": {"Sensor Reading": "0h", "Readable Thresholds": "lcr ucr"}},
	}
	if !reflect.DeepEqual(sorted, want) {
		t.Errorf("sorted into %v: wanted %v", sorted, want)
	}
	at := time.Date(2026, 3, 29, 20, 12, 22, 989020000, time.UTC)
	packets, err := e.Encode(&node.Node{UUID: "u1", Driver: "ipmi", InstanceUUID: "i1"}, at, sorted)
	if err != nil || len(packets) != 1 || packets[0].Subject != "notifications.info.hardware.ipmi.metrics" || packets[0].Place != "" || packets[0].Node != "u1" {
		t.Fatalf("%+v, %v", packets, err)
	}
	var doc map[string]any
	if err := json.Unmarshal(packets[0].Body, &doc); err != nil {
		t.Fatal(err)
	}
	payload, _ := doc["payload"].(map[string]any)
	for k, v := range map[string]any{"publisher_id": "None.c1", "event_type": "hardware.ipmi.metrics", "priority": "INFO", "timestamp": "2026-03-29 20:12:22.989020", "message_id": packets[0].ID} {
		if doc[k] != v {
			t.Errorf("%s is %v: wanted %v", k, doc[k], v)
		}
	}
	for k, v := range map[string]any{"event_type": "hardware.ipmi.metrics.update", "timestamp": "2026-03-29T20:12:22.989020", "node_uuid": "u1", "node_name": nil, "instance_uuid": "i1"} {
		if got, ok := payload[k]; !ok || got != v {
			t.Errorf("payload.%s is %v: wanted %v", k, got, v)
		}
	}
	if id, _ := payload["message_id"].(string); len(id) != 36 || id == packets[0].ID || len(payload) != 7 || len(doc) != 6 {
		t.Errorf("the message has %d keys, its payload %d: %s", len(doc), len(payload), packets[0].Body)
	}
	for _, types := range [][]string{nil, {"all"}, {"fan", "ALL"}} {
		if e := (&SensorEncoder{Types: types}); !e.wants("Anything") {
			t.Errorf("data_types %q leaves something out", types)
		}
	}
	if err := (&SensorEncoder{Topics: []string{"a.>"}}).Check(); err == nil {
		t.Error("a topic with a wildcard was taken")
	}
}

// TestCasual: after a failure nothing is sent for a while, and nobody waits.
func TestCasual(t *testing.T) {
	bus := &faulty{}
	c := NewCasual(bus, slog.New(slog.DiscardHandler))
	two := []Packet{{Subject: "a"}, {Subject: "b"}}
	if !c.Send(t.Context(), two) || !slices.Equal(bus.taken, []string{"a", "b"}) {
		t.Fatalf("sent %q", bus.taken)
	}
	bus.err = errors.New("no server")
	if c.Send(t.Context(), two) || bus.resets != 1 {
		t.Errorf("a failure was taken for success, or the connection kept (%d resets)", bus.resets)
	}
	bus.err = nil
	if c.Send(t.Context(), two) || len(bus.taken) != 2 {
		t.Errorf("it was sent again at once: %q", bus.taken)
	}
	c.until = time.Time{} // as if the pause were over
	if !c.Send(t.Context(), two) || len(bus.taken) != 4 {
		t.Errorf("after the pause it sent %q", bus.taken)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	bus.err = gone.Err()
	if c.Send(gone, two) || !c.until.IsZero() { // our own end is no failure of NATS
		t.Error("our own end was taken for a failure of NATS")
	}
}

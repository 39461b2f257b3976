// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"cmp"
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

// faulty is a bus that keeps what it takes, and breaks a number of times.
type faulty struct {
	taken  []string
	breaks int
	err    error // how it breaks
	resets int
}

func (f *faulty) Publish(_ context.Context, p Packet) error {
	if f.breaks > 0 {
		f.breaks--
		return cmp.Or(f.err, errors.New("connection closed"))
	}
	f.taken = append(f.taken, p.Subject)
	return nil
}
func (f *faulty) Confirm(context.Context) error { return nil }
func (f *faulty) Reset()                        { f.resets++ }

// TestFigures: ironic.metrics, field for field as ironic-prometheus-exporter reads it.
func TestFigures(t *testing.T) {
	e := &SensorEncoder{Host: "c1", Topics: []string{"a", "b"}}
	packets, err := e.EncodeFigures(time.Date(2026, 3, 29, 20, 12, 22, 989020000, time.UTC), map[string]Figure{"x.y": Timer(3, 1500*time.Microsecond), "z": Gauge(0)})
	if err != nil || len(packets) != 2 || packets[0].Subject != "a.info.ironic.metrics" || packets[1].Subject != "b.info.ironic.metrics" {
		t.Fatalf("%+v, %v", packets, err)
	}
	var doc struct {
		Event   string `json:"event_type"`
		Payload map[string]any
	}
	if err := json.Unmarshal(packets[0].Body, &doc); err != nil {
		t.Fatal(err)
	}
	id, _ := doc.Payload["message_id"].(string)
	delete(doc.Payload, "message_id")
	want := map[string]any{
		"hostname": "c1", "event_type": "ironic.metrics.update", "timestamp": "2026-03-29T20:12:22.989020",
		"payload": map[string]any{"x.y": map[string]any{"count": 3.0, "sum": 1.5, "type": "timer"}, "z": map[string]any{"value": 0.0, "type": "gauge"}},
	}
	if doc.Event != "ironic.metrics" || len(id) != 36 || !reflect.DeepEqual(doc.Payload, want) {
		t.Errorf("%s tells %v: wanted %v", doc.Event, doc.Payload, want)
	}
}

// TestSensorMessage: field for field as Ironic sends it (spec notifications.md section 5).
func TestSensorMessage(t *testing.T) {
	e := &SensorEncoder{Host: "c1", Types: []string{"power", "Temperature"}}
	field := func(reading string) []node.Field {
		return []node.Field{{Name: "Sensor Reading", Value: reading}, {Name: "Readable Thresholds", Value: "lcr ucr "}}
	}
	sorted := e.Sorted([]node.Sensor{
		{ID: "Temp (0x1)", Type: "Temperature", Fields: field("1")},
		{ID: "Status (0x85)", Type: "Power Supply", Fields: field("0h")},
		{ID: "Fan (0x2)", Type: "Fan", Fields: field("3")},
		{ID: "Temp (0x1)", Type: "Temperature", Fields: field("2")},
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

// TestCasual: a broken connection is made anew once; after that nothing is sent for a while, and nobody waits.
func TestCasual(t *testing.T) {
	bus := &faulty{}
	c := NewCasual(bus, slog.New(slog.DiscardHandler))
	two := []Packet{{Subject: "a"}, {Subject: "b"}}
	if !c.Send(two) || !slices.Equal(bus.taken, []string{"a", "b"}) {
		t.Fatalf("sent %q", bus.taken)
	}
	bus.breaks = 1
	if !c.Send(two) || bus.resets != 1 || len(bus.taken) != 4 {
		t.Errorf("a connection that broke: %q taken, %d made anew", bus.taken, bus.resets)
	}
	bus.breaks = 2
	if c.Send(two) || bus.resets != 3 {
		t.Errorf("a NATS that is away was taken for one that is there (%d resets)", bus.resets)
	}
	if c.Send(two) || len(bus.taken) != 4 {
		t.Errorf("it was sent again at once: %q", bus.taken)
	}
	c.until = time.Time{} // as if the pause were over
	if !c.Send(two) || len(bus.taken) != 6 {
		t.Errorf("after the pause it sent %q", bus.taken)
	}
	bus.breaks, bus.err = 1, ErrRefused
	if c.Send(two) || !c.until.IsZero() { // the next message may be a smaller one
		t.Error("a message that NATS refused was sent, or stops the next one")
	}
	c.Close()
	if c.Send(two) || len(bus.taken) != 6 {
		t.Errorf("after the end it sent %q", bus.taken)
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"ferrite/bmc"
	"ferrite/node"
	"ferrite/notify"
	"ferrite/persistence"
)

// TestARequestOutlivesItsConductor: the id of the caller's request is with all that is told of its operation, the end
// included that another process tells, from the log that the first one has left.
func TestARequestOutlivesItsConductor(t *testing.T) { // N1, S3
	const request = "req-01234567-89ab-cdef-0123-456789abcdef"
	m := &machine{power: node.PowerOff, gate: make(chan struct{})}
	dir := t.TempDir()
	open := func(dir string, life uint64) (persistence.Store, *Fleet, func()) {
		t.Helper()
		s, err := persistence.Open(persistence.Config{Dir: dir, Name: "c1", Incarnation: life, Key: bytes.Repeat([]byte{7}, 32), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		policy := node.DefaultPolicy()
		policy.Valid = 20 * time.Millisecond
		f := New(Config{
			Store: s, Self: node.Owner{Name: "c1", Incarnation: life}, Policy: policy, Encoder: &notify.Encoder{Host: "c1", Level: "info"},
			FirstRead: time.Millisecond, SyncInterval: time.Hour, Drivers: map[string]*bmc.Driver{"ipmitool": m.driver()},
		})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); _ = f.Run(ctx) }()
		return s, f, func() {
			short, stop := context.WithTimeout(context.Background(), 50*time.Millisecond)
			defer stop()
			_ = f.Drain(short)
			cancel()
			<-done
			f.Close()
			_ = s.Close()
		}
	}
	s, f, end := open(dir, 1)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	id := uuid.NewString()
	if _, err := f.Do(ctx, id, node.Meta{}, node.CreateNode{Node: &node.Node{UUID: id, Driver: "ipmi", DriverInfo: map[string]any{"ipmi_address": "127.0.0.9"}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Do(ctx, id, node.Meta{RequestID: request}, node.SetPower{Target: node.PowerOn}); err != nil {
		t.Fatal(err)
	}
	if n, _ := s.Node(id); n.Intent == nil || n.Intent.Request != request {
		t.Fatalf("intent %+v", n.Intent)
	}
	end() // the command still stands at the gate: nothing of it was told
	m.set(func() { m.gate = nil })
	s, _, end = open(dir, 2)
	defer end()
	until(t, "power on", func() bool { n, ok := s.Node(id); return ok && idle(n) && n.PowerState == node.PowerOn })
	out, err := s.Outbox(ctx, 0, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, e := range out {
		if _, name, ok := strings.Cut(e.Subject, "node.power_set."); ok {
			var envelope map[string]any
			if err := json.Unmarshal(e.Body, &envelope); err != nil {
				t.Fatalf("%s: %v", e.Body, err)
			}
			id, _ := envelope["_context_request_id"].(string)
			told = append(told, name+" "+id)
		}
	}
	if got := strings.Join(told, ", "); got != "start "+request+", end "+request {
		t.Errorf("told %s", got)
	}
}

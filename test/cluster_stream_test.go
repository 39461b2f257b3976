// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// stream is a durable subscriber: a NATS server that keeps everything.
type stream struct {
	t   *testing.T
	url string
	in  jetstream.Stream
}

func newStream(t *testing.T, host string) *stream {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: host, Port: freePort(t, "tcp"), JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		t.Fatal("the NATS server does not start")
	}
	conn, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	in, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ironic", Subjects: []string{"ironic_versioned_notifications.>"}})
	if err != nil {
		t.Fatal(err)
	}
	return &stream{t: t, url: s.ClientURL(), in: in}
}

// compare holds what the stream keeps against what was committed: each once, in the order of the commits (N2).
func (b *stream) compare(e *ensemble) {
	t := b.t
	t.Helper()
	out, err := exec.Command(binary, "notifications", "replay", "--from", "oldest", "-o", "json", "--api-url", e.all[0].api).Output() //nolint:gosec // the binary under test
	if err != nil {
		t.Fatalf("replay: %v", err)
	}
	var committed []string
	for line := range strings.Lines(string(out)) {
		var m struct {
			ID string `json:"message_id"`
		}
		if err := json.Unmarshal([]byte(line), &m); err != nil || m.ID == "" {
			t.Fatalf("replay: %v in %s", err, line)
		}
		committed = append(committed, m.ID)
	}
	until(t, fmt.Sprintf("%d notifications in the stream", len(committed)), func() bool {
		info, err := b.in.Info(t.Context())
		return err == nil && info.State.Msgs >= uint64(len(committed))
	})
	info, err := b.in.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.in.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	messages, err := c.Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer messages.Stop()
	seen := map[string]int{}
	var newest [2]uint64
	for range info.State.Msgs {
		m, err := messages.Next()
		if err != nil {
			t.Fatal(err)
		}
		var at [2]uint64
		_, _ = fmt.Sscanf(m.Headers().Get("Ferrite-Rev"), "%d.%d", &at[0], &at[1])
		if at[0] < newest[0] || at[0] == newest[0] && at[1] <= newest[1] {
			t.Errorf("notification %v came after %v", at, newest)
		}
		newest = at
		seen[m.Headers().Get(nats.MsgIdHdr)]++
	}
	missing, twice := 0, 0
	for _, id := range committed {
		if seen[id] == 0 {
			missing++
		}
	}
	for _, n := range seen {
		if n > 1 {
			twice++
		}
	}
	t.Logf("%d notifications were committed, the stream has %d", len(committed), len(seen))
	if missing > 0 || twice > 0 {
		t.Errorf("%d committed notifications are missing in the stream, %d are there more than once", missing, twice)
	}
}

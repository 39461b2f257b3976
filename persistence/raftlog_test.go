// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// What belongs to the life of several members is for who looks closely; trouble is for everybody.
func TestRaftLinesBySort(t *testing.T) {
	var out bytes.Buffer
	log := newRaftLog(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	log.Error("failed to heartbeat to", "peer", "c2", "error", "connection refused")
	log.Warn("heartbeat timeout reached, starting election")
	log.Error("failed to persist vote", "error", "no space left on device")
	log.Warn("something new")
	log.Info("entering follower state")
	var got []string
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		_, rest, _ := strings.Cut(line, "level=")
		level, text, _ := strings.Cut(rest, " msg=raft text=")
		got = append(got, level+" "+strings.Trim(text, `"`)[:12])
	}
	want := "DEBUG failed to he,DEBUG heartbeat ti,ERROR failed to pe,WARN something ne"
	if s := strings.Join(got, ","); s != want {
		t.Errorf("%s, wanted %s", s, want)
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"log/slog"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// raftLog is the logger that raft and its log file want.
type raftLog struct{ hclog.Logger }

// newRaftLog passes warnings and errors on to slog.
func newRaftLog(log *slog.Logger) *raftLog {
	return &raftLog{hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: lines{log}, DisableTime: true})}
}

type lines struct{ log *slog.Logger }

func (l lines) Write(p []byte) (int, error) {
	text := strings.TrimSpace(string(p))
	if rest, ok := strings.CutPrefix(text, "[ERROR]"); ok {
		l.log.Error("raft", "text", strings.TrimSpace(rest))
	} else {
		l.log.Warn("raft", "text", strings.TrimSpace(strings.TrimPrefix(text, "[WARN]")))
	}
	return len(p), nil
}

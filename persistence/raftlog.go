// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"log/slog"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// raftLog is the logger that raft and its log file want.
type raftLog struct{ hclog.Logger }

// newRaftLog passes warnings and errors on to slog.
func newRaftLog(log *slog.Logger) *raftLog {
	return &raftLog{hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: lines{log}, DisableTime: true})}
}

type lines struct{ log *slog.Logger }

// ordinary begins raft's lines about what belongs to the life of several members: one that is away or comes back, and
// elections. Each comes again and again, by the number of members and tries; who is gone is told once by whoever follows the
// gossip, who leads by tellLeaders.
var ordinary = []string{
	"failed to contact", "failed to heartbeat to", "failed to appendEntries to", "failed to pipeline appendEntries", "failed to start pipeline replication",
	"failed to make requestVote RPC", "failed to make pre-vote RPC", "failed to decode incoming command", "failed to flush response", "failed to get previous log",
	"previous log term mis-match", "appendEntries rejected, sending older logs", "peer has newer term", "new leader elected, stepping down", "clearing log suffix",
	"rejecting vote request", "rejecting pre-vote request", "duplicate requestVote", "heartbeat timeout reached", "Election timeout reached", "pre-vote campaign failed",
	"no known peers, aborting election", "not part of stable configuration", "unable to get address for server", "could not get configuration for stats",
	"failed to send snapshot to", "failed to accept connection", "skipping application of old log",
}

func (l lines) Write(p []byte) (int, error) {
	text := strings.TrimSpace(string(p))
	rest, grave := strings.CutPrefix(text, "[ERROR]")
	rest = strings.TrimSpace(strings.TrimPrefix(rest, "[WARN]"))
	level := slog.LevelWarn
	if grave {
		level = slog.LevelError
	}
	for _, s := range ordinary {
		if strings.HasPrefix(rest, s) {
			level = slog.LevelDebug
		}
	}
	l.log.Log(context.Background(), level, "raft", "text", rest)
	return len(p), nil
}

// tellLeaders writes a line whenever another member leads the log. An election that the same one wins is none.
func (s *Raft) tellLeaders(ctx context.Context) {
	seen := make(chan raft.Observation, 16) // one that is dropped is made up for by those before it: the state is read
	o := raft.NewObserver(seen, false, func(o *raft.Observation) bool { _, ok := o.Data.(raft.LeaderObservation); return ok })
	s.raft.RegisterObserver(o)
	defer s.raft.DeregisterObserver(o)
	told := ""
	for {
		if _, id := s.raft.LeaderWithID(); id != "" && string(id) != told {
			told = string(id)
			s.log.Info("a conductor leads the log", "name", nameOf(id), "here", id == s.id, "term", s.LogFigures().Term)
		}
		select {
		case <-ctx.Done():
			return
		case <-seen:
		}
	}
}

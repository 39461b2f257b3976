// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"strconv"

	"github.com/hashicorp/raft"
)

// LogFigures are what a member knows of the log without asking others.
type LogFigures struct {
	Term     uint64
	Voters   int    // in the newest configuration
	Members  int    // voters and non-voters
	Unheld   uint64 // entries in this member's log that its replica does not hold yet
	Leads    bool
	HasVoter bool // this member is a voter
}

// LogFigures reads them.
func (s *Raft) LogFigures() LogFigures {
	f := LogFigures{Leads: s.leading()}
	f.Term, _ = strconv.ParseUint(s.raft.Stats()["term"], 10, 64) // raft's own number: it parses
	servers := s.raft.GetConfiguration().Configuration().Servers
	f.Members = len(servers)
	for _, m := range servers {
		if m.Suffrage == raft.Voter {
			f.Voters++
			f.HasVoter = f.HasVoter || m.ID == s.id
		}
	}
	if last, applied := s.raft.LastIndex(), s.raft.AppliedIndex(); last > applied {
		f.Unheld = last - applied
	}
	return f
}

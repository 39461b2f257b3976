// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"fmt"

	"github.com/hashicorp/raft"
)

// Two logs of one origin that have gone apart have the same entries up to a point, and others behind it. Members of them must never
// become one: each would skip what it has applied in the place of the other's. The id of the cluster keeps them apart; what is
// here does so where that fails.

// apart ends the process before the log is cut off below what has been applied: its leader's log is another one, and the
// folder stays as it is.
func (s *Raft) apart(from uint64) error {
	if s.replica == nil || from > uint64(s.Applied()) {
		return nil
	}
	err := fmt.Errorf("the leader of the log has another entry %d than this conductor, which has applied %d: the data folder %s belongs to a log that went another way", from, s.Applied(), s.cfg.Dir)
	s.log.Error("ending at once, and nothing is changed: the log's leader is that of another log", "err", err, "do", "move the data folder away and start with an empty one")
	s.cfg.Exit(1)
	go s.stop(err) // only tests get here
	return err
}

// termAt is the term of an entry of our log; 0 = it is not there any more, or not yet.
func (s *Raft) termAt(index uint64) uint64 {
	var l raft.Log
	if index == 0 || s.logs.GetLog(index, &l) != nil {
		return 0
	}
	return l.Term
}

// strays words how the log of a member that has applied so much differs from ours, which we lead; "" = as far as we see it does not.
func (s *Raft) strays(st MemberStatus) string {
	at := uint64(st.Applied)
	ours, last := s.termAt(at), s.raft.LastIndex()
	switch {
	case st.Term == 0 || at == 0:
		return ""
	case at > last:
		return fmt.Sprintf("%s has applied entry %d, the log of %s ends at %d", st.Name, at, s.cfg.Name, last)
	case ours != 0 && ours != st.Term:
		return fmt.Sprintf("%s has applied an entry %d of term %d, that of %s is of term %d", st.Name, at, st.Term, s.cfg.Name, ours)
	}
	return ""
}

// parted refuses one whose log went another way than ours, and tells both sides.
func (s *Raft) parted(ctx context.Context, st MemberStatus) bool {
	why := s.strays(st)
	if why == "" || s.raft.VerifyLeader().Error() != nil { // else it is our log that is behind
		return false
	}
	why += ": their logs went different ways, as after a recovery; stop " + st.Name + ", move its data folder away and start it with an empty one"
	if s.said.anew(st.Name + why) {
		s.log.Error("a conductor is refused: its log is another one", "name", st.Name, "id", st.ID, "reason", why)
	}
	s.turnAway(ctx, st.Name, why)
	return true
}

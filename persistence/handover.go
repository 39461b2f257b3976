// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

// HandOver makes another member lead the log before this one ends. The only voter gives away its vote with it (L5): else nothing
// could be written until it is back. For as long as both vote, some milliseconds, both are needed.
func (s *Raft) HandOver(ctx context.Context) error {
	if s.port == nil || !s.leading() {
		return nil
	}
	heir, ok := s.heir(ctx)
	if !ok {
		return s.Yield()
	}
	s.handing.Store(true) // nobody is to take the vote back meanwhile
	defer s.handing.Store(false)
	s.log.Info("the only voter ends: its vote goes to another conductor", "name", heir.Name)
	id, at := raft.ServerID(heir.ID), raft.ServerAddress(heir.ID)
	if err := s.raft.AddVoter(id, at, 0, handTime).Error(); err != nil {
		return err
	}
	if err := s.raft.LeadershipTransferToServer(id, at).Error(); err != nil {
		return err
	}
	for end := time.Now().Add(handTime); time.Now().Before(end); { // the new leader sees that two vote where one is enough
		if !slices.ContainsFunc(s.raft.GetConfiguration().Configuration().Servers, func(m raft.Server) bool { return m.ID == s.id && m.Suffrage == raft.Voter }) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return errors.New("the new leader has not taken this conductor's vote: with two votes, nothing is written unless both are there")
}

// handTime bounds each step of a handover.
const handTime = 5 * time.Second

// heir is a member that the only voter can give its vote to: there, and with nearly all of the log.
func (s *Raft) heir(ctx context.Context) (MemberStatus, bool) {
	live := s.cfg.Net.Live()
	var found MemberStatus
	for _, m := range s.raft.GetConfiguration().Configuration().Servers {
		switch name := nameOf(m.ID); {
		case m.ID == s.id:
		case m.Suffrage == raft.Voter:
			return found, false
		case found.Name == "" && slices.Contains(live, name):
			ask, cancel := context.WithTimeout(ctx, time.Second)
			st, err := s.statusOf(ask, name)
			cancel()
			if err == nil && st.ID == string(m.ID) && s.raft.LastIndex() <= uint64(st.Last)+lagOK {
				found = st
			}
		}
	}
	return found, found.Name != ""
}

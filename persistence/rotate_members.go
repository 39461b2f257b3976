// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ferrite/node"
)

// Rotation in a log of several members. No key travels: the operator gives every member the new one beside the old one, and
// the log says which seals. Each phase begins when every member of the log, in its own words, has ended the one before; who is
// away holds the rotation up, and does no harm: nothing is given up before all are done, and each goes on at its next start
// with either key, which key.rotation holds beside the other.
//
//	keeping   every member writes both keys into key.rotation: none can be started without one of them any more
//	sealing   every member seals with the new key; then the log's leader seals anew what the old one sealed
//	sealed    nothing is left that the old key sealed but in logs and snapshots, and it opens them
//	dropping  every member cuts its log, and forgets the old key; then the record of the rotation is gone

// Phases of turnRecord.
const (
	turnKeeping  = "keeping"
	turnSealing  = "sealing"
	turnSealed   = TurnSealed
	turnDropping = "dropping"
)

// TurnSealed is the phase in which all is sealed with the new key and the old one may be dropped.
const TurnSealed = "sealed"

// turnKey is the record of a rotation.
var turnKey = Key{KindSetting, "cluster_key_rotation"}

// turnRecord says how far a rotation is, in fingerprints.
type turnRecord struct {
	Format   int
	From, To string
	Phase    string
}

// turnRecord reads it; false = no rotation is under way.
func (s *Raft) turnRecord() (t turnRecord, rev node.Rev, ok bool) {
	r, ok := s.Get(turnKey)
	b, _ := r.Value.([]byte)
	if !ok || json.Unmarshal(b, &t) != nil {
		return t, 0, false
	}
	return t, r.Rev, true
}

// turnTo writes the next phase, unless somebody else has written one.
func (s *Raft) turnTo(ctx context.Context, t turnRecord, was node.Rev) error {
	t.Format = 1
	b, err := json.Marshal(t)
	if err != nil {
		return err
	}
	_, err = s.Commit(ctx, Tx{If: []Cond{{Key: turnKey, Rev: was}}, Put: []Put{{Key: turnKey, Value: b}}})
	return err
}

// Alone reports whether the log is this conductor's own and cannot have other members: Rotate is for it, else RotateTogether.
func (s *Raft) Alone() bool { return s.port == nil }

// RotateTogether begins to replace the cluster key in a log of several members by the one with a fingerprint, "" = by the only
// other one that this member knows. It refuses unless every member of the log answers and knows that key.
func (s *Raft) RotateTogether(ctx context.Context, to string) error {
	if err := errors.Join(s.stopped(), s.life.Err()); err != nil {
		return err
	}
	if s.port == nil {
		return errors.New("this conductor is alone: Rotate is for it")
	}
	if t, _, ok := s.turnRecord(); ok {
		switch t.Phase {
		case turnSealed:
			return fmt.Errorf("the rotation from %s to %s has not ended: \"ferrite secrets drop\" drops the old key everywhere, then rotate again", t.From, t.To)
		case turnDropping:
			return fmt.Errorf("the key with fingerprint %s is still being dropped: wait for its end, \"ferrite secrets status\" tells what it waits for", t.From)
		}
		return fmt.Errorf("%w, \"ferrite secrets status\" tells what it waits for", ErrRotating)
	}
	mine := s.codec.seal.fingerprints()
	to, err := choose(mine, to)
	if err != nil {
		return err
	}
	members, err := s.everybody(ctx)
	if err != nil {
		return err
	}
	var without []string
	for _, m := range members {
		switch {
		case m.Status.Keys[0] != mine[0]:
			return fmt.Errorf("conductor %s seals with %s, this one with %s: wait until a rotation has ended everywhere", m.Name, m.Status.Keys[0], mine[0])
		case !slices.Contains(m.Status.Keys, to):
			without = append(without, m.Name)
		}
	}
	if len(without) > 0 {
		return fmt.Errorf("not known to %s: the key with fingerprint %s. %s there, then try again", strings.Join(without, ", "), to, addKey)
	}
	err = s.turnTo(ctx, turnRecord{From: mine[0], To: to, Phase: turnKeeping}, 0)
	var conflict *Conflict
	if errors.As(err, &conflict) {
		return ErrRotating
	}
	return err
}

const addKey = "Put it on a line of its own below the present one in the cluster_key_file and reload (systemctl reload ferrite)"

// choose finds the key that shall seal.
func choose(mine []string, to string) (string, error) {
	others := mine[1:]
	switch {
	case to == mine[0]:
		return "", fmt.Errorf("the key with fingerprint %s is the present one: wanted a new key", to)
	case to != "" && !slices.Contains(others, to):
		return "", fmt.Errorf("not known here: the key with fingerprint %s. %s on every conductor, then try again", to, addKey)
	case to != "":
		return to, nil
	case len(others) == 0:
		return "", fmt.Errorf("there is no other key than the present one, %s. Make one with \"ferrite cluster key\". %s, the same on every conductor, then try again", mine[0], addKey)
	case len(others) > 1:
		return "", fmt.Errorf("the key file holds several other keys: say by its fingerprint which shall seal, %s", strings.Join(others, " or "))
	}
	return others[0], nil
}

// everybody asks all members of the log, and refuses if one does not answer.
func (s *Raft) everybody(ctx context.Context) ([]Member, error) {
	members := s.Members(ctx)
	for _, m := range members {
		switch {
		case m.Status == nil:
			return nil, fmt.Errorf("conductor %s does not answer (%s): start it with both keys in its cluster_key_file, or, if it is gone for good, \"ferrite cluster evict %s\"", m.Name, m.Problem, m.Name)
		case len(m.Status.Keys) == 0:
			return nil, fmt.Errorf("conductor %s runs version %s, which cannot rotate the key of several conductors: upgrade it", m.Name, m.Status.Version)
		}
	}
	if len(members) == 0 {
		return nil, ErrNoQuorum
	}
	return members, nil
}

// DropOldKey begins the end of a rotation: every member cuts its log and forgets the old key.
func (s *Raft) DropOldKey(ctx context.Context) error {
	if err := errors.Join(s.stopped(), s.life.Err()); err != nil {
		return err
	}
	t, rev, ok := s.turnRecord()
	switch {
	case s.port == nil || !ok:
		return errors.New("no key is to be dropped: there is none but the one that seals in use")
	case t.Phase == turnDropping:
		return nil
	case t.Phase != turnSealed:
		return fmt.Errorf("the key with fingerprint %s is still needed: the rotation is under way, \"ferrite secrets status\" tells what it waits for", t.From)
	}
	members, err := s.everybody(ctx)
	if err != nil {
		return err
	}
	for _, m := range members {
		if m.Status.Keys[0] != t.To {
			return fmt.Errorf("conductor %s does not seal with %s yet, but with %s: wait a moment, and look at its log", m.Name, t.To, m.Status.Keys[0])
		}
	}
	t.Phase = turnDropping
	return s.turnTo(ctx, t, rev)
}

// turnAtStart takes the key that the log says before anything is sealed.
func (s *Raft) turnAtStart() {
	if t, _, ok := s.turnRecord(); ok && t.Phase != turnKeeping {
		if k := s.codec.seal.of(t.To); k != nil {
			s.codec.seal.first(k.fingerprint)
		}
	}
	s.told()
}

// turnEvery is how often a member looks whether there is something to do for a rotation.
const turnEvery = 50 * time.Millisecond

// turnTogether does this member's part of rotations until the store ends, and, where it leads the log, the leader's.
func (s *Raft) turnTogether(ctx context.Context) {
	tick := time.NewTicker(turnEvery)
	defer tick.Stop()
	problem, left := "", time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		t, rev, ok := s.turnRecord()
		if !ok && s.idleTurn() || time.Now().Before(left) {
			continue
		}
		err := s.turnStep(ctx, t, rev, ok)
		if ctx.Err() != nil {
			return
		}
		text := ""
		if err != nil {
			text = err.Error()
			left = time.Now().Add(resealPause / 8)
		}
		if text != problem && text != "" {
			s.log.Warn("the rotation of the cluster key waits", "phase", t.Phase, "error", err)
		}
		problem = text
		s.turn.mu.Lock()
		s.turn.status.Problem = text
		s.turn.mu.Unlock()
	}
}

// idleTurn reports that nothing of a rotation is left here.
func (s *Raft) idleTurn() bool {
	s.turn.mu.Lock()
	defer s.turn.mu.Unlock()
	return s.turn.pinned == "" && s.turn.status.Problem == ""
}

// turnStep does what is to be done in the present phase. An error says what it waits for.
func (s *Raft) turnStep(ctx context.Context, t turnRecord, rev node.Rev, ok bool) error {
	if !ok { // it has ended without us: evicted meanwhile, or the folder was restored
		s.turn.mu.Lock()
		defer s.turn.mu.Unlock()
		s.turn.pinned = ""
		return s.dir.endRotation()
	}
	if s.codec.seal.of(t.To) == nil {
		return fmt.Errorf("conductor %s does not know the key with fingerprint %s, which takes the place of %s. %s", s.cfg.Name, t.To, t.From, addKey)
	}
	var err error
	switch t.Phase {
	case turnKeeping:
		err = s.keepBoth(t)
	case turnSealing, turnSealed:
		if err = s.keepBoth(t); err == nil {
			err = s.sealWith(t)
		}
	case turnDropping:
		if err = s.sealWith(t); err == nil {
			err = s.forget(t)
		}
	}
	if !s.leading() {
		return err
	}
	if err == nil || t.Phase == turnDropping {
		err = errors.Join(err, s.turnLead(ctx, t, rev))
	}
	return err
}

// keepBoth writes both keys into the folder: from then on it opens with either.
func (s *Raft) keepBoth(t turnRecord) error {
	s.turn.mu.Lock()
	defer s.turn.mu.Unlock()
	from, to := s.codec.seal.of(t.From), s.codec.seal.of(t.To)
	if s.turn.pinned == t.To || from == nil || to == nil {
		return nil // without the old key there is nothing to keep: this member has never needed it
	}
	if err := s.dir.beginRotation(from.raw, to.raw, true); err != nil {
		return fmt.Errorf("conductor %s cannot write the keys into its folder: %w", s.cfg.Name, err)
	}
	s.turn.pinned = t.To
	s.log.Info("the cluster key is being rotated: this conductor has both keys", "from", t.From, "to", t.To)
	return nil
}

// sealWith makes the new key the one that seals, here and in what is derived from it.
func (s *Raft) sealWith(t turnRecord) error {
	s.turn.mu.Lock()
	defer s.turn.mu.Unlock()
	ring := s.codec.seal.keys()
	if ring[0].fingerprint == t.To {
		return nil
	}
	next := &sealer{}
	next.ring.Store(&ring)
	next.first(t.To)
	if err := s.dir.sealCheck(next); err != nil { // before anything that needs it is in the folder
		return fmt.Errorf("conductor %s cannot say in its folder which key seals: %w", s.cfg.Name, err)
	}
	s.useRing(next.keys()...)
	s.told()
	s.log.Info("the new cluster key seals", "key", t.To, "old", t.From)
	return nil
}

// forget cuts the log and drops the old key, when nothing is left that it sealed.
func (s *Raft) forget(t turnRecord) error {
	from := s.codec.seal.of(t.From)
	if from != nil {
		left, err := s.stale(t.To)
		if err != nil {
			return err
		}
		if n := s.flights.old(); len(left) > 0 || n > 0 {
			return fmt.Errorf("conductor %s still has %d records and %d changes under way that the old key sealed", s.cfg.Name, len(left), n)
		}
		if err := s.cutLog(); err != nil {
			return fmt.Errorf("cutting the log of conductor %s: %w", s.cfg.Name, err)
		}
		if s.cfg.DropKey != nil {
			s.cfg.DropKey(from.raw, s.codec.seal.of(t.To).raw)
		}
	}
	s.turn.mu.Lock()
	defer s.turn.mu.Unlock()
	if err := s.dir.endRotation(); err != nil {
		return err
	}
	s.turn.pinned = ""
	if from == nil {
		return nil
	}
	s.useRing(slices.DeleteFunc(slices.Clone(s.codec.seal.keys()), func(k *sealKey) bool { return k.fingerprint == t.From })...)
	s.told()
	s.log.Info("the old cluster key is dropped: nothing here is sealed with it any more", "key", t.To, "old", t.From)
	return nil
}

// turnLead is the leader's part: the next phase begins when every member has ended this one.
func (s *Raft) turnLead(ctx context.Context, t turnRecord, rev node.Rev) error {
	ended := map[string]func(MemberStatus) bool{
		turnKeeping:  func(m MemberStatus) bool { return m.Pinned == t.To },
		turnSealing:  func(m MemberStatus) bool { return m.Keys[0] == t.To && m.Flying == 0 },
		turnDropping: func(m MemberStatus) bool { return !slices.Contains(m.Keys, t.From) },
	}[t.Phase]
	if ended == nil {
		return nil
	}
	if t.Phase == turnDropping { // a change that was late
		if err := s.sealAll(ctx); err != nil {
			return err
		}
	}
	members, err := s.everybody(ctx)
	if err != nil {
		return err
	}
	for _, m := range members {
		if !ended(*m.Status) {
			if p := m.Status.Turn.Problem; p != "" && m.Name != s.cfg.Name {
				return errors.New(p)
			}
			return nil // it is on its way
		}
	}
	switch t.Phase {
	case turnKeeping:
		t.Phase = turnSealing
	case turnSealing:
		if err := s.sealAll(ctx); err != nil {
			return err
		}
		t.Phase = turnSealed
		s.log.Info("all secrets are sealed with the new cluster key", "key", t.To, "old", t.From, "next_step", "ferrite secrets drop")
	case turnDropping:
		_, err := s.Commit(ctx, Tx{If: []Cond{{Key: turnKey, Rev: rev}}, Del: []Key{turnKey}})
		if err == nil {
			s.log.Info("the rotation of the cluster key has ended", "key", t.To, "old", t.From)
		}
		return err
	}
	return s.turnTo(ctx, t, rev)
}

// sealAll seals anew until nothing is left that another key than the first one sealed.
func (s *Raft) sealAll(ctx context.Context) error {
	for {
		n, err := s.resealAll(ctx)
		if err != nil {
			return err
		}
		if n == 0 {
			s.turn.mu.Lock()
			s.turn.status.Left = 0
			s.turn.mu.Unlock()
			return nil
		}
	}
}

// keyless refuses a newcomer that would seal with another key than this cluster, or could not open what is sealed in its log.
func (s *Raft) keyless(ctx context.Context, st MemberStatus, refused map[string]string) bool {
	if len(st.Keys) == 0 {
		return false
	}
	mine, why := s.codec.seal.fingerprints(), ""
	t, _, turning := s.turnRecord()
	switch {
	case turning && (!slices.Contains(st.Keys, t.To) || !slices.Contains(st.Keys, t.From)):
		why = fmt.Sprintf("the cluster key is being rotated from %s to %s, and %s has only %s: give it both, or wait until \"ferrite secrets drop\" has ended", t.From, t.To, st.Name, strings.Join(st.Keys, " and "))
	case !turning && st.Keys[0] != mine[0]:
		why = fmt.Sprintf("this cluster seals with the key with fingerprint %s, %s would seal with %s: put %s first in its cluster_key_file, and start it with an empty data folder", mine[0], st.Name, st.Keys[0], mine[0])
	default:
		return false
	}
	if refused[st.Name] != why {
		refused[st.Name] = why
		s.log.Warn("a conductor is refused", "name", st.Name, "reason", why)
	}
	s.turnAway(ctx, st.Name, why)
	return true
}

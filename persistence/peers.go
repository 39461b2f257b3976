// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"ferrite/node"
)

// A member's id in the log is its name, or name#random when it joined a log that existed: a member whose folder was lost
// comes back as another one, because what it once voted and stored is gone.

// nameOf is the stable name in a member's id.
func nameOf(id raft.ServerID) string {
	name, _, _ := strings.Cut(string(id), "#")
	return name
}

func (d folder) memberFile() string { return filepath.Join(string(d), "member.id") }

// known is the id that a log knows a name by.
func known(servers []raft.Server, name string) raft.ServerID {
	for _, m := range servers {
		if nameOf(m.ID) == name {
			return m.ID
		}
	}
	return ""
}

// member reads this folder's member id, or makes one for a folder that shall join.
func (d folder) member(name string, joins bool) (raft.ServerID, error) {
	file := d.memberFile()
	b, err := os.ReadFile(file)
	switch {
	case err == nil:
		id := raft.ServerID(strings.TrimSpace(string(b)))
		if nameOf(id) != name {
			return "", fmt.Errorf("the data folder %s belongs to conductor %q, not to %q: give that name or another folder", d, nameOf(id), name)
		}
		return id, nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("the data folder: %w", err)
	case !joins:
		return raft.ServerID(name), nil
	}
	if used, err := d.used(); err != nil || used {
		return raft.ServerID(name), err // from before it had others
	}
	var x [4]byte
	_, _ = rand.Read(x[:])
	id := name + "#" + hex.EncodeToString(x[:])
	if err := writeFile(file, []byte(id+"\n")); err != nil { // before the first vote under it
		return "", fmt.Errorf("the data folder: %w", err)
	}
	return raft.ServerID(id), nil
}

// used reports whether the folder holds a log with entries.
func (d folder) used() (bool, error) {
	for _, at := range []string{d.wal(), filepath.Join(string(d), "snapshots")} {
		names, err := os.ReadDir(at)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		for _, n := range names {
			if strings.HasSuffix(n.Name(), ".wal") || n.IsDir() {
				return true, nil
			}
		}
	}
	return false, nil
}

// Fresh reports whether a data folder has no log yet: a conductor with one must not begin a new cluster.
func Fresh(dir string) (bool, error) {
	used, err := folder(dir).used()
	return !used, err
}

// MemberStatus is what a member says of its log.
type MemberStatus struct {
	Name    string
	ID      string
	Version string
	Applied node.Rev
	Last    node.Rev // newest entry in its log
	Term    uint64   `json:",omitempty"` // of the entry at Applied; 0 = not known

	Settings []byte `json:",omitempty"` // that all must have alike

	Keys   []string `json:",omitempty"` // fingerprints of its cluster keys, the one that seals first; none = an old version
	Pinned string   `json:",omitempty"` // of the new key of a rotation, once its folder holds it
	Flying int64    `json:",omitempty"` // its transactions under way that a key sealed which seals no more
	Turn   Rotation // how far it has rotated the key
}

// Member is one of the log's members.
type Member struct {
	Name    string
	Voter   bool
	Leader  bool
	Status  *MemberStatus // nil = it does not answer
	Problem string        // why not
}

func (s *Raft) status() MemberStatus {
	m := MemberStatus{Name: s.cfg.Name, ID: string(s.id), Applied: s.Applied(), Last: node.Rev(s.raft.LastIndex())}
	if s.cfg.Net != nil {
		m.Version, m.Settings = s.cfg.Net.Version, s.cfg.Net.Settings
	}
	m.Term = s.termAt(uint64(m.Applied))
	m.Flying = s.flights.old() // before the keys: what is sealed with the old one from here on would be told of
	m.Turn = s.Rotation()
	m.Keys = m.Turn.Keys
	s.turn.mu.Lock()
	m.Pinned = s.turn.pinned
	s.turn.mu.Unlock()
	return m
}

// statusOf asks a member.
func (s *Raft) statusOf(ctx context.Context, name string) (MemberStatus, error) {
	var st MemberStatus
	if name == s.cfg.Name {
		return s.status(), nil
	}
	l, err := s.port.open(name, time.Second)
	if err != nil {
		return st, err
	}
	defer l.end()
	b, err := l.ask(ctx, callStatus, nil)
	if err != nil {
		return st, err
	}
	return st, json.Unmarshal(b, &st)
}

// atOnce is how many members are asked at once: who is silent holds up the others only when they are many.
const atOnce = 16

// statuses asks members how far they are; each gets a second, and one for the connection.
func (s *Raft) statuses(ctx context.Context, names []string) (map[string]MemberStatus, map[string]error) {
	var mu sync.Mutex // guards the maps
	at, problems := map[string]MemberStatus{}, map[string]error{}
	var asking sync.WaitGroup
	turn := make(chan struct{}, atOnce)
	for _, name := range names {
		turn <- struct{}{}
		asking.Go(func() {
			defer func() { <-turn }()
			ask, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			st, err := s.statusOf(ask, name)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				problems[name] = err
			} else {
				at[name] = st
			}
		})
	}
	asking.Wait()
	return at, problems
}

// Members lists the log's members and asks each how far it is.
func (s *Raft) Members(ctx context.Context) []Member {
	leader, _, _ := s.Role()
	servers := s.raft.GetConfiguration().Configuration().Servers
	var names []string
	for _, m := range servers {
		names = append(names, nameOf(m.ID))
	}
	at, problems := s.statuses(ctx, slices.Compact(slices.Sorted(slices.Values(names))))
	var out []Member
	for _, m := range servers {
		x := Member{Name: nameOf(m.ID), Voter: m.Suffrage == raft.Voter}
		x.Leader = x.Name == leader
		if st, ok := at[x.Name]; ok {
			x.Status = &st
		} else if err := problems[x.Name]; err != nil {
			x.Problem = err.Error()
		}
		out = append(out, x)
	}
	return out
}

// care is the leader's care for the members of its log.
func (s *Raft) care(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	away, refused := map[raft.ServerID]time.Time{}, map[string]string{}
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.follow()
		_ = s.LeaderContact() // notes that we lead
		if !s.leading() {
			clear(away)
			continue
		}
		if i%3 == 0 && !s.handing.Load() {
			s.tend(ctx, away, refused)
		}
	}
}

// lagOK is how many entries a member may be behind and still vote from now on.
const lagOK = 1024

// votersFor is how many of so many members vote (L5).
func votersFor(members int) int {
	switch {
	case members >= 5:
		return 5
	case members >= 3:
		return 3
	default:
		return 1
	}
}

// tend makes at most one change: take a newcomer in, give one a vote, take the vote of one that is gone.
func (s *Raft) tend(ctx context.Context, away map[raft.ServerID]time.Time, refused map[string]string) {
	servers := s.raft.GetConfiguration().Configuration().Servers
	known := map[string]raft.ServerID{}
	live := map[raft.ServerID]bool{}
	at, problems := s.statuses(ctx, s.cfg.Net.Live())
	for name, err := range problems {
		if told := (*Refused)(nil); !errors.As(err, &told) && s.said.anew(name+withoutPorts(err.Error())) { // a refusal is told of where it is heard
			s.log.Warn("a member of the gossip cannot be taken into the log", "name", name, "reason", err)
		}
	}
	for _, m := range servers {
		known[string(m.ID)] = m.ID
	}
	for name, st := range at {
		if _, ok := known[st.ID]; s.parted(ctx, st) || !ok && (s.differs(ctx, st, refused) || s.keyless(ctx, st, refused)) {
			delete(at, name)
			continue
		}
		delete(refused, name)
		live[raft.ServerID(st.ID)] = true
	}
	maps.DeleteFunc(away, func(id raft.ServerID, _ time.Time) bool { return known[string(id)] == "" }) // evicted meanwhile
	for _, st := range at {
		if _, ok := known[st.ID]; !ok {
			s.log.Info("a conductor joins the log", "name", st.Name, "id", st.ID)
			s.membership(s.raft.AddNonvoter(raft.ServerID(st.ID), raft.ServerAddress(st.ID), 0, 5*time.Second))
			return
		}
	}
	grace := s.cfg.Net.grace()
	voters, gone := 0, raft.ServerID("")
	var spare []MemberStatus
	for _, m := range servers {
		name := nameOf(m.ID)
		if live[m.ID] {
			delete(away, m.ID)
		} else if away[m.ID].IsZero() {
			away[m.ID] = time.Now()
		}
		st, answers := at[name]
		replaced := answers && st.ID != string(m.ID) // its folder was lost
		switch {
		case m.Suffrage == raft.Voter:
			voters++
			if replaced || !away[m.ID].IsZero() && time.Since(away[m.ID]) > grace {
				gone = m.ID
			}
		case replaced:
			s.log.Info("a conductor has come back with an empty folder: its former self leaves the log", "id", m.ID)
			s.membership(s.raft.RemoveServer(m.ID, 0, 5*time.Second))
			return
		case live[m.ID] && answers && s.raft.LastIndex() <= uint64(st.Last)+lagOK && st.Applied > 0:
			spare = append(spare, st)
		}
	}
	slices.SortFunc(spare, func(a, b MemberStatus) int { return strings.Compare(a.Name, b.Name) })
	want := votersFor(len(namesIn(servers)))
	switch {
	case gone != "" && voters > want: // the newcomer votes already
	case gone != "" && voters == want && len(spare) > 0:
		s.vote(spare[0])
		return
	case voters < want && len(spare) >= want-voters: // all at once: an even number of voters survives no more than one less
		for _, st := range spare[:want-voters] {
			s.vote(st)
		}
		return
	}
	if gone == "" && voters > want && len(away) == 0 { // fewer conductors are left (L5)
		for _, m := range servers {
			if m.Suffrage == raft.Voter && m.ID != s.id {
				s.log.Info("a conductor votes no more: fewer conductors are left", "name", nameOf(m.ID))
				s.membership(s.raft.DemoteVoter(m.ID, 0, 5*time.Second))
				return
			}
		}
	}
	if gone != "" && voters > want {
		s.log.Info("a voter is gone, another one has taken its place", "id", gone)
		if _, answers := at[nameOf(gone)]; answers {
			s.membership(s.raft.RemoveServer(gone, 0, 5*time.Second))
		} else {
			s.membership(s.raft.DemoteVoter(gone, 0, 5*time.Second))
		}
	}
}

// differs refuses a newcomer whose settings are not ours, and tells both sides why.
func (s *Raft) differs(ctx context.Context, st MemberStatus, refused map[string]string) bool {
	if s.cfg.Net.Differ == nil || st.Settings == nil {
		return false
	}
	told, tell := s.cfg.Net.Differ(st.Settings)
	if told == "" {
		return false
	}
	if refused[st.Name] != tell {
		refused[st.Name] = tell
		s.log.Warn("a conductor is refused: its settings differ", "name", st.Name, "reason", tell)
	}
	s.turnAway(ctx, st.Name, told)
	return true
}

// turnAway tells a newcomer why it is not taken in.
func (s *Raft) turnAway(ctx context.Context, name, told string) {
	l, err := s.port.open(name, time.Second)
	if err != nil {
		return
	}
	ask, cancel := context.WithTimeout(ctx, time.Second)
	_, _ = l.ask(ask, callRefuse, []byte(told)) // asked again as long as it is there
	cancel()
	l.end()
}

func (s *Raft) vote(st MemberStatus) {
	s.log.Info("a conductor votes from now on", "name", st.Name)
	s.membership(s.raft.AddVoter(raft.ServerID(st.ID), raft.ServerAddress(st.ID), 0, 5*time.Second))
}

// namesIn are the distinct names among the members.
func namesIn(servers []raft.Server) map[string]bool {
	out := map[string]bool{}
	for _, m := range servers {
		out[nameOf(m.ID)] = true
	}
	return out
}

func (s *Raft) membership(f raft.IndexFuture) {
	if err := f.Error(); err != nil {
		s.log.Warn("the members of the log could not be changed, it is tried again", "err", err)
	}
}

// ErrNoMember says that a name is not among the log's members.
var ErrNoMember = errors.New("is not a member of the log")

// Evict takes a member out of the log for good. An election on the way is waited for. The error is ErrNoMember for who is no
// member, which may be an earlier eviction's doing.
func (s *Raft) Evict(ctx context.Context, name string) error {
	end := time.Now().Add(leaderWait)
	for try := 0; ; try++ {
		err := s.evict(ctx, name)
		again := false
		for _, passing := range []error{errNotLeader, errLost, raft.ErrNotLeader, raft.ErrLeadershipLost, raft.ErrLeadershipTransferInProgress} {
			again = again || errors.Is(err, passing)
		}
		switch {
		case try > 0 && errors.Is(err, ErrNoMember): // the try before has done it
			return nil
		case !again:
			return err
		case time.Now().After(end) || ctx.Err() != nil:
			return fmt.Errorf("%w: %w", ErrNoQuorum, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (s *Raft) evict(ctx context.Context, name string) error {
	if s.port == nil || s.leading() {
		return s.evictHere(name)
	}
	l := s.toLeader(ctx, leaderWait)
	if l == nil {
		return fmt.Errorf("%w: the log has no leader", ErrNoQuorum)
	}
	b, err := l.ask(ctx, callEvict, []byte(name))
	if err != nil {
		return err
	}
	_, err = decodeOutcome(b)
	return err
}

func (s *Raft) evictHere(name string) error {
	if s.port == nil || name == s.cfg.Name {
		return fmt.Errorf("conductor %s cannot take itself out of the log: ask another one", name)
	}
	if slices.Contains(s.cfg.Net.Live(), name) {
		return fmt.Errorf("conductor %s is alive: stop it first", name)
	}
	found := false
	for _, m := range s.raft.GetConfiguration().Configuration().Servers {
		if nameOf(m.ID) == name {
			found = true
			if err := s.raft.RemoveServer(m.ID, 0, 5*time.Second).Error(); err != nil {
				return err
			}
		}
	}
	if !found {
		return fmt.Errorf("conductor %s %w", name, ErrNoMember)
	}
	return nil
}

// Yield hands the lead of the log to another member, if this one has it.
func (s *Raft) Yield() error {
	if s.port == nil || !s.leading() {
		return nil
	}
	return s.raft.LeadershipTransfer().Error()
}

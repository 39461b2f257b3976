// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Why two members must not talk.
const (
	noQuarrel    = iota
	apartVersion // of the log's protocol
	olderFolder  // the other one's folder is of our log before it was recovered or restored
	newerFolder  // the other one's log is ours, recovered or restored
	apartCluster
	apartKey
	apartTwin
)

// quarrel is why two members must not talk, in words for both sides.
type quarrel struct {
	kind int
	text string // "" = they may
}

// mirrored is what the other side thinks of it.
func (q quarrel) mirrored() quarrel {
	switch q.kind {
	case olderFolder:
		q.kind = newerFolder
	case newerFolder:
		q.kind = olderFolder
	}
	return q
}

// objection is what one that hears a hello has against it.
func objection(mine, theirs hello) quarrel {
	switch {
	case theirs.Version != mine.Version:
		return quarrel{apartVersion, fmt.Sprintf("%s speaks version %d of the log's protocol, %s version %d: upgrade the older one", theirs.Name, theirs.Version, mine.Name, mine.Version)}
	case theirs.Cluster == "" || mine.Cluster == "" || theirs.Cluster == mine.Cluster:
	case slices.Contains(mine.Former, theirs.Cluster):
		return quarrel{olderFolder, outlived(theirs, mine)}
	case slices.Contains(theirs.Former, mine.Cluster):
		return quarrel{newerFolder, outlived(mine, theirs)}
	default:
		return quarrel{apartCluster, fmt.Sprintf("%s belongs to cluster %s, %s to cluster %s: a data folder of another cluster cannot join, start with an empty one", theirs.Name, theirs.Cluster, mine.Name, mine.Cluster)}
	}
	switch {
	case !opens(mine.Keys, theirs.Keys) || !opens(theirs.Keys, mine.Keys):
		return quarrel{apartKey, fmt.Sprintf("%s has the cluster key with fingerprint %s, %s that with fingerprint %s: give both the same --cluster-key-file",
			theirs.Name, strings.Join(theirs.Keys, "/"), mine.Name, strings.Join(mine.Keys, "/"))}
	case theirs.ID == mine.ID && theirs.Process != mine.Process:
		return quarrel{apartTwin, "both are " + mine.ID + ": give each conductor a name of its own"}
	}
	return quarrel{}
}

// outlived is what is said of a folder of before a recovery.
func outlived(old, now hello) string {
	return fmt.Sprintf("the data folder of %s belongs to the log from before its recovery (cluster %s; that of %s is cluster %s since): nothing of it can be taken over; stop %s, move its data folder away and start it with an empty one",
		old.Name, old.Cluster, now.Name, now.Cluster, old.Name)
}

// quarrels are those that this member has had, by the name of the other one.
type quarrels struct {
	mu sync.Mutex // guards by
	by map[string]noted
}

type noted struct {
	quarrel
	open  bool // its store is open
	since time.Time
}

// maxQuarrels bounds the names that are remembered.
const maxQuarrels = 64

func (q *quarrels) note(theirs hello, why quarrel) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.by == nil || len(q.by) >= maxQuarrels {
		q.by = map[string]noted{}
	}
	since := time.Now()
	if old, ok := q.by[theirs.Name]; ok && old.kind == why.kind {
		since = old.since
	}
	q.by[theirs.Name] = noted{why, theirs.Open, since}
}

// quarrel notes why this member and another one do not talk, and tells of it.
func (s *Raft) quarrel(theirs hello, why quarrel, address string) {
	s.quarrels.note(theirs, why)
	if s.said.anew(theirs.Name + why.text) {
		s.log.Warn("a conductor is refused", "name", theirs.Name, "address", address, "reason", why.text)
	}
}

// settled forgets what there was with one that now talks.
func (q *quarrels) settled(theirs hello) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.by, theirs.Name)
}

// outcast is why a start cannot succeed, whatever comes; nil = it may. Who has a log of its own is not turned away by a member of
// another version, which may be the next one to be upgraded, nor at once by a stranger: enough of its own may come.
func (s *Raft) outcast() error {
	s.quarrels.mu.Lock()
	defer s.quarrels.mu.Unlock()
	strangers := map[string]bool{}
	var apart error
	for name, q := range s.quarrels.by {
		switch {
		case q.kind == newerFolder:
			return fmt.Errorf("%s refuses this conductor, whose data folder is %s: %s", name, s.cfg.Dir, q.text)
		case q.kind == olderFolder && q.open: // two clusters would command the same machines
			return fmt.Errorf("%s runs on with the log from before the recovery of %s, and both would command the same machines: to keep the recovered log, stop %s and move its data folder away; to keep the other one, move %s away; then start this conductor again", name, s.cfg.Dir, name, s.cfg.Dir)
		case (q.kind == apartVersion || q.kind == apartCluster) && s.raft.LastIndex() == 0:
			return fmt.Errorf("%s refuses this conductor: %s", name, q.text)
		case q.kind == apartCluster:
			if strangers[name] = true; time.Since(q.since) > s.cfg.Net.grace() {
				apart = fmt.Errorf("%s refuses this conductor, whose data folder is %s: %s", name, s.cfg.Dir, q.text)
			}
		}
	}
	if apart == nil {
		return nil
	}
	live := s.cfg.Net.Live()
	voters, own := 0, 0
	for _, m := range s.raft.GetConfiguration().Configuration().Servers {
		if m.Suffrage == raft.Voter {
			voters++
			if name := nameOf(m.ID); m.ID == s.id || slices.Contains(live, name) && !strangers[name] {
				own++
			}
		}
	}
	if own > voters/2 {
		return nil
	}
	return apart
}

// meetTime bounds the waiting for anybody to be there at a start, wordTime the first words with those who are.
const (
	meetTime = time.Second
	wordTime = 5 * time.Second
)

// meet speaks with all that are alive before a log that was there before is used: one of them may know better. The only voter needs
// nobody, and would ask nobody; where there are others, or were before a recovery, it waits a moment for the gossip, which is as
// young as its process.
func (s *Raft) meet() {
	known := len(s.raft.GetConfiguration().Configuration().Servers) > 1 || len(s.mine().Former) > 0
	others := s.others()
	for end := time.Now().Add(meetTime); known && s.alone() && len(others) == 0 && time.Now().Before(end); {
		select {
		case <-s.life.Done():
			return
		case <-s.cfg.Net.Stop:
			return
		case <-time.After(20 * time.Millisecond):
		}
		others = s.others()
	}
	met := make(chan struct{})
	if len(others) == 0 || !s.port.spawn(func() {
		defer close(met)
		s.statuses(s.life, others)
	}) {
		return
	}
	ask, cancel := context.WithTimeout(s.life, wordTime)
	defer cancel()
	select {
	case <-met:
	case <-ask.Done():
	}
}

// others are the names of those who are alive beside us.
func (s *Raft) others() []string {
	return slices.DeleteFunc(slices.Clone(s.cfg.Net.Live()), func(name string) bool { return name == s.cfg.Name })
}

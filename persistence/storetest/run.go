// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"ferrite/inventory"
	"ferrite/node"
	"ferrite/persistence"
)

// patience bounds every wait of the suite; nothing measures time.
const patience = 30 * time.Second

// Run holds the stores that open makes against the contract of persistence.Store.
func Run(t *testing.T, open func(t *testing.T) persistence.Store) { run(t, open, false) }

// RunFollower does so with stores that do not lead their log. Without the random transactions: each of these needs a log of
// its own, and an election is a second.
func RunFollower(t *testing.T, open func(t *testing.T) persistence.Store) { run(t, open, true) }

func run(t *testing.T, open func(t *testing.T) persistence.Store, follower bool) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *suite)
	}{
		{"a write is a compare and set", testCAS},
		{"a put keeps created", testCreated},
		{"a transaction without condition is refused", testNoCondition},
		{"a malformed transaction is refused", testMalformed},
		{"a transaction is whole or nothing", testAtomic},
		{"unique keys", testUnique},
		{"unique keys move within a transaction", testUniqueMoves},
		{"values come back as written", testValues},
		{"lists are in order of creation", testOrder},
		{"a list is one point in time", testListSnapshot},
		{"ports of a node", testPortsOf},
		{"history is scanned and deleted by prefix", testHistory},
		{"one writer wins", testContention},
		{"submit answers once and in order", testSubmit},
		{"watch has no gaps", testWatch},
		{"watch tells of deletions", testWatchDelete},
		{"watch says when it is too late", testWatchCompacted},
		{"watch ends with its context", testWatchEnds},
		{"outbox is in order and complete", testOutbox},
		{"outbox waits", testOutboxWaits},
		{"cursor trims the outbox", testCursor},
		{"the slowest cursor rules", testCursors},
		{"read index sees every acknowledged write", testReadIndex},
		{"wait applied", testWaitApplied},
		{"a given up commit", testGivenUp},
		{"backup has the revision", testBackup},
		{"close", testClose},
		{"random transactions against a map", testModel},
	} {
		if follower && c.name == "random transactions against a map" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			if follower {
				t.Parallel()
			}
			s := newSuite(t, open)
			s.follower = follower
			c.test(t, s)
		})
	}
}

type suite struct {
	t    *testing.T
	ctx  context.Context
	s    persistence.Store
	open func(t *testing.T) persistence.Store
	// follower: the store does not lead its log.
	follower bool
}

func newSuite(t *testing.T, open func(t *testing.T) persistence.Store) *suite {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	s := open(t)
	t.Cleanup(func() { _ = s.Close() })
	return &suite{t: t, ctx: ctx, s: s, open: open}
}

func uuid(i int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", i) }

func nodeKey(i int) persistence.Key {
	return persistence.Key{Kind: persistence.KindNode, ID: uuid(i)}
}

func settingKey(id string) persistence.Key {
	return persistence.Key{Kind: persistence.KindSetting, ID: id}
}

func putNode(i int, name string) persistence.Put {
	p := persistence.Put{Key: nodeKey(i), Value: &node.Node{UUID: uuid(i), Name: name}}
	if name != "" {
		p.Uniq = []string{"name/" + name}
	}
	return p
}

func putSetting(id, value string) persistence.Put {
	return persistence.Put{Key: settingKey(id), Value: []byte(value)}
}

func putPort(i int, ofNode int) persistence.Put {
	id := uuid(i)
	return persistence.Put{
		Key:   persistence.Key{Kind: persistence.KindPort, ID: id},
		Value: &inventory.Port{UUID: id, NodeUUID: uuid(ofNode), Address: fmt.Sprintf("52:54:00:00:00:%02x", i)},
	}
}

func cond(k persistence.Key, rev node.Rev) []persistence.Cond {
	return []persistence.Cond{{Key: k, Rev: rev}}
}

// must commits and fails the test on any error.
func (s *suite) must(tx persistence.Tx) node.Rev {
	s.t.Helper()
	rev, err := s.s.Commit(s.ctx, tx)
	if err != nil {
		s.t.Fatalf("Commit: %v", err)
	}
	return rev
}

// create puts a new record.
func (s *suite) create(p persistence.Put, events ...persistence.Event) node.Rev {
	s.t.Helper()
	return s.must(persistence.Tx{If: cond(p.Key, 0), Put: []persistence.Put{p}, Events: events})
}

// conflict commits and wants a *Conflict at cur.
func (s *suite) conflict(tx persistence.Tx, cur node.Rev) {
	s.t.Helper()
	_, err := s.s.Commit(s.ctx, tx)
	var c *persistence.Conflict
	if !errors.As(err, &c) {
		s.t.Fatalf("Commit: %v, wanted a *Conflict", err)
	}
	if c.Cur.Rev != cur || c.Cur.Key != tx.If[0].Key {
		s.t.Fatalf("the conflict shows %v at %d, wanted %v at %d", c.Cur.Key, c.Cur.Rev, tx.If[0].Key, cur)
	}
}

func event(i int) persistence.Event {
	return persistence.Event{Subject: fmt.Sprintf("s.%d", i), Node: uuid(i), Body: []byte(fmt.Sprintf(`{"n":%d}`, i))}
}

// drain reads the whole outbox, a few at a time.
func (s *suite) drain() []persistence.Outgoing {
	s.t.Helper()
	var all []persistence.Outgoing
	for rev, index := node.Rev(0), 0; ; {
		if len(all) >= s.s.Stats().OutboxDepth {
			return all
		}
		list, err := s.s.Outbox(s.ctx, rev, index, 3)
		if err != nil {
			s.t.Fatalf("Outbox: %v", err)
		}
		all = append(all, list...)
		rev, index = all[len(all)-1].Rev, all[len(all)-1].Index
	}
}

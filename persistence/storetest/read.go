// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ferrite/inventory"
	"ferrite/node"
	"ferrite/persistence"
)

func (s *suite) nodes(after *node.Node) (names []string) {
	s.s.Nodes(after, func(n *node.Node) bool {
		names = append(names, n.Name)
		return true
	})
	return names
}

func testOrder(t *testing.T, s *suite) {
	revs := map[int]node.Rev{}
	for _, i := range []int{5, 3, 9} {
		revs[i] = s.create(putNode(i, fmt.Sprintf("n%d", i)))
	}
	s.must(persistence.Tx{If: cond(nodeKey(8), 0), Put: []persistence.Put{putNode(8, "n8"), putNode(1, "n1")}}) // one entry: by ID
	s.must(persistence.Tx{If: cond(nodeKey(5), revs[5]), Put: []persistence.Put{putNode(5, "n5b")}})            // keeps its place
	want := []string{"n5b", "n3", "n9", "n1", "n8"}
	if got := s.nodes(nil); !slices.Equal(got, want) {
		t.Fatalf("nodes %v, wanted %v", got, want)
	}
	marker, _ := s.s.Node(uuid(3))
	if got := s.nodes(marker); !slices.Equal(got, want[2:]) {
		t.Fatalf("nodes after n3: %v, wanted %v", got, want[2:])
	}
	s.must(persistence.Tx{If: cond(nodeKey(3), revs[3]), Del: []persistence.Key{nodeKey(3)}})
	if got := s.nodes(marker); !slices.Equal(got, want[2:]) {
		t.Fatalf("nodes after the deleted n3: %v, wanted %v", got, want[2:])
	}
	calls := 0
	s.s.Nodes(nil, func(*node.Node) bool { calls++; return calls < 2 })
	if calls != 2 {
		t.Fatalf("Nodes went on for %d calls after false at the second", calls)
	}
	var ids []string
	s.s.Scan(persistence.KindNode, "", func(r persistence.Record) bool { ids = append(ids, r.ID); return true })
	if !slices.IsSorted(ids) || len(ids) != 4 || s.s.Len(persistence.KindNode) != 4 {
		t.Fatalf("Scan gives %v of %d, wanted 4 in ID order", ids, s.s.Len(persistence.KindNode))
	}
	for _, id := range []string{"b/2", "a", "b/1", "b", "c"} {
		s.create(putSetting(id, id))
	}
	ids = nil
	s.s.Scan(persistence.KindSetting, "b", func(r persistence.Record) bool {
		ids = append(ids, r.ID+"="+string(r.Value.([]byte)))
		return len(ids) < 2
	})
	if want := []string{"b=b", "b/1=b/1"}; !slices.Equal(ids, want) {
		t.Fatalf("Scan of b, two at most, gives %v, wanted %v", ids, want)
	}
}

func testListSnapshot(t *testing.T, s *suite) {
	rev := s.create(putNode(1, "a"))
	s.create(putNode(2, "b"))
	var names []string
	s.s.Nodes(nil, func(n *node.Node) bool {
		if len(names) == 0 { // writes and reads from within a walk
			s.must(persistence.Tx{If: cond(nodeKey(1), rev), Put: []persistence.Put{putNode(1, "a2"), putNode(3, "c")}})
			if n2, _ := s.s.Node(uuid(2)); n2 == nil {
				t.Error("no read within a walk")
			}
		}
		names = append(names, n.Name)
		return true
	})
	if want := []string{"a", "b"}; !slices.Equal(names, want) {
		t.Fatalf("the walk saw %v, wanted %v", names, want)
	}
	if got, want := s.nodes(nil), []string{"a2", "b", "c"}; !slices.Equal(got, want) {
		t.Fatalf("the next walk saw %v, wanted %v", got, want)
	}
}

func testPortsOf(t *testing.T, s *suite) {
	revs := map[int]node.Rev{}
	for _, i := range []int{7, 4, 6} {
		revs[i] = s.create(putPort(i, 1))
	}
	s.create(putPort(5, 2))
	list := func(n int) (ids []string) {
		for _, p := range s.s.PortsOf(uuid(n)) {
			ids = append(ids, p.UUID)
		}
		return ids
	}
	if got, want := list(1), []string{uuid(7), uuid(4), uuid(6)}; !slices.Equal(got, want) {
		t.Fatalf("ports of 1: %v, wanted %v", got, want)
	}
	moved := putPort(4, 2)
	s.must(persistence.Tx{If: cond(moved.Key, revs[4]), Put: []persistence.Put{moved}})
	s.must(persistence.Tx{If: cond(putPort(6, 1).Key, revs[6]), Del: []persistence.Key{putPort(6, 1).Key}})
	if got, want := list(1), []string{uuid(7)}; !slices.Equal(got, want) {
		t.Fatalf("ports of 1: %v, wanted %v", got, want)
	}
	if got, want := list(2), []string{uuid(4), uuid(5)}; !slices.Equal(got, want) {
		t.Fatalf("ports of 2: %v, wanted %v", got, want)
	}
	var all []string
	var marker *inventory.Port
	s.s.Ports(nil, func(p *inventory.Port) bool { all = append(all, p.UUID); marker = p; return len(all) < 2 })
	s.s.Ports(marker, func(p *inventory.Port) bool { all = append(all, p.UUID); return true })
	if want := []string{uuid(7), uuid(4), uuid(5)}; !slices.Equal(all, want) {
		t.Fatalf("ports %v, wanted %v", all, want)
	}
}

func testHistory(t *testing.T, s *suite) {
	key := func(n, i int) persistence.Key {
		return persistence.Key{Kind: persistence.KindHistory, ID: fmt.Sprintf("%s/%04d", uuid(n), i)}
	}
	put := func(n, i int) persistence.Put {
		return persistence.Put{Key: key(n, i), Value: &node.Entry{Node: uuid(n), Event: fmt.Sprintf("e%d", i)}}
	}
	rev := s.create(putNode(1, "a"))
	for i := range 5 {
		s.must(persistence.Tx{If: cond(key(1, i), 0), Put: []persistence.Put{put(1, i)}})
	}
	other := s.must(persistence.Tx{If: cond(key(2, 0), 0), Put: []persistence.Put{put(2, 0)}})
	s.conflict(persistence.Tx{If: cond(key(2, 0), 0), Put: []persistence.Put{put(2, 0)}}, other)
	scan := func(n int) (events []string) {
		s.s.Scan(persistence.KindHistory, uuid(n)+"/", func(r persistence.Record) bool {
			events = append(events, r.Value.(*node.Entry).Event)
			return true
		})
		return events
	}
	if got := strings.Join(scan(1), " "); got != "e0 e1 e2 e3 e4" {
		t.Fatalf("history of 1: %q", got)
	}
	if n := s.s.Len(persistence.KindHistory); n != 6 {
		t.Fatalf("%d history entries, wanted 6", n)
	}
	if r, ok := s.s.Get(key(2, 0)); !ok || r.Rev != other || r.Value.(*node.Entry).Event != "e0" {
		t.Fatalf("Get of a history entry: %+v %v", r, ok)
	}
	s.must(persistence.Tx{
		If: cond(nodeKey(1), rev), Del: []persistence.Key{nodeKey(1)},
		DelPrefix: []persistence.Key{{Kind: persistence.KindHistory, ID: uuid(1) + "/"}},
	})
	if got := scan(1); len(got) != 0 {
		t.Fatalf("history of the deleted node: %v", got)
	}
	if got := scan(2); len(got) != 1 || s.s.Len(persistence.KindHistory) != 1 {
		t.Fatalf("history of the other node: %v, %d in all", got, s.s.Len(persistence.KindHistory))
	}
	if _, ok := s.s.Get(key(1, 0)); ok {
		t.Fatal("a deleted history entry is still there")
	}
}

func testReadIndex(t *testing.T, s *suite) { // R1
	const writers, readers, rounds = 4, 8, 25
	var mu sync.Mutex
	acked := make(map[string]node.Rev)
	var writing, reading sync.WaitGroup
	done := make(chan struct{})
	for w := range writers {
		writing.Go(func() {
			rev := node.Rev(0)
			for range rounds {
				id := fmt.Sprintf("w%d", w)
				next, err := s.s.Commit(s.ctx, persistence.Tx{If: cond(settingKey(id), rev), Put: []persistence.Put{putSetting(id, "")}})
				if err != nil {
					t.Errorf("Commit: %v", err)
					return
				}
				rev = next
				mu.Lock()
				acked[id] = rev
				mu.Unlock()
			}
		})
	}
	for range readers {
		reading.Go(func() {
			for {
				mu.Lock()
				want := make(map[string]node.Rev, len(acked))
				for id, rev := range acked {
					want[id] = rev
				}
				mu.Unlock()
				idx, err := s.s.ReadIndex(s.ctx)
				if err != nil {
					t.Errorf("ReadIndex: %v", err)
					return
				}
				for id, rev := range want {
					if r, _ := s.s.Get(settingKey(id)); r.Rev < rev || idx < rev {
						t.Errorf("acknowledged at %d, but the read at %d shows %d", rev, idx, r.Rev)
						return
					}
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	writing.Wait()
	close(done)
	reading.Wait()
}

func testWaitApplied(t *testing.T, s *suite) { // R2
	rev := s.create(putNode(1, ""))
	if err := s.s.WaitApplied(s.ctx, rev); err != nil || s.s.Applied() < rev {
		t.Fatalf("WaitApplied of an applied revision: %v, applied %d of %d", err, s.s.Applied(), rev)
	}
	ctx, cancel := context.WithCancel(s.ctx)
	ch := make(chan error, 1)
	go func() { ch <- s.s.WaitApplied(ctx, rev+1000) }()
	s.create(putNode(2, ""))
	cancel()
	if err := <-ch; !errors.Is(err, context.Canceled) {
		t.Fatalf("WaitApplied of a future revision: %v", err)
	}
	go func() { ch <- s.s.WaitApplied(s.ctx, rev+3) }()
	for i := range 4 {
		s.create(putNode(10+i, ""))
	}
	if err := <-ch; err != nil || s.s.Applied() < rev+3 {
		t.Fatalf("WaitApplied: %v, applied %d", err, s.s.Applied())
	}
	leader, voter, isLeader := s.s.Role()
	if leader == "" || voter == s.follower || isLeader == s.follower || time.Since(s.s.LeaderContact()) > patience {
		t.Fatalf("role %q %v %v, contact %v", leader, voter, isLeader, s.s.LeaderContact())
	}
}

func testBackup(t *testing.T, s *suite) {
	n := putNode(1, "a")
	n.Value.(*node.Node).DriverInfo = map[string]any{"ipmi_password": "hunter2-hunter2"}
	rev := s.create(n, event(1))
	var one, two bytes.Buffer
	got, err := s.s.Backup(&one)
	if err != nil || got < rev {
		t.Fatalf("Backup: revision %d, %v; wanted at least %d", got, err, rev)
	}
	if !bytes.HasPrefix(one.Bytes(), []byte("ferrite-backup\n\x02")) {
		t.Fatalf("the backup begins with %q", one.Bytes()[:20])
	}
	if bytes.Contains(one.Bytes(), []byte("hunter2")) { // L3
		t.Fatal("the backup holds a password in clear")
	}
	if _, err := s.s.Backup(&two); err != nil || !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Fatalf("two backups of one state differ, %v", err)
	}
}

func testClose(t *testing.T, s *suite) {
	s.create(putNode(1, "a"))
	w := s.s.Watch(s.ctx, s.s.Applied())
	ends := make(chan error, 2)
	go func() { _, err := w.Next(); ends <- err }()
	go func() { _, err := s.s.Outbox(s.ctx, 0, 0, 1); ends <- err }()
	if err := s.s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	for range 2 {
		select {
		case err := <-ends:
			if !errors.Is(err, persistence.ErrClosed) {
				t.Fatalf("a waiter ended with %v, wanted ErrClosed", err)
			}
		case <-s.ctx.Done():
			t.Fatal("a waiter never ended")
		}
	}
	if _, err := s.s.Commit(s.ctx, persistence.Tx{If: cond(nodeKey(2), 0), Put: []persistence.Put{putNode(2, "")}}); !errors.Is(err, persistence.ErrClosed) {
		t.Fatalf("Commit after Close: %v", err)
	}
	if _, err := s.s.ReadIndex(s.ctx); !errors.Is(err, persistence.ErrClosed) {
		t.Fatalf("ReadIndex after Close: %v", err)
	}
	if err := s.s.Close(); err != nil {
		t.Fatalf("Close twice: %v", err)
	}
}

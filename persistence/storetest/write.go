// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"ferrite/inventory"
	"ferrite/node"
	"ferrite/persistence"
)

func testCAS(t *testing.T, s *suite) {
	k := nodeKey(1)
	first := s.create(putNode(1, "a"))
	s.conflict(persistence.Tx{If: cond(k, 0), Put: []persistence.Put{putNode(1, "b")}}, first)
	second := s.must(persistence.Tx{If: cond(k, first), Put: []persistence.Put{putNode(1, "b")}})
	if second <= first {
		t.Fatalf("revision %d after %d", second, first)
	}
	s.conflict(persistence.Tx{If: cond(k, first), Put: []persistence.Put{putNode(1, "c")}}, second)
	if n, ok := s.s.Node(uuid(1)); !ok || n.Name != "b" || n.Rev != second {
		t.Fatalf("after the conflict the node is %+v", n)
	}
	s.must(persistence.Tx{If: cond(k, second), Del: []persistence.Key{k}})
	if _, ok := s.s.Node(uuid(1)); ok {
		t.Fatal("the node is still there after its deletion")
	}
	s.conflict(persistence.Tx{If: cond(k, second), Put: []persistence.Put{putNode(1, "d")}}, 0)
	if _, err := s.s.ReadIndex(s.ctx); err != nil { // a follower hears of it a moment later
		t.Fatal(err)
	}
	if st := s.s.Stats(); st.Conflicts != 3 {
		t.Fatalf("Stats count %d conflicts, wanted 3", st.Conflicts)
	}
}

func testCreated(t *testing.T, s *suite) {
	first := s.create(putNode(1, ""))
	second := s.must(persistence.Tx{If: cond(nodeKey(1), first), Put: []persistence.Put{putNode(1, "x")}})
	n, _ := s.s.Node(uuid(1))
	if n.Created != first || n.Rev != second {
		t.Fatalf("created %d rev %d, wanted %d and %d", n.Created, n.Rev, first, second)
	}
	r, ok := s.s.Get(nodeKey(1))
	if !ok || r.Created != first || r.Rev != second || r.Value != any(n) {
		t.Fatalf("Get gives %+v", r)
	}
	s.must(persistence.Tx{If: cond(nodeKey(1), second), Del: []persistence.Key{nodeKey(1)}})
	third := s.create(putNode(1, ""))
	if n, _ = s.s.Node(uuid(1)); n.Created != third {
		t.Fatalf("a node made anew was created at %d, wanted %d", n.Created, third)
	}
}

func testNoCondition(t *testing.T, s *suite) { // L2
	for _, tx := range []persistence.Tx{
		{Put: []persistence.Put{putNode(1, "")}},
		{Del: []persistence.Key{nodeKey(1)}},
		{DelPrefix: []persistence.Key{nodeKey(1)}},
	} {
		if _, err := s.s.Commit(s.ctx, tx); !errors.Is(err, persistence.ErrNoCondition) {
			t.Fatalf("Commit: %v, wanted ErrNoCondition", err)
		}
	}
	s.must(persistence.Tx{Events: []persistence.Event{event(1)}})
}

func testMalformed(t *testing.T, s *suite) {
	k := nodeKey(1)
	other := putNode(1, "")
	other.Value = &node.Node{UUID: uuid(2)}
	wrong := putNode(1, "")
	wrong.Value = &inventory.Port{UUID: uuid(1)}
	null := putNode(1, "")
	null.Value = (*node.Node)(nil)
	big := putSetting("big", strings.Repeat("x", 600<<10))
	entry := persistence.Put{Key: persistence.Key{Kind: persistence.KindHistory, ID: "n/1"}, Value: &node.Entry{}, Uniq: []string{"u/1"}}
	for name, tx := range map[string]persistence.Tx{
		"empty":          {},
		"twice":          {If: cond(k, 0), Put: []persistence.Put{putNode(1, ""), putNode(1, "b")}},
		"put and delete": {If: cond(k, 0), Put: []persistence.Put{putNode(1, "")}, Del: []persistence.Key{k}},
		"another's id":   {If: cond(k, 0), Put: []persistence.Put{other}},
		"wrong type":     {If: cond(k, 0), Put: []persistence.Put{wrong}},
		"nil":            {If: cond(k, 0), Put: []persistence.Put{null}},
		"no kind":        {If: cond(k, 0), Put: []persistence.Put{{Key: persistence.Key{Kind: 99, ID: "x"}, Value: []byte{}}}},
		"no id":          {If: cond(k, 0), Put: []persistence.Put{{Key: persistence.Key{Kind: persistence.KindSetting}, Value: []byte{}}}},
		"too big":        {If: cond(big.Key, 0), Put: []persistence.Put{big}},
		"big event":      {Events: []persistence.Event{{Body: make([]byte, 600<<10)}}},
		"unique history": {If: cond(entry.Key, 0), Put: []persistence.Put{entry}},
		"empty prefix":   {If: cond(k, 0), DelPrefix: []persistence.Key{{Kind: persistence.KindHistory}}},
	} {
		rev, err := s.s.Commit(s.ctx, tx)
		if err == nil || errors.Is(err, persistence.ErrUnknown) {
			t.Errorf("%s: committed at %d with %v, wanted a refusal", name, rev, err)
		}
		if tooBig := name == "too big" || name == "big event"; tooBig != errors.Is(err, persistence.ErrTooBig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := s.s.Len(persistence.KindNode); n != 0 {
		t.Fatalf("%d nodes after refusals only", n)
	}
	many := make([]persistence.Event, 5000)
	if _, err := s.s.Commit(s.ctx, persistence.Tx{Events: many}); !errors.Is(err, persistence.ErrTooBig) {
		t.Fatalf("5000 events: %v, wanted ErrTooBig", err)
	}
}

func testAtomic(t *testing.T, s *suite) {
	a, b := s.create(putNode(1, "a")), s.create(putNode(2, "b"))
	before := s.s.Stats().OutboxDepth
	s.conflict(persistence.Tx{
		If:     []persistence.Cond{{Key: nodeKey(2), Rev: a}, {Key: nodeKey(1), Rev: a}},
		Put:    []persistence.Put{putNode(1, "x"), putNode(3, "y"), putPort(4, 3)},
		Del:    []persistence.Key{nodeKey(2)},
		Events: []persistence.Event{event(1)},
	}, b)
	if n, _ := s.s.Node(uuid(1)); n.Name != "a" {
		t.Errorf("half of a refused transaction was applied: name %q", n.Name)
	}
	if s.s.Len(persistence.KindNode) != 2 || s.s.Len(persistence.KindPort) != 0 || s.s.Stats().OutboxDepth != before {
		t.Errorf("a refused transaction left something: %+v", s.s.Stats())
	}
	if k, ok := s.s.Holder("name/x"); ok {
		t.Errorf("a refused transaction holds a unique key: %v", k)
	}
	rev := s.must(persistence.Tx{
		If:     []persistence.Cond{{Key: nodeKey(2), Rev: b}, {Key: nodeKey(1), Rev: a}, {Key: nodeKey(3), Rev: 0}},
		Put:    []persistence.Put{putNode(1, "x"), putNode(3, "y"), putPort(4, 3)},
		Del:    []persistence.Key{nodeKey(2)},
		Events: []persistence.Event{event(1)},
	})
	n1, _ := s.s.Node(uuid(1))
	n3, _ := s.s.Node(uuid(3))
	p, ok := s.s.Port(uuid(4))
	if _, two := s.s.Node(uuid(2)); two || n1.Rev != rev || n3.Rev != rev || !ok || p.Rev != rev || p.Created != rev {
		t.Fatalf("parts of one transaction have other revisions than %d: %d %d %+v", rev, n1.Rev, n3.Rev, p)
	}
}

func testUnique(t *testing.T, s *suite) {
	first := s.create(putNode(1, "rack1"))
	taken := func(i int) {
		t.Helper()
		_, err := s.s.Commit(s.ctx, persistence.Tx{If: cond(nodeKey(i), 0), Put: []persistence.Put{putNode(i, "rack1")}})
		var nu *persistence.NotUnique
		if !errors.As(err, &nu) || nu.Uniq != "name/rack1" || nu.Holder != nodeKey(1) {
			t.Fatalf("%v, wanted *NotUnique held by node 1", err)
		}
	}
	taken(2)
	if k, ok := s.s.Holder("name/rack1"); !ok || k != nodeKey(1) {
		t.Fatalf("Holder = %v %v", k, ok)
	}
	first = s.must(persistence.Tx{If: cond(nodeKey(1), first), Put: []persistence.Put{putNode(1, "rack1")}}) // its own
	first = s.must(persistence.Tx{If: cond(nodeKey(1), first), Put: []persistence.Put{putNode(1, "other")}})
	s.create(putNode(2, "rack1")) // free since the rename
	s.must(persistence.Tx{If: cond(nodeKey(1), first), Del: []persistence.Key{nodeKey(1)}})
	s.create(putNode(3, "other")) // free since the deletion
	if k, _ := s.s.Holder("name/other"); k != nodeKey(3) {
		t.Fatalf("Holder = %v, wanted node 3", k)
	}
}

func testUniqueMoves(t *testing.T, s *suite) {
	a, b := s.create(putNode(1, "a")), s.create(putNode(2, "b"))
	both := []persistence.Cond{{Key: nodeKey(1), Rev: a}, {Key: nodeKey(2), Rev: b}}
	swapped := s.must(persistence.Tx{If: both, Put: []persistence.Put{putNode(1, "b"), putNode(2, "a")}})
	ka, _ := s.s.Holder("name/a")
	kb, _ := s.s.Holder("name/b")
	if ka != nodeKey(2) || kb != nodeKey(1) {
		t.Fatalf("after a swap a is held by %v, b by %v", ka, kb)
	}
	s.must(persistence.Tx{If: cond(nodeKey(2), swapped), Del: []persistence.Key{nodeKey(2)}, Put: []persistence.Put{putNode(3, "a")}})
	_, err := s.s.Commit(s.ctx, persistence.Tx{If: cond(nodeKey(4), 0), Put: []persistence.Put{putNode(4, "z"), putNode(5, "z")}})
	var nu *persistence.NotUnique
	if !errors.As(err, &nu) || nu.Holder != nodeKey(4) {
		t.Fatalf("two records with one name: %v", err)
	}
}

func testValues(t *testing.T, s *suite) {
	yes := true
	at := time.Date(2026, 3, 1, 12, 30, 0, 123456000, time.UTC)
	want := &node.Node{
		UUID: uuid(1), Name: "n", Driver: "ipmi", AutomatedClean: &yes, Traits: []string{"CUSTOM_A"}, CreatedAt: at,
		DriverInfo: map[string]any{
			"ipmi_password": "s3cret", "number_token": float64(12), "ipmi_port": float64(623), "big": float64(1 << 40),
			"nested": map[string]any{"list": []any{"x", map[string]any{"secret": "y", "a/b~": nil}}},
			"ipmi_x": "ferrite-sealed:1:looks like one of ours", "ferrite-sealed:": "ferrite-sealed:0:",
		},
		InstanceInfo:       map[string]any{"image_url": "https://x/?sig=1", "configdrive": map[string]any{"user_data": "#!"}},
		DriverInternalInfo: map[string]any{"agent_secret_token": "t", "empty_password": "", "null_password": nil},
		Properties:         map[string]any{},
		Interfaces:         map[string]string{"power": "ipmitool"},
		Owner:              node.Owner{Name: "c1", Incarnation: 1<<63 + 5, Epoch: 3},
		Intent: &node.Intent{ID: "i", Verb: "power", Since: at, Timeout: time.Minute, Steps: []node.StepSpec{
			{Interface: "deploy", Step: "erase", Args: map[string]any{"password": "p", "n": float64(1)}},
		}},
		SyncFails: 2, Refused: &node.Refusal{At: at, Times: 2}, Outer: 7,
	}
	given := want.Clone()
	given.Rev, given.Created = 99, 98 // not the caller's to say
	rev := s.create(persistence.Put{Key: nodeKey(1), Value: given})
	got, _ := s.s.Node(uuid(1))
	want.Rev, want.Created = rev, rev
	if !reflect.DeepEqual(got, want) {
		t.Errorf("node\n got %+v\nwant %+v", got, want)
	}
	if given.DriverInfo["ipmi_password"] != "s3cret" {
		t.Error("the store wrote to the caller's value")
	}
	port := &inventory.Port{
		UUID: uuid(2), NodeUUID: uuid(1), Address: "52:54:00:00:00:01", PXEEnabled: true,
		LocalLinkConnection: map[string]any{"switch_id": "a", "password": "x"}, CreatedAt: at,
	}
	prev := s.create(persistence.Put{Key: persistence.Key{Kind: persistence.KindPort, ID: uuid(2)}, Value: port})
	gotPort, _ := s.s.Port(uuid(2))
	wantPort := *port
	wantPort.Rev, wantPort.Created = prev, prev
	if !reflect.DeepEqual(gotPort, &wantPort) {
		t.Errorf("port\n got %+v\nwant %+v", gotPort, &wantPort)
	}
	tomb := persistence.Key{Kind: persistence.KindTombstone, ID: uuid(1)}
	s.create(persistence.Put{Key: tomb, Value: &persistence.Tombstone{Epoch: 4, Deleted: at}})
	if r, _ := s.s.Get(tomb); !reflect.DeepEqual(r.Value, &persistence.Tombstone{Epoch: 4, Deleted: at}) {
		t.Errorf("tombstone %+v", r.Value)
	}
	s.create(putSetting("k", "v\x00w"))
	if r, _ := s.s.Get(settingKey("k")); !bytes.Equal(r.Value.([]byte), []byte("v\x00w")) {
		t.Errorf("setting %q", r.Value)
	}
}

func testContention(t *testing.T, s *suite) {
	const writers, rounds = 8, 20
	rev := s.create(putSetting("counter", "0"))
	var wg sync.WaitGroup
	wins := make([]int, writers)
	errs := make(chan error, writers)
	for w := range writers {
		wg.Go(func() {
			seen := rev
			for wins[w] < rounds {
				got, err := s.s.Commit(s.ctx, persistence.Tx{If: cond(settingKey("counter"), seen), Put: []persistence.Put{putSetting("counter", fmt.Sprint(w))}})
				var c *persistence.Conflict
				switch {
				case err == nil:
					wins[w]++
					seen = got
				case errors.As(err, &c):
					seen = c.Cur.Rev
				default:
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		t.Fatal(err)
	default:
	}
	if st := s.s.Stats(); st.Transactions != writers*rounds+1 {
		t.Fatalf("%d transactions accepted, wanted %d", st.Transactions, writers*rounds+1)
	}
}

func testSubmit(t *testing.T, s *suite) {
	const n = 50
	type answer struct {
		i   int
		rev node.Rev
		err error
	}
	ch := make(chan answer, n+1)
	for i := range n {
		k := settingKey(fmt.Sprintf("s%03d", i))
		s.s.Submit(persistence.Tx{If: cond(k, 0), Put: []persistence.Put{{Key: k, Value: []byte{byte(i)}}}}, func(rev node.Rev, err error) {
			ch <- answer{i, rev, err}
		})
	}
	prev := node.Rev(0)
	for i := range n {
		select {
		case a := <-ch:
			if a.err != nil || a.i != i || a.rev <= prev {
				t.Fatalf("answer %d: call %d at revision %d after %d, error %v", i, a.i, a.rev, prev, a.err)
			}
			prev = a.rev
		case <-s.ctx.Done():
			t.Fatalf("answer %d of %d never came", i, n)
		}
	}
	s.s.Submit(persistence.Tx{Put: []persistence.Put{putNode(1, "")}}, func(rev node.Rev, err error) { ch <- answer{0, rev, err} })
	select {
	case a := <-ch:
		if !errors.Is(a.err, persistence.ErrNoCondition) {
			t.Fatalf("%v, wanted ErrNoCondition", a.err)
		}
	case <-s.ctx.Done():
		t.Fatal("a refused Submit was not answered")
	}
	if s.s.Len(persistence.KindSetting) != n {
		t.Fatalf("%d settings, wanted %d", s.s.Len(persistence.KindSetting), n)
	}
}

func testGivenUp(t *testing.T, s *suite) {
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	_, err := s.s.Commit(ctx, persistence.Tx{If: cond(nodeKey(1), 0), Put: []persistence.Put{putNode(1, "")}})
	if !errors.Is(err, context.Canceled) || !errors.Is(err, persistence.ErrNoQuorum) {
		t.Fatalf("%v, wanted ErrNoQuorum and the context's error", err)
	}
	if _, err := s.s.ReadIndex(s.ctx); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.s.Node(uuid(1)); ok {
		t.Fatal("a commit that was given up before it began was written")
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"ferrite/node"
)

// R1: a caller never joins a round that began before it arrived, and those who wait share the next one.
func TestRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var started atomic.Int64
		gate := make(chan struct{})
		r := &rounds{run: func() (node.Rev, error) {
			n := started.Add(1)
			<-gate
			return node.Rev(n), nil
		}}
		got := make(chan node.Rev, 10)
		join := func() {
			rev, err := r.join(t.Context())
			if err != nil {
				t.Error(err)
			}
			got <- rev
		}
		go join()
		synctest.Wait() // round 1 runs
		for range 5 {
			go join()
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			_, err := r.join(ctx)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("a caller that left got %v", err)
			}
			got <- 99
		}()
		synctest.Wait()
		cancel()
		if rev := <-got; rev != 99 {
			t.Fatalf("round %d ended before its gate", rev)
		}
		gate <- struct{}{}
		if rev := <-got; rev != 1 {
			t.Fatalf("the first caller got round %d", rev)
		}
		synctest.Wait()
		if n := started.Load(); n != 2 {
			t.Fatalf("%d rounds began, wanted 2", n)
		}
		gate <- struct{}{}
		for range 5 {
			if rev := <-got; rev != 2 {
				t.Fatalf("a later caller got round %d, wanted 2", rev)
			}
		}
	})
}

// slow is a log whose appends wait while held.
type slow struct {
	logStore
	gate    *sync.RWMutex
	waiting *atomic.Bool
}

func (l slow) StoreLogs(logs []*raft.Log) error {
	l.waiting.Store(true)
	l.gate.RLock()
	defer l.gate.RUnlock()
	l.waiting.Store(false)
	return l.logStore.StoreLogs(logs)
}

// A commit that is given up while it waits its turn is not written; one that the log has taken is settled (L2).
func TestCommitGivenUp(t *testing.T) {
	var gate sync.RWMutex
	var waits atomic.Bool
	cfg := raftConfigIn(t.TempDir())
	cfg.wrap = func(l logStore) logStore { return slow{l, &gate, &waits} }
	cfg.second = time.Hour
	s := openRaft(t, cfg)
	put := func(id string) Tx {
		k := Key{KindSetting, id}
		return Tx{If: []Cond{{Key: k}}, Put: []Put{{Key: k, Value: []byte(id)}}}
	}
	type answer struct {
		rev node.Rev
		err error
	}
	commit := func(ctx context.Context, id string) chan answer {
		ch := make(chan answer, 1)
		go func() {
			rev, err := s.Commit(ctx, put(id))
			ch <- answer{rev, err}
		}()
		return ch
	}
	gate.Lock()
	ctx, cancel := context.WithCancel(t.Context())
	taken := commit(ctx, "taken")
	for !waits.Load() {
		time.Sleep(time.Millisecond)
	}
	cancel()
	gate.Unlock()
	a := <-taken
	if a.err != nil || a.rev == 0 {
		t.Fatalf("a commit that the log had taken: %d, %v", a.rev, a.err)
	}
	if r, _ := s.Get(Key{KindSetting, "taken"}); r.Rev != a.rev {
		t.Fatalf("it is at %d, the answer said %d", r.Rev, a.rev)
	}

	gate.Lock()
	var queue []chan answer
	ctx, cancel = context.WithCancel(t.Context())
	queue = append(queue, commit(t.Context(), "first"))
	for !waits.Load() {
		time.Sleep(time.Millisecond)
	}
	for i := range groups { // fills the groups that may be under way
		s.Submit(put("filler"+string(rune('a'+i))), func(node.Rev, error) {})
		for len(s.committer.slots) < min(i+2, groups) {
			time.Sleep(time.Millisecond)
		}
	}
	late := commit(ctx, "late")
	for s.committer.depth() == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	a = <-late
	if !errors.Is(a.err, ErrNoQuorum) || !errors.Is(a.err, context.Canceled) {
		t.Fatalf("a commit that waited its turn: %d, %v", a.rev, a.err)
	}
	gate.Unlock()
	if a := <-queue[0]; a.err != nil {
		t.Fatal(a.err)
	}
	putText(t, s, "after", "")
	if _, ok := s.Get(Key{KindSetting, "late"}); ok {
		t.Fatal("a withdrawn commit was written")
	}
}

// L2: after a lost answer the ids that the records keep say what became of the transaction.
func TestLookFor(t *testing.T) {
	s := openRaft(t, raftConfigIn(t.TempDir()))
	k := Key{KindSetting, "x"}
	tx := func(rev node.Rev, text string) *entry {
		e, err := s.codec.prepare(Tx{If: []Cond{{k, rev}}, Put: []Put{{Key: k, Value: []byte(text)}}})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	create, lost := tx(0, "created"), tx(0, "never sent")
	rev, err := s.propose(t.Context(), create)
	if err != nil {
		t.Fatal(err)
	}
	lost.id = txid{9}
	if got, err := s.lookFor(create); err != nil || got != rev {
		t.Errorf("the transaction that wrote it last: %d, %v", got, err)
	}
	second := tx(rev, "second")
	unsent := tx(rev, "unsent")
	unsent.id = txid{8}
	if _, err := s.lookFor(unsent); !errors.Is(err, ErrNoQuorum) {
		t.Errorf("a transaction whose condition still holds: %v, wanted ErrNoQuorum", err)
	}
	rev2, err := s.propose(t.Context(), second)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.lookFor(create); err != nil || got != rev {
		t.Errorf("the transaction that created it: %d, %v; wanted %d", got, err, rev)
	}
	if got, err := s.lookFor(second); err != nil || got != rev2 {
		t.Errorf("the transaction that wrote it last: %d, %v", got, err)
	}
	if _, err := s.lookFor(lost); !errors.Is(err, ErrUnknown) {
		t.Errorf("another's transaction: %v, wanted ErrUnknown", err)
	}
}

// A history longer than one storage transaction holds goes with its node.
func TestLongPrefix(t *testing.T) {
	dir := t.TempDir()
	s := openRaft(t, raftConfigIn(dir))
	id := func(n, i int) Key {
		return Key{KindHistory, string(rune('a'+n)) + "/" + time.Unix(int64(i), 0).UTC().Format(time.RFC3339)}
	}
	const total = 2*prefixChunk + 700
	for from := 0; from < total; from += 400 {
		tx := Tx{If: []Cond{{Key: id(0, from)}}}
		for i := from; i < min(from+400, total); i++ {
			tx.Put = append(tx.Put, Put{Key: id(0, i), Value: &node.Entry{Event: "e"}})
		}
		if _, err := s.Commit(t.Context(), tx); err != nil {
			t.Fatal(err)
		}
	}
	other := id(1, 0)
	if _, err := s.Commit(t.Context(), Tx{If: []Cond{{Key: other}}, Put: []Put{{Key: other, Value: &node.Entry{}}}}); err != nil {
		t.Fatal(err)
	}
	if n := s.Len(KindHistory); n != total+1 {
		t.Fatalf("%d entries, wanted %d", n, total+1)
	}
	if _, err := s.Commit(t.Context(), Tx{If: []Cond{{Key: Key{KindNode, "a"}}}, DelPrefix: []Key{{KindHistory, "a/"}}}); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		left := 0
		s.Scan(KindHistory, "", func(Record) bool { left++; return true })
		if s.Len(KindHistory) != 1 || left != 1 {
			t.Fatalf("%s: %d entries counted, %d left, wanted 1", when, s.Len(KindHistory), left)
		}
	}
	check("at once")
	shutRaft(t, s)
	s = openRaft(t, raftConfigIn(dir))
	check("after a restart")
}

// The largest transaction that is accepted fits the storage, alone and among others.
func TestLargestTx(t *testing.T) {
	s := openRaft(t, raftConfigIn(t.TempDir()))
	for round := range 3 {
		tx := Tx{If: []Cond{{Key: Key{KindSetting, "none"}}}}
		for i := range maxParts - 1 {
			id := string(rune('a'+round)) + time.Unix(int64(i), 0).UTC().Format(time.RFC3339)
			tx.Put = append(tx.Put, Put{Key: Key{KindSetting, id}, Value: make([]byte, 460)})
		}
		done := make(chan error, 10)
		for range 5 {
			s.Submit(Tx{Events: []Event{{Subject: "s", Body: make([]byte, 900)}}}, func(_ node.Rev, err error) { done <- err })
		}
		s.Submit(tx, func(_ node.Rev, err error) { done <- err })
		for range 6 {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := s.Len(KindSetting); n != 3*(maxParts-1) {
		t.Fatalf("%d settings", n)
	}
}

// A record that could not be read back is refused before it is proposed: in the log it would stop every member for good.
func TestUnreadableIsNotProposed(t *testing.T) {
	dir := t.TempDir()
	s := openRaft(t, raftConfigIn(dir))
	before := putText(t, s, "a", "1")
	deep := any("bottom")
	for range 20000 {
		deep = []any{deep}
	}
	for name, c := range map[string]struct {
		id    string
		extra map[string]any
		want  error
	}{
		"a number that no float64 holds": {"n", map[string]any{"n": json.Number("1e999")}, ErrUnreadable},
		"lists in lists":                 {"n", map[string]any{"n": deep}, nil},
		"an id that is too long":         {strings.Repeat("n", maxID+1), nil, nil},
	} {
		k := Key{KindNode, c.id}
		_, err := s.Commit(t.Context(), Tx{If: []Cond{{Key: k}}, Put: []Put{{Key: k, Value: &node.Node{UUID: c.id, Extra: c.extra}}}})
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if errors.Is(err, ErrUnknown) || s.Applied() != before {
			t.Errorf("%s: it was proposed: %v, applied %d, before %d", name, err, s.Applied(), before)
		}
	}
	e := &entry{conds: []Cond{{Key: Key{KindNode, "n"}}}, puts: []entryPut{{key: Key{KindNode, "n"}, data: []byte{valueVersion, '{'}}}}
	if _, err := s.codec.read(e.encode()); !errors.Is(err, ErrUnreadable) {
		t.Errorf("from another member: %v", err)
	}
	if _, err := s.codec.read([]byte("nonsense")); !errors.Is(err, ErrUnreadable) {
		t.Errorf("from another member: %v", err)
	}
	putText(t, s, "b", "2")
	left := 0
	s.proposed.Range(func(any, any) bool { left++; return true })
	if left != 0 {
		t.Errorf("%d proposals are remembered for ever", left)
	}
	shutRaft(t, s)
	openRaft(t, raftConfigIn(dir))
}

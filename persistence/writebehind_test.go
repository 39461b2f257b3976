// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ferrite/node"
)

// slowKV is a tree in memory whose transactions are visible only when they are committed, and wait for gate before that.
type slowKV struct {
	*memKV
	mu      sync.Mutex // guards the fields below
	gate    chan struct{}
	err     error
	commits []map[string]string // the whole content after each
}

func newSlowKV() *slowKV { return &slowKV{memKV: newMemKV()} }

func (s *slowKV) begin() kvTx { return &slowTx{s: s, memTx: &memTx{m: s.memKV}} }

type slowTx struct {
	*memTx
	s   *slowKV
	ops []func() error
}

func (t *slowTx) set(key, value []byte) error {
	t.ops = append(t.ops, func() error { return t.memTx.set(key, value) })
	return nil
}

func (t *slowTx) del(key []byte) error {
	t.ops = append(t.ops, func() error { return t.memTx.del(key) })
	return nil
}

func (t *slowTx) commit() error {
	t.s.mu.Lock()
	gate, err := t.s.gate, t.s.err
	t.s.mu.Unlock()
	if gate != nil {
		<-gate
	}
	for _, op := range t.ops {
		if err == nil {
			err = op()
		}
	}
	if err != nil {
		return err
	}
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.s.commits = append(t.s.commits, contentOf(t.s.memKV))
	return nil
}

func contentOf(store kv) map[string]string {
	v := store.view()
	defer v.close()
	out := map[string]string{}
	_ = v.scan(nil, nil, func(key []byte, value func() ([]byte, error)) (bool, error) {
		data, err := value()
		out[string(key)] = string(data)
		return true, err
	})
	return out
}

func put(t *testing.T, w kv, pairs ...string) {
	t.Helper()
	tx := w.begin()
	for i := 0; i < len(pairs); i += 2 {
		if err := tx.set([]byte(pairs[i]), []byte(pairs[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.commit(); err != nil {
		t.Fatal(err)
	}
}

func noFailure(t *testing.T) func(error) {
	return func(err error) { t.Errorf("the storage failed: %v", err) }
}

// What is queued while the storage is busy becomes one transaction, and is seen by later transactions meanwhile.
func TestWritesGatherWhileTheStorageIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlowKV()
		s.gate = make(chan struct{})
		w := newWriteBehind(s, noFailure(t))
		put(t, w, "a", "1")
		time.Sleep(2 * gather)
		synctest.Wait() // the first is being written and waits
		for i := range 20 {
			put(t, w, fmt.Sprint("b", i), "2")
		}
		tx := w.begin()
		for key, want := range map[string]string{"a": "1", "b7": "2"} {
			if got, err := tx.get([]byte(key)); string(got) != want || err != nil {
				t.Errorf("%s of a queued transaction: %q, %v, wanted %q", key, got, err, want)
			}
		}
		close(s.gate)
		if got := contentOf(w); len(got) != 21 {
			t.Errorf("a view holds %d keys, wanted all 21 that were queued before it", len(got))
		}
		if len(s.commits) != 2 {
			t.Errorf("%d transactions, wanted 2: what came while the first was written goes together", len(s.commits))
		}
		if err := w.close(); err != nil {
			t.Fatal(err)
		}
	})
}

// Nobody has to ask: what is queued is written soon, by itself; and a view does not wait for that.
func TestWhatIsQueuedIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlowKV()
		w := newWriteBehind(s, noFailure(t))
		put(t, w, "a", "1")
		put(t, w, "b", "1")
		start := time.Now()
		if got := contentOf(w); len(got) != 2 || time.Since(start) != 0 {
			t.Errorf("a view holds %v after %s", got, time.Since(start))
		}
		put(t, w, "c", "1")
		time.Sleep(2 * gather)
		synctest.Wait()
		if len(s.commits) != 2 || len(s.commits[1]) != 3 {
			t.Errorf("written: %v", s.commits)
		}
		put(t, w, "d", "1")
		if err := w.close(); err != nil || len(s.commits) != 3 {
			t.Errorf("closing: %v; %d transactions, wanted 3: what is queued is written first", err, len(s.commits))
		}
	})
}

// A storage that does not keep up stops the log; what waits is bounded.
func TestAFullQueueWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlowKV()
		s.gate = make(chan struct{})
		w := newWriteBehind(s, noFailure(t))
		value := strings.Repeat("v", 1<<20)
		done := 0
		go func() {
			for i := range 20 {
				put(t, w, fmt.Sprint(i), value)
				done++
			}
		}()
		synctest.Wait()
		if limit := 2 * (behindBytes>>20 + 1); done == 0 || done > limit {
			t.Errorf("%d MB are queued, wanted at most %d", done, limit)
		}
		close(s.gate)
		synctest.Wait()
		if got := contentOf(w); len(got) != 20 {
			t.Errorf("%d keys, wanted 20", len(got))
		}
		_ = w.close()
	})
}

// Whoever waits for the storage hears of its failure after the replica has.
func TestAFailedWriteEndsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlowKV()
		s.err = errors.New("no space left on device")
		var heard error
		w := newWriteBehind(s, func(err error) { heard = err })
		put(t, w, "a", "1")
		w.view().close()
		if !errors.Is(heard, s.err) {
			t.Errorf("heard of %v", heard)
		}
		if err := w.begin().commit(); !errors.Is(err, s.err) {
			t.Errorf("a commit after a failure: %v", err)
		}
		if err := w.begin().keys(nil, func([]byte) {}); !errors.Is(err, s.err) {
			t.Errorf("keys after a failure: %v", err)
		}
		_ = w.close()
	})
}

// After each transaction the storage holds exactly what it held after one of the commits (R5: a prefix of the log), and a
// transaction reads what a storage that is written at once would answer.
func TestTheStorageHoldsAPrefix(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a walk that can be repeated
		s := newSlowKV()
		w := newWriteBehind(s, noFailure(t))
		model := map[string]string{}
		var after []map[string]string
		for n := range 300 {
			tx := w.begin()
			now := maps.Clone(model)
			for range rnd.IntN(4) {
				key := fmt.Sprintf("%c%d", 'x'+rune(rnd.IntN(2)), rnd.IntN(12))
				switch rnd.IntN(4) {
				case 0:
					delete(now, key)
					_ = tx.del([]byte(key))
				case 1:
					if got, err := tx.get([]byte(key)); string(got) != now[key] || err != nil {
						t.Fatalf("seed %d: %s is %q (%v), wanted %q", seed, key, got, err, now[key])
					}
				default:
					now[key] = fmt.Sprint(n)
					_ = tx.set([]byte(key), []byte(now[key]))
				}
			}
			if rnd.IntN(10) == 0 {
				checkKeys(t, tx, now)
			}
			now["applied"] = fmt.Sprint(n)
			_ = tx.set([]byte("applied"), []byte(now["applied"]))
			if err := tx.commit(); err != nil {
				t.Fatal(err)
			}
			model = now
			after = append(after, now)
			if rnd.IntN(15) == 0 && !maps.Equal(contentOf(w), model) {
				t.Fatalf("seed %d: a view holds %v, wanted %v", seed, contentOf(w), model)
			}
		}
		if err := w.close(); err != nil {
			t.Fatal(err)
		}
		for _, got := range s.commits {
			var n int
			if _, err := fmt.Sscan(got["applied"], &n); err != nil || !maps.Equal(got, after[n]) {
				t.Fatalf("seed %d: the storage held %v, which it never held after a commit (%v)", seed, got, err)
			}
		}
		if len(s.commits) == 0 || !maps.Equal(s.commits[len(s.commits)-1], model) {
			t.Fatalf("seed %d: the last transaction is not the last commit", seed)
		}
	}
}

func checkKeys(t *testing.T, tx kvTx, want map[string]string) {
	t.Helper()
	var got []string
	if err := tx.keys([]byte("x"), func(key []byte) { got = append(got, string(bytes.Clone(key))) }); err != nil {
		t.Fatal(err)
	}
	var all []string
	for key := range want {
		if strings.HasPrefix(key, "x") {
			all = append(all, key)
		}
	}
	slices.Sort(got)
	slices.Sort(all)
	if !slices.Equal(got, all) {
		t.Fatalf("keys: %v, wanted %v", got, all)
	}
}

// heldKV is a storage that takes nothing until it is let go.
type heldKV struct {
	kv
	gate chan struct{}
}

func (h heldKV) begin() kvTx { return heldTx{h.kv.begin(), h.gate} }

type heldTx struct {
	kvTx
	gate chan struct{}
}

func (t heldTx) commit() error {
	<-t.gate
	return t.kvTx.commit()
}

// A write is answered, and read, before the storage has it; whoever reads the storage itself waits; and if the process
// dies before, the log has it.
func TestAnAnswerNeedsNoStorage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := openRaft(t, raftConfigIn(dir))
	putText(t, s, "before", "1")
	_, done, err := s.view()
	if err != nil {
		t.Fatal(err)
	}
	done()
	w := s.store.kv.(*writeBehind)
	gate := make(chan struct{})
	w.kv = heldKV{w.kv, gate}
	var newest node.Rev
	for i := range 50 {
		newest = putText(t, s, fmt.Sprint("key", i), "2")
	}
	if rec, ok := s.Get(Key{KindSetting, "key49"}); !ok || rec.Rev != newest || s.Applied() < newest {
		t.Errorf("read back: %v, %v, applied %d, wanted revision %d", rec, ok, s.Applied(), newest)
	}
	died := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(died, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	events := make(chan int)
	go func() {
		out, err := s.Outbox(t.Context(), 0, -1, 1000)
		if err != nil {
			t.Error(err)
		}
		events <- len(out)
	}()
	select {
	case n := <-events:
		t.Errorf("the outbox is read with %d events while the storage does not have them all", n)
	case <-time.After(20 * time.Millisecond): // a little luck finds a read that does not wait
	}
	close(gate)
	if n := <-events; n != 51 {
		t.Errorf("%d events in the outbox, wanted 51", n)
	}
	after := openRaft(t, raftConfigIn(died))
	for i := range 50 {
		if rec, ok := after.Get(Key{KindSetting, fmt.Sprint("key", i)}); !ok || string(rec.Value.([]byte)) != "2" {
			t.Fatalf("key%d is lost: it was acknowledged before the process died", i)
		}
	}
	if n := after.Stats().OutboxDepth; n != 51 {
		t.Errorf("%d events after the restart, wanted 51", n)
	}
}

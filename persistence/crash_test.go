// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ferrite/node"
	"ferrite/persistence"
)

const crashDir = "FERRITE_PERSISTENCE_CRASH_DIR"

// TestMain runs the writer of TestKill when it is asked to, and sees that every store has ended with all its goroutines.
func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		crashWriter(dir)
	}
	goleak.VerifyTestMain(m)
}

const crashWriters = 64

func crashNode(w, i int) *node.Node {
	return &node.Node{
		UUID: fmt.Sprintf("22222222-0000-4000-8000-%012d", w), Name: fmt.Sprintf("w%d-%d", w, i),
		Extra: map[string]any{"i": float64(i), "pad": strings.Repeat("x", 100*(w%20))},
	}
}

// crashTx writes a node, its shadow and an event, all with the number i; a reader can tell half of it from the whole.
func crashTx(w, i int, rev, shadow node.Rev) persistence.Tx {
	n := crashNode(w, i)
	k := persistence.Key{Kind: persistence.KindNode, ID: n.UUID}
	s := persistence.Key{Kind: persistence.KindSetting, ID: fmt.Sprintf("shadow-%d", w)}
	h := persistence.Key{Kind: persistence.KindHistory, ID: fmt.Sprintf("%s/%08d", n.UUID, i)}
	return persistence.Tx{
		If: []persistence.Cond{{Key: k, Rev: rev}, {Key: s, Rev: shadow}, {Key: h}},
		Put: []persistence.Put{
			{Key: k, Value: n, Uniq: []string{"name/" + n.Name}},
			{Key: s, Value: []byte(n.Name)},
			{Key: h, Value: &node.Entry{Event: n.Name}},
		},
		Events: []persistence.Event{{Subject: n.Name, Node: n.UUID, Body: []byte(strings.Repeat("e", 50*(i%40)))}},
	}
}

// crashWriter commits for ever and prints each acknowledged write: writer, number, revision.
func crashWriter(dir string) {
	s, err := persistence.Open(testConfig(dir))
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var mu sync.Mutex
	for w := range crashWriters {
		go func() {
			n, _ := s.Node(crashNode(w, 0).UUID)
			i, rev := 0, node.Rev(0)
			if n != nil {
				i, rev = int(n.Extra["i"].(float64))+1, n.Rev
			}
			for ; ; i++ {
				next, err := s.Commit(context.Background(), crashTx(w, i, rev, rev))
				if err != nil {
					fmt.Println("error", err)
					os.Exit(1)
				}
				rev = next
				mu.Lock()
				fmt.Println("ack", w, i, rev)
				mu.Unlock()
			}
		}()
	}
	select {}
}

// TestKill kills a store with 64 writers at random points: every acknowledged write is there, none is half there, and
// the events are complete and in order.
func TestKill(t *testing.T) {
	rounds := 5
	if testing.Short() {
		rounds = 2
	}
	dir := t.TempDir()
	acked := map[int]int{}      // writer -> its newest acknowledged number
	at := map[string]node.Rev{} // write -> revision
	for round := range rounds {
		crashRound(t, dir, 100+rand.IntN(1500), acked, at)
		s, err := persistence.Open(testConfig(dir))
		if err != nil {
			t.Fatalf("round %d: Open after the kill: %v", round, err)
		}
		checkCrashed(t, s, acked, at)
		if err := s.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	t.Logf("%d acknowledged writes checked", len(at))
}

// crashRound runs the writer until it has acknowledged so many writes, kills it, and notes all that it said.
func crashRound(t *testing.T, dir string, writes int, acked map[int]int, at map[string]node.Rev) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	guard := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer guard.Stop()
	seen := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var w, i int
		var rev node.Rev
		if _, err := fmt.Sscanf(lines.Text(), "ack %d %d %d", &w, &i, &rev); err != nil {
			if strings.HasPrefix(lines.Text(), "error") {
				t.Fatalf("the writer says: %s", lines.Text())
			}
			continue // the line in which it died
		}
		acked[w] = max(acked[w], i+1)
		at[fmt.Sprintf("w%d-%d", w, i)] = rev
		if seen++; seen == writes {
			_ = cmd.Process.Kill()
		}
	}
	_ = cmd.Wait()
	if seen < writes {
		t.Fatalf("the writer ended after %d of %d writes", seen, writes)
	}
}

func checkCrashed(t *testing.T, s *persistence.Raft, acked map[int]int, at map[string]node.Rev) {
	t.Helper()
	written := map[string]node.Rev{} // by the events
	prev := persistence.Outgoing{Index: -1}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for len(written) < s.Stats().OutboxDepth {
		list, err := s.Outbox(ctx, prev.Rev, prev.Index, 500)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range list {
			if o.Rev <= prev.Rev {
				t.Fatalf("event of revision %d after %d", o.Rev, prev.Rev)
			}
			written[o.Subject] = o.Rev
			prev = o
		}
	}
	for name, rev := range at {
		if written[name] != rev {
			t.Errorf("%s was acknowledged at %d, its event is at %d", name, rev, written[name])
		}
	}
	for w := range crashWriters {
		n, ok := s.Node(crashNode(w, 0).UUID)
		if !ok {
			if acked[w] > 0 {
				t.Errorf("writer %d: nothing there, %d acknowledged", w, acked[w])
			}
			continue
		}
		i := int(n.Extra["i"].(float64))
		shadow, _ := s.Get(persistence.Key{Kind: persistence.KindSetting, ID: fmt.Sprintf("shadow-%d", w)})
		var history []string
		s.Scan(persistence.KindHistory, n.UUID+"/", func(r persistence.Record) bool {
			history = append(history, r.Value.(*node.Entry).Event)
			return true
		})
		var want []string
		for j := range i + 1 {
			want = append(want, fmt.Sprintf("w%d-%d", w, j))
			if _, ok := written[want[j]]; !ok {
				t.Errorf("%s has no event", want[j])
			}
		}
		holder, _ := s.Holder("name/" + n.Name)
		switch {
		case i+1 < acked[w]:
			t.Errorf("writer %d: at %d, but %d was acknowledged", w, i, acked[w]-1)
		case string(shadow.Value.([]byte)) != n.Name || shadow.Rev != n.Rev || written[n.Name] != n.Rev:
			t.Errorf("half a transaction: node %s at %d, shadow %s at %d, event at %d", n.Name, n.Rev, shadow.Value, shadow.Rev, written[n.Name])
		case !slices.Equal(history, want):
			t.Errorf("writer %d: %d history entries, wanted %d", w, len(history), len(want))
		case holder.ID != n.UUID:
			t.Errorf("%s is held by %v", n.Name, holder)
		}
	}
}

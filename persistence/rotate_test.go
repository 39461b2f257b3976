// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ferrite/node"
)

// rotated waits for the end of a rotation.
func rotated(t *testing.T, s *Raft) {
	t.Helper()
	for end := time.Now().Add(time.Minute); s.Rotation().From != ""; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the rotation does not end: %+v", s.Rotation())
		}
	}
}

// L3: under a running load everything comes to be sealed with the new key; records that nobody writes keep their
// revision, nobody hears of it, and the old key opens nothing any more.
func TestRotate(t *testing.T) {
	dir := t.TempDir()
	s := filled(t, dir, 150)
	still, _ := s.Node("44444444-0000-4000-8000-000000000100")
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	var writes, conflicts atomic.Int64
	for w := range 4 {
		writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				n, _ := s.Node(fmt.Sprintf("44444444-0000-4000-8000-%012d", w*10+i%10))
				next := n.Clone()
				next.Description = fmt.Sprint(i)
				k := Key{KindNode, n.UUID}
				_, err := s.Commit(context.WithoutCancel(ctx), Tx{If: []Cond{{Key: k, Rev: n.Rev}}, Put: []Put{{Key: k, Value: next, Uniq: []string{"name/" + n.Name}}}})
				var c *Conflict
				if errors.As(err, &c) {
					conflicts.Add(1)
				} else if err != nil {
					t.Errorf("a write during the rotation: %v", err)
					return
				}
				writes.Add(1)
			}
		})
	}
	watch := s.Watch(t.Context(), s.Applied())
	defer watch.Close()
	var kept []byte
	s.cfg.KeepKey = func(key []byte) error { kept = key; return nil }
	if err := s.Rotate(goldenKey); err == nil || !strings.Contains(err.Error(), "is the present one") {
		t.Errorf("rotating to the same key: %v", err)
	}
	if err := s.Rotate(otherKey); err != nil {
		t.Fatal(err)
	}
	rotated(t, s)
	stop()
	writers.Wait()
	if conflicts.Load() > 0 || writes.Load() == 0 {
		t.Errorf("%d writes, %d of them in conflict: nobody else changed a node", writes.Load(), conflicts.Load())
	}
	if now, _ := s.Node(still.UUID); now.Rev != still.Rev {
		t.Errorf("a node that nobody wrote went from revision %d to %d", still.Rev, now.Rev)
	}
	changes, err := watch.Next()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		if c.Key.ID == still.UUID {
			t.Error("a watcher was told of a record that did not change")
		}
	}
	was, is := keyedMark+FingerprintOf(t, goldenKey), keyedMark+FingerprintOf(t, otherKey)
	if data := backupOf(t, s); bytes.Contains(data, []byte(was)) || bytes.Count(data, []byte(is)) != 150 {
		t.Errorf("of 150 secrets %d are sealed with the old key, %d with the new one", bytes.Count(data, []byte(was)), bytes.Count(data, []byte(is)))
	}
	if !bytes.Equal(kept, otherKey) {
		t.Error("the new key was not kept")
	}
	if files := FilesHolding(t, filepath.Join(dir, "snapshots"), was); len(files) > 0 {
		t.Errorf("snapshots that need the old key: %v", files)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := Open(Config{Dir: dir, Name: "c1", Key: goldenKey}); !errors.Is(err, errWrongKey) || !strings.Contains(err.Error(), FingerprintOf(t, otherKey)) {
		t.Fatalf("opened with the old key: %v, %v", n, err)
	}
	checkSecrets(t, dir, otherKey, 150)
}

func checkSecrets(t *testing.T, dir string, key []byte, nodes int) {
	t.Helper()
	s, err := Open(Config{Dir: dir, Name: "c1", Key: key})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rotated(t, s)
	for i := range nodes {
		n, ok := s.Node(fmt.Sprintf("44444444-0000-4000-8000-%012d", i))
		if !ok || n.DriverInfo["ipmi_password"] != secretOf(i) {
			t.Fatalf("node %d has the secret %v", i, n.DriverInfo["ipmi_password"])
		}
	}
	if s.Len(KindNode) != nodes {
		t.Errorf("%d nodes, wanted %d", s.Len(KindNode), nodes)
	}
}

// A process that dies in the middle goes on at its next start, whichever of the two keys that one is given.
func TestRotateGoesOn(t *testing.T) {
	third := bytes.Repeat([]byte{44}, KeySize)
	for name, key := range map[string][]byte{"old": goldenKey, "new": otherKey} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := filled(t, dir, 20)
			asked := make(chan struct{}, 100)
			s.cfg.KeepKey = func([]byte) error { asked <- struct{}{}; return errors.New("the disk is read-only") }
			if err := s.Rotate(otherKey); err != nil {
				t.Fatal(err)
			}
			<-asked
			if err := s.Rotate(third); !errors.Is(err, ErrRotating) {
				t.Errorf("a second rotation: %v", err)
			}
			end := time.Now().Add(time.Minute)
			for s.Rotation().Problem == "" && time.Now().Before(end) {
				time.Sleep(time.Millisecond)
			}
			if r := s.Rotation(); r.From != FingerprintOf(t, goldenKey) || r.Current != FingerprintOf(t, otherKey) || !strings.Contains(r.Problem, "read-only") {
				t.Errorf("the rotation tells %+v", r)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if n, err := Open(Config{Dir: dir, Name: "c1", Key: third}); !errors.Is(err, errWrongKey) || !strings.Contains(err.Error(), FingerprintOf(t, goldenKey)+" or "+FingerprintOf(t, otherKey)) {
				t.Fatalf("opened with a third key: %v, %v", n, err)
			}
			if r, err := CheckDir(dir, [][]byte{key}, nil); err != nil || r.Err() != nil || !r.Opened {
				t.Errorf("CheckDir in the middle: %+v, %v", r, err)
			}
			checkSecrets(t, dir, key, 20)
			if _, err := os.Stat(folder(dir).rotation()); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("key.rotation is still there: %v", err)
			}
			checkSecrets(t, dir, otherKey, 20)
		})
	}
}

// A record that was written after it was read for sealing anew keeps what was written.
func TestResealPassesChanges(t *testing.T) {
	r := goldenReplica(t)
	k := Key{KindNode, "u"}
	put := func(rev node.Rev, e *entry) {
		if out := r.apply([]logEntry{{rev: rev, data: e.encode()}})[0]; out.err != nil {
			t.Fatal(out.err)
		}
	}
	write := func(rev, was node.Rev, pw string) *entry {
		e, err := r.codec.prepare(Tx{If: []Cond{{Key: k, Rev: was}}, Put: []Put{{Key: k, Value: &node.Node{UUID: "u", DriverInfo: map[string]any{"ipmi_password": pw}}}}})
		if err != nil {
			t.Fatal(err)
		}
		put(rev, e)
		return e
	}
	first := write(1, 0, "one")
	write(2, 1, "two")
	late := &entry{reseal: true, conds: []Cond{{Key: k, Rev: 1}}, puts: first.puts}
	put(3, late)
	l, err := r.load(r.store.kv)
	if err != nil {
		t.Fatal(err)
	}
	got := l.x.recs[k]
	if n := got.value.(*node.Node); n.DriverInfo["ipmi_password"] != "two" || got.rev != 2 {
		t.Errorf("the storage holds %v of revision %d, wanted what was written at 2", n.DriverInfo, got.rev)
	}
	if back, err := decodeEntry(late.encode()); err != nil || !back.reseal || len(back.puts) != 1 || late.encode()[0] != 2 || first.encode()[0] != 1 {
		t.Errorf("an entry that seals anew comes back as %+v, %v", back, err)
	}
}

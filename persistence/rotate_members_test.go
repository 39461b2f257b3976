// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ferrite/node"
	"ferrite/persistence"
)

var (
	newKey   = bytes.Repeat([]byte{77}, persistence.KeySize)
	thirdKey = bytes.Repeat([]byte{78}, persistence.KeySize)
)

// joinWith is join with these cluster keys, the first the one that Config.Key is.
func (c *crowd) joinWith(name string, bootstrap bool, keys ...[]byte) *persistence.Raft {
	c.t.Helper()
	s, err := persistence.Open(c.withKeys(name, bootstrap, keys...))
	if err != nil {
		c.t.Fatalf("%s: %v\n%s", name, err, c.logs)
	}
	c.t.Cleanup(func() { _ = s.Close() })
	c.mu.Lock()
	c.of[name] = s
	c.mu.Unlock()
	return s
}

func (c *crowd) withKeys(name string, bootstrap bool, keys ...[]byte) persistence.Config {
	cfg := c.config(name, bootstrap)
	cfg.Key, cfg.Keys = keys[0], keys[1:]
	return cfg
}

func (c *crowd) threeWith(keys ...[]byte) []*persistence.Raft {
	c.t.Helper()
	all := []*persistence.Raft{c.joinWith("c1", true, keys...), c.joinWith("c2", false, keys...), c.joinWith("c3", false, keys...)}
	c.voters("c1", "c2", "c3")
	return all
}

// phase waits until each of them says so of its rotation, "" = there is none.
func (c *crowd) phase(want string, all ...*persistence.Raft) {
	c.t.Helper()
	c.eventually("the phase is "+want, func() bool {
		return !slices.ContainsFunc(all, func(s *persistence.Raft) bool { return s.Rotation().Phase != want })
	})
}

func secretNode(i int, password string) *node.Node {
	uuid := fmt.Sprintf("55555555-0000-4000-8000-%012d", i)
	return &node.Node{UUID: uuid, DriverInfo: map[string]any{"ipmi_password": password}}
}

func putNode(n *node.Node, rev node.Rev) persistence.Tx {
	k := persistence.Key{Kind: persistence.KindNode, ID: n.UUID}
	return persistence.Tx{If: []persistence.Cond{{Key: k, Rev: rev}}, Put: []persistence.Put{{Key: k, Value: n}}}
}

// sealedBy counts the secrets in a store's state that a key has sealed.
func sealedBy(t *testing.T, s *persistence.Raft, key []byte) int {
	t.Helper()
	var b bytes.Buffer
	if _, err := s.Backup(&b); err != nil {
		t.Fatal(err)
	}
	return bytes.Count(b.Bytes(), []byte("ferrite-sealed:2:"+persistence.FingerprintOf(t, key)))
}

// L3: the key of several members is replaced while all of them write: no write is refused, no record that nobody writes gets
// another revision, and at the end the old key opens nothing and is known to nobody.
func TestRotateTogether(t *testing.T) {
	c := newCrowd(t)
	var mu sync.Mutex
	told, dropped := map[string][][]byte{}, map[string][]byte{}
	var all []*persistence.Raft
	for i, name := range []string{"c1", "c2", "c3"} {
		cfg := c.withKeys(name, i == 0, testKey, newKey)
		cfg.KeysChanged = func(keys [][]byte) { mu.Lock(); defer mu.Unlock(); told[name] = keys }
		cfg.DropKey = func(old, key []byte) {
			mu.Lock()
			defer mu.Unlock()
			if bytes.Equal(key, newKey) {
				dropped[name] = old
			}
		}
		s, err := persistence.Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		c.mu.Lock()
		c.of[name] = s
		c.mu.Unlock()
		all = append(all, s)
	}
	c.voters("c1", "c2", "c3")
	const quiet, busy = 100, 9
	revs := map[string]node.Rev{}
	for i := range quiet {
		n := secretNode(i, fmt.Sprint("quiet-", i))
		revs[n.UUID] = c.commit(all[i%3], putNode(n, 0))
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var writers sync.WaitGroup
	var writes atomic.Int64
	for w := range busy {
		writers.Go(func() {
			s, rev := all[w%3], node.Rev(0)
			for i := 0; ctx.Err() == nil; i++ {
				patience, cancel := context.WithTimeout(t.Context(), 60*time.Second)
				next, err := s.Commit(patience, putNode(secretNode(1000+w, fmt.Sprint("busy-", i)), rev))
				cancel()
				if errors.Is(err, persistence.ErrNoQuorum) || errors.Is(err, persistence.ErrUnknown) { // an election: clients try again
					r, _ := s.Get(persistence.Key{Kind: persistence.KindNode, ID: secretNode(1000+w, "").UUID})
					rev = r.Rev
					continue
				}
				if err != nil {
					t.Errorf("a write during the rotation: %v", err)
					return
				}
				rev = next
				writes.Add(1)
			}
		})
	}
	until := func(more int) {
		t.Helper()
		was := writes.Load()
		c.eventually("the writers go on", func() bool { return writes.Load() >= was+int64(more) })
	}
	until(30)
	if err := all[2].RotateTogether(t.Context(), ""); err != nil { // it does not lead
		t.Fatal(err)
	}
	c.phase(persistence.TurnSealed, all...)
	until(30)
	was, is := persistence.FingerprintOf(t, testKey), persistence.FingerprintOf(t, newKey)
	for _, s := range all {
		if n := sealedBy(t, s, testKey); n != 0 {
			t.Errorf("%d secrets are sealed with the old key", n)
		}
		if r := s.Rotation(); r.From != was || r.To != is || r.Current != is || !slices.Equal(r.Keys, []string{is, was}) {
			t.Errorf("the rotation tells %+v", r)
		}
	}
	if err := all[0].RotateTogether(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "ferrite secrets drop") {
		t.Errorf("a second rotation before the end of the first one: %v", err)
	}
	if err := all[1].DropOldKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.phase("", all...)
	until(30)
	stop()
	writers.Wait()
	for i, s := range all {
		if got := s.Rotation().Keys; !slices.Equal(got, []string{is}) {
			t.Errorf("member %d still knows %v", i, got)
		}
		for uuid, rev := range revs {
			if n, ok := s.Node(uuid); !ok || n.Rev != rev {
				t.Fatalf("node %s, which nobody wrote, has another revision", uuid)
			}
		}
	}
	if err := all[0].DropOldKey(t.Context()); err == nil || !strings.Contains(err.Error(), "no key is to be dropped") {
		t.Errorf("dropping when there is nothing to drop: %v", err)
	}
	c4 := c.joinWith("c4", false, newKey) // what it gets needs the new key alone
	if n, _ := c4.Node(secretNode(7, "").UUID); n == nil || n.DriverInfo["ipmi_password"] != "quiet-7" {
		t.Errorf("a newcomer reads %v", n)
	}
	c.leave("c4")
	mu.Lock()
	for _, name := range []string{"c1", "c2", "c3"} {
		if !bytes.Equal(dropped[name], testKey) || len(told[name]) != 1 || !bytes.Equal(told[name][0], newKey) {
			t.Errorf("%s was told of the keys %d, and to drop %d bytes", name, len(told[name]), len(dropped[name]))
		}
	}
	mu.Unlock()
	for i, name := range []string{"c3", "c2", "c1"} {
		c.leave(name)
		dir := c.dirs[name]
		if files := persistence.FilesHolding(t, filepath.Join(dir, "snapshots"), "ferrite-sealed:2:"+was); len(files) > 0 {
			t.Errorf("snapshots that need the old key: %v", files)
		}
		if r, err := persistence.CheckDir(dir, [][]byte{newKey}, nil); err != nil || r.Err() != nil || r.Secrets < quiet {
			t.Errorf("%s's folder with the new key alone: %+v, %v", name, r, err)
		}
		if _, err := persistence.KeysFor(dir, [][]byte{testKey}); err == nil || !strings.Contains(err.Error(), is) || !strings.Contains(err.Error(), was) {
			t.Errorf("%s's folder with the old key: %v", name, err)
		}
		if i == 0 { // with two of three there is a log
			s := c.joinWith(name, false, newKey)
			if n, _ := s.Node(secretNode(7, "").UUID); n == nil || n.DriverInfo["ipmi_password"] != "quiet-7" {
				t.Errorf("a member with the new key alone reads %v", n)
			}
			c.leave(name)
		}
	}
}

// Each reason not to begin is told with what is to be done.
func TestRotateTogetherRefuses(t *testing.T) {
	c := newCrowd(t)
	all := c.threeWith(testKey)
	is := persistence.FingerprintOf(t, newKey)
	refused := func(err error, words ...string) {
		t.Helper()
		for _, w := range words {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%v, wanted %q in it", err, w)
			}
		}
		if _, ok := all[0].Get(persistence.Key{Kind: persistence.KindSetting, ID: "cluster_key_rotation"}); ok {
			t.Fatal("a refused rotation has begun")
		}
	}
	rotate := func(s *persistence.Raft, to string) error { return s.RotateTogether(t.Context(), to) }
	refused(rotate(all[0], ""), "no other key", "ferrite cluster key", "reload")
	refused(rotate(all[0], persistence.FingerprintOf(t, testKey)), "is the present one")
	refused(rotate(all[0], is), "not known here", "reload")
	if err := all[0].Rotate(newKey); err == nil {
		t.Error("one of several rotated alone")
	}
	set := func(s *persistence.Raft, keys ...[]byte) {
		t.Helper()
		if err := s.SetKeys(keys); err != nil {
			t.Fatal(err)
		}
	}
	set(all[0], testKey, newKey)
	refused(rotate(all[0], ""), "not known to c2, c3", is, "reload")
	set(all[1], testKey, newKey)
	set(all[2], testKey, newKey, thirdKey)
	refused(rotate(all[2], ""), "several other keys", is, persistence.FingerprintOf(t, thirdKey))
	refused(all[0].DropOldKey(t.Context()), "no key is to be dropped")
	refused(all[0].SetKeys([][]byte{newKey}), persistence.FingerprintOf(t, testKey), "put it back", "ferrite secrets rotate")
	// A newcomer that would seal with another key than the others is not taken in: nobody has to know that key.
	if s, err := persistence.Open(c.withKeys("c4", false, newKey, testKey)); err == nil || !strings.Contains(err.Error(), "put "+persistence.FingerprintOf(t, testKey)+" first") {
		t.Errorf("a newcomer with the other key first: %v, %v", s, err)
	}
	c.mu.Lock()
	delete(c.live, "c4")
	c.mu.Unlock()
	c.leave("c3")
	refused(rotate(all[0], ""), "c3 does not answer", "start it", "ferrite cluster evict c3")
}

// A member that cannot take part holds the rotation up, and says what it needs; nothing is sealed with a key that not all have.
// Who was away in the middle comes back with either key; who is away may not be forgotten when the old key is dropped.
func TestRotateTogetherGoesOn(t *testing.T) {
	c := newCrowd(t)
	all := c.threeWith(testKey, newKey)
	is, was := persistence.FingerprintOf(t, newKey), persistence.FingerprintOf(t, testKey)
	for i := range 10 {
		c.commit(all[0], putNode(secretNode(i, "x"), 0))
	}
	if err := all[2].SetKeys([][]byte{testKey}); err != nil { // after it has said that it knows the key
		t.Fatal(err)
	}
	c.commit(all[0], putSetting("cluster_key_rotation", fmt.Sprintf(`{"Format":1,"From":%q,"To":%q,"Phase":"keeping"}`, was, is), 0))
	c.eventually("the leader says whom it waits for", func() bool {
		p := all[0].Rotation().Problem
		return strings.Contains(p, "c3 does not know") && strings.Contains(p, is) && strings.Contains(p, "reload")
	})
	c.commit(all[1], putNode(secretNode(100, "x"), 0))
	for _, s := range all {
		if n := sealedBy(t, s, newKey); n > 0 || s.Rotation().Current != was {
			t.Errorf("%d records are sealed with a key that not all know: %+v", n, s.Rotation())
		}
	}
	if err := all[1].RotateTogether(t.Context(), ""); !errors.Is(err, persistence.ErrRotating) {
		t.Errorf("a second rotation: %v", err)
	}
	if err := all[1].DropOldKey(t.Context()); err == nil || !strings.Contains(err.Error(), "still needed") {
		t.Errorf("dropping in the middle: %v", err)
	}
	if err := all[2].SetKeys([][]byte{testKey, newKey}); err != nil {
		t.Fatal(err)
	}
	c.phase(persistence.TurnSealed, all...)
	if err := all[0].SetKeys([][]byte{newKey}); err == nil || !strings.Contains(err.Error(), was) {
		t.Errorf("the old key taken out of the file before it is dropped: %v", err)
	}
	c.leave("c3")
	if err := all[0].DropOldKey(t.Context()); err == nil || !strings.Contains(err.Error(), "c3 does not answer") {
		t.Errorf("dropping while a member is away: %v", err)
	}
	c.commit(all[0], putNode(secretNode(101, "x"), 0))
	if s, err := persistence.Open(c.withKeys("c3", false, thirdKey)); err == nil || !strings.Contains(err.Error(), was+" or "+is) {
		t.Fatalf("opened with a third key: %v, %v", s, err)
	}
	c3 := c.joinWith("c3", false, testKey)
	if r := c3.Rotation(); r.Current != is || !slices.Contains(r.Keys, was) {
		t.Errorf("back with the old key alone it has %+v", r)
	}
	c.leave("c3")
	c3 = c.joinWith("c3", false, newKey)
	if n, _ := c3.Node(secretNode(101, "").UUID); n == nil {
		t.Error("back with the new key alone it has missed a write")
	}
	if s, err := persistence.Open(c.withKeys("c4", false, newKey)); err == nil || !strings.Contains(err.Error(), "give it both") {
		t.Errorf("a newcomer with one of the two keys: %v, %v", s, err)
	}
	c.mu.Lock()
	delete(c.live, "c4")
	c.mu.Unlock()
	c.leave("c1") // it led the log; its rotation goes on without it as soon as it is back
	c.eventually("another one leads", func() bool { leader, _, _ := c3.Role(); return leader == "c2" || leader == "c3" })
	c1 := c.joinWith("c1", false, testKey, newKey)
	all = []*persistence.Raft{c1, all[1], c3}
	var err error
	c.eventually("all may drop", func() bool { err = c1.DropOldKey(t.Context()); return err == nil })
	c.phase("", all...)
	for _, s := range all {
		if got := s.Rotation().Keys; !slices.Equal(got, []string{is}) {
			t.Errorf("%v are known at the end", got)
		}
		if n := sealedBy(t, s, newKey); n != 12 {
			t.Errorf("%d of 12 secrets are sealed with the new key", n)
		}
	}
	// Who has only the old key is refused by both sides.
	s, err := persistence.Open(func() persistence.Config {
		cfg := c.withKeys("c5", false, testKey)
		stop := make(chan struct{})
		cfg.Net.Stop = stop
		go func() {
			c.eventually("it is refused", func() bool { return strings.Contains(c.logs.String(), "c5 that with fingerprint "+was) })
			close(stop)
		}()
		return cfg
	}())
	if err == nil {
		t.Errorf("a member with the old key joined: %v", s)
	}
	for _, side := range []string{"me=c5", "me=c2"} {
		if !slices.ContainsFunc(strings.Split(c.logs.String(), "\n"), func(line string) bool {
			return strings.Contains(line, side) && strings.Contains(line, "fingerprint "+was) && strings.Contains(line, is)
		}) {
			t.Errorf("%s did not say which keys differ", side)
		}
	}
}

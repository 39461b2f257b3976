// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ferrite/node"
	"ferrite/persistence"
	"ferrite/persistence/storetest"
)

// crowd is members of one log on loopback, with a gossip that the test decides.
type crowd struct {
	t    *testing.T
	logs *logs

	mu   sync.Mutex // guards below
	at   map[string]string
	live map[string]bool
	of   map[string]*persistence.Raft
	dirs map[string]string
}

// logs keeps what members log, for tests that look for a line.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newCrowd(t *testing.T) *crowd {
	return &crowd{t: t, logs: &logs{}, at: map[string]string{}, live: map[string]bool{}, of: map[string]*persistence.Raft{}, dirs: map[string]string{}}
}

func (c *crowd) address(name string) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.at[name]
	return at, ok && c.live[name]
}

func (c *crowd) names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.live))
}

func (c *crowd) config(name string, bootstrap bool) persistence.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dirs[name] == "" {
		c.dirs[name] = c.t.TempDir()
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	c.at[name], c.live[name] = ln.Addr().String(), true
	return persistence.Config{
		Dir: c.dirs[name], Name: name, Key: testKey, Logger: slog.New(slog.NewTextHandler(c.logs, nil)).With("me", name),
		Net: &persistence.Net{Listener: ln, Address: c.address, Live: c.names, Bootstrap: bootstrap, Grace: time.Second, Patience: time.Second},
	}
}

func (c *crowd) join(name string, bootstrap bool) *persistence.Raft {
	c.t.Helper()
	s, err := persistence.Open(c.config(name, bootstrap))
	if err != nil {
		c.t.Fatalf("%s: %v\n%s", name, err, c.logs)
	}
	c.t.Cleanup(func() { _ = s.Close() })
	c.mu.Lock()
	c.of[name] = s
	c.mu.Unlock()
	return s
}

// leave stops a member; the others see that it is gone.
func (c *crowd) leave(name string) {
	c.mu.Lock()
	s := c.of[name]
	delete(c.live, name)
	delete(c.of, name)
	c.mu.Unlock()
	_ = s.Close()
}

func (c *crowd) three() (a, b, d *persistence.Raft) {
	a = c.join("c1", true)
	b, d = c.join("c2", false), c.join("c3", false)
	c.voters("c1", "c2", "c3")
	return a, b, d
}

// voters waits until these vote and nobody else.
func (c *crowd) voters(names ...string) {
	c.t.Helper()
	c.eventually(fmt.Sprintf("voters are %v", names), func() bool {
		c.mu.Lock()
		all := slices.Collect(maps.Values(c.of))
		c.mu.Unlock()
		for _, s := range all {
			var got []string
			for _, m := range s.Members(c.t.Context()) {
				if m.Voter {
					got = append(got, m.Name)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, names) {
				return false
			}
		}
		return true
	})
}

func (c *crowd) eventually(what string, ok func() bool) {
	c.t.Helper()
	for end := time.Now().Add(60 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("never: %s\n%s", what, c.logs)
		}
	}
}

func putSetting(id, value string, rev node.Rev) persistence.Tx {
	key := persistence.Key{Kind: persistence.KindSetting, ID: id}
	return persistence.Tx{If: []persistence.Cond{{Key: key, Rev: rev}}, Put: []persistence.Put{{Key: key, Value: []byte(value)}}}
}

// commit writes a setting, again and again while there is no leader, and when one was lost meanwhile.
func (c *crowd) commit(s *persistence.Raft, tx persistence.Tx) node.Rev {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 60*time.Second)
	defer cancel()
	for tries := 1; ; tries++ {
		rev, err := s.Commit(ctx, tx)
		var conflict *persistence.Conflict
		switch {
		case err == nil:
			return rev
		case tries > 1 && asConflict(err, &conflict) && conflict.Cur.Value != nil && bytes.Equal(conflict.Cur.Value.([]byte), tx.Put[0].Value.([]byte)):
			return conflict.Cur.Rev // an unknown one was written after all
		case ctx.Err() != nil || !errors.Is(err, persistence.ErrUnknown) && !errors.Is(err, persistence.ErrNoQuorum):
			c.t.Fatalf("commit: %v\n%s", err, c.logs)
		}
	}
}

func settingOf(s persistence.Store, id string) string {
	r, _ := s.Get(persistence.Key{Kind: persistence.KindSetting, ID: id})
	b, _ := r.Value.([]byte)
	return string(b)
}

// A member that does not lead keeps the store's whole contract.
func TestFollowerConforms(t *testing.T) {
	storetest.RunFollower(t, func(t *testing.T) persistence.Store {
		c := newCrowd(t)
		c.join("c1", true)
		return c.join("c2", false)
	})
}

func TestThreeMembersShareOneLog(t *testing.T) { // R1, R3
	c := newCrowd(t)
	c1, c2, c3 := c.three()
	rev := c.commit(c2, putSetting("a", "by c2", 0))
	if got := settingOf(c2, "a"); got != "by c2" {
		t.Errorf("c2 does not read its own write: %q", got)
	}
	for _, s := range []*persistence.Raft{c1, c3} {
		if _, err := s.ReadIndex(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := settingOf(s, "a"); got != "by c2" {
			t.Errorf("after a read index another member reads %q", got)
		}
	}
	var conflict *persistence.Conflict
	c.eventually("a stale write through a follower is refused", func() bool { // not by want of a leader, which a busy machine may bring
		_, err := c3.Commit(t.Context(), putSetting("a", "late", 0))
		if err == nil {
			t.Fatal("a stale write was made")
		}
		return asConflict(err, &conflict)
	})
	if conflict.Cur.Rev != rev || string(conflict.Cur.Value.([]byte)) != "by c2" {
		t.Errorf("a stale write through a follower: %+v", conflict)
	}
	all := map[string]*persistence.Raft{"c1": c1, "c2": c2, "c3": c3}
	c.eventually("all vote, one leads, and all say so", func() bool {
		names, leaders := map[string]bool{}, 0
		for name, s := range all {
			leader, voter, leads := s.Role()
			if names[leader] = true; !voter || leads != (leader == name) {
				return false
			}
			if leads {
				leaders++
			}
		}
		return len(names) == 1 && leaders == 1
	})
}

func asConflict(err error, to **persistence.Conflict) bool {
	x, ok := err.(*persistence.Conflict) //nolint:errorlint // the store returns it bare
	*to = x
	return ok
}

func TestTheLogGoesOnWithoutItsLeader(t *testing.T) {
	c := newCrowd(t)
	_, c2, c3 := c.three()
	rev := c.commit(c3, putSetting("a", "1", 0))
	c.leave("c1")
	rev = c.commit(c2, putSetting("a", "2", rev))
	c.commit(c3, putSetting("a", "3", rev))
	back := c.join("c1", false)
	if got := settingOf(back, "a"); got != "3" {
		t.Errorf("who comes back reads %q", got)
	}
}

// Many writers of all members, while the leader changes: each acknowledged write is there once.
func TestWritesSurviveElections(t *testing.T) {
	c := newCrowd(t)
	c1, c2, c3 := c.three()
	stores := []*persistence.Raft{c1, c2, c3}
	const writers, each = 12, 30
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			s, rev := stores[w%3], node.Rev(0)
			for i := 0; i < each; {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				next, err := s.Commit(ctx, putSetting(fmt.Sprint(w), fmt.Sprint(i), rev))
				cancel()
				var conflict *persistence.Conflict
				switch {
				case err == nil:
					rev = next
					i++
				case asConflict(err, &conflict): // an unknown one was written after all
					if string(conflict.Cur.Value.([]byte)) != fmt.Sprint(i) {
						t.Errorf("writer %d finds %s, wanted %d", w, conflict.Cur.Value, i)
						return
					}
					rev = conflict.Cur.Rev
					i++
				case t.Context().Err() != nil:
					return
				}
			}
		})
	}
	for range 4 {
		for _, s := range stores {
			if _, _, leads := s.Role(); leads {
				_ = s.Yield()
				break
			}
		}
		time.Sleep(100 * time.Millisecond) // the writers go on meanwhile
	}
	wg.Wait()
	for _, s := range stores {
		if _, err := s.ReadIndex(t.Context()); err != nil {
			t.Fatal(err)
		}
		for w := range writers {
			if got := settingOf(s, fmt.Sprint(w)); got != fmt.Sprint(each-1) {
				t.Errorf("register %d is %q", w, got)
			}
		}
	}
}

func TestTwoMembersHaveOneVoter(t *testing.T) { // L5
	c := newCrowd(t)
	c1, _ := c.join("c1", true), c.join("c2", false)
	c.voters("c1")
	c.leave("c2")
	c.commit(c1, putSetting("a", "1", 0)) // the voter alone is a quorum
}

// Members that take connections and say nothing are asked at once, not one after another: the last of them and whoever joins would
// wait for all of them.
func TestTheSilentAreAskedAtOnce(t *testing.T) {
	c := newCrowd(t)
	c.join("c1", true)
	var open, most atomic.Int32
	for i := range 3 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ln.Close() })
		go func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				go func() {
					defer open.Add(-1)
					if n := open.Add(1); n > most.Load() {
						most.Store(n)
					}
					_, _ = io.Copy(io.Discard, conn)
					_ = conn.Close()
				}()
			}
		}()
		name := fmt.Sprint("mute", i)
		c.mu.Lock()
		c.at[name], c.live[name] = ln.Addr().String(), true
		c.mu.Unlock()
	}
	c.eventually("all three are being asked", func() bool { return most.Load() >= 3 })
	c.mu.Lock()
	maps.DeleteFunc(c.live, func(name string, _ bool) bool { return name != "c1" })
	c.mu.Unlock()
}

// The only voter that ends gives its vote away, so that the other one goes on; it comes back without one, and may get it again.
func TestTheOnlyVoterGivesItsVoteAway(t *testing.T) { // L5
	c := newCrowd(t)
	c1, c2 := c.join("c1", true), c.join("c2", false)
	c.voters("c1")
	rev := c.commit(c1, putSetting("a", "0", 0))
	for i, pair := range [][2]string{{"c1", "c2"}, {"c2", "c1"}} {
		from, to := c1, c2
		if i == 1 {
			from, to = c2, c1
		}
		if err := from.HandOver(t.Context()); err != nil {
			t.Fatalf("%v\n%s", err, c.logs)
		}
		c.leave(pair[0])
		rev = c.commit(to, putSetting("a", pair[1], rev))
		c.voters(pair[1])
		back := c.join(pair[0], false)
		if i == 0 {
			c1 = back
		}
		c.voters(pair[1])
		c.eventually("the one that is back has what was written without it", func() bool { return settingOf(back, "a") == pair[1] })
	}
}

// With four members a dead voter's place is taken; one whose folder was lost comes back as a newcomer.
func TestADeadVoterIsReplaced(t *testing.T) {
	c := newCrowd(t)
	c.three()
	c4 := c.join("c4", false)
	c.commit(c4, putSetting("a", "1", 0))
	c.leave("c2")
	c.voters("c1", "c3", "c4")
	c.dirs["c2"] = "" // a new disk
	c2 := c.join("c2", false)
	if got := settingOf(c2, "a"); got != "1" {
		t.Errorf("the newcomer reads %q", got)
	}
	c.eventually("c2 is in the log once", func() bool {
		n := 0
		for _, m := range c4.Members(t.Context()) {
			if m.Name == "c2" {
				n++
			}
		}
		return n == 1
	})
}

// Without a quorum nothing is written, and all goes on by itself when there is one again.
func TestWithoutQuorum(t *testing.T) { // R4
	c := newCrowd(t)
	c1, _, _ := c.three()
	rev := c.commit(c1, putSetting("a", "1", 0))
	c.leave("c2")
	c.leave("c3")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := c1.ReadIndex(ctx); err == nil {
		c.eventually("c1 notices that it is alone", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			_, err := c1.ReadIndex(ctx)
			return err != nil
		})
	}
	if got := settingOf(c1, "a"); got != "1" {
		t.Errorf("the local replica has %q", got)
	}
	c.join("c3", false)
	c.commit(c1, putSetting("a", "2", rev))
}

// say is a hello of another version, as it goes over the wire.
func say(w io.Writer, text string) {
	_, _ = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...))
}

// hear reads one.
func hear(r io.Reader) string {
	var n [4]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return err.Error()
	}
	b := make([]byte, binary.BigEndian.Uint32(n[:]))
	_, err := io.ReadFull(r, b)
	return fmt.Sprint(string(b), err)
}

// Who speaks another version of the log's protocol is refused by both sides, whoever calls, and both say which is to be upgraded.
func TestAnOldVersionIsRefusedByBothSides(t *testing.T) { // L1
	c := newCrowd(t)
	c.join("c1", true)
	conn, err := net.Dial("tcp", c.at["c1"])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = conn.Write([]byte{'c'})
	say(conn, `{"Version":99,"Name":"c9"}`)
	const there = "c9 speaks version 99 of the log's protocol"
	if got := hear(conn); !strings.Contains(got, there) {
		t.Errorf("the caller hears %s", got)
	}
	c.eventually("c1 tells of the caller", func() bool {
		return strings.Contains(c.logs.String(), "a conductor is refused") && strings.Contains(c.logs.String(), there)
	})

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1))
			_ = hear(conn)
			say(conn, `{"Version":99,"Name":"c8","Refused":"c1 is too new for c8"}`)
			_ = conn.Close()
		}
	}()
	c.mu.Lock()
	c.at["c8"], c.live["c8"] = ln.Addr().String(), true
	c.mu.Unlock()
	c.eventually("c1 tells of the one that it has called", func() bool { return strings.Contains(c.logs.String(), "c1 is too new for c8") })
}

func TestForeignersAreRefused(t *testing.T) { // L3, L4
	c := newCrowd(t)
	c1 := c.join("c1", true)
	c.commit(c1, putSetting("cluster_id", "ours", 0))

	other := c.config("c2", false)
	other.Key = bytes.Repeat([]byte{9}, persistence.KeySize)
	stop := make(chan struct{})
	other.Net.Stop = stop
	ended := make(chan error, 1)
	go func() { _, err := persistence.Open(other); ended <- err }()
	c.eventually("c1 tells of the other key", func() bool { return strings.Contains(c.logs.String(), "give both the same --cluster-key-file") })
	close(stop)
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "take this conductor in") {
		t.Errorf("who has another key is told: %v", err)
	}

	c.mu.Lock()
	delete(c.live, "c2")
	c.mu.Unlock()
	b := newCrowd(t)
	b.logs = c.logs
	foreign := b.join("c3", true)
	b.commit(foreign, putSetting("cluster_id", "theirs", 0))
	c.mu.Lock()
	c.at["c3"], c.live["c3"] = b.at["c3"], true
	c.mu.Unlock()
	c.eventually("c1 tells of the other cluster", func() bool { return strings.Contains(c.logs.String(), "belongs to cluster") })
	b.commit(foreign, putSetting("a", "unharmed", 0))
	if n := len(c1.Members(t.Context())); n != 1 {
		t.Errorf("c1's log has %d members", n)
	}
}

// Most voters are lost for good: one of the others makes the log its own.
func TestRecover(t *testing.T) {
	c := newCrowd(t)
	c1, _, _ := c.three()
	c.commit(c1, putSetting("a", "1", 0))
	for _, name := range []string{"c1", "c2", "c3"} {
		c.leave(name)
	}
	if err := persistence.Recover(c.dirs["c3"], "c3", slog.New(slog.NewTextHandler(io.Discard, nil))); err != nil {
		t.Fatal(err)
	}
	c3 := c.join("c3", false)
	c.voters("c3")
	if got := settingOf(c3, "a"); got != "1" {
		t.Errorf("the recovered log has %q", got)
	}
	c.commit(c3, putSetting("b", "1", 0))
}

// A folder whose member.id is gone is told apart from one that never joined.
func TestAMemberWithoutItsIdIsRefused(t *testing.T) {
	c := newCrowd(t)
	c.three()
	c.leave("c2")
	if err := os.Remove(filepath.Join(c.dirs["c2"], "member.id")); err != nil {
		t.Fatal(err)
	}
	s, err := persistence.Open(c.config("c2", false))
	if err == nil {
		_ = s.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "member.id") || !strings.Contains(err.Error(), `"c2#`) {
		t.Errorf("without member.id: %v", err)
	}
}

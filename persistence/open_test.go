// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"ferrite/node"
)

func raftConfigIn(dir string) Config {
	return Config{Dir: dir, Name: "c1", Key: goldenKey, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

func openRaft(t *testing.T, cfg Config) *Raft {
	t.Helper()
	s, err := Open(cfg)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func shutRaft(t *testing.T, s *Raft) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

func putText(t *testing.T, s Store, id, text string) node.Rev {
	t.Helper()
	k := Key{KindSetting, id}
	cur, _ := s.Get(k)
	rev, err := s.Commit(t.Context(), Tx{If: []Cond{{k, cur.Rev}}, Put: []Put{{Key: k, Value: []byte(text)}}, Events: []Event{{Subject: id, Body: []byte(text)}}})
	if err != nil {
		t.Fatalf("Commit: %v", err)
	}
	return rev
}

func TestRestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := openRaft(t, raftConfigIn(dir))
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("the folder has mode %v, %v", info.Mode(), err)
	}
	rev, err := s.Commit(t.Context(), goldenTx())
	if err != nil {
		t.Fatal(err)
	}
	last := putText(t, s, "x", "y")
	shutRaft(t, s)

	s = openRaft(t, raftConfigIn(dir))
	if s.Applied() < last || s.Len(KindNode) != 1 || s.Len(KindHistory) != 1 || s.Stats().OutboxDepth != 3 {
		t.Fatalf("after the restart: applied %d of %d, %+v", s.Applied(), last, s.Stats())
	}
	n, ok := s.Node(goldenTx().Put[0].ID)
	if !ok || n.Rev != rev || n.Created != rev || n.DriverInfo["ipmi_password"] != "s3cret" {
		t.Fatalf("after the restart: %+v", n)
	}
	if h, _ := s.Holder("name/golden"); h.ID != n.UUID || len(s.PortsOf(n.UUID)) != 1 {
		t.Fatalf("after the restart the name is held by %v, and there are %d ports", h, len(s.PortsOf(n.UUID)))
	}
	if crev, index := s.Cursor("nats"); crev != 1 || index != 2 {
		t.Fatalf("after the restart the cursor is at %d.%d", crev, index)
	}
	if _, err := s.Watch(t.Context(), rev-1).Next(); !errors.Is(err, ErrCompacted) {
		t.Fatalf("a watch from before the restart: %v, wanted ErrCompacted", err)
	}
	if next := putText(t, s, "x", "z"); next <= last {
		t.Fatalf("revision %d after the restart, %d before", next, last)
	}
}

// L3: a password is in no file of the data folder, snapshots included.
func TestNoSecretOnDisk(t *testing.T) {
	dir := t.TempDir()
	s := openRaft(t, raftConfigIn(dir))
	const secret = "hunter2-on-no-disk"
	k := Key{KindNode, "u"}
	n := &node.Node{UUID: "u", DriverInfo: map[string]any{"ipmi_password": secret, "ipmi_address": "10.9.8.7-in-clear"}}
	if _, err := s.Commit(t.Context(), Tx{If: []Cond{{Key: k}}, Put: []Put{{Key: k, Value: n}}}); err != nil {
		t.Fatal(err)
	}
	if err := s.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	shutRaft(t, s)
	files, clear := 0, 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		files++
		if bytes.Contains(data, []byte(secret)) || bytes.Contains(data, goldenKey) {
			t.Errorf("%s holds the password or the key", path)
		}
		if bytes.Contains(data, []byte("10.9.8.7-in-clear")) {
			clear++
		}
		return err
	})
	if err != nil || clear < 3 { // log, badger and snapshot: the search does find what is there
		t.Fatalf("%d files, %d with the address, %v", files, clear, err)
	}
}

func TestFolderInUse(t *testing.T) {
	dir := t.TempDir()
	openRaft(t, raftConfigIn(dir))
	_, err := Open(raftConfigIn(dir))
	if err == nil || !strings.Contains(err.Error(), "in use by process "+strconv.Itoa(os.Getpid())+" (") {
		t.Fatalf("a second Open: %v", err)
	}
}

func TestRefusedFolders(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, dir string, cfg *Config)
		want  string
	}{
		"wrong key":     {func(_ *testing.T, _ string, cfg *Config) { cfg.Key = bytes.Repeat([]byte{9}, KeySize) }, "cluster key does not fit"},
		"short key":     {func(_ *testing.T, _ string, cfg *Config) { cfg.Key = []byte("x") }, "has 1 bytes, wanted 32"},
		"other name":    {func(_ *testing.T, _ string, cfg *Config) { cfg.Name = "c2" }, `belongs to conductor "c1", not to "c2"`},
		"no name":       {func(_ *testing.T, _ string, cfg *Config) { cfg.Name = "" }, "needs the conductor's name"},
		"check damaged": {func(t *testing.T, dir string, _ *Config) { overwrite(t, dir, "key.check", 0) }, "key.check is damaged"},
		"log gone":      {func(t *testing.T, dir string, _ *Config) { remove(t, dir, "wal/*") }, "part of the log is gone"},
		"log flipped": {func(t *testing.T, dir string, _ *Config) {
			overwrite(t, dir, "wal/*.wal", 300)
		}, "part of the log is gone"},
		"log damaged": {func(t *testing.T, dir string, _ *Config) {
			overwrite(t, dir, "wal/wal-meta.db", 0)
			overwrite(t, dir, "wal/wal-meta.db", 4096)
		}, "wal-meta.db is damaged: the head at byte 0"},
		"state damaged": {func(t *testing.T, dir string, _ *Config) { overwrite(t, dir, "state-1/MANIFEST", 0) }, "state-1/MANIFEST is damaged: "},
		"state newer":   {func(t *testing.T, dir string, _ *Config) { plant(t, dir, []byte{recordVersion + 1}) }, "written by a newer ferrite"},
		"record broken": {func(t *testing.T, dir string, _ *Config) { plant(t, dir, []byte{recordVersion, 0}) }, "state-1: record 1/planted: the header is damaged"},
		"bad current":   {func(t *testing.T, dir string, _ *Config) { overwrite(t, dir, "CURRENT", 0) }, "CURRENT is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openRaft(t, raftConfigIn(dir))
			putText(t, s, "a", "b")
			shutRaft(t, s)
			cfg := raftConfigIn(dir)
			c.spoil(t, dir, &cfg)
			bad, err := Open(cfg)
			if err == nil {
				_ = bad.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("Open: %v\nwanted: %s", err, c.want)
			}
		})
	}
}

// plant puts a record into the state behind the store's back.
func plant(t *testing.T, dir string, data []byte) {
	t.Helper()
	b, err := openBadger(filepath.Join(dir, "state-1"), slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	tx := b.begin()
	if err := errors.Join(tx.set(recordKey(Key{KindNode, "planted"}), data), tx.commit(), b.close()); err != nil {
		t.Fatal(err)
	}
}

func overwrite(t *testing.T, dir, name string, at int64) {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, name))
	if err != nil || len(list) != 1 {
		t.Fatalf("%s: %v, %v", name, list, err)
	}
	f, err := os.OpenFile(list[0], os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(bytes.Repeat([]byte("?!"), 64), at); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, dir, pattern string) {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(list) == 0 {
		t.Fatalf("%s: %v, %v", pattern, list, err)
	}
	for _, f := range list {
		if err := os.RemoveAll(f); err != nil {
			t.Fatal(err)
		}
	}
}

// A state that is lost or older than the newest snapshot is restored from that, and the log's tail applied.
func TestStateFromSnapshot(t *testing.T) {
	dir := t.TempDir()
	s := openRaft(t, raftConfigIn(dir))
	rc := s.raft.ReloadableConfig()
	rc.TrailingLogs = 1 // so that the log alone cannot do it
	if err := s.raft.ReloadConfig(rc); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		putText(t, s, fmt.Sprint(i), "before")
	}
	if err := s.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	last := putText(t, s, "0", "after")
	shutRaft(t, s)
	remove(t, dir, "state-1")
	s = openRaft(t, raftConfigIn(dir))
	r, _ := s.Get(Key{KindSetting, "0"})
	if string(r.Value.([]byte)) != "after" || r.Rev != last || s.Len(KindSetting) != 20 || s.Stats().OutboxDepth != 21 {
		t.Fatalf("restored: %+v, %+v", r, s.Stats())
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "state-*")); len(left) > 2 {
		t.Fatalf("state folders left: %v", left)
	}
	shutRaft(t, s)
	s = openRaft(t, raftConfigIn(dir))
	if left, _ := filepath.Glob(filepath.Join(dir, "state-*")); len(left) != 1 || s.Len(KindSetting) != 20 {
		t.Fatalf("state folders left: %v, %d settings", left, s.Len(KindSetting))
	}
	shutRaft(t, s)

	remove(t, dir, "state-2")
	remove(t, dir, "snapshots")
	if bad, err := Open(raftConfigIn(dir)); err == nil || !strings.Contains(err.Error(), "part of the state is gone") {
		if err == nil {
			_ = bad.Close()
		}
		t.Fatalf("without state and snapshot: %v", err)
	}
}

// R5: a snapshot that is installed while readers work swaps in whole; watchers read everything anew.
func TestInstallSnapshot(t *testing.T) {
	s := openRaft(t, raftConfigIn(t.TempDir()))
	at := putText(t, s, "a", "1")
	var kept bytes.Buffer
	if _, err := s.Backup(&kept); err != nil {
		t.Fatal(err)
	}
	putText(t, s, "a", "2")
	w := s.Watch(t.Context(), s.Applied())
	v, done, err := s.view()
	if err != nil {
		t.Fatal(err)
	}
	_ = v
	restored := make(chan error, 1)
	go func() { restored <- machine{s}.Restore(io.NopCloser(&kept)) }()
	for s.Applied() != at {
		if r, ok := s.Get(Key{KindSetting, "a"}); !ok || len(r.Value.([]byte)) != 1 {
			t.Fatal("a reader saw an empty state")
		}
		time.Sleep(time.Millisecond)
	}
	select {
	case err := <-restored:
		t.Fatalf("the old state was closed under a reader: %v", err)
	default:
	}
	done()
	if err := <-restored; err != nil {
		t.Fatal(err)
	}
	if r, _ := s.Get(Key{KindSetting, "a"}); string(r.Value.([]byte)) != "1" || s.Stats().OutboxDepth != 1 {
		t.Fatalf("after the install: %+v, %+v", r, s.Stats())
	}
	_ = w
	if _, err := s.Watch(t.Context(), at-1).Next(); !errors.Is(err, ErrCompacted) {
		t.Fatalf("a watch from before the snapshot: %v", err)
	}
}

// failing is a log whose writes fail once armed.
type failing struct {
	logStore
	armed *atomic.Bool
}

func (f failing) StoreLogs(l []*raft.Log) error {
	if f.armed.Load() {
		return errors.New("input/output error")
	}
	return f.logStore.StoreLogs(l)
}

// A failed fsync ends the process: it is never tried again, and nothing is acknowledged.
func TestFailedWriteExits(t *testing.T) {
	var armed atomic.Bool
	var log bytes.Buffer
	codes := make(chan int, 16)
	cfg := raftConfigIn(t.TempDir())
	cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError}))
	cfg.Exit = func(code int) { codes <- code }
	cfg.wrap = func(l logStore) logStore { return failing{l, &armed} }
	s := openRaft(t, cfg)
	putText(t, s, "a", "1")
	armed.Store(true)
	k := Key{KindSetting, "b"}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if rev, err := s.Commit(ctx, Tx{If: []Cond{{Key: k}}, Put: []Put{{Key: k, Value: []byte("2")}}}); err == nil {
		t.Fatalf("acknowledged at %d", rev)
	}
	select {
	case code := <-codes:
		if code != 1 {
			t.Fatalf("exit code %d", code)
		}
	case <-ctx.Done():
		t.Fatal("the process did not end")
	}
	for s.stopped() == nil {
		time.Sleep(time.Millisecond)
	}
	if _, err := s.Commit(ctx, Tx{If: []Cond{{Key: k}}, Put: []Put{{Key: k, Value: []byte("2")}}}); err == nil {
		t.Fatal("a write after the failed one was acknowledged")
	}
	if err := s.Close(); err != nil {
		t.Logf("Close: %v", err)
	}
	if !strings.Contains(log.String(), "ending at once") || !strings.Contains(log.String(), "input/output error") {
		t.Fatalf("the log says: %s", log.String())
	}
}

func TestDiskLow(t *testing.T) {
	var free atomic.Uint64
	free.Store(1 << 40)
	cfg := raftConfigIn(t.TempDir())
	cfg.free = func(string) (uint64, error) { return free.Load(), nil }
	cfg.second, cfg.MinFree = time.Hour, leastMinFree // the test looks itself
	s := openRaft(t, cfg)
	rev := putText(t, s, "a", "1")
	free.Store(leastMinFree - 1)
	s.checkDisk()
	k := Key{KindSetting, "a"}
	put := Tx{If: []Cond{{k, rev}}, Put: []Put{{Key: k, Value: []byte("2")}}}
	for name, tx := range map[string]Tx{"record": put, "event": {Events: []Event{{Subject: "x"}}}} {
		if _, err := s.Commit(t.Context(), tx); !errors.Is(err, ErrDiskLow) {
			t.Errorf("%s on a full disk: %v", name, err)
		}
	}
	if err := s.SetCursor(t.Context(), "nats", rev, 0); err != nil || s.Stats().OutboxDepth != 0 {
		t.Errorf("a trim on a full disk: %v, depth %d", err, s.Stats().OutboxDepth)
	}
	if _, err := s.Commit(t.Context(), Tx{If: []Cond{{k, rev}}, Del: []Key{k}}); err != nil {
		t.Errorf("a deletion on a full disk: %v", err)
	}
	free.Store(leastMinFree)
	s.checkDisk()
	putText(t, s, "a", "2")
}

// N2: beyond its bounds the outbox loses its oldest events, by a log entry, and counts them.
func TestOutboxBounds(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	var clock atomic.Pointer[time.Time]
	clock.Store(&now)
	cfg := raftConfigIn(t.TempDir())
	cfg.Clock = func() time.Time { return *clock.Load() }
	cfg.OutboxMaxBytes = 100 << 10
	cfg.second = time.Hour
	s := openRaft(t, cfg)
	var revs []node.Rev
	for range 15 {
		revs = append(revs, putText(t, s, "a", strings.Repeat("x", 10<<10)))
	}
	s.trimOverdue(t.Context())
	if st := s.Stats(); st.OutboxDepth != 9 || st.OutboxDropped != 6 {
		t.Fatalf("over 100 KB: %+v, wanted 9 left and 6 dropped", st)
	}
	list, err := s.Outbox(t.Context(), 0, 0, 1)
	if err != nil || list[0].Rev != revs[6] {
		t.Fatalf("the oldest left is %+v, %v; wanted revision %d", list, err, revs[6])
	}
	later := now.Add(23 * time.Hour)
	clock.Store(&later)
	young := putText(t, s, "a", "young")
	later2 := now.Add(24*time.Hour + 2*time.Second)
	clock.Store(&later2)
	s.trimOverdue(t.Context())
	if st := s.Stats(); st.OutboxDepth != 1 || st.OutboxDropped != 15 {
		t.Fatalf("over 24 h: %+v, wanted 1 left and 15 dropped", st)
	}
	if list, _ := s.Outbox(t.Context(), 0, 0, 9); len(list) != 1 || list[0].Rev != young {
		t.Fatalf("left: %+v", list)
	}
}

// N2: what bears the time of a clock that is days behind is kept as long as all else.
func TestOutboxKeepsWhatASlowClockWrote(t *testing.T) {
	now := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	var clock atomic.Pointer[time.Time]
	set := func(at time.Time) { clock.Store(&at) }
	cfg := raftConfigIn(t.TempDir())
	cfg.Clock = func() time.Time { return *clock.Load() }
	cfg.second = time.Hour
	set(now.Add(-72 * time.Hour))
	s := openRaft(t, cfg)
	putText(t, s, "a", "written by a slow clock")
	for _, c := range []struct {
		after time.Duration
		left  int
	}{{0, 1}, {23 * time.Hour, 1}, {25 * time.Hour, 0}} {
		set(now.Add(c.after))
		s.trimOverdue(t.Context())
		if st := s.Stats(); st.OutboxDepth != c.left || st.OutboxDropped != uint64(1-c.left) {
			t.Errorf("after %s: %+v, wanted %d left", c.after, st, c.left)
		}
	}
}

// N2: what is confirmed is kept for a while, counts neither as waiting nor as dropped, and makes room first.
func TestOutboxKeepsWhatWasSent(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	var clock atomic.Pointer[time.Time]
	clock.Store(&now)
	cfg := raftConfigIn(t.TempDir())
	cfg.Clock = func() time.Time { return *clock.Load() }
	cfg.OutboxMaxBytes, cfg.OutboxKeep = 100<<10, time.Hour
	cfg.second = time.Hour
	s := openRaft(t, cfg)
	var revs []node.Rev
	for range 15 {
		revs = append(revs, putText(t, s, "a", strings.Repeat("x", 10<<10)))
	}
	confirm := func(name string, at node.Rev) {
		t.Helper()
		if err := s.SetCursor(t.Context(), name, at, 0); err != nil {
			t.Fatal(err)
		}
	}
	check := func(depth, dropped int, oldest node.Rev) {
		t.Helper()
		s.trimOverdue(t.Context())
		if st := s.Stats(); st.OutboxDepth != depth || st.OutboxDropped != uint64(dropped) {
			t.Fatalf("%+v, wanted %d waiting and %d dropped", st, depth, dropped)
		}
		if list, err := s.Outbox(t.Context(), 0, -1, 1); err != nil || len(list) != 1 || list[0].Rev != oldest {
			t.Fatalf("the oldest kept is %+v, %v; wanted revision %d", list, err, oldest)
		}
	}
	confirm("nats", revs[3]) // 4 of the 6 events that are too many were confirmed
	check(9, 2, revs[6])
	confirm("nats", revs[9])
	confirm("nova", revs[7]) // the slowest publisher counts
	check(7, 2, revs[6])
	later := now.Add(time.Hour + 2*time.Second)
	clock.Store(&later)
	check(7, 2, revs[8])
	confirm("nova", revs[14])
	check(5, 2, revs[10])
}

// A process that dies while it takes over a snapshot leaves a log that ends before it: the log goes on behind the snapshot.
func TestKilledBetweenSnapshotAndLog(t *testing.T) {
	dir := t.TempDir()
	s := openRaft(t, raftConfigIn(dir))
	for i := range 20 {
		putText(t, s, fmt.Sprint(i), "value")
	}
	if err := s.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	shutRaft(t, s)
	w, err := openLog(folder(dir).wal(), quietRaft())
	if err != nil {
		t.Fatal(err)
	}
	last, err := w.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.DeleteRange(last-5, last), w.Close()); err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		s = openRaft(t, raftConfigIn(dir))
		if s.Len(KindSetting) != 20+round {
			t.Fatalf("round %d: %d settings", round, s.Len(KindSetting))
		}
		putText(t, s, fmt.Sprint("after ", round), "value")
		shutRaft(t, s)
	}
}

// CURRENT that is gone or names another folder never costs the state that is there.
func TestCurrent(t *testing.T) {
	for name, c := range map[string]struct {
		text  string // of CURRENT; "" = gone
		extra string // another state folder
		want  string // of the refusal; "" = it starts
	}{
		"gone":                  {"", "", ""},
		"gone, two states":      {"", "state-2", "it is gone, and which of 2"},
		"another":               {"state-3\n", "", "names state-3, which is not there, but state-1 is"},
		"the rest of a restore": {"state-1\n", "state-2", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openRaft(t, raftConfigIn(dir))
			putText(t, s, "a", "b")
			shutRaft(t, s)
			d := folder(dir)
			err := os.WriteFile(d.current(), []byte(c.text), 0o600)
			if c.text == "" {
				err = os.Remove(d.current())
			}
			if c.extra != "" {
				err = errors.Join(err, os.Mkdir(filepath.Join(dir, c.extra), 0o700))
			}
			if err != nil {
				t.Fatal(err)
			}
			s, err = Open(raftConfigIn(dir))
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), d.current()+" is damaged: ") || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("Open: %v", err)
				}
				if _, err := os.Stat(filepath.Join(dir, "state-1", manifestName)); err != nil {
					t.Fatalf("the state was taken away: %v", err)
				}
				return
			}
			if err != nil || s.Len(KindSetting) != 1 {
				t.Fatalf("Open: %v", err)
			}
			_ = s.Close()
		})
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ferrite/node"
)

// picture is all that a store holds, as text.
func picture(t *testing.T, s *Raft) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "applied at least %v\n", s.Applied() > 0)
	for _, k := range []Kind{KindNode, KindPort, KindHistory, KindSetting} {
		s.Scan(k, "", func(r Record) bool {
			if n, ok := r.Value.(*node.Node); ok {
				fmt.Fprintf(&b, "%d/%s @%d %s %v\n", k, r.ID, r.Rev, n.Name, n.DriverInfo)
				return true
			}
			fmt.Fprintf(&b, "%d/%s @%d %s\n", k, r.ID, r.Rev, r.Value)
			return true
		})
	}
	out, err := s.Outbox(t.Context(), 0, 0, 10000)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range out {
		fmt.Fprintf(&b, "event %d.%d %s %s\n", o.Rev, o.Index, o.Subject, o.Body)
	}
	return b.String()
}

// full is a data folder with records, events, a snapshot and a log behind it, and what it holds: as a conductor leaves it
// that ends, or as one that is killed.
func full(t *testing.T, killed bool) (dir, want string) {
	dir = t.TempDir()
	s := openRaft(t, raftConfigIn(dir))
	for i := range 60 {
		id := fmt.Sprintf("node-%02d", i)
		k := Key{KindNode, id}
		n := &node.Node{UUID: id, Name: id, DriverInfo: map[string]any{"ipmi_address": strings.Repeat("10.0.0.1 ", 40), "ipmi_password": "secret"}}
		if _, err := s.Commit(t.Context(), Tx{If: []Cond{{Key: k}}, Put: []Put{{Key: k, Value: n, Uniq: []string{"name/" + id}}}, Events: []Event{{Subject: id, Body: []byte(strings.Repeat("x", 500))}}}); err != nil {
			t.Fatal(err)
		}
		if i == 30 {
			if err := s.raft.Snapshot().Error(); err != nil {
				t.Fatal(err)
			}
		}
		putText(t, s, fmt.Sprint(i), "value")
		if i == 40 {
			shutRaft(t, s)
			s = openRaft(t, raftConfigIn(dir))
		}
	}
	want = picture(t, s)
	if killed {
		dir = copyOf(t, dir)
	}
	shutRaft(t, s)
	return dir, want
}

// TestDamagedFiles harms each file of a data folder in each way: the store starts with all that was acknowledged, or it
// refuses and says where. Never is there less than all without a word.
func TestDamagedFiles(t *testing.T) { // R3
	for name, killed := range map[string]bool{"killed": true, "closed": false} {
		t.Run(name, func(t *testing.T) { harmAll(t, killed) })
	}
}

func harmAll(t *testing.T, killed bool) {
	dir, want := full(t, killed)
	var files []string
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || d.Name() == "LOCK" {
			return err
		}
		name, err := filepath.Rel(dir, path)
		files = append(files, name)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(7, 7))
	refused, whole := 0, 0
	for _, name := range files {
		for _, h := range harms {
			copied := copyOf(t, dir)
			path := filepath.Join(copied, name)
			what := filepath.Dir(name) + "/" + spoil(t, path, h, rng)
			s, err := Open(raftConfigIn(copied))
			if err != nil {
				refused++
				if !namesFile(err, copied, name) {
					t.Errorf("%s: refused without its name: %v", what, err)
				}
				_ = os.RemoveAll(copied)
				continue
			}
			whole++
			if got := picture(t, s); got != want {
				t.Errorf("%s: started with something else: %s", what, firstDifference(got, want))
			}
			_ = s.Close()
			_ = os.RemoveAll(copied)
		}
	}
	t.Logf("%d files; %d times refused, %d times whole", len(files), refused, whole)
	if refused == 0 || whole == 0 {
		t.Errorf("%d times refused, %d times whole: wanted both", refused, whole)
	}
}

// TestSwappedValueLogs puts value logs in one another's place: each is sound in itself, and the state is not.
func TestSwappedValueLogs(t *testing.T) { // R3
	live := t.TempDir()
	for _, records := range []int{6, 3} { // in a value log each
		s := openRaft(t, raftConfigIn(live))
		for i := range records {
			putText(t, s, fmt.Sprint("of ", records, ", ", i), strings.Repeat("long ", inline/4))
		}
		shutRaft(t, s)
	}
	s := openRaft(t, raftConfigIn(live))
	want, dir := picture(t, s), copyOf(t, live)
	shutRaft(t, s)
	files, err := filepath.Glob(filepath.Join(dir, "state-1", "*.vlog"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%v: %v", files, err)
	}
	strange := 0
	for _, from := range files {
		for _, to := range files {
			if from == to {
				continue
			}
			copied := copyOf(t, dir)
			data, err := os.ReadFile(from)
			if err != nil {
				t.Fatal(err)
			}
			over := filepath.Join(copied, "state-1", filepath.Base(to))
			if err := os.WriteFile(over, data, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Open(raftConfigIn(copied))
			if err == nil {
				if got := picture(t, s); got != want {
					t.Errorf("%s over %s: started with something else: %s", filepath.Base(from), filepath.Base(to), firstDifference(got, want))
				}
				_ = s.Close()
				continue
			}
			if !strings.Contains(err.Error(), over+" is damaged") {
				t.Errorf("%s over %s: refused without its name: %v", filepath.Base(from), filepath.Base(to), err)
			}
			if strings.Contains(err.Error(), "another place or time") {
				strange++
			}
		}
	}
	if strange == 0 {
		t.Error("no file was found to be another's")
	}
}

// namesFile reports whether a refusal leads to the file that was harmed: by its path, or by that of the file that shows
// that it lacks something.
func namesFile(err error, dir, name string) bool {
	text := err.Error()
	switch {
	case strings.Contains(text, filepath.Join(dir, name)):
		return true
	case strings.HasSuffix(name, ".mem"): // values that only it told of; a state that ends before the log begins
		return strings.Contains(text, ".vlog is damaged") || strings.Contains(text, "part of the state is gone")
	case strings.HasPrefix(name, "wal/"):
		return strings.Contains(text, filepath.Join(dir, "wal")) && strings.Contains(text, "part of the log is gone")
	case strings.HasPrefix(name, "snapshots/") && filepath.Base(name) != metaSumName:
		return strings.Contains(text, filepath.Join(dir, filepath.Dir(name)))
	default:
		return false
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d is %.200q, wanted %.200q", i, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, wanted %d", len(g), len(w))
}

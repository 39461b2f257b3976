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

// full is a data folder with records, events, a snapshot and a log behind it, and what it holds.
func full(t *testing.T) (dir, want string) {
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
	}
	want = picture(t, s)
	shutRaft(t, s)
	return dir, want
}

// TestDamagedFiles flips bits, cuts files short and takes them away: the store starts with all that was acknowledged, or
// it refuses and says where. Never is there less than all without a word.
func TestDamagedFiles(t *testing.T) {
	dir, want := full(t)
	type file struct {
		name string
		size int64
	}
	var files []file
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		data, err := os.ReadFile(path)
		used := int64(len(strings.TrimRight(string(data), "\x00"))) // files are allocated ahead of what is in them
		if err == nil && used > 0 && filepath.Base(name) != "LOCK" && !strings.HasPrefix(name, "lock") {
			files = append(files, file{name, used})
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(7, 7))
	refused, whole := 0, 0
	base := t.TempDir()
	for i := range 80 {
		f := files[i%len(files)]
		at, how := rng.Int64N(f.size), "bit flipped"
		copied := filepath.Join(base, fmt.Sprint(i))
		if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(copied, f.name)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case i/len(files)%8 == 6:
			how, data = "cut", data[:at]
		case i/len(files)%8 == 7:
			how, data = "gone", nil
		default:
			data[at] ^= 1 << rng.IntN(8)
		}
		if data == nil {
			err = os.Remove(path)
		} else {
			err = os.WriteFile(path, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		what := fmt.Sprintf("%s %s at %d of %d", f.name, how, at, f.size)
		s, err := Open(raftConfigIn(copied))
		if err != nil {
			refused++
			if !strings.Contains(err.Error(), copied) && !strings.Contains(err.Error(), "cluster key") && !strings.Contains(err.Error(), "key.check") {
				t.Errorf("%s: refused without saying where: %v", what, err)
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
	t.Logf("%d files; %d times refused, %d times whole", len(files), refused, whole)
	if refused == 0 || whole == 0 {
		t.Errorf("%d times refused, %d times whole: wanted both", refused, whole)
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

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

const someHash = "$2y$05$abcdefghijklmnopqrstuuEKm5yIqYYsZqH3fOqVh8wV9q7m9h6Da"

func TestReadUsers(t *testing.T) {
	dear := strings.Replace(someHash, "$05$", "$31$", 1)
	users, cost := readUsers([]byte("# staff\n\nada:" + someHash + "\r\n  bob:" + strings.Replace(someHash, "05", "12", 1) +
		"\n:" + someHash + "\nold:$apr1$xyz\nhalf:$2y$05$abc\ndear:" + dear + "\n" + strings.Repeat("x", 100_000) + "\nzoe:" + someHash))
	if len(users) != 3 || string(users["ada"]) != someHash || users["bob"] == nil || users["zoe"] == nil || cost != 12 {
		t.Errorf("%d users at cost %d: %q", len(users), cost, users)
	}
}

// What the file's changes do to those who sign in is logged, once each.
func TestUsersFileChangesAreLogged(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	h := newHtpasswd(file, slog.New(slog.NewTextHandler(&out, nil)))
	read := func(what, want string, users int) {
		t.Helper()
		out.Reset()
		h.mu.Lock()
		for range 3 {
			h.loadLocked()
		}
		n := len(h.users)
		h.mu.Unlock()
		if got := out.String(); n != users || strings.Count(got, "\n") != min(len(want), 1) || !strings.Contains(got, want) {
			t.Errorf("%s: %d users, wanted %d, and the log says %q, wanted %q once", what, n, users, got, want)
		}
	}
	write("ada:" + someHash + "\n")
	read("the start", "", 1)
	write("ada:" + someHash + "\nbob:" + someHash + "\n")
	read("one more", "users=2", 2)
	write("ada:$apr1$x$y\n")
	read("no user of bcrypt", "nobody can sign in", 0)
	write("ada:" + someHash + "\n")
	read("again", "users=1", 1)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	read("no file", "nobody can sign in", 0)
	write("ada:" + someHash + "\n")
	read("it is back", "users=1", 1)
}

// FuzzUsers: whatever stands in the file, each user has a hash that bcrypt takes and that is quick enough, and a good line
// after it counts.
func FuzzUsers(f *testing.F) {
	for _, seed := range []string{
		"ada:" + someHash + "\n", "ada:" + someHash + "\r\n# x\n\n:x\nb:$apr1$x", "a:b:" + someHash, "a:$2y$31$" + someHash[7:], "a:$2a$-1$" + someHash[7:],
		strings.Repeat("y", 70_000), "\x00:" + someHash, "ada:$2y$05$",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		users, most := readUsers(data)
		for name, hash := range users {
			cost, err := bcrypt.Cost(hash)
			if err != nil || cost > most || most > maxCost || name == "" || strings.ContainsAny(name, ":\n") {
				t.Errorf("user %q with %q: cost %d of at most %d, %v", name, hash, cost, most, err)
			}
		}
		if again, _ := readUsers(append(data, "\nprobe:"+someHash...)); string(again["probe"]) != someHash {
			t.Error("a good line at the end does not count")
		}
	})
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/crypto/bcrypt"
)

// TestWhoMayListen: users sign in to listen, and none of them can publish.
func TestWhoMayListen(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(file, []byte("# who listens\nops:"+string(hash)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	users, err := ReadUsers(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		users []User
		as    []nats.Option
		in    bool
	}{
		"nobody without a name": {users, nil, false},
		"not with a wrong one":  {users, []nats.Option{nats.UserInfo("ops", "guess")}, false},
		"not as the conductor":  {users, []nats.Option{nats.UserInfo(ourselves, "")}, false},
		"a user":                {users, []nats.Option{nats.UserInfo("ops", "secret")}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Start(Config{Listen: "127.0.0.1:0", Users: c.users})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Shutdown()
			refused := make(chan error, 9)
			who, err := nats.Connect(s.ClientURL(), append(c.as, nats.Timeout(time.Minute), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))...)
			if !c.in {
				if !errors.Is(err, nats.ErrAuthorization) {
					t.Errorf("signing in: %v, wanted a refusal", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer who.Close()
			sub, err := who.SubscribeSync(">")
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(who.Publish("a.b", []byte("forged")), who.Flush()); err != nil {
				t.Fatal(err)
			}
			if err := <-refused; !errors.Is(err, nats.ErrPermissionViolation) {
				t.Errorf("publishing: %v, wanted a refusal", err)
			}
			we, err := nats.Connect("", nats.InProcessServer(s), nats.UserInfo(s.Login()))
			if err != nil {
				t.Fatal(err)
			}
			defer we.Close()
			if err := errors.Join(we.Publish("a.b", []byte("true")), we.Flush()); err != nil {
				t.Fatal(err)
			}
			if m, err := sub.NextMsg(time.Minute); err != nil || string(m.Data) != "true" {
				t.Errorf("heard %v, %v", m, err)
			}
		})
	}
}

// TestReadUsers: what is no user is refused with the place.
func TestReadUsers(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "found no user",
		"# none\n":                "found no user",
		"ops:secret\n":            "line 1: wanted user:bcrypt",
		"\nops\n":                 "line 2: wanted user:bcrypt",
		":$2y$05$abcdefghijklmno": "line 1: wanted user:bcrypt",
	} {
		file := filepath.Join(t.TempDir(), "users")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadUsers(file); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) {
			t.Errorf("%q: %v, wanted %q", text, err, want)
		}
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// TestSignIn signs in by http_basic as the README says: the real baremetal and ours, with the right password, a wrong one and
// none; a users' file that changes counts from the next request on.
func TestSignIn(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "users")
	write := func(password string) {
		t.Helper()
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("admin:"+string(hash)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("the first one")
	s := newSite(t, "--auth-strategy", "http_basic", "--htpasswd-file", file)
	theirs := func(password string) string {
		c := exec.Command(cli, "node", "create", "--driver", "fake-hardware", "-f", "value", "-c", "driver")
		c.Env = append(os.Environ(), "OS_ENDPOINT="+s.api, "HOME="+s.dir, "OS_AUTH_TYPE=none")
		if password != "" {
			c.Env = append(c.Env, "OS_AUTH_TYPE=http_basic", "OS_USERNAME=admin", "OS_PASSWORD="+password)
		}
		out, _ := c.CombinedOutput()
		return string(out)
	}
	ours := func(password string) string {
		var env []string
		if password != "" {
			env = []string{"FERRITE_API_USER=admin", "FERRITE_API_PASSWORD=" + password}
		}
		p := runAs(t, binary, env, "node", "list", "--fold", "--api", s.api)
		p.exit()
		return p.out.String()
	}
	check := func(password, wantTheirs, wantOurs string) {
		t.Helper()
		if wantTheirs != "" { // else not run: it takes a second to start
			if got := theirs(password); !strings.Contains(got, wantTheirs) {
				t.Errorf("baremetal with password %q: wanted %q:\n%s", password, wantTheirs, got)
			}
		}
		if got := ours(password); !strings.Contains(got, wantOurs) {
			t.Errorf("ferrite with password %q: wanted %q:\n%s", password, wantOurs, got)
		}
	}
	const in, unauthorized = "enroll", "(HTTP 401)"
	check("the first one", "fake-hardware", in)
	check("another", unauthorized, "Incorrect username or password: sign in with --user and --password-file")
	check("", "", "Authorization required: sign in with")
	write("the second one")
	check("the first one", "", "Incorrect username or password")
	check("the second one", "fake-hardware", in)
}

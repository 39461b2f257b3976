// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/crypto/bcrypt"
)

// ourselves is a name that no file can give a user: with a colon.
const ourselves = "ferrite:conductor"

// User is one who may listen: its name, and the bcrypt hash of its password.
type User struct{ Name, Hash string }

// ReadUsers reads a file of "user:$2y$..." lines, as "htpasswd -B" writes them. Unlike for the API, a line that is none is
// refused: the file is read once.
func ReadUsers(file string) ([]User, error) {
	data, err := os.ReadFile(file) //nolint:gosec // the operator names it
	if err != nil {
		return nil, fmt.Errorf("nats_htpasswd_file: %w", err)
	}
	var out []User
	number := 0
	for line := range bytes.Lines(data) {
		number++
		text := strings.TrimSpace(string(line))
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		name, hash, _ := strings.Cut(text, ":")
		if _, err := bcrypt.Cost([]byte(hash)); err != nil || name == "" || strings.ContainsAny(name, " \t") {
			return nil, fmt.Errorf("nats_htpasswd_file %s, line %d: wanted user:bcrypt hash, as \"htpasswd -B\" writes it", file, number)
		}
		out = append(out, User{name, hash})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("nats_htpasswd_file %s: found no user, wanted lines of user:bcrypt hash, as \"htpasswd -B\" writes them", file)
	}
	return out, nil
}

// admit makes a server that knows its users: we publish, they listen. So what a consumer hears in the conductor's name is from
// the conductor.
func admit(o *server.Options, users []User) (password string, err error) {
	if len(users) == 0 {
		return "", nil
	}
	password = rand.Text()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost) // a password of 130 random bits needs no more
	if err != nil {
		return "", err
	}
	o.Users = []*server.User{{Username: ourselves, Password: string(hash)}}
	for _, u := range users {
		if u.Name == "" || u.Hash == "" {
			return "", errors.New("nats: a user without a name or a password")
		}
		o.Users = append(o.Users, &server.User{Username: u.Name, Password: u.Hash, Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{">"}}}})
	}
	return password, nil
}

// Login is what a client in this process signs in with, to publish; no user where whoever reaches the server may.
func (s *Server) Login() (user, password string) {
	if s.password == "" {
		return "", ""
	}
	return ourselves, s.password
}

// open admits everybody to a server without users, and forgets who they say they are: a change of the routes is a reload of the
// server's options, and that cuts each client with a name that is none of its users'.
type open struct{}

var _ server.Authentication = open{}

// helloWait is for how long, in seconds, a client of a server with open may keep silent; of one without any check it may for ever.
const helloWait = 60

// Check implements server.Authentication.
func (open) Check(c server.ClientAuthentication) bool {
	if o := c.GetOpts(); o.Username != "" || o.Nkey != "" {
		o.Username, o.Nkey = "", ""
	}
	return true
}

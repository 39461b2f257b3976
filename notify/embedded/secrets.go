// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"crypto/subtle"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
)

// secrets are what other servers sign in with for a route: any of them will do.
type secrets struct {
	mu   sync.Mutex // guards below
	list []string
}

var _ server.Authentication = (*secrets)(nil)

func newSecrets(first string, also ...string) *secrets {
	return &secrets{list: append([]string{first}, also...)}
}

// set reports whether the first one is another one now.
func (s *secrets) set(first string, also ...string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := s.list[0] != first
	s.list = append([]string{first}, also...)
	return changed
}

func (s *secrets) first() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list[0]
}

// Check implements server.Authentication.
func (s *secrets) Check(c server.ClientAuthentication) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := c.GetOpts(), 0
	for _, secret := range s.list {
		ok |= subtle.ConstantTimeCompare([]byte(o.Password), []byte(secret))
	}
	return ok == 1 && o.Username == clusterName
}

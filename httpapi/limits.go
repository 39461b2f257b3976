// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"fmt"
	"syscall"
	"time"
)

// Limits bound what clients can make the API hold. A zero field is its default; the package documentation lists them
// all, with the answer that a client gets beyond each.
type Limits struct {
	Connections   int           // open at once; 0 = 8192, at most half of the process's file descriptors
	PerAddress    int           // open at once from one address (IPv6: one /64); 0 = 2048
	HeldBytes     int64         // bodies, their parsed form and answers held at once, in bytes; 0 = 256 MB
	Working       int           // requests at once that read the store or parse a body; 0 = 64
	HeaderTimeout time.Duration // from a request's first byte to its last header line, and for a TLS handshake; 0 = 10 s
	BodyTimeout   time.Duration // from the header to the last byte of the body; 0 = 60 s
	WriteTimeout  time.Duration // for the client to take the answer; 0 = 60 s
	IdleTimeout   time.Duration // between two requests of a connection; 0 = 120 s
}

// check names the limit that cannot be.
func (l Limits) check() error {
	if most := descriptors() / 2; l.Connections > most {
		return fmt.Errorf("api.max_connections is %d: wanted at most %d, half of the files that the process may open (the store and the BMCs need theirs), or a higher limit of those (LimitNOFILE=)", l.Connections, most)
	}
	return nil
}

// Update takes other limits from now on, and the largest page of a list; zero fields are the defaults. HeaderTimeout and
// IdleTimeout stay as they were at the start. A connection that is open stays so. An error names the limit that cannot be,
// and changes nothing.
func (s *Server) Update(l Limits, maxLimit int) error {
	l = l.withDefaults()
	if err := l.check(); err != nil {
		return err
	}
	if maxLimit <= 0 {
		maxLimit = defaultMaxLimit
	}
	s.take(l, maxLimit)
	return nil
}

func (s *Server) take(l Limits, maxLimit int) {
	l.HeaderTimeout, l.IdleTimeout = s.cfg.Limits.HeaderTimeout, s.cfg.Limits.IdleTimeout
	s.maxPage.Store(int64(maxLimit))
	s.gate.budget.bound(l.HeldBytes)
	if now := s.working.Load(); now == nil || cap(now.all) != l.Working {
		s.working.Store(newPlaces(l.Working)) // those at work give their place back where they took it
	}
	s.limits.Store(&l)
}

// Limits of one request: they are not configured, since clients could not know.
const (
	maxHeader        = 16 << 10 // bytes, request line included: 431
	maxBody          = 1 << 20  // bytes: 413
	maxProvisionBody = 64 << 20 // bytes, PUT states/provision: configdrives: 413
	maxValues        = 65536    // JSON values in a body: 400
)

const (
	freeBytes   = 16 << 10        // of a request and of its answer are held without asking: the number of connections bounds them
	valueBytes  = 256             // of memory for each value of a parsed body, a generous guess
	maxDiscard  = 4 << 20         // bytes of a refused request that are read, so that the client gets to see why
	discardTime = 2 * time.Second // for those
	maxRefusing = 64              // refused connections at once that get an answer; others are only closed
)

func (l Limits) withDefaults() Limits {
	set(&l.Connections, min(8192, descriptors()/2))
	set(&l.PerAddress, 2048)
	set(&l.HeldBytes, 256<<20)
	set(&l.Working, 64)
	set(&l.HeaderTimeout, 10*time.Second)
	set(&l.BodyTimeout, 60*time.Second)
	set(&l.WriteTimeout, 60*time.Second)
	set(&l.IdleTimeout, 120*time.Second)
	return l
}

// descriptors is how many files the process may open; the store and the BMCs need theirs whatever clients do.
func descriptors() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil || l.Cur > 1<<20 {
		return 1 << 20
	}
	return int(l.Cur) //nolint:gosec // at most 1<<20
}

// set gives v its default if it has no value.
func set[T int | int64 | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

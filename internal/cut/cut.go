// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package cut

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
)

// Way is one direction between two hosts, by their addresses.
type Way struct{ From, To string }

// String tells of a direction, in words.
func (w Way) String() string { return w.From + " to " + w.To }

// Switch is one host's cables.
type Switch struct {
	self string
	done chan struct{} // closed by Close
	wg   sync.WaitGroup

	mu      sync.Mutex // guards below
	cut     map[Way]bool
	changed chan struct{}     // closed when cut is another one
	ends    map[ender]bool    // what Close ends
	relays  map[string]*relay // by where they lead
	closed  bool
}

// ender is something that Close ends.
type ender interface{ end() }

// New makes the switch of a host (its IP address) that cuts nothing yet.
func New(self string) *Switch {
	return &Switch{self: self, done: make(chan struct{}), changed: make(chan struct{}), ends: map[ender]bool{}, relays: map[string]*relay{}}
}

// look is how often the file is read.
const look = 10 * time.Millisecond

// Follow makes the switch of a host that cuts what a file says, as it is at any time.
func Follow(self, file string, log *slog.Logger) (*Switch, error) {
	if _, err := netip.ParseAddr(self); err != nil {
		return nil, fmt.Errorf("the switch of %q: wanted an IP address", self)
	}
	read := func() (string, error) {
		b, err := os.ReadFile(file) //nolint:gosec // whoever starts the process names it
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil
		}
		return string(b), err
	}
	text, err := read()
	if err != nil {
		return nil, err
	}
	ways, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	s := New(self)
	s.Set(ways...)
	s.wg.Go(func() {
		for last := text; ; {
			select {
			case <-s.done:
				return
			case <-time.After(look):
			}
			text, err := read()
			if err == nil && text == last {
				continue
			}
			var ways []Way
			if err == nil {
				last = text
				ways, err = Parse(text)
			}
			if err != nil {
				log.Warn("the switch in the cables stays as it was", "file", file, "error", err)
				continue
			}
			s.Set(ways...)
			log.Warn("cables are cut, or not any more", "cut", fmt.Sprint(ways))
		}
	})
	return s, nil
}

// Parse reads the lines of a file.
func Parse(text string) (out []Way, err error) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if len(f) != 2 {
			return nil, fmt.Errorf("found %q, wanted FROM TO, two IP addresses", strings.TrimSpace(line))
		}
		for _, x := range f {
			if _, err := netip.ParseAddr(x); err != nil {
				return nil, fmt.Errorf("found %q, wanted FROM TO, two IP addresses", strings.TrimSpace(line))
			}
		}
		out = append(out, Way{f[0], f[1]})
	}
	return out, nil
}

// Text is what Parse reads.
func Text(ways []Way) string {
	var b strings.Builder
	for _, w := range ways {
		b.WriteString(w.From + " " + w.To + "\n")
	}
	return b.String()
}

// Set cuts these, and mends all others.
func (s *Switch) Set(ways ...Way) {
	next := map[Way]bool{}
	for _, w := range ways {
		next[w] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = next
	close(s.changed)
	s.changed = make(chan struct{})
}

// Lost reports whether a datagram to host:port would be lost.
func (s *Switch) Lost(address string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cut[Way{s.self, host(address)}]
}

// pass waits until none of these is cut; false = stop or the end of the switch came first.
func (s *Switch) pass(stop <-chan struct{}, ways ...Way) bool {
	for {
		s.mu.Lock()
		cut, changed := false, s.changed
		for _, w := range ways {
			cut = cut || s.cut[w]
		}
		s.mu.Unlock()
		select {
		case <-stop:
			return false
		case <-s.done:
			return false
		default:
		}
		if !cut {
			return true
		}
		select {
		case <-changed:
		case <-stop:
		case <-s.done:
		}
	}
}

// Dial connects to host:port over TCP.
func (s *Switch) Dial(ctx context.Context, address string) (net.Conn, error) {
	far, err := s.reach(ctx, address)
	if err != nil {
		return nil, err
	}
	near, inside, err := pair()
	if err != nil {
		_ = far.Close()
		return nil, err
	}
	if !s.join(inside, far, host(address)) {
		_ = near.Close()
		return nil, net.ErrClosed
	}
	return &conn{Conn: near, local: far.LocalAddr(), remote: far.RemoteAddr()}, nil
}

// reach opens the way to host:port; it takes both directions.
func (s *Switch) reach(ctx context.Context, address string) (net.Conn, error) {
	peer := host(address)
	if !s.pass(ctx.Done(), Way{s.self, peer}, Way{peer, s.self}) {
		err := ctx.Err()
		switch {
		case err == nil:
			err = net.ErrClosed
		case errors.Is(err, context.DeadlineExceeded):
			err = os.ErrDeadlineExceeded // it says Timeout
		}
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: place(address), Err: err}
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", address)
}

// begin lets f run until it ends by itself; x is ended by Close. false = the switch is closed.
func (s *Switch) begin(x ender, f ...func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.ends[x] = true
	for _, g := range f {
		s.wg.Go(g)
	}
	return true
}

func (s *Switch) forget(x ender) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.ends, x)
}

// Close ends the switch and all that goes through it. It may be called again.
func (s *Switch) Close() {
	s.mu.Lock()
	var all []ender
	if !s.closed {
		s.closed = true
		close(s.done)
	}
	for x := range s.ends {
		all = append(all, x)
	}
	s.mu.Unlock()
	for _, x := range all {
		x.end()
	}
	s.wg.Wait()
}

// place is an address as an error tells it.
type place string

func (place) Network() string  { return "tcp" }
func (p place) String() string { return string(p) }

func host(address string) string {
	h, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return h
}

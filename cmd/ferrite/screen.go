// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"sync"
	"unicode/utf8"
)

// screen is a writer with a status line under it: what is written scrolls above the line. Off a terminal there is no
// line, and Status writes ordinary lines.
type screen struct {
	mu    sync.Mutex // guards the fields below
	w     io.Writer
	live  bool
	line  string    // on display now
	above io.Writer // who draws just now instead of us (a progress bar), nil = nobody
}

func newScreen(w io.Writer) *screen {
	_, _, live := terminal(w)
	return &screen{w: w, live: live}
}

// Live reports whether there is a line that can be rewritten.
func (s *screen) Live() bool { return s.live }

// Write puts whole lines above the status line.
func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.above != nil {
		if n, err := s.above.Write(b); err == nil {
			return n, nil
		} // it has just finished
	}
	s.erase()
	n, err := s.w.Write(b)
	s.draw()
	return n, err
}

// Through lets somebody else draw until Through(nil).
func (s *screen) Through(w io.Writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	s.above = w
}

// Status shows a new status line.
func (s *screen) Status(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.live {
		fmt.Fprintln(s.w, line)
		return
	}
	s.erase()
	s.line = line
	s.draw()
}

// Leave takes the status line away.
func (s *screen) Leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	s.line = ""
}

func (s *screen) erase() {
	if s.live && s.line != "" {
		fmt.Fprint(s.w, "\r\x1b[K")
	}
}

// draw cuts the line to the terminal's width, since a wrapped line cannot be erased.
func (s *screen) draw() {
	if !s.live || s.line == "" {
		return
	}
	width, _, _ := terminal(s.w)
	fmt.Fprint(s.w, cut(s.line, width-1))
}

func cut(s string, columns int) string {
	if columns <= 0 || utf8.RuneCountInString(s) <= columns {
		return s
	}
	return string([]rune(s)[:columns])
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// terminal is what w is when somebody looks at it: width in columns and whether colours are welcome. ok is false for
// files, pipes and terminals that cannot rewrite a line.
func terminal(w io.Writer) (width int, colour, ok bool) {
	f, isFile := w.(*os.File)
	if !isFile || os.Getenv("TERM") == "dumb" {
		return 0, false, false
	}
	fd := int(f.Fd()) //nolint:gosec // a descriptor
	if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err != nil {
		return 0, false, false
	}
	width = 80
	if size, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ); err == nil && size.Col > 0 {
		width = int(size.Col)
	}
	return width, os.Getenv("NO_COLOR") == "", true
}

// palette paints words, or does not.
type palette bool

func paletteFor(w io.Writer) palette {
	_, colour, ok := terminal(w)
	return palette(ok && colour)
}

// Colours by ANSI number.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
	bold   = "1"
	dim    = "2"
)

func (p palette) paint(colour, s string) string {
	if !p || s == "" || colour == "" {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

// plain replaces control characters, so that foreign text cannot drive the terminal.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"os"
	"time"

	"github.com/vbauerster/mpb/v8"
	"golang.org/x/sys/unix"
)

// bars draws progress bars of so many columns on a terminal. One that does not tell its size (0x0: serial lines, terminals of
// scripts) has 80 columns, as for everything else; mpb would draw nothing there.
func bars(w io.Writer, width int, every time.Duration) *mpb.Progress {
	options := []mpb.ContainerOption{mpb.WithOutput(w), mpb.WithWidth(width), mpb.WithRefreshRate(every)}
	if f, ok := w.(*os.File); ok {
		size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ) //nolint:gosec // a descriptor
		if err == nil && (size.Col == 0 || size.Row == 0) {
			wide, _, _ := terminal(w)
			options = append(options, mpb.WithOutput(struct{ io.Writer }{w}), mpb.WithWidth(wide), mpb.WithAutoRefresh()) // as no terminal
		}
	}
	return mpb.New(options...)
}

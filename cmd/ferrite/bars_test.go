// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pseudo opens a terminal of a size: what is written to tty is read from screen.
func pseudo(t *testing.T, columns, rows uint16) (screen, tty *os.File) {
	t.Helper()
	t.Setenv("TERM", "xterm")
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatalf("a pseudo terminal, which this test needs: %v", err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	fd := int(screen.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns})
	}
	if err == nil {
		tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	return screen, tty
}

// A bar is there on every terminal, also on one that does not tell its size.
func TestProgressIsShownOnTerminalsOfAnySize(t *testing.T) {
	for _, size := range [][2]uint16{{80, 24}, {120, 1}, {0, 0}, {80, 0}} {
		screen, tty := pseudo(t, size[0], size[1])
		progress, end := benchProgress(tty, "sync")
		progress.Say("round")
		progress.Step(3, 9)
		seen, buf := "", make([]byte, 4096)
		watchdog := time.AfterFunc(time.Minute, func() { _ = tty.Close(); _ = screen.Close() }) // wakes the reader
		for !strings.Contains(seen, "sync: round") || !strings.Contains(seen, "30 %") || !strings.Contains(seen, "[==") {
			n, err := screen.Read(buf)
			if seen += string(buf[:n]); err != nil {
				t.Fatalf("on a terminal of %dx%d: %q, %v; wanted a bar", size[0], size[1], seen, err)
			}
		}
		watchdog.Stop()
		end()
	}
}

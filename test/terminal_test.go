// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal is a pseudo terminal of 90 columns: what is written to the second file is read from the first.
func terminal(t *testing.T) (screen, line *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	var number int
	raw, err := screen.SyscallConn() // Fd would take the file from the poller, and Close could not end a Read
	if err == nil {
		if e := raw.Control(func(fd uintptr) {
			if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err != nil {
				return
			}
			if err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 90}); err != nil {
				return
			}
			number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}); e != nil {
			err = e
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	line, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = line.Close() })
	return screen, line
}

// seen runs ferrite on a terminal and returns what the terminal was sent.
func seen(t *testing.T, env []string, args ...string) string {
	t.Helper()
	screen, line := terminal(t)
	p := runOn(t, line, binary, env, args...)
	_ = line.Close() // the process has its own: when it ends, so does what can be read
	sent := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(screen) // ends with EIO
		sent <- string(b)
	}()
	code := p.exit()
	out := <-sent
	if code != 0 {
		t.Errorf("ferrite %s on a terminal: exit code %d:\n%q", strings.Join(args, " "), code, out)
	}
	return out
}

// TestProgress: what takes long shows a bar on a terminal and none elsewhere, colours or not; the end of it is told to both.
func TestProgress(t *testing.T) {
	t.Parallel()
	const nodes = 4
	f := newFarm(t, nodes)
	s := newSite(t, "--ipmi-min-command-interval", "0")
	for i := range nodes {
		s.enroll(fmt.Sprintf("n%d", i+1), f.driverInfo(i))
	}
	dir := t.TempDir()
	key := filepath.Join(s.dir, "cluster.key")
	file := filepath.Join(dir, "kept")
	must(t, "4 nodes", "backup", file, "--api", s.api)
	colour := regexp.MustCompile("\x1b\\[[0-9;]*m")
	const drawn = "\x1b[" // moves on the screen

	for i, c := range []struct {
		args    []string // DIR is a folder of the run, ONOFF another one than before
		bars    []string
		say     string
		colours bool // in what is told at the end
	}{
		{[]string{"backup", "DIR/b", "--api", s.api}, []string{"backup  "}, "4 nodes", false},
		{[]string{"verify", file, "--cluster-key-file", key}, []string{"verify  "}, "is in order", false},
		{[]string{"restore", file, "--data-dir", "DIR/r", "--cluster-key-file", key}, []string{"checking  ", "restoring  "}, "restored 4 nodes", false},
		{[]string{"node", "power", "ONOFF", "n[1-4]", "--wait", "--api", s.api}, []string{"  power "}, "n[1-4]", true},
	} {
		target := "off"
		args := func(run string) []string {
			target = map[string]string{"off": "on", "on": "off"}[target]
			folder := filepath.Join(dir, fmt.Sprint(i, run))
			if err := os.Mkdir(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			out := make([]string, len(c.args))
			for i, a := range c.args {
				out[i] = strings.NewReplacer("DIR", folder, "ONOFF", target).Replace(a)
			}
			return out
		}
		for env, want := range map[string]struct{ bars, colours bool }{
			"TERM=xterm": {true, true}, "NO_COLOR=1": {true, false}, "TERM=dumb": {false, false},
		} {
			got := seen(t, []string{"TERM=xterm", env}, args(env)...)
			for _, bar := range c.bars {
				if strings.Contains(got, bar) != want.bars {
					t.Errorf("%s ferrite %s: bar %q: %t, wanted %t:\n%q", env, c.args, bar, !want.bars, want.bars, got)
				}
			}
			if colour.MatchString(got) != (want.colours && c.colours) || strings.Contains(got, drawn) != want.bars {
				t.Errorf("%s ferrite %s: colours or moves that were not wanted, or none:\n%q", env, c.args, got)
			}
			if !strings.Contains(got, c.say) {
				t.Errorf("%s ferrite %s does not say %q:\n%q", env, c.args, c.say, got)
			}
		}
		if got := must(t, c.say, args("piped")...); strings.ContainsAny(got, "\x1b\r") || strings.Contains(got, c.bars[0]) {
			t.Errorf("ferrite %s through a pipe has a bar:\n%q", c.args, got)
		}
	}
}

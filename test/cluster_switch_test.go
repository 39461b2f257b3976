// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	switches "ferrite/internal/cut"
)

// switchVariable asks for the switch where there could be namespaces.
const switchVariable = "NEMESIS_SWITCH"

// wires is how a nemesis cuts conductors off from one another, and how it knows whose a command is. Conductors go by number.
type wires interface {
	// cut lets nothing through from one conductor to another, or lets it through again.
	cut(from, to int, yes bool)
	// senders are the conductors that may have sent from an address; none = nobody knows.
	senders(source string) []string
}

// switched is conductors of a build that has a switch in its cables, each with an address on the loopback. It needs no rights.
type switched struct {
	t     *testing.T
	bin   string // the build
	file  string // what it follows
	hosts []string
	ways  []switches.Way // that are cut

	mu    sync.Mutex          // guards below
	pids  map[int]string      // names of processes
	ports map[string][]string // who has ever had a UDP port
}

// newSwitched builds the conductors' binary; nil = that is not possible here.
func newSwitched(t *testing.T, conductors int) *switched {
	t.Helper()
	dir := t.TempDir()
	w := &switched{t: t, bin: filepath.Join(dir, "ferrite-cuttable"), file: filepath.Join(dir, "cuts"), pids: map[int]string{}, ports: map[string][]string{}}
	if err := build(w.bin, "-tags", "cuttable"); err != nil {
		t.Logf("SKIPPED: the switch in the cables: %v", err)
		return nil
	}
	for i := range conductors {
		w.hosts = append(w.hosts, fmt.Sprintf("127.78.0.%d", i+1))
	}
	return w
}

// build makes another binary of ferrite.
func build(file string, flags ...string) error {
	args := slices.Concat([]string{"build", "-o", file}, flags, []string{"ferrite/cmd/ferrite"})
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil { //nolint:gosec // our own words
		return fmt.Errorf("go build: %w %s", err, lastLine(string(out)))
	}
	return nil
}

// rewire makes a conductor one of those with a switch.
func (w *switched) rewire(s *site) {
	s.bin, s.env = w.bin, []string{"CUTS_FILE=" + w.file}
	s.born = func(pid int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.pids[pid] = s.name()
	}
}

// cut implements wires.
func (w *switched) cut(from, to int, yes bool) {
	w.t.Helper()
	way := switches.Way{From: w.hosts[from], To: w.hosts[to]}
	w.ways = slices.DeleteFunc(w.ways, func(x switches.Way) bool { return x == way })
	if yes {
		w.ways = append(w.ways, way)
	}
	err := os.WriteFile(w.file+".new", []byte(switches.Text(w.ways)), 0o600)
	if err == nil {
		err = os.Rename(w.file+".new", w.file) // never half
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// heard reports whether a conductor has ever followed what is cut now.
func (w *switched) heard(s *site) bool { return strings.Contains(s.p.out.String(), fmt.Sprint(w.ways)) }

// senders implements wires: all conductors speak to BMCs from one address, but each has ports of its own.
func (w *switched) senders(source string) []string {
	_, port, _ := net.SplitHostPort(source)
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.ports[port])
}

// watch notes whose ports are whose, until a test is over. A process opens those to BMCs long before it sends a command.
func (w *switched) watch(t *testing.T) {
	w.t = t
	stop, ended := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop); <-ended })
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
				w.look()
			}
		}
	}()
}

func (w *switched) look() {
	text, err := os.ReadFile("/proc/net/udp")
	if err != nil {
		return // no Linux: nobody knows
	}
	inodes := map[string]string{} // port by "socket:[INODE]"
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) < 10 {
			continue
		}
		_, hex, _ := strings.Cut(f[1], ":")
		if port, err := strconv.ParseUint(hex, 16, 16); err == nil {
			inodes["socket:["+f[9]+"]"] = fmt.Sprint(port)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for pid, name := range w.pids {
		dir := fmt.Sprintf("/proc/%d/fd", pid)
		list, err := os.ReadDir(dir)
		if err != nil || len(list) == 0 { // it has ended
			delete(w.pids, pid)
			continue
		}
		for _, x := range list {
			to, err := os.Readlink(filepath.Join(dir, x.Name()))
			if port := inodes[to]; err == nil && port != "" && !slices.Contains(w.ports[port], name) {
				w.ports[port] = append(w.ports[port], name)
			}
		}
	}
}

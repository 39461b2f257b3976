// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// begin starts the conductor without waiting for it to be ready.
func (s *site) begin() {
	bin := s.bin
	if bin == "" {
		bin = binary
	}
	s.p = runAs(s.t, bin, s.env, append([]string{"serve", "--name", "c1", "--data-dir", s.dir, "--api-listen", strings.TrimPrefix(s.api, "http://"), "--nats-listen", s.nats}, s.args...)...)
}

// refused starts the conductor and wants it to end by itself, with exit code 1 and a last line that holds all of want.
func (s *site) refused(want ...string) {
	s.t.Helper()
	s.begin()
	code := s.p.exit()
	lines := strings.Split(strings.TrimSpace(s.p.out.String()), "\n")
	last := lines[len(lines)-1]
	if code != 1 {
		s.t.Errorf("exit code %d, wanted 1", code)
	}
	for _, w := range want {
		if !strings.Contains(last, w) {
			s.t.Errorf("the last line is %q, wanted %q in it", last, w)
		}
	}
	if strings.Contains(s.p.out.String(), "goroutine ") {
		s.t.Errorf("it died of a panic")
	}
}

// quietSite is a site that was not started yet.
func quietSite(t *testing.T, args ...string) *site {
	t.Helper()
	return &site{
		t: t, dir: t.TempDir(), args: args,
		api: fmt.Sprintf("http://127.0.0.1:%d", freePort(t, "tcp")), nats: fmt.Sprintf("127.0.0.1:%d", freePort(t, "tcp")),
	}
}

// grow writes nodes whose records are of some size.
func (s *site) grow(nodes, bytes int) {
	s.t.Helper()
	for i := range nodes {
		code, doc := s.call("POST", "/v1/nodes", map[string]any{"driver": "fake-hardware", "name": fmt.Sprintf("g%03d", i), "extra": map[string]any{"text": strings.Repeat("x", bytes)}})
		if code != http.StatusCreated {
			s.t.Fatalf("POST node: %d %v", code, doc)
		}
	}
}

// TestDamagedFolderIsRefused flips one bit in the middle of files of a conductor that was killed: it refuses to start, by
// the file's name and with what to do. With the bit put right it starts with everything.
func TestDamagedFolderIsRefused(t *testing.T) { // R3, R5
	t.Parallel()
	s := newSite(t)
	const nodes = 40
	s.grow(nodes, 3000)
	s.p.kill()
	for _, pattern := range []string{"wal/*.wal", "wal/wal-meta.db", "state-1/MANIFEST", "state-1/*.vlog"} {
		list, err := filepath.Glob(filepath.Join(s.dir, pattern))
		if err != nil || len(list) == 0 {
			t.Fatalf("%s: %v, %v", pattern, list, err)
		}
		path := list[0]
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		bad := bytes.Clone(good)
		bad[len(bytes.TrimRight(bad, "\x00"))/2] ^= 0x10
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		s.refused(path+" is damaged", "docs/BACKUP.md", "ferrite verify")
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, bad) {
			t.Errorf("the refused start changed %s: %v", path, err)
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.start()
	if code, doc := s.call("GET", "/v1/nodes", nil); code != http.StatusOK || len(doc["nodes"].([]any)) != nodes {
		t.Errorf("started with %d nodes, wanted %d", len(doc["nodes"].([]any)), nodes)
	}
}

// TestReadOnlyFolder starts upon a disk that cannot be written to.
func TestReadOnlyFolder(t *testing.T) {
	t.Parallel()
	s := ownDisk(t, "mount -t tmpfs -o ro none")
	s.refused("read-only file system", s.dir)
}

// TestTooFullForANewFolder starts anew on disks that are too small from the first byte on.
func TestTooFullForANewFolder(t *testing.T) { // R4
	t.Parallel()
	for _, size := range []string{"1m", "20m", "100m"} {
		s := ownDisk(t, "mount -t tmpfs -o size="+size+" none")
		s.refused(s.dir+" is new", "MB free, wanted 144 MB at least", "make room")
	}
}

// TestFailingDisk lets the disk fail under a conductor that works: it ends by itself and says why, and what it had
// acknowledged is there on a disk that works.
func TestFailingDisk(t *testing.T) {
	t.Parallel()
	image := filepath.Join(t.TempDir(), "disk")
	if out, err := exec.Command("sh", "-c", "truncate -s 3G "+image+" && mkfs.ext4 -q "+image+" && unshare -m sh -c 'mkdir "+image+".at && mount -o loop "+image+" "+image+".at'").CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: a failing disk needs root, ext4 and loop devices: %v %s", err, out)
	}
	s := ownDisk(t, "mount -o loop "+image)
	s.start()
	s.grow(20, 100)
	fail(t, s.p.inside(s.dir))
	code, _, err := s.try("POST", "/v1/nodes", map[string]any{"driver": "fake-hardware"})
	if err == nil && code == http.StatusCreated {
		t.Error("a write to a disk that fails was acknowledged")
	}
	if code := s.p.exit(); code != 1 || !strings.Contains(s.p.out.String(), "the disk failed: ending at once") {
		t.Errorf("it ended with %d", code)
	}
	if strings.Contains(s.p.out.String(), "goroutine ") {
		t.Errorf("it died of a panic")
	}
	s.start()
	if code, doc := s.call("GET", "/v1/nodes", nil); code != http.StatusOK || len(doc["nodes"].([]any)) != 20 {
		t.Errorf("%d: %d nodes, wanted 20", code, len(doc["nodes"].([]any)))
	}
}

// fail makes every later write and fsync of a file system an error (EXT4_IOC_SHUTDOWN); what was written stays.
func fail(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const shutdown, logFlush = 0x8004587d, uint32(1)
	flags := logFlush
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), shutdown, uintptr(unsafe.Pointer(&flags))); e != 0 {
		t.Fatalf("failing %s: %v", dir, e)
	}
}

// TestFewDescriptors starts with a limit that cannot do.
func TestFewDescriptors(t *testing.T) {
	t.Parallel()
	for _, n := range []int{16, 32, 64} {
		s := quietSite(t)
		s.bin = filepath.Join(t.TempDir(), "ferrite-with-few-files")
		script := fmt.Sprintf("#!/bin/sh\nulimit -n %d && exec %s \"$@\"\n", n, binary)
		if err := os.WriteFile(s.bin, []byte(script), 0o700); err != nil { //nolint:gosec // must be run
			t.Fatal(err)
		}
		s.refused(fmt.Sprintf("the process may open %d files, wanted 128", n), "LimitNOFILE")
	}
}

// TestDescriptorsRunOut takes the descriptors away from a conductor that works, until the store needs one more: it ends
// and says why, and what it had acknowledged is there after a start with enough.
func TestDescriptorsRunOut(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.grow(1, 10)
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	few := unix.Rlimit{Cur: uint64(len(open) + 2), Max: uint64(len(open) + 2)}
	if err := unix.Prlimit(s.p.cmd.Process.Pid, unix.RLIMIT_NOFILE, &few, nil); err != nil {
		t.Fatal(err)
	}
	acked := 0
	for i := 1; ; i++ {
		if i > 2000 {
			t.Fatal("the store never needed a file")
		}
		code, _, err := s.try("PATCH", "/v1/nodes/g000", []map[string]any{{"op": "add", "path": "/extra/text", "value": strings.Repeat("x", 100<<10)}, {"op": "add", "path": "/description", "value": fmt.Sprint(i)}})
		if err != nil {
			break
		}
		if code == http.StatusOK {
			acked = i
		}
	}
	if code := s.p.exit(); code != 1 || !strings.Contains(s.p.out.String(), "too many open files") || !strings.Contains(s.p.out.String(), "raise the limit") {
		t.Errorf("it ended with %d", code)
	}
	s.start()
	if got := s.node("g000")["description"]; got != fmt.Sprint(acked) && got != fmt.Sprint(acked+1) {
		t.Errorf("the value is %v, acknowledged was %d", got, acked)
	}
}

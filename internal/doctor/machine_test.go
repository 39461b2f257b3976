// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestVerdicts: each judgement at both sides of its bound, and what is not well says what to do.
func TestVerdicts(t *testing.T) {
	const gb = 1 << 30
	big := Fleet{Nodes: 50_000, Sockets: 2, Window: 4096, Buffer: 8 << 20, PID: os.Getpid()}
	many := func(files, most int) Fleet { return Fleet{Files: files, MaxFiles: most} }
	for _, c := range []struct {
		name string
		got  Finding
		want Status
		says string
	}{
		{"room", room(10*gb, 100*gb, 2*gb), OK, "10 GB free of 100 GB"},
		{"room for little more", room(3*gb, 100*gb, 2*gb), Warn, "below 2 GB"},
		{"no room", room(2*gb-1, 100*gb, 2*gb), Fail, "free"},
		{"inodes", inodes(10_000, 20_000), OK, "10000 of 20000"},
		{"few inodes", inodes(9_999, 20_000), Warn, "9999"},
		{"no inodes", inodes(99, 20_000), Fail, "99"},
		{"inodes without a limit", inodes(0, 0), OK, "no limit"},
		{"ext4", fileSystem(0xef53), OK, "ext4"},
		{"a negative magic", fileSystem(-0xacb2c5 - 0x6000000), OK, "type 0x"},
		{"btrfs on 32 bits", fileSystem(0x9123683e - 1<<32), OK, "btrfs"},
		{"tmpfs", fileSystem(0x01021994), Warn, "memory"},
		{"nfs", fileSystem(0x6969), Warn, "network"},
		{"a quick disk", speed(20*time.Millisecond, time.Second, 32), OK, "20ms median, 1s longest"},
		{"a slow disk", speed(21*time.Millisecond, time.Second, 32), Warn, "21ms"},
		{"never asleep", slept(time.Second), OK, "agree"},
		{"asleep", slept(90 * time.Second), Warn, "1m30s"},
		{"synchronised", synced(false, 1500*time.Microsecond), OK, "1.5ms"},
		{"not synchronised", synced(true, 0), Warn, "not synchronised"},
		{"descriptors", files(many(10, 65536)), OK, "65536 allowed to the conductor, 10 open"},
		{"few descriptors", files(many(10, 8191)), Warn, "8191"},
		{"too few descriptors", files(many(10, 1023)), Fail, "1023"},
		{"no descriptors left", files(many(65000, 65536)), Fail, "65000 open"},
		{"buffer of a large fleet", receive(big, 212_992), Warn, "need 4 MB"},
		{"large buffer of a large fleet", receive(big, 8<<20), OK, "50000 nodes on 2 sockets"},
		{"buffer of a small fleet", receive(Fleet{Nodes: 200, Sockets: 2, Window: 4096, Buffer: 8 << 20}, 212_992), OK, "need 100 KB"},
		{"buffer of a fleet not known", receive(Fleet{Buffer: 8 << 20}, 212_992), Warn, "208 KB"},
		{"buffer not known", receive(big, 0), Warn, "not readable"},
		{"memory", memory(Fleet{Nodes: 1 << 40}, ""), Fail, "GB"},
	} {
		if c.got.Status != c.want || !strings.Contains(c.got.Found, c.says) {
			t.Errorf("%s: %s %q, wanted %s and %q", c.name, c.got.Status, c.got.Found, c.want, c.says)
		}
		if well := c.got.Status == OK; well != (c.got.Do == "") || well != (c.got.Wanted == "") {
			t.Errorf("%s: %+v: wanted advice when it is not well, and only then", c.name, c.got)
		}
	}
}

func TestWatermark(t *testing.T) { // the same as package persistence computes
	for _, c := range [][3]uint64{{1 << 40, 5, 5}, {1 << 40, 0, 2 << 30}, {1 << 20, 0, 64 << 20}, {10 << 30, 0, 512 << 20}} {
		if got := Watermark(c[0], c[1]); got != c[2] {
			t.Errorf("of %d, %d configured: %d, wanted %d", c[0], c[1], got, c[2])
		}
	}
}

// TestFolder: of a folder, of one that is not there yet, of a file; the probe leaves nothing behind.
func TestFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	status := func(all []Finding, check string) Finding {
		for _, f := range all {
			if f.Check == check {
				return f
			}
		}
		return Finding{}
	}
	all := Folder(dir, 1, true)
	for _, check := range []string{"folder", "room"} {
		if f := status(all, check); f.Status != OK {
			t.Errorf("%s: %+v", check, f)
		}
	}
	if f := status(all, "fsync"); f.Status == "" || f.Status == Fail {
		t.Errorf("fsync: %+v", f)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if f := status(Folder(dir, 1, false), "fsync"); f.Status != "" {
		t.Errorf("timed without being asked: %+v", f)
	}
	if f := status(Folder(filepath.Join(dir, "a", "b"), 1, true), "folder"); f.Status != OK || !strings.Contains(f.Found, "makes it below "+dir) {
		t.Errorf("a folder to be: %+v", f)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if f := status(Folder(file, 1, true), "folder"); f.Status != Fail {
		t.Errorf("a file: %+v", f)
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // what is tested
		t.Fatal(err)
	}
	if f := status(Folder(dir, 1, false), "folder"); f.Status != Warn || f.Do != "chmod 0700 "+dir {
		t.Errorf("an open folder: %+v", f)
	}
}

func TestPrivate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if f := Private("secrets", "key", file); f.Status != Fail {
		t.Errorf("a file that is not there: %+v", f)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[os.FileMode]Status{0o600: OK, 0o640: OK, 0o660: Warn, 0o644: Fail, 0o602: Fail} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		if f := Private("secrets", "key", file); f.Status != want {
			t.Errorf("mode %04o: %+v, wanted %s", mode, f, want)
		}
	}
}

func TestQuota(t *testing.T) {
	for text, want := range map[string]float64{"max 100000": 0, "150000 100000": 1.5, "50000 100000": 0.5, "": 0, "1 0": 0} {
		if got := quotaOf(text); got != want {
			t.Errorf("%q is %g, wanted %g", text, got, want)
		}
	}
}

// TestMachine: this machine can be looked at.
func TestMachine(t *testing.T) {
	all := append(Clock(), Limits(Fleet{Buffer: 8 << 20})...)
	if len(all) != 6 {
		t.Errorf("%d findings: %+v", len(all), all)
	}
	for _, f := range all {
		if f.Area == "" || f.Check == "" || f.Status == "" || f.Found == "" {
			t.Errorf("incomplete: %+v", f)
		}
	}
	if c := Counted(append(all, Area("a").Fail("b", "c", "d", "e"))); c.OK+c.Warn+c.Fail != 7 || c.Fail == 0 {
		t.Errorf("counted %+v", c)
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// disk is a small file system under a conductor's folder, in the mount namespace of this process.
type disk struct {
	t     *testing.T
	dir   string
	image string
	loop  bool // ext4 on a loop device, whose power can be cut; else it is in memory
}

// newDisk mounts one at dir, which is empty; nil = that is not allowed here.
func newDisk(t *testing.T, dir, size string) *disk {
	t.Helper()
	if os.Getenv(netVariable) == "" {
		return nil
	}
	d := &disk{t: t, dir: dir, image: filepath.Join(t.TempDir(), "disk"), loop: true}
	out, err := exec.Command("sh", "-c", "truncate -s "+size+" "+d.image+" && mkfs.ext4 -q -m 0 "+d.image+" && mount -o loop "+d.image+" "+dir).CombinedOutput() //nolint:gosec // our own words
	if err != nil {
		t.Logf("a disk in memory instead of ext4 on a loop device: %v %s", err, out)
		d.loop = false
		if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "none", dir).CombinedOutput(); err != nil { //nolint:gosec // our own words
			t.Logf("SKIPPED: disks of bounded size: %v %s", err, out)
			return nil
		}
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() }) //nolint:gosec // our own folder
	return d
}

func (d *disk) filler() string { return filepath.Join(d.dir, "filler") }

// fill takes all room but so many bytes.
func (d *disk) fill(leave uint64) {
	d.t.Helper()
	f, err := os.Create(d.filler())
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	for at := int64(0); ; {
		var st syscall.Statfs_t
		if err := syscall.Statfs(d.dir, &st); err != nil {
			d.t.Fatal(err)
		}
		free := st.Bavail * uint64(st.Bsize) //nolint:gosec // never negative
		if free <= leave {
			return
		}
		step := max(int64(free-leave)/2, 4096)             //nolint:gosec // small
		err := syscall.Fallocate(int(f.Fd()), 0, at, step) //nolint:gosec // a descriptor
		if errors.Is(err, syscall.ENOSPC) {
			return
		}
		if err != nil {
			d.t.Fatal(err)
		}
		at += step
	}
}

// empty makes room again.
func (d *disk) empty() {
	d.t.Helper()
	if err := os.Remove(d.filler()); err != nil {
		d.t.Fatal(err)
	}
}

// cut ends the file system as a loss of power does: what was not flushed is gone.
func (d *disk) cut() { cut(d.t, d.dir) }

// again mounts it after a cut.
func (d *disk) again() {
	d.t.Helper()
	if out, err := exec.Command("sh", "-c", "umount "+d.dir+" && mount -o loop "+d.image+" "+d.dir).CombinedOutput(); err != nil { //nolint:gosec // our own words
		d.t.Fatalf("mounting %s again: %v %s", d.dir, err, out)
	}
}

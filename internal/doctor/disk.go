// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const folder Area = "data folder"

// Folder looks at the data folder: room against the watermark (minFree bytes, 0 = the default share of the disk), inodes,
// the kind of file system, permissions, and how long the disk takes to keep a small write.
func Folder(dir string, minFree uint64, probe bool) []Finding {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return []Finding{folder.Fail("folder", err.Error(), "a folder", "correct data_dir")}
	}
	at := dir
	var out []Finding
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		for at = filepath.Dir(dir); at != "/"; at = filepath.Dir(at) {
			if _, err := os.Stat(at); err == nil {
				break
			}
		}
		out = append(out, folder.OK("folder", "%s is not there yet: \"ferrite serve\" makes it below %s", dir, at))
	case err != nil:
		return []Finding{folder.Warn("folder", err.Error(), "a folder that can be looked at", "run doctor as root or as the user of the conductor")}
	case !info.IsDir():
		return []Finding{folder.Fail("folder", dir+" is no folder", "a folder", "name another one by data_dir")}
	case info.Mode().Perm()&0o077 != 0:
		out = append(out, folder.Warn("folder", fmt.Sprintf("%s has mode %04o", dir, info.Mode().Perm()), "0700: nobody else looks in", "chmod 0700 "+dir))
	default:
		out = append(out, folder.OK("folder", "%s, mode %04o", dir, info.Mode().Perm()))
	}
	out = append(out, space(at, minFree)...)
	if !probe {
		return out
	}
	return append(out, diskSpeed(at))
}

// Watermark is the free space below which a conductor refuses changes: as configured, or a twentieth of the disk, between
// 64 MB and 2 GB (package persistence).
func Watermark(all, configured uint64) uint64 {
	if configured > 0 {
		return configured
	}
	return min(max(all/20, 64<<20), 2<<30)
}

func space(dir string, minFree uint64) []Finding {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return []Finding{folder.Warn("room", err.Error(), "to know how much room there is", "look at the file system of "+dir)}
	}
	free, all := st.Bavail*uint64(st.Bsize), st.Blocks*uint64(st.Bsize)                                                //nolint:gosec // never negative
	return []Finding{room(free, all, Watermark(all, minFree)), inodes(st.Ffree, st.Files), fileSystem(int64(st.Type))} //nolint:unconvert // differs by platform
}

// room compares what is free with the watermark.
func room(free, all, mark uint64) Finding {
	found := fmt.Sprintf("%s free of %s; changes are refused below %s", bytesText(free), bytesText(all), bytesText(mark))
	switch {
	case free < mark:
		return folder.Fail("room", found, "more than "+bytesText(mark), "make room, or lower disk_min_free_mb; changes are refused meanwhile, reads go on")
	case free < 2*mark:
		return folder.Warn("room", found, bytesText(2*mark)+" or more", "make room before changes are refused")
	}
	return folder.OK("room", "%s", found)
}

func inodes(free, all uint64) Finding {
	if all == 0 {
		return folder.OK("inodes", "the file system has no limit of files")
	}
	found := fmt.Sprintf("%d of %d free", free, all)
	switch {
	case free < 100:
		return folder.Fail("inodes", found, "10000 or more", "delete files on this file system: the log cannot begin a new one")
	case free < 10_000:
		return folder.Warn("inodes", found, "10000 or more", "find out what makes so many small files on this file system")
	}
	return folder.OK("inodes", "%s", found)
}

// kind is a file system by its magic number (statfs(2)): its name, and why it is no place for a log.
type kind struct{ name, trouble string }

const network = "it is on the network: locks and fsync depend on a server"

var kinds = map[int64]kind{
	0xef53: {"ext4", ""}, 0x58465342: {"xfs", ""}, 0x9123683e: {"btrfs", ""}, 0x2fc12fc1: {"zfs", ""}, 0xf2f52010: {"f2fs", ""},
	0x01021994: {"tmpfs", "it is in memory: a reboot loses everything"}, 0x858458f6: {"ramfs", "it is in memory: a reboot loses everything"},
	0x794c7630: {"overlay", "it is a container's own layer: it goes with the container"},
	0x6969:     {"nfs", network}, 0xff534d42: {"cifs", network}, 0xfe534d42: {"smb2", network}, 0x00c36400: {"ceph", network}, 0x65735546: {"fuse", "it is served by a program: fsync is what that makes of it"},
}

func fileSystem(magic int64) Finding {
	magic &= 0xffffffff // some are negative on 32 bits
	k, known := kinds[magic]
	switch {
	case !known:
		return folder.OK("file system", "type %#x", magic)
	case k.trouble != "":
		return folder.Warn("file system", k.name+": "+k.trouble, "ext4, xfs, btrfs or zfs on a disk of this machine", "put data_dir on a disk that stays (a volume, in a container)")
	}
	return folder.OK("file system", "%s", k.name)
}

// probes is how many writes are timed, for about maxProbe at most.
const (
	probes   = 32
	maxProbe = 2 * time.Second
)

// diskSpeed times small writes that must be on the disk, in a file of its own.
func diskSpeed(dir string) Finding {
	const check = "fsync"
	f, err := os.CreateTemp(dir, ".ferrite-doctor-")
	if err != nil {
		return folder.Warn(check, err.Error(), "to time a small write in "+dir, "run doctor as root or as the user of the conductor")
	}
	defer func() { _ = f.Close(); _ = os.Remove(f.Name()) }()
	block := make([]byte, 4096)
	var took []time.Duration
	for began := time.Now(); len(took) < probes && (len(took) < 3 || time.Since(began) < maxProbe); {
		at := time.Now()
		if _, err := f.Write(block); err != nil {
			return folder.Fail(check, err.Error(), "to write 4 KB", "look at the file system of "+dir)
		}
		if err := f.Sync(); err != nil {
			return folder.Fail(check, err.Error(), "an fsync that succeeds", "look at the disk (dmesg): the conductor ends when an fsync fails")
		}
		took = append(took, time.Since(at))
	}
	slices.Sort(took)
	return speed(took[len(took)/2], took[len(took)-1], len(took))
}

// speed judges fsync times: each change waits for one.
func speed(median, most time.Duration, n int) Finding {
	found := fmt.Sprintf("%s median, %s longest of %d writes of 4 KB", round(median), round(most), n)
	if median > 20*time.Millisecond {
		return folder.Warn("fsync", found, "20ms or less: each change waits for one", "use an SSD with power-loss protection, or find out what else uses the disk")
	}
	return folder.OK("fsync", "%s", found)
}

// round cuts a duration to three digits or so.
func round(d time.Duration) time.Duration {
	for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		if d >= unit {
			return d.Round(unit / 100)
		}
	}
	return d
}

// Private looks at a file that nobody else may read.
func Private(area Area, what, file string) Finding {
	info, err := os.Stat(file)
	switch {
	case err != nil && errors.Is(err, fs.ErrNotExist):
		return area.Fail(what, file+" is not there", "a file that only the conductor reads", "make it, or correct the setting")
	case err != nil:
		return area.Warn(what, err.Error(), "a file that only the conductor reads", "run doctor as root or as the user of the conductor")
	case info.Mode().Perm()&0o007 != 0:
		return area.Fail(what, fmt.Sprintf("%s has mode %04o: everybody on this machine can read or change it", file, info.Mode().Perm()), "0600", "chmod 0600 "+file+", and change what is in it if others may have seen it")
	case info.Mode().Perm()&0o020 != 0:
		return area.Warn(what, fmt.Sprintf("%s has mode %04o: its group can change it", file, info.Mode().Perm()), "0600 or 0640", "chmod g-w "+file)
	}
	return area.OK(what, "%s, mode %04o", file, info.Mode().Perm())
}

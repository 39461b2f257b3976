// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// What a start takes of the system. A file of the log is reserved whole, 64 MB; a memory table and a value log take 16 MB
// before the first write is refused for want of room. The store holds some 30 files open, and one for each table, value
// log and file of the log: about 100 with 50,000 nodes.
const (
	roomForNew = 80 << 20
	roomForOld = 16 << 20
	leastFiles = 128
)

// room refuses a start for which the system has too little: later it would end in the middle of a write, or be taken for
// damage.
func (c Config) room(d folder) error {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err == nil && l.Cur < leastFiles {
		return fmt.Errorf("the process may open %d files, wanted %d at least: raise the limit (ulimit -n, LimitNOFILE)", l.Cur, leastFiles)
	}
	free, err := c.free(c.Dir)
	if err != nil {
		return nil //nolint:nilerr // checkDisk tells of it
	}
	_, err = os.Lstat(d.current())
	if err == nil && free < roomForOld {
		return fmt.Errorf("the disk of the data folder %s has %d KB free, wanted %d MB at least to open it: make room", c.Dir, free>>10, roomForOld>>20)
	}
	if want := c.watermark() + roomForNew; errors.Is(err, fs.ErrNotExist) && free < want {
		return fmt.Errorf("the data folder %s is new, and its disk has %d MB free, wanted %d MB at least (%d MB to begin with, and disk_min_free_mb): make room, or name another --data-dir",
			c.Dir, free>>20, want>>20, roomForNew>>20)
	}
	return nil
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"

	"ferrite/node"
)

// CheckDir looks at the data folder of a conductor that does not run: state, log and snapshots, each by itself and how
// they fit together. It opens a copy in a temporary folder (TMPDIR), so that nothing is changed, and no socket. keys and
// progress are as in CheckBackup. The error is for a folder that cannot be looked at.
func CheckDir(dir string, keys [][]byte, progress func(done, about int)) (r *Report, err error) {
	d := folder(dir)
	if err := errors.Join(d.idle(), d.whole()); err != nil {
		return nil, err
	}
	state, err := d.inUse()
	if err != nil {
		return nil, err
	}
	for _, k := range keys { // one of two is enough while the key is being rotated
		if fresh, old, err := d.unrotated(k); err == nil && fresh != nil {
			keys = [][]byte{fresh, old}
			break
		}
	}
	seal, err := newSealer(keys...)
	if err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp("", "ferrite-verify-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	i := newInspection(newCodec(seal))
	if err := d.key(seal); err != nil {
		i.problem("%v", err)
	}
	if err := i.state(state, filepath.Join(tmp, "state"), progress); err != nil {
		return nil, err
	}
	newest := i.snapshots(filepath.Join(dir, "snapshots"), keys)
	if err := i.log(d.wal(), filepath.Join(tmp, "wal"), newest); err != nil {
		return nil, err
	}
	return &i.Report, nil
}

// idle refuses a folder that a process holds.
func (d folder) idle() error {
	f, err := os.Open(filepath.Join(string(d), "LOCK"))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is not a data folder of ferrite: there is no file LOCK in it", d)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil { //nolint:gosec // a descriptor
		return fmt.Errorf("the data folder %s is in use by %s: verify a backup of it instead, or stop it", d, whoHolds(f))
	}
	return nil
}

// inUse is the folder of the state in use; it changes nothing.
func (d folder) inUse() (string, error) {
	data, err := os.ReadFile(d.current())
	name := strings.TrimSpace(string(data))
	if err == nil && (!strings.HasPrefix(name, "state-") || strings.ContainsAny(name, "/\\")) {
		err = fmt.Errorf("%s is damaged: it says %q, wanted the name of a state folder", d.current(), name)
	}
	return filepath.Join(string(d), name), err
}

// key holds the check of the cluster key against the keys given; without any it must only be there.
func (d folder) key(s *sealer) error {
	data, err := os.ReadFile(d.check())
	if err != nil {
		return fmt.Errorf("the check of the cluster key: %w", err)
	}
	v, err := s.openString("", "check", strings.TrimSpace(string(data)))
	if err != nil || v != any(checkText) && v != any(hidden) {
		return fmt.Errorf("%s: %w", d.check(), errors.Join(err, errDamagedCheck))
	}
	return nil
}

// state looks at badger: the checksums of its tables and value logs, and every pair.
func (i *inspection) state(dir, tmp string, progress func(done, about int)) error {
	if err := copyTree(dir, tmp); err != nil {
		return err
	}
	store, err := openBadger(tmp, slog.New(slog.DiscardHandler))
	if err != nil {
		i.problem("%s", strings.ReplaceAll(plain(err), tmp, dir))
		return nil
	}
	if err := store.db.VerifyChecksum(); err != nil {
		i.problem("the state in %s: %s", dir, strings.ReplaceAll(err.Error(), tmp, dir))
	}
	v := store.view()
	err = v.scan(nil, nil, func(key []byte, value func() ([]byte, error)) (bool, error) {
		data, err := value()
		if err != nil {
			i.problem("the state in %s: %q: %v", dir, key, err)
			return true, nil
		}
		i.pair(key, data)
		if progress != nil {
			progress(i.pairs, 0)
		}
		return true, nil
	})
	v.close()
	if err = errors.Join(err, store.close()); err != nil {
		i.problem("the state in %s: %v", dir, err)
	}
	i.finish()
	return nil
}

// snapshots looks at each snapshot of the log, and returns the index of the newest.
func (i *inspection) snapshots(dir string, keys [][]byte) (newest node.Rev) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		i.problem("the snapshots: %v", err)
	}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		if !e.IsDir() || strings.HasSuffix(name, ".tmp") {
			continue // one that was under way when the process died
		}
		rev, err := checkSnapshot(name, keys)
		if err != nil {
			i.problem("snapshot %s: %v", name, err)
		}
		newest = max(newest, rev)
	}
	return newest
}

func checkSnapshot(dir string, keys [][]byte) (node.Rev, error) {
	var meta raft.SnapshotMeta
	data, err := os.ReadFile(filepath.Join(dir, "meta.json"))
	if err == nil {
		err = json.Unmarshal(data, &meta)
	}
	if err != nil {
		return 0, err
	}
	f, err := os.Open(filepath.Join(dir, "state.bin"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	r, err := CheckBackup(f, keys, nil)
	if err != nil {
		return 0, err
	}
	if r.Info.Rev > node.Rev(meta.Index) {
		return 0, fmt.Errorf("it is said to be of revision %d, but holds %d", meta.Index, r.Info.Rev)
	}
	return node.Rev(meta.Index), r.Err()
}

// log looks at every entry of the log, and whether it reaches from the state on.
func (i *inspection) log(dir, tmp string, snapshot node.Rev) error {
	if err := copyTree(dir, tmp); err != nil {
		return err
	}
	w, err := openLog(tmp, newRaftLog(slog.New(slog.DiscardHandler)))
	if err != nil {
		i.problem("the log in %s cannot be opened: %s", dir, strings.ReplaceAll(plain(err), tmp, dir))
		return nil
	}
	defer func() { _ = w.Close() }() // it was only read
	first, err := w.FirstIndex()
	if err != nil {
		return err
	}
	last, err := w.LastIndex()
	if err != nil {
		return err
	}
	for at := first; at != 0 && at <= last; at++ {
		var l raft.Log
		err := w.GetLog(at, &l)
		if err == nil && l.Index != at {
			err = fmt.Errorf("it says that it is entry %d", l.Index)
		}
		if err == nil && l.Type == raft.LogCommand {
			err = i.entry(l.Data)
		}
		if err != nil {
			i.problem("the log in %s: entry %d: %v", dir, at, err)
		}
		i.Entries++
	}
	applied := uint64(i.Applied)
	if end := max(last, uint64(snapshot)); end < applied {
		i.problem("the log in %s ends at %d, but the state is at %d: part of the log is gone", dir, end, applied)
	}
	if first > applied+1 && first > uint64(snapshot)+1 {
		i.problem("the log in %s begins at %d, but the state ends at %d: what is between is gone", dir, first, applied)
	}
	return nil
}

// entry looks at the values of an entry that has yet to be applied as it will be, and at the form of all.
func (i *inspection) entry(data []byte) error {
	e, err := decodeEntry(data)
	if err != nil {
		return err
	}
	blind := i.codec
	if len(i.codec.seal.keys()) > 0 {
		seal, err := newSealer() // an entry of long ago may be sealed with a key that was replaced since
		if err != nil {
			return err
		}
		blind = newCodec(seal)
	}
	for _, p := range e.puts {
		if _, err := blind.decode(p.key, p.data); err != nil {
			return err
		}
	}
	return nil
}

// copyTree copies the files of a folder without its holes: both log and badger reserve much more than they use.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if e.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		if !e.Type().IsRegular() {
			return nil
		}
		if err := copySparse(path, target); err != nil {
			return fmt.Errorf("copying %s to look at it: %w", path, err)
		}
		return nil
	})
}

func copySparse(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	buf, zero := make([]byte, 64<<10), make([]byte, 64<<10)
	for at := int64(0); ; {
		n, rerr := io.ReadFull(in, buf)
		if n > 0 && !bytes.Equal(buf[:n], zero[:n]) {
			if _, err := out.WriteAt(buf[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
		if errors.Is(rerr, io.EOF) || errors.Is(rerr, io.ErrUnexpectedEOF) {
			return out.Truncate(at)
		}
		if rerr != nil {
			return rerr
		}
	}
}

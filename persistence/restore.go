// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/raft"

	"ferrite/node"
)

// What a restore raises, so that nothing of the restored cluster is taken for something of the one before: epochs, for
// an owner of then may still run (L5), and revisions, for consumers drop notifications that are older than those that
// they have seen (N2).
const (
	epochJump = 1000
	revJump   = 1_000_000_000
)

// RestoreConfig is what Restore needs.
type RestoreConfig struct {
	Dir  string // a folder that is empty, or not there
	Name string // of the conductor that will open it
	// Keys are cluster keys: the first seals what is restored; the others only open what the backup holds.
	Keys [][]byte
	// Settings replace those of the backup (L4).
	Settings map[string][]byte
	// Progress, if given, is told of each of the two rounds how many pairs of about so many are done.
	Progress func(round, done, about int)
	Logger   *slog.Logger // nil = slog.Default
}

// Restored tells what came of it.
type Restored struct {
	Report          // of the backup
	Rev    node.Rev // the log begins behind it
}

// Restore makes a data folder of a backup (L5): all epochs are raised by 1000, revisions by a thousand million, and
// notifications of before are not told again. The backup is read through once before anything is written: a wrong key,
// damage and records that do not fit are refused, and the folder is left as it was. Only a process that is killed leaves
// part of a folder; Open refuses it, and a second Restore begins it anew.
func Restore(from io.ReadSeeker, cfg RestoreConfig) (*Restored, error) {
	if cfg.Name == "" || len(cfg.Keys) == 0 {
		return nil, errors.New("a restore needs the conductor's name and its cluster key")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Progress == nil {
		cfg.Progress = func(int, int, int) {}
	}
	d := folder(cfg.Dir)
	if err := d.vacant(); err != nil {
		return nil, err
	}
	report, err := cfg.check(from)
	if err != nil {
		return nil, err
	}
	out := &Restored{Report: *report, Rev: report.Info.Rev + revJump}
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	made, err := d.occupy()
	if err != nil {
		return nil, err
	}
	if err := cfg.fill(d, from, out); err != nil {
		return nil, errors.Join(fmt.Errorf("restoring into %s: %w", cfg.Dir, err), d.vacate(made))
	}
	return out, nil
}

// check is the first round: nothing is written before all of the backup is known to be good.
func (cfg RestoreConfig) check(from io.Reader) (*Report, error) {
	seal, err := newSealer(cfg.Keys...)
	if err != nil {
		return nil, err
	}
	b, err := openBackup(from)
	if err != nil {
		return nil, err
	}
	i := newInspection(newCodec(seal))
	i.Info = b.info
	wrong := &WrongKey{Want: strings.Join(b.info.Keys, " and "), Have: seal.fingerprints()}
	if len(b.info.Keys) > 0 && !overlap(b.info.Keys, wrong.Have) {
		return nil, wrong
	}
	err = b.each(func(key, value []byte) error {
		i.pair(key, value)
		cfg.Progress(1, i.pairs, b.info.Pairs)
		return nil
	})
	if err != nil {
		return nil, err
	}
	i.finish()
	if err := i.Err(); err != nil {
		if len(b.info.Keys) == 0 && i.Secrets > 0 && strings.Contains(i.Problems[0], errWrongKeyText) {
			return nil, fmt.Errorf("%w: %w", wrong, err)
		}
		return nil, fmt.Errorf("the backup is not restored, because it holds %w", err)
	}
	return &i.Report, nil
}

func overlap(a, b []string) bool {
	for _, x := range a {
		for _, y := range b {
			if x == y {
				return true
			}
		}
	}
	return false
}

// fill is the second round: state, log and snapshot of the new folder.
func (cfg RestoreConfig) fill(d folder, from io.Reader, out *Restored) (err error) {
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	seal, err := newSealer(cfg.Keys...)
	if err != nil {
		return err
	}
	if err := d.checkKey(seal); err != nil {
		return err
	}
	path, err := d.state()
	if err != nil {
		return err
	}
	store, err := openBadger(path, cfg.Logger)
	if err != nil {
		return err
	}
	t := &transplant{cfg: cfg, codec: newCodec(seal), rev: out.Rev}
	batch := store.db.NewWriteBatch()
	defer batch.Cancel()
	done := 0
	_, err = readBackup(from, func(key, value []byte) error {
		done++
		cfg.Progress(2, done, out.Info.Pairs)
		return t.pair(key, value, batch.Set)
	})
	if err == nil {
		err = t.settings(batch.Set)
	}
	if err == nil {
		err = batch.Flush()
	}
	if err == nil {
		err = cfg.log(d, store, t)
	}
	if err = errors.Join(err, store.close()); err != nil {
		return err
	}
	for _, sub := range []string{path, d.wal(), filepath.Join(cfg.Dir, "snapshots")} {
		if err := syncDir(sub); err != nil {
			return err
		}
	}
	if err := d.settle(); err != nil {
		return err
	}
	if err := os.Remove(d.unfinished()); err != nil {
		return err
	}
	return syncDir(cfg.Dir)
}

// log makes a log that begins behind the state: a snapshot of it, with this conductor as the only voter, and no entry.
func (cfg RestoreConfig) log(d folder, store *badgerKV, t *transplant) (err error) {
	const term = 1
	if err := os.MkdirAll(d.wal(), 0o700); err != nil {
		return err
	}
	hlog := newRaftLog(cfg.Logger)
	w, err := openLog(d.wal(), hlog)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if err := w.SetUint64([]byte("CurrentTerm"), term); err != nil {
		return err
	}
	snaps, err := openSnapshots(cfg.Dir, hlog)
	if err != nil {
		return err
	}
	addr, trans := raft.NewInmemTransport(raft.ServerAddress(cfg.Name))
	defer func() { err = errors.Join(err, trans.Close()) }()
	servers := raft.Configuration{Servers: []raft.Server{{ID: raft.ServerID(cfg.Name), Address: addr}}}
	sink, err := snaps.Create(raft.SnapshotVersionMax, uint64(t.rev), term, servers, 1, trans)
	if err != nil {
		return err
	}
	v := store.view()
	defer v.close()
	if _, err := writeBackup(sink, v, BackupInfo{Keys: t.codec.seal.fingerprints()[:1], Pairs: t.pairs}); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// transplant turns the pairs of a backup into those of the new folder.
type transplant struct {
	cfg   RestoreConfig
	codec *codec
	rev   node.Rev
	pairs int
}

func (t *transplant) pair(key, value []byte, set func(key, value []byte) error) error {
	switch key[0] {
	case keyApplied:
		return t.put(set, key, binary.BigEndian.AppendUint64(nil, uint64(t.rev)))
	case keyEvent:
		return nil // of before: its id would be another one now
	}
	k, err := parseRecordKey(key)
	if err != nil {
		return err
	}
	c, body, err := decodeRecord(k, value)
	if err != nil {
		return err
	}
	v, err := t.codec.decode(k, body)
	if err != nil {
		return err
	}
	switch v := v.(type) {
	case *node.Node:
		v.Owner.Epoch += epochJump
	case *Tombstone:
		v.Epoch += epochJump
	}
	switch k.Kind {
	case KindCursor:
		v = encodeCursor(t.rev, 0)
	case KindConductor:
		if k.ID != t.cfg.Name {
			return nil // it registers itself when it is there again
		}
	case KindSetting:
		if _, replaced := t.cfg.Settings[k.ID]; replaced || k == turnKey { // all is sealed with one key now
			return nil
		}
	default:
	}
	if body, err = t.codec.encode(k, v); err != nil { // under the new key
		return err
	}
	return t.put(set, key, c.encode(body))
}

// settings writes those that replace the backup's.
func (t *transplant) settings(set func(key, value []byte) error) error {
	for id, v := range t.cfg.Settings {
		k := Key{KindSetting, id}
		body, err := t.codec.encode(k, v)
		if err != nil {
			return err
		}
		c := &rec{key: k, rev: t.rev, created: t.rev}
		if err := t.put(set, recordKey(k), c.encode(body)); err != nil {
			return err
		}
	}
	return nil
}

func (t *transplant) put(set func(key, value []byte) error, key, value []byte) error {
	t.pairs++
	return set(append([]byte(nil), key...), value)
}

// unfinished is there while a folder is being restored.
func (d folder) unfinished() string { return filepath.Join(string(d), "RESTORING") }

// whole refuses a folder whose restore or recovery did not come to its end.
func (d folder) whole() error { return errors.Join(d.restored(), d.recovered()) }

// restored refuses one whose restore did not.
func (d folder) restored() error {
	if _, err := os.Lstat(d.unfinished()); err == nil {
		return fmt.Errorf("the restore into %s did not come to its end: run \"ferrite restore\" again", d)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// vacant refuses a folder that holds anything but what a file system puts there itself or a killed restore left.
func (d folder) vacant() error {
	entries, err := os.ReadDir(string(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if d.restored() != nil {
		return nil //nolint:nilerr // the rest of a killed restore
	}
	for _, e := range entries {
		if e.Name() != "lost+found" {
			return fmt.Errorf("%s is not empty: it holds %s; a restore never overwrites, name a folder that is empty or not there", d, e.Name())
		}
	}
	return nil
}

// occupy makes the folder and marks it, and clears what a killed restore left. made says that there was no folder.
func (d folder) occupy() (made bool, err error) {
	if _, err := os.Lstat(string(d)); errors.Is(err, fs.ErrNotExist) {
		made = true
	}
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return made, err
	}
	if err := writeFile(d.unfinished(), []byte("ferrite restore\n")); err != nil {
		return made, err
	}
	return made, d.clear(filepath.Base(d.unfinished()))
}

// vacate undoes occupy and what came after it.
func (d folder) vacate(made bool) error {
	if made {
		return os.RemoveAll(string(d))
	}
	return errors.Join(d.clear(filepath.Base(d.unfinished())), d.clear())
}

// clear removes what a restore makes, but keep.
func (d folder) clear(keep ...string) error {
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == "lost+found" || len(keep) > 0 && e.Name() == keep[0] {
			continue
		}
		if err := os.RemoveAll(filepath.Join(string(d), e.Name())); err != nil {
			return err
		}
	}
	return nil
}

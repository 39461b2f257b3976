// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// folder is the data folder: wal/ (the log), snapshots/, state-N/ (badger; CURRENT names the one that counts), LOCK,
// key.check.
type folder string

func (d folder) wal() string     { return filepath.Join(string(d), "wal") }
func (d folder) current() string { return filepath.Join(string(d), "CURRENT") }
func (d folder) check() string   { return filepath.Join(string(d), "key.check") }

const checkText = "ferrite key check"

// checkKey refuses a cluster key that is not the one that this folder was sealed with.
func (d folder) checkKey(s *sealer) error {
	data, err := os.ReadFile(d.check())
	if errors.Is(err, fs.ErrNotExist) {
		return d.sealCheck(s)
	}
	if err != nil {
		return fmt.Errorf("the check of the cluster key: %w", err)
	}
	v, err := s.openString("", "check", strings.TrimSpace(string(data)))
	if wrong := (*WrongKey)(nil); errors.As(err, &wrong) {
		return fmt.Errorf("%w: the data in %s needs the cluster key that it is sealed with, as %s says", wrong, d, d.check())
	}
	if err != nil || v != any(checkText) {
		return fmt.Errorf("%s is damaged: %w", d.check(), errors.Join(err, errDamagedCheck))
	}
	return nil
}

// sealCheck makes the first key of a ring the one that the folder is sealed with.
func (d folder) sealCheck(s *sealer) error {
	sealed, err := s.sealSecret("", "check", checkText)
	if err != nil {
		return err
	}
	return writeFile(d.check(), []byte(sealed+"\n"))
}

var errDamagedCheck = errors.New("it does not hold the check of a cluster key")

// state returns the folder of the state in use and removes what a broken restore left beside it.
func (d folder) state() (string, error) {
	all, err := filepath.Glob(filepath.Join(string(d), "state-*"))
	if err != nil {
		return "", err
	}
	data, err := os.ReadFile(d.current())
	name := strings.TrimSpace(string(data))
	switch {
	case errors.Is(err, fs.ErrNotExist) && len(all) > 1:
		return "", damaged(d.current(), "it is gone, and which of %d state folders counts is not known", len(all))
	case errors.Is(err, fs.ErrNotExist):
		name = "state-1"
		if len(all) == 1 {
			name = filepath.Base(all[0])
		}
		if err := writeFile(d.current(), []byte(name+"\n")); err != nil {
			return "", err
		}
	case err != nil:
		return "", fmt.Errorf("the state in use: %w", err)
	case !strings.HasPrefix(name, "state-") || strings.ContainsAny(name, "/\\"):
		return "", damaged(d.current(), "it says %q, wanted the name of a state folder", name)
	}
	if len(all) > 0 && !slices.Contains(all, filepath.Join(string(d), name)) {
		return "", damaged(d.current(), "it names %s, which is not there, but %s is", name, filepath.Base(all[0]))
	}
	for _, other := range all {
		if filepath.Base(other) != name {
			if err := os.RemoveAll(other); err != nil {
				return "", err
			}
		}
	}
	return filepath.Join(string(d), name), nil
}

// newestLog is the file of the log that is written to, or the log's folder.
func (d folder) newestLog() string {
	list, err := filepath.Glob(filepath.Join(d.wal(), "*"+walSuffix))
	if err != nil || len(list) == 0 {
		return d.wal()
	}
	return slices.Max(list)
}

// next names a state folder for a restore.
func (d folder) next() (string, error) {
	data, err := os.ReadFile(d.current())
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(string(data)), "state-"))
	if err != nil {
		return "", fmt.Errorf("%s is damaged: %w", d.current(), err)
	}
	path := filepath.Join(string(d), "state-"+strconv.Itoa(n+1))
	return path, os.RemoveAll(path)
}

// use makes a state folder the one that counts.
func (d folder) use(path string) error {
	return writeFile(d.current(), []byte(filepath.Base(path)+"\n"))
}

// writeFile replaces a file whole or not at all, durably.
func writeFile(path string, data []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// settle makes the names of the folder and of what is in it durable: a new file is of no use in a folder that a power
// cut takes away.
func (d folder) settle() error {
	if err := syncDir(string(d)); err != nil {
		return err
	}
	err := syncDir(filepath.Dir(filepath.Clean(string(d))))
	if errors.Is(err, fs.ErrPermission) {
		return nil // who may not read the folder above did not make this one just now
	}
	return err
}

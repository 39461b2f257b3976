// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"ferrite/httpapi"
	"ferrite/persistence"
)

// keyring rotates the cluster key and keeps the file that it was read from: when the new key has sealed everything, it
// takes the place of the old one there, and the old one stays beside it for older backups.
type keyring struct {
	file  string // where the key is kept; "" = nowhere that we know
	log   *slog.Logger
	store interface {
		Rotate(key []byte) error
		Rotation() persistence.Rotation
	}

	mu     sync.Mutex // guards the fields below
	source string     // file that the new key was read from
	advice string
}

// RotateKey begins a rotation to the key in a file, or to a new one.
func (k *keyring) RotateKey(file string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var key []byte
	var err error
	switch {
	case file != "" && !filepath.IsAbs(file):
		return fmt.Errorf("key_file is %q: wanted an absolute path on the conductor's machine", file)
	case file != "":
		key, err = ReadKey(file)
	case k.file == "":
		return errors.New("the conductor does not know where its key is kept: name a file with a new key")
	default:
		if err := writable(k.file); err != nil {
			return fmt.Errorf("a new key cannot be kept in %s (%w): make one with \"ferrite cluster key\" and name its file", k.file, err)
		}
		key, err = ParseKey(NewKey())
	}
	if err != nil {
		return err
	}
	source := k.source
	k.source, k.advice = file, ""
	if err := k.store.Rotate(key); err != nil {
		k.source = source
		return err
	}
	k.log.Info("the cluster key is being rotated", "from", k.store.Rotation().From, "to", k.store.Rotation().Current)
	return nil
}

// KeyStatus tells how far a rotation is.
func (k *keyring) KeyStatus() httpapi.KeyStatus {
	r := k.store.Rotation()
	k.mu.Lock()
	defer k.mu.Unlock()
	return httpapi.KeyStatus{Key: r.Current, Rotating: r.From, Resealed: r.Sealed, Left: r.Left, Problem: r.Problem, Kept: k.file, Advice: k.advice}
}

// keep puts a key into our file. If that cannot be written but the operator has the key in a file, it is for them to put
// that in its place.
func (k *keyring) keep(key []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	text := base64.StdEncoding.EncodeToString(key)
	old, err := ReadKey(k.file)
	if err == nil && bytes.Equal(old, key) {
		return nil
	}
	if err == nil {
		err = replaceKey(k.file, old, text)
	}
	if err == nil {
		return nil
	}
	if have, rerr := ReadKey(k.source); rerr == nil && bytes.Equal(have, key) {
		k.advice = fmt.Sprintf("start the conductor with --cluster-key-file %s from now on: the new key could not be written to %s", k.source, k.file)
		k.log.Warn("the new cluster key could not be kept where the old one is", "file", k.file, "error", err, "next_step", k.advice)
		return nil
	}
	return err
}

// replaceKey puts a new key in the place of the old one, which stays beside it under its fingerprint.
func replaceKey(file string, old []byte, text string) error {
	finger, err := persistence.Fingerprint(old)
	if err != nil {
		return err
	}
	beside := file + ".old-" + finger
	if err := writeKey(beside, base64.StdEncoding.EncodeToString(old)); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	tmp := file + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeKey(tmp, text); err != nil {
		return err
	}
	if err := os.Rename(tmp, file); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(file))
}

// writable reports why a file cannot be replaced.
func writable(file string) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".ferrite-key-")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

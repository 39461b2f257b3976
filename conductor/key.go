// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// KeySize is the length of a cluster key in bytes.
const KeySize = 32

// NewKey makes a cluster key, as text for a --cluster-key-file.
func NewKey() string {
	b := make([]byte, KeySize)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return base64.StdEncoding.EncodeToString(b)
}

// ParseKey reads the text of a key file.
func ParseKey(text string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("wanted %d bytes in base64, as \"ferrite cluster key\" prints: %w", KeySize, err)
	}
	if len(b) != KeySize {
		return nil, fmt.Errorf("wanted %d bytes in base64, found %d bytes: make one with \"ferrite cluster key\"", KeySize, len(b))
	}
	return b, nil
}

// ReadKey reads a key file.
func ReadKey(file string) ([]byte, error) {
	text, err := os.ReadFile(file) //nolint:gosec // the operator names it
	if err != nil {
		return nil, fmt.Errorf("cluster key: %w", err)
	}
	key, err := ParseKey(string(text))
	if err != nil {
		return nil, fmt.Errorf("cluster key file %s: %w", file, err)
	}
	return key, nil
}

// maxKeys is how many keys a file may hold: the ids of all go by gossip.
const maxKeys = 4

// ReadKeys reads a key file that may hold several keys, each on a line of its own; empty lines, and those that begin with #,
// are passed over.
func ReadKeys(file string) ([][]byte, error) {
	text, err := os.ReadFile(file) //nolint:gosec // the operator names it
	if err != nil {
		return nil, fmt.Errorf("cluster key: %w", err)
	}
	var keys [][]byte
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		if noKey(line) {
			continue
		}
		key, err := ParseKey(line)
		if err != nil {
			return nil, fmt.Errorf("cluster key file %s, line %d: %w", file, number, err)
		}
		if slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, key) }) {
			return nil, fmt.Errorf("cluster key file %s, line %d: this key is there already: wanted each once", file, number)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 || len(keys) > maxKeys {
		return nil, fmt.Errorf("cluster key file %s: found %d keys, wanted 1 to %d, each on a line of its own, as \"ferrite cluster key\" prints it", file, len(keys), maxKeys)
	}
	return keys, nil
}

// noKey reports that a line of a key file holds no key.
func noKey(line string) bool {
	line = strings.TrimSpace(line)
	return line == "" || strings.HasPrefix(line, "#")
}

// folderKey reads cluster.key in the data folder, or makes it (0600) at the first start. Without it the secrets in the
// folder cannot be opened again, so a folder that has data but no key is refused.
func folderKey(dir string) ([][]byte, error) {
	file := filepath.Join(dir, "cluster.key")
	keys, err := ReadKeys(file)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return keys, err
	}
	if entries, err := os.ReadDir(dir); err == nil {
		for _, e := range entries {
			if e.IsDir() && e.Name() != "lost+found" { // the root of a file system of its own
				return nil, fmt.Errorf("%s is missing, but the folder holds data sealed with it: give the key by --cluster-key-file", file)
			}
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	text := NewKey()
	if err := writeKey(file, text); err != nil {
		return nil, fmt.Errorf("cluster key: %w", err)
	}
	key, err := ParseKey(text)
	return [][]byte{key}, err
}

// writeKey makes the file, and has it on the disk before anything is sealed with what it holds. One that could not be
// written whole does not stay.
func writeKey(file, text string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the operator names the folder
	if err != nil {
		return err
	}
	_, err = f.WriteString(text + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = syncFolder(filepath.Dir(file))
	}
	if err != nil {
		return errors.Join(err, os.Remove(file))
	}
	return nil
}

// syncFolder puts the names in a folder on the disk.
func syncFolder(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the operator names the folder
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// FilesHolding names the files below dir that hold the text, for the tests of both packages.
func FilesHolding(t *testing.T, dir, text string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err == nil && bytes.Contains(data, []byte(text)) {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// FingerprintOf is Fingerprint for keys that are known to have one.
func FingerprintOf(t *testing.T, key []byte) string {
	t.Helper()
	f, err := Fingerprint(key)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

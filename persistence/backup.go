// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"ferrite/node"
)

// A backup is backupMagic, a format version, the revision, then the pairs of the storage as length and bytes each, an
// empty key at their end, and the SHA-256 of all before. Snapshots of the log have the same form. Secrets in it are
// sealed; the key is not in it (L3).
const (
	backupMagic   = "ferrite-backup\n"
	backupVersion = 1
	maxPair       = 4 << 20
)

var errBackup = errors.New("the backup is damaged: it ends early or its checksum is wrong")

func writeBackup(w io.Writer, v kvView) (node.Rev, error) {
	applied, err := appliedOf(v)
	if err != nil {
		return 0, err
	}
	rev := uint64(applied)
	sum := sha256.New()
	buf := bufio.NewWriterSize(w, 64<<10)
	out := io.MultiWriter(buf, sum)
	head := append([]byte(backupMagic), backupVersion)
	if _, err := out.Write(binary.BigEndian.AppendUint64(head, rev)); err != nil {
		return 0, err
	}
	var frame []byte
	err = v.scan(nil, nil, func(key []byte, value func() ([]byte, error)) (bool, error) {
		data, err := value()
		if err != nil {
			return false, err
		}
		frame = appendBytes(frame[:0], key)
		frame = appendBytes(frame, data)
		_, err = out.Write(frame)
		return err == nil, err
	})
	if err != nil {
		return 0, err
	}
	if _, err := out.Write([]byte{0}); err != nil {
		return 0, err
	}
	if _, err := buf.Write(sum.Sum(nil)); err != nil {
		return 0, err
	}
	return node.Rev(rev), buf.Flush()
}

// readBackup passes the pairs of a backup to fn, which may keep them. They are good only if it returns no error: the
// checksum comes last.
func readBackup(r io.Reader, fn func(key, value []byte) error) (node.Rev, error) {
	sum := sha256.New()
	in := &tee{r: bufio.NewReaderSize(r, 64<<10), sum: sum}
	head := make([]byte, len(backupMagic)+1+8)
	if _, err := io.ReadFull(in, head); err != nil || !bytes.HasPrefix(head, []byte(backupMagic)) {
		return 0, errors.New("this is not a backup of ferrite")
	}
	if v := head[len(backupMagic)]; v > backupVersion {
		return 0, fmt.Errorf("backup of format %d, this one knows up to %d: %w", v, backupVersion, errNewer)
	}
	rev := node.Rev(binary.BigEndian.Uint64(head[len(backupMagic)+1:]))
	for {
		key, err := in.frame()
		if err != nil {
			return 0, err
		}
		if len(key) == 0 {
			break
		}
		value, err := in.frame()
		if err != nil {
			return 0, err
		}
		if err := fn(key, value); err != nil {
			return 0, err
		}
	}
	want := sum.Sum(nil)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(in.r, got); err != nil || !bytes.Equal(got, want) {
		return 0, errBackup
	}
	return rev, nil
}

// tee sums what is read through it.
type tee struct {
	r   *bufio.Reader
	sum io.Writer
}

func (t *tee) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	_, _ = t.sum.Write(p[:n]) // a hash never fails
	return n, err
}

func (t *tee) ReadByte() (byte, error) {
	b, err := t.r.ReadByte()
	if err == nil {
		_, _ = t.sum.Write([]byte{b})
	}
	return b, err
}

func (t *tee) frame() ([]byte, error) {
	n, err := binary.ReadUvarint(t)
	if err != nil || n > maxPair {
		return nil, errBackup
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(t, b); err != nil {
		return nil, errBackup
	}
	return b, nil
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"ferrite/node"
)

// A backup of format 2 is
//
//	backupMagic, version byte, rev8, length and JSON of the head, CRC-32C of all that
//	blocks: length4, pairs of the storage as length and bytes each, CRC-32C of length and pairs
//	a block of length 0 without CRC, SHA-256 of all before
//
// so that damage is told by its place. Format 1 has no head and one stream of pairs that an empty key ends. Snapshots of
// the log have the same form. Secrets in it are sealed; of the key there is the fingerprint alone (L3).
const (
	backupMagic   = "ferrite-backup\n"
	backupVersion = 2
	maxPair       = 4 << 20
	blockSize     = 64 << 10 // a block is written when it has reached this
	maxBlock      = blockSize + 2*maxPair
	maxHead       = 64 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// BackupInfo is what a backup says of itself.
type BackupInfo struct {
	Format int      `json:"-"`
	Rev    node.Rev `json:"-"`               // the log's position that it is a copy of
	Keys   []string `json:"keys,omitempty"`  // fingerprints of the cluster keys that its secrets may be sealed with
	Pairs  int      `json:"pairs,omitempty"` // records and events in it, about
}

// BackupDamage says where a backup is not what was written.
type BackupDamage struct {
	Offset int64 // bytes from the beginning; what is wrong lies at it or, for a block, begins there
	What   string
}

func (e *BackupDamage) Error() string {
	return fmt.Sprintf("the backup is damaged at byte %d: %s", e.Offset, e.What)
}

func writeBackup(w io.Writer, v kvView, info BackupInfo) (node.Rev, error) {
	rev, err := appliedOf(v)
	if err != nil {
		return 0, err
	}
	head, err := json.Marshal(info)
	if err != nil {
		return 0, err
	}
	buf := bufio.NewWriterSize(w, blockSize)
	b := &blockWriter{w: buf, sum: sha256.New()}
	start := binary.BigEndian.AppendUint64(append([]byte(backupMagic), backupVersion), uint64(rev))
	start = appendBytes(start, head)
	if err := b.write(binary.BigEndian.AppendUint32(start, crc32.Checksum(start, castagnoli))); err != nil {
		return 0, err
	}
	err = v.scan(nil, nil, func(key []byte, value func() ([]byte, error)) (bool, error) {
		data, err := value()
		if err != nil {
			return false, err
		}
		err = b.pair(key, data)
		return err == nil, err
	})
	if err != nil {
		return 0, err
	}
	if err := b.end(); err != nil {
		return 0, err
	}
	return rev, buf.Flush()
}

// blockWriter makes blocks of pairs.
type blockWriter struct {
	w     io.Writer
	sum   hash.Hash
	block []byte // its length first
}

func (b *blockWriter) write(p []byte) error {
	_, _ = b.sum.Write(p) // a hash never fails
	_, err := b.w.Write(p)
	return err
}

func (b *blockWriter) pair(key, value []byte) error {
	if len(b.block) == 0 {
		b.block = append(b.block, 0, 0, 0, 0)
	}
	b.block = appendBytes(b.block, key)
	b.block = appendBytes(b.block, value)
	if len(b.block) < blockSize {
		return nil
	}
	return b.flush()
}

func (b *blockWriter) flush() error {
	if len(b.block) == 0 {
		return nil
	}
	binary.BigEndian.PutUint32(b.block, uint32(len(b.block)-4))
	b.block = binary.BigEndian.AppendUint32(b.block, crc32.Checksum(b.block, castagnoli))
	err := b.write(b.block)
	b.block = b.block[:0]
	return err
}

func (b *blockWriter) end() error {
	if err := b.flush(); err != nil {
		return err
	}
	if err := b.write([]byte{0, 0, 0, 0}); err != nil {
		return err
	}
	_, err := b.w.Write(b.sum.Sum(nil))
	return err
}

// readBackup passes the pairs of a backup to fn, which may keep them. They are good only if it returns no error: the
// checksum of the whole comes last.
func readBackup(r io.Reader, fn func(key, value []byte) error) (node.Rev, error) {
	b, err := openBackup(r)
	if err != nil {
		return 0, err
	}
	return b.info.Rev, b.each(fn)
}

// backupReader reads a backup once, from its beginning to its end.
type backupReader struct {
	r    *bufio.Reader
	sum  hash.Hash
	at   int64 // bytes read
	info BackupInfo
}

// openBackup reads the head.
func openBackup(r io.Reader) (*backupReader, error) {
	b := &backupReader{r: bufio.NewReaderSize(r, blockSize), sum: sha256.New()}
	start := make([]byte, len(backupMagic)+1+8)
	if err := b.read(start); err != nil || !bytes.HasPrefix(start, []byte(backupMagic)) {
		return nil, errors.Join(errors.New("this is not a backup of ferrite"), notEnd(err))
	}
	v := start[len(backupMagic)]
	b.info = BackupInfo{Format: int(v), Rev: node.Rev(binary.BigEndian.Uint64(start[len(backupMagic)+1:]))}
	switch {
	case v > backupVersion:
		return nil, fmt.Errorf("backup of format %d, this one knows up to %d: %w", v, backupVersion, errNewer)
	case v < 1:
		return nil, &BackupDamage{int64(len(backupMagic)), "there is no format 0"}
	case v == 1:
		return b, nil
	}
	n, err := binary.ReadUvarint(b)
	if err != nil || n > maxHead {
		return nil, b.damage(int64(len(start)), err, "its head is too long")
	}
	head := make([]byte, n)
	if err := b.read(head); err != nil {
		return nil, b.damage(int64(len(start)), err, "")
	}
	whole := append(binary.AppendUvarint(start, n), head...)
	if err := b.crc(0, whole, "its head"); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(head, &b.info); err != nil {
		return nil, &BackupDamage{int64(len(start)), "its head is not what it should be: " + err.Error()}
	}
	return b, nil
}

func (b *backupReader) each(fn func(key, value []byte) error) error {
	pairs := b.blocks
	if b.info.Format == 1 {
		pairs = b.stream
	}
	if err := pairs(fn); err != nil {
		return err
	}
	want, got, at := b.sum.Sum(nil), make([]byte, sha256.Size), b.at
	if err := b.read(got); err != nil {
		return b.damage(at, err, "")
	}
	if !bytes.Equal(got, want) {
		return &BackupDamage{at, "the checksum of the whole does not fit what comes before it"}
	}
	if _, err := b.r.ReadByte(); !errors.Is(err, io.EOF) {
		return errors.Join(&BackupDamage{b.at, "something follows its end"}, notEnd(err))
	}
	return nil
}

// blocks reads the pairs of format 2.
func (b *backupReader) blocks(fn func(key, value []byte) error) error {
	for {
		at := b.at
		length := make([]byte, 4)
		if err := b.read(length); err != nil {
			return b.damage(at, err, "")
		}
		n := binary.BigEndian.Uint32(length)
		if n == 0 {
			return nil
		}
		if n > maxBlock {
			return &BackupDamage{at, fmt.Sprintf("a block of %d bytes, wanted %d at most", n, maxBlock)}
		}
		block := make([]byte, 4+n)
		copy(block, length)
		if err := b.read(block[4:]); err != nil {
			return b.damage(at, err, "")
		}
		if err := b.crc(at, block, fmt.Sprintf("the block of %d bytes there", n)); err != nil {
			return err
		}
		for r := (&reader{b: block[4:]}); len(r.b) > 0; {
			key, value := r.bytes(), r.bytes()
			if r.bad {
				return &BackupDamage{at, "its pairs do not fit the block"}
			}
			if err := fn(key, value); err != nil {
				return err
			}
		}
	}
}

// crc reads the checksum that follows what was read.
func (b *backupReader) crc(at int64, data []byte, what string) error {
	sum := make([]byte, 4)
	if err := b.read(sum); err != nil {
		return b.damage(at, err, "")
	}
	if binary.BigEndian.Uint32(sum) != crc32.Checksum(data, castagnoli) {
		return &BackupDamage{at, "the checksum of " + what + " does not fit"}
	}
	return nil
}

// stream reads the pairs of format 1.
func (b *backupReader) stream(fn func(key, value []byte) error) error {
	for {
		key, err := b.frame()
		if err != nil || len(key) == 0 {
			return err
		}
		value, err := b.frame()
		if err != nil {
			return err
		}
		if err := fn(key, value); err != nil {
			return err
		}
	}
}

func (b *backupReader) frame() ([]byte, error) {
	at := b.at
	n, err := binary.ReadUvarint(b)
	if err != nil || n > maxPair {
		return nil, b.damage(at, err, fmt.Sprintf("a part of %d bytes, wanted %d at most", n, maxPair))
	}
	p := make([]byte, n)
	if err := b.read(p); err != nil {
		return nil, b.damage(at, err, "")
	}
	return p, nil
}

// read fills p.
func (b *backupReader) read(p []byte) error {
	n, err := io.ReadFull(b.r, p)
	b.at += int64(n)
	_, _ = b.sum.Write(p[:n]) // a hash never fails
	return err
}

// ReadByte is for lengths.
func (b *backupReader) ReadByte() (byte, error) {
	p := make([]byte, 1)
	err := b.read(p)
	return p[0], err
}

// damage tells an end that comes too early and a file that cannot be read from other damage.
func (b *backupReader) damage(at int64, err error, what string) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &BackupDamage{b.at, fmt.Sprintf("it ends there, in the middle of what begins at byte %d", at)}
	case err != nil && what == "":
		return fmt.Errorf("the backup cannot be read at byte %d: %w", b.at, err)
	default:
		return &BackupDamage{at, what}
	}
}

// notEnd passes on errors of reading that are not the end of the file.
func notEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

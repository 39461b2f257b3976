// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// The log's files as raft-wal writes them (its package segment): a head of 32 bytes, then frames of 8 bytes and a payload
// that is filled up to a multiple of 8. Entries (type 1) and at the end an index of them (2) are followed by a commit (3)
// that holds the Castagnoli sum of everything since the commit before. raft-wal writes a batch only when the one before
// is on the disk, and at a start it looks at no sum but the last.
const (
	walHead      = 32
	walFrame     = 8
	walMagic     = 0x58eb6b0d
	walEntry     = 1
	walIndex     = 2
	walCommit    = 3
	walSuffix    = ".wal"
	walMetaName  = "wal-meta.db"
	walLargest   = segment.MaxEntrySize
	walReadAhead = 256 << 10
)

// walked is what a segment holds up to the last commit whose sum is right.
type walked struct {
	id, base, codec uint64 // of its head
	end             int64  // after that commit; 0 = there is none
	entries         uint64
	index           uint64 // where its index begins; 0 = there is none
	clean           bool   // nothing but zeros follows
	why             string // what ended the walk, when that is not zeros
}

// checkSegments reads every file of the log that counts, before it is opened: what was acknowledged must all be there.
// A batch at the end of the newest file that is not whole is the trace of a crash and was never acknowledged, unless a
// whole one follows.
func checkSegments(dir string, state types.PersistentState) (tail walked, err error) {
	if err := strangers(dir); err != nil {
		return tail, err
	}
	for i, info := range state.Segments {
		file := filepath.Join(dir, segment.FileName(info))
		sealed := !info.SealTime.IsZero()
		if sealed == (i == len(state.Segments)-1) {
			return tail, damaged(filepath.Join(dir, walMetaName), "it lists %d files, of which number %d is closed: %t", len(state.Segments), i+1, sealed)
		}
		if i > 0 && info.MinIndex != state.Segments[i-1].MaxIndex+1 {
			return tail, damaged(filepath.Join(dir, walMetaName), "it lists a file from entry %d on after one that ends at %d", info.MinIndex, state.Segments[i-1].MaxIndex)
		}
		w, err := walkSegment(file)
		switch {
		case errors.Is(err, fs.ErrNotExist) && !sealed:
			tail = walked{}
			continue // a crash came before the file that was to be begun; checkLog sees what is missing otherwise
		case errors.Is(err, fs.ErrNotExist):
			return tail, fmt.Errorf("%w (it held the entries %d to %d of the log)", damaged(file, "it is gone"), info.MinIndex, info.MaxIndex)
		case err != nil:
			return tail, err
		}
		if err := w.fits(file, info, sealed); err != nil {
			return tail, err
		}
		tail = w
	}
	return tail, nil
}

// strangers refuses files that raft-wal would take for its own.
func strangers(dir string) error {
	list, err := filepath.Glob(filepath.Join(dir, "*"+walSuffix))
	if err != nil {
		return err
	}
	for _, path := range list {
		var info types.SegmentInfo
		name := filepath.Base(path)
		if n, err := fmt.Sscanf(name, "%020d-%016x"+walSuffix, &info.BaseIndex, &info.ID); err != nil || n != 2 || segment.FileName(info) != name {
			return &stranger{path, segment.FileName(types.SegmentInfo{BaseIndex: 1})}
		}
	}
	return nil
}

// fits holds a walk against what the log's table says of the file.
func (w walked) fits(file string, info types.SegmentInfo, sealed bool) error {
	if w.end > 0 && (w.id != info.ID || w.base != info.BaseIndex || w.codec != info.Codec) {
		return damaged(file, "its head says number %d from entry %d on, wanted number %d from entry %d on", w.id, w.base, info.ID, info.BaseIndex)
	}
	if !sealed {
		if w.clean {
			return nil
		}
		return w.torn(file)
	}
	if has := w.base + w.entries; w.end == 0 || has < info.MaxIndex+1 || w.index != info.IndexStart {
		why := w.why
		if why == "" {
			why = "nothing but zeros follows"
		}
		return damaged(file, "byte %d: %s; it holds the entries up to %d, wanted %d", w.end, why, has-min(has, 1), info.MaxIndex)
	}
	return nil
}

// torn tells a crash from damage: after a batch that is not whole there may not be one that is.
func (w walked) torn(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(w.end, io.SeekStart); err != nil {
		return err
	}
	rest, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for at := 0; at+walFrame <= len(rest); at += walFrame {
		if (rest[at] == walEntry || rest[at] == walIndex) && wholeBatch(rest[at:]) {
			return damaged(file, "byte %d: %s; but the batch at byte %d is whole, so that all before it was on the disk", w.end, w.why, w.end+int64(at))
		}
	}
	return nil
}

// wholeBatch reports whether b begins with frames and the commit of just these.
func wholeBatch(b []byte) bool {
	at := 0
	for at+walFrame <= len(b) && b[at+1]|b[at+2]|b[at+3] == 0 {
		n := binary.LittleEndian.Uint32(b[at+4:])
		switch b[at] {
		case walCommit:
			return crc32.Checksum(b[:at], castagnoli) == n
		case walEntry, walIndex:
			if n > walLargest {
				return false
			}
			at += walFrame + int(n+7)&^7
		default:
			return false
		}
	}
	return false
}

// walkSegment reads a file of the log from its head to the first byte that is not part of a whole batch.
func walkSegment(file string) (w walked, err error) {
	f, err := os.Open(file)
	if err != nil {
		return w, err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, walReadAhead)
	var (
		frame   [walHead]byte
		at      int64
		sum     uint32
		entries uint64
		index   uint64
	)
	// take reads up to the next n bytes of the file into the sum; short is its end.
	take := func(n int64) (short bool, err error) {
		for n > 0 {
			part, err := r.Peek(int(min(n, walReadAhead)))
			if err != nil && !errors.Is(err, io.EOF) {
				return false, fmt.Errorf("%s: byte %d: %w", file, at, err)
			}
			if len(part) == 0 {
				return true, nil
			}
			sum = crc32.Update(sum, castagnoli, part)
			at, n = at+int64(len(part)), n-int64(len(part))
			if _, err := r.Discard(len(part)); err != nil {
				return false, err
			}
		}
		return false, nil
	}
	head, err := r.Peek(walHead)
	if err != nil && !errors.Is(err, io.EOF) {
		return w, fmt.Errorf("%s: %w", file, err)
	}
	copy(frame[:], head)
	if binary.LittleEndian.Uint64(frame[:]) == walMagic {
		w.base, w.id, w.codec = binary.LittleEndian.Uint64(frame[8:]), binary.LittleEndian.Uint64(frame[16:]), binary.LittleEndian.Uint64(frame[24:])
	}
	short, err := take(walHead)
	for err == nil && !short {
		header, perr := r.Peek(walFrame)
		if perr != nil && !errors.Is(perr, io.EOF) {
			return w, fmt.Errorf("%s: byte %d: %w", file, at, perr)
		}
		if len(header) < walFrame {
			break
		}
		kind, n := header[0], binary.LittleEndian.Uint32(header[4:])
		switch {
		case kind == walCommit && n == sum:
			if _, err := r.Discard(walFrame); err != nil {
				return w, err
			}
			at, sum = at+walFrame, 0
			w.end, w.entries, w.index = at, entries, index
			continue
		case kind == walCommit:
			w.why = fmt.Sprintf("the sum of the batch there is %08x, wanted %08x", sum, n)
			return w, nil
		case binary.LittleEndian.Uint64(header) == 0 && (at == w.end || w.end == 0 && at == walHead):
			w.clean, err = onlyZeros(r)
			w.clean = w.clean && (w.end > 0 || frame == [walHead]byte{})
			w.why = "zeros are where a batch should be"
			return w, err
		case kind != walEntry && kind != walIndex, n > walLargest:
			w.why = fmt.Sprintf("the batch there ends at byte %d without its sum", at)
			return w, nil
		case kind == walEntry:
			entries++
		default:
			index = uint64(at) + walFrame
		}
		short, err = take(walFrame + int64(n+7)&^7)
	}
	w.clean = at == w.end
	if !w.clean {
		w.why = fmt.Sprintf("the file ends at byte %d, in the middle of a batch", at)
	}
	return w, err
}

func onlyZeros(r *bufio.Reader) (bool, error) {
	var zeros [4096]byte
	for {
		part, err := r.Peek(len(zeros))
		if err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		if len(part) == 0 {
			return true, nil
		}
		if !bytes.Equal(part, zeros[:len(part)]) {
			return false, nil
		}
		if _, err := r.Discard(len(part)); err != nil {
			return false, err
		}
	}
}

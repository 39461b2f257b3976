// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"encoding/binary"
	"errors"
	"fmt"

	"ferrite/node"
)

// entryVersion is the newest format of log entries; their first byte (L1). Format 2 is that of entries that seal records
// anew and change nothing else; all others stay at 1, which every version reads.
const (
	entryVersion       = 2
	entryVersionReseal = 2
	entryVersionTx     = 1
)

// Limits of one entry. They keep it within what one badger transaction holds.
const (
	maxEntry = 512 << 10
	maxParts = 1024
	maxTrim  = 4096
	maxID    = 4096 // bytes; badger takes keys up to 65,000
)

// txid names a transaction for ever (L2).
type txid [16]byte

// entry is a decoded log entry. Byte slices point into the log's bytes.
type entry struct {
	id     txid
	at     int64 // proposer's clock, Unix nanoseconds: apply has no clock of its own (L4)
	conds  []Cond
	dels   []Key
	prefix []Key
	puts   []entryPut
	events []Event
	trim   *trim
	reseal bool // the same values under another key: see applying.reseal
}

type entryPut struct {
	key  Key
	uniq []string
	data []byte // encoded value
	// value is what data decodes to; nil = not decoded yet. Only the member that proposes knows it before.
	value any
}

// trim deletes the outbox up to and with (rev, index), at most maxTrim events of it.
type trim struct {
	rev     node.Rev
	index   uint32
	dropped bool // beyond the bounds, not published
}

var errDamaged = errors.New("the log entry is damaged")

func (e *entry) parts() int {
	n := len(e.conds) + len(e.dels) + len(e.prefix) + len(e.puts) + len(e.events)
	for _, p := range e.puts {
		n += len(p.uniq)
	}
	return n
}

// cost is at least what the entry will take of a storage transaction.
func (e *entry) cost(encoded int) int {
	n := encoded + 2*keyCost*e.parts()
	if e.trim != nil {
		n += maxTrim * (keyCost + eventKeySize)
	}
	return n
}

func (e *entry) encode() []byte {
	size := 64
	for _, p := range e.puts {
		size += len(p.data) + 128
	}
	for _, v := range e.events {
		size += len(v.Body) + len(v.Subject) + 64
	}
	b := make([]byte, 0, size)
	if e.reseal {
		b = append(b, entryVersionReseal)
	} else {
		b = append(b, entryVersionTx)
	}
	b = append(b, e.id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(e.at))
	b = binary.AppendUvarint(b, uint64(len(e.conds)))
	for _, c := range e.conds {
		b = appendKey(b, c.Key)
		b = binary.AppendUvarint(b, uint64(c.Rev))
	}
	b = appendKeys(b, e.dels)
	b = appendKeys(b, e.prefix)
	b = binary.AppendUvarint(b, uint64(len(e.puts)))
	for _, p := range e.puts {
		b = appendKey(b, p.key)
		b = appendStrings(b, p.uniq)
		b = appendBytes(b, p.data)
	}
	b = binary.AppendUvarint(b, uint64(len(e.events)))
	for _, v := range e.events {
		b = appendString(b, v.Subject)
		b = appendString(b, v.Node)
		b = appendBytes(b, v.Body)
	}
	if e.trim == nil {
		return append(b, 0)
	}
	b = append(b, 1)
	if e.trim.dropped {
		b[len(b)-1] = 2
	}
	b = binary.AppendUvarint(b, uint64(e.trim.rev))
	return binary.AppendUvarint(b, uint64(e.trim.index))
}

func decodeEntry(b []byte) (*entry, error) {
	if len(b) == 0 {
		return nil, errDamaged
	}
	if b[0] > entryVersion {
		return nil, fmt.Errorf("log entry of format %d, this one knows up to %d: %w", b[0], entryVersion, errNewer)
	}
	r := &reader{b: b[1:]}
	e := &entry{reseal: b[0] == entryVersionReseal}
	copy(e.id[:], r.take(len(e.id)))
	e.at = int64(r.uint64())
	for range r.count() {
		e.conds = append(e.conds, Cond{Key: r.key(), Rev: node.Rev(r.uvarint())})
	}
	e.dels = r.keys()
	e.prefix = r.keys()
	for range r.count() {
		e.puts = append(e.puts, entryPut{key: r.key(), uniq: r.strings(), data: r.bytes()})
	}
	for range r.count() {
		e.events = append(e.events, Event{Subject: r.string(), Node: r.string(), Body: r.bytes()})
	}
	if how := r.byte(); how != 0 {
		e.trim = &trim{rev: node.Rev(r.uvarint()), index: uint32(r.uvarint()), dropped: how == 2}
	}
	if r.bad || len(r.b) != 0 {
		return nil, errDamaged
	}
	return e, nil
}

func appendBytes(b, v []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

func appendString(b []byte, v string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

func appendKey(b []byte, k Key) []byte { return appendString(append(b, byte(k.Kind)), k.ID) }

func appendKeys(b []byte, keys []Key) []byte {
	b = binary.AppendUvarint(b, uint64(len(keys)))
	for _, k := range keys {
		b = appendKey(b, k)
	}
	return b
}

func appendStrings(b []byte, list []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = appendString(b, s)
	}
	return b
}

// reader takes values off b; the first that does not fit sets bad, and all later ones are zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.b) {
		r.bad = true
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) byte() byte {
	if v := r.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if v := r.take(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if r.bad || n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads a list's length; each element takes a byte at least, so a damaged length cannot ask for much memory.
func (r *reader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.bad = true
		return 0
	}
	return int(n)
}

func (r *reader) bytes() []byte  { return r.take(r.count()) }
func (r *reader) string() string { return string(r.bytes()) }
func (r *reader) key() Key       { return Key{Kind: Kind(r.byte()), ID: r.string()} }

func (r *reader) keys() []Key {
	var out []Key
	for range r.count() {
		out = append(out, r.key())
	}
	return out
}

func (r *reader) strings() []string {
	var out []string
	for range r.count() {
		out = append(out, r.string())
	}
	return out
}

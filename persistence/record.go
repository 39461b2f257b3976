// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"encoding/binary"
	"errors"
	"fmt"

	"ferrite/node"
)

// recordVersion is the format of a stored record's header (L1).
const recordVersion = 1

// Keys of the state machine's storage.
const (
	keyRecord  = 'r' // r kind id -> record
	keyEvent   = 'o' // o rev8 index4 seconds4 size4 -> event
	keyApplied = 'a' // a -> rev8: the newest entry whose effects are all here
)

// rec is a record as it is stored: header and encoded value.
type rec struct {
	key     Key
	rev     node.Rev
	created node.Rev
	born    txid // the transaction that created it (L2)
	last    txid // the transaction that wrote it last (L2)
	uniq    []string
	value   any // decoded; nil for kinds on disk only
	size    int // encoded bytes
}

// record is what callers see of it.
func (r *rec) record() Record {
	return Record{Key: r.key, Rev: r.rev, Created: r.created, Value: r.value}
}

func recordKey(k Key) []byte {
	b := make([]byte, 0, 2+len(k.ID))
	return append(append(b, keyRecord, byte(k.Kind)), k.ID...)
}

func parseRecordKey(b []byte) (Key, error) {
	if len(b) < 2 || b[0] != keyRecord {
		return Key{}, errors.New("the record's key is damaged")
	}
	return Key{Kind: Kind(b[1]), ID: string(b[2:])}, nil
}

func (r *rec) encode(value []byte) []byte {
	b := make([]byte, 0, 64+len(value))
	b = append(b, recordVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(r.rev))
	b = binary.BigEndian.AppendUint64(b, uint64(r.created))
	b = append(b, r.born[:]...)
	b = append(b, r.last[:]...)
	b = appendStrings(b, r.uniq)
	return append(b, value...)
}

// decodeRecord reads a header; the rest is the encoded value.
func decodeRecord(k Key, b []byte) (*rec, []byte, error) {
	if len(b) == 0 || b[0] > recordVersion {
		return nil, nil, fmt.Errorf("record %d/%s: header of an unknown format: %w", k.Kind, k.ID, errNewer)
	}
	r := &reader{b: b[1:]}
	out := &rec{key: k, rev: node.Rev(r.uint64()), created: node.Rev(r.uint64()), size: len(b)}
	copy(out.born[:], r.take(len(out.born)))
	copy(out.last[:], r.take(len(out.last)))
	out.uniq = r.strings()
	if r.bad {
		return nil, nil, fmt.Errorf("record %d/%s: the header is damaged", k.Kind, k.ID)
	}
	return out, r.b, nil
}

// queued is an event in the outbox without its body; the key on disk holds all of it.
type queued struct {
	rev   node.Rev
	index uint32
	at    uint32 // Unix seconds of the proposer
	size  uint32 // bytes
}

const eventKeySize = 1 + 8 + 4 + 4 + 4

func (q queued) key() []byte {
	b := make([]byte, 0, eventKeySize)
	b = append(b, keyEvent)
	b = binary.BigEndian.AppendUint64(b, uint64(q.rev))
	b = binary.BigEndian.AppendUint32(b, q.index)
	b = binary.BigEndian.AppendUint32(b, q.at)
	return binary.BigEndian.AppendUint32(b, q.size)
}

// after is the first key that sorts behind the event, whatever its time and size.
func (q queued) after() []byte {
	b := make([]byte, 0, eventKeySize)
	b = append(b, keyEvent)
	b = binary.BigEndian.AppendUint64(b, uint64(q.rev))
	b = binary.BigEndian.AppendUint32(b, q.index)
	return append(b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
}

func parseEventKey(b []byte) (queued, error) {
	if len(b) != eventKeySize {
		return queued{}, errors.New("the outbox key is damaged")
	}
	return queued{
		rev:   node.Rev(binary.BigEndian.Uint64(b[1:])),
		index: binary.BigEndian.Uint32(b[9:]),
		at:    binary.BigEndian.Uint32(b[13:]),
		size:  binary.BigEndian.Uint32(b[17:]),
	}, nil
}

// reached reports whether the event lies at or before (rev, index).
func (q queued) reached(rev node.Rev, index uint32) bool {
	return q.rev < rev || q.rev == rev && q.index <= index
}

func encodeEvent(v Event) []byte {
	b := make([]byte, 0, 8+len(v.Subject)+len(v.Node)+len(v.Body))
	b = append(b, recordVersion)
	b = appendString(b, v.Subject)
	b = appendString(b, v.Node)
	return append(b, v.Body...)
}

func decodeEvent(b []byte) (Event, error) {
	if len(b) == 0 || b[0] > recordVersion {
		return Event{}, fmt.Errorf("event of an unknown format: %w", errNewer)
	}
	r := &reader{b: b[1:]}
	v := Event{Subject: r.string(), Node: r.string()}
	if r.bad {
		return Event{}, errors.New("the event is damaged")
	}
	v.Body = append([]byte{}, r.b...)
	return v, nil
}

// A cursor's value is rev8 index4.
func encodeCursor(rev node.Rev, index uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(nil, uint64(rev)), index)
}

func decodeCursor(v any) (node.Rev, uint32) {
	b, _ := v.([]byte)
	if len(b) != 12 {
		return 0, 0
	}
	return node.Rev(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint32(b[8:])
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"bytes"
	"testing"

	"ferrite/node"
)

// What is read from the log, from another member's port or from a file that somebody hands over is refused or read, whatever
// it is.
func FuzzEntry(f *testing.F) {
	e := &entry{
		conds: []Cond{{Key: Key{KindNode, "a"}, Rev: 7}}, dels: []Key{{KindPort, "b"}}, prefix: []Key{{KindHistory, "a/"}},
		puts: []entryPut{{key: Key{KindSetting, "x"}, uniq: []string{"name/x"}, data: []byte("y")}}, events: []Event{{Subject: "s", Node: "n", Body: []byte("{}")}},
		trim: &trim{rev: 3, index: 1},
	}
	f.Add(e.encode())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodeEntry(b)
		if err != nil {
			return
		}
		again, err := decodeEntry(e.encode())
		if err != nil || len(again.puts) != len(e.puts) || len(again.conds) != len(e.conds) || len(again.events) != len(e.events) {
			t.Fatalf("what was read cannot be written and read again: %v", err)
		}
	})
}

func FuzzOutcome(f *testing.F) {
	f.Add(encodeOutcome(7, nil))
	f.Add(encodeOutcome(0, &Conflict{Cur: Record{Key: Key{KindNode, "a"}, Rev: node.Rev(9)}}))
	f.Add(encodeOutcome(0, &NotUnique{Uniq: "name/x", Holder: Key{KindNode, "a"}}))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = decodeOutcome(b) })
}

func FuzzBackup(f *testing.F) {
	m := NewMemory(MemoryOptions{})
	key := Key{KindSetting, "x"}
	if _, err := m.Commit(f.Context(), Tx{If: []Cond{{Key: key}}, Put: []Put{{Key: key, Value: []byte("y")}}, Events: []Event{{Subject: "s", Body: []byte("{}")}}}); err != nil {
		f.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := m.Backup(&b); err != nil {
		f.Fatal(err)
	}
	_ = m.Close()
	f.Add(b.Bytes())
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = readBackup(bytes.NewReader(b), func(_, _ []byte) error { return nil })
	})
}

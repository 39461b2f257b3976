// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// A leader with other entries in the place of what is applied here would have them cut off: the process ends before that.
func TestWhatIsAppliedIsNeverCutOff(t *testing.T) {
	var said bytes.Buffer
	ended := 0
	dir := t.TempDir()
	s, err := Open(Config{Dir: dir, Name: "c1", Key: make([]byte, KeySize), Logger: slog.New(slog.NewTextHandler(&said, nil)), Exit: func(int) { ended++ }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range 3 {
		key := Key{KindSetting, string(rune('a' + i))}
		if _, err := s.Commit(t.Context(), Tx{If: []Cond{{Key: key}}, Put: []Put{{Key: key, Value: []byte("1")}}}); err != nil {
			t.Fatal(err)
		}
	}
	last, err := s.logs.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.logs.DeleteRange(uint64(s.Applied()), last); err == nil || ended != 1 || !strings.Contains(said.String(), "move the data folder away") {
		t.Errorf("cutting off what is applied: %v, ended %d times, said\n%s", err, ended, said.String())
	}
	if now, err := s.logs.LastIndex(); err != nil || now != last {
		t.Errorf("the log ends at %d (%v), wanted %d", now, err, last)
	}
	if err := s.logs.DeleteRange(1, 1); err != nil { // its head
		t.Error(err)
	}
}

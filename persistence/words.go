// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import "sync"

// words shares the bytes of strings that occur in most records (keys of maps, drivers, states), which a decoder would
// allocate anew for each of 50,000 nodes. It is bounded: what does not fit is simply not shared.
type words struct {
	mu   sync.RWMutex
	seen map[string]string
}

const (
	maxWords   = 4096
	maxWordLen = 48
)

func newWords() *words { return &words{seen: make(map[string]string)} }

func (w *words) intern(s string) string {
	if s == "" || len(s) > maxWordLen {
		return s
	}
	w.mu.RLock()
	known, ok := w.seen[s]
	full := len(w.seen) >= maxWords
	w.mu.RUnlock()
	if ok {
		return known
	}
	if full {
		return s
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if known, ok := w.seen[s]; ok {
		return known
	}
	w.seen[s] = s
	return s
}

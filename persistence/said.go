// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"sync"
	"time"
)

// sayings keeps what comes again and again from becoming as many lines: each text once, then once in a sayAgain at most.
type sayings struct {
	mu sync.Mutex // guards at
	at map[string]time.Time
}

const (
	sayAgain = time.Minute
	maxSaid  = 256
)

// anew reports whether it is time to tell of this.
func (t *sayings) anew(what string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if last, ok := t.at[what]; ok && time.Since(last) < sayAgain {
		return false
	}
	if t.at == nil || len(t.at) >= maxSaid {
		t.at = map[string]time.Time{}
	}
	t.at[what] = time.Now()
	return true
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"maps"
	"sync"
	"sync/atomic"

	"ferrite/node"
)

// secrets remembers node.SecretKey by key, since the same few hundred keys are asked for in each node of a list.
var secrets keyCache

// maxKeys bounds the cache: clients choose keys.
const maxKeys = 1024

// keyCache is a bounded memory of answers of node.SecretKey.
type keyCache struct {
	known atomic.Pointer[map[string]bool] // replaced, never written to
	mu    sync.Mutex                      // held by writers
}

func (c *keyCache) has(key string) bool {
	if m := c.known.Load(); m != nil {
		if secret, ok := (*m)[key]; ok {
			return secret
		}
	}
	secret := node.SecretKey(key)
	if m := c.known.Load(); m != nil && len(*m) >= maxKeys {
		return secret
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	next := map[string]bool{}
	if m := c.known.Load(); m != nil {
		next = maps.Clone(*m)
	}
	next[key] = secret
	c.known.Store(&next)
	return secret
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"

	"ferrite/cluster"
	"ferrite/persistence"
)

// ring are the cluster keys that the store says are known, the one in use first: gossip and the routes between the NATS servers
// have keys of their own, which are derived from them.
type ring struct {
	mu   sync.Mutex // guards below
	keys [][]byte
	news chan struct{} // holds 1
}

func (r *ring) set(keys [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = keys
	if r.news == nil {
		r.news = make(chan struct{}, 1)
	}
}

func (r *ring) get() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys
}

// poke has the keys told once more.
func (r *ring) poke() {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case r.news <- struct{}{}:
	default: // alone, or it is to come already
	}
}

// derived is a key for one purpose.
func derived(key []byte, purpose string, size int) []byte {
	out, _ := hkdf.Key(sha256.New, key, nil, purpose, size) // of a valid length: cannot fail
	return out
}

// gossipKeys are what the gossip is encrypted with.
func gossipKeys(keys [][]byte) (out []cluster.Key, err error) {
	for _, k := range keys {
		finger, err := persistence.Fingerprint(k)
		if err != nil {
			return nil, err
		}
		out = append(out, cluster.Key{ID: finger[:8], Secret: derived(k, "ferrite gossip v1", 32)})
	}
	return out, nil
}

// routeSecrets are what the NATS servers know one another by.
func routeSecrets(keys [][]byte) (out []string) {
	for _, k := range keys {
		out = append(out, hex.EncodeToString(derived(k, "ferrite nats routes v1", 24)))
	}
	return out
}

// newKeys takes the keys of now: the gossip hears with all of them at once, the rest follows.
func (c *Conductor) newKeys(keys [][]byte) {
	if c.membership == nil {
		return
	}
	c.ring.set(keys)
	secrets, err := gossipKeys(keys)
	if err == nil {
		err = c.membership.SetKeys(secrets)
	}
	if err != nil {
		c.log.Error("the gossip does not take the new keys", "error", err)
	}
	c.ring.poke()
}

// tellKeys tells the others which keys are known here, and has the NATS servers use those of now.
func (c *Conductor) tellKeys(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.ring.news:
		}
		if err := c.membership.TellKeys(); err != nil {
			c.log.Warn("the others do not know which keys this conductor has", "error", err)
		}
		if c.nats == nil {
			continue
		}
		secrets := routeSecrets(c.ring.get())
		if err := c.nats.SetSecrets(secrets[0], secrets[1:]...); err != nil {
			c.log.Warn("the NATS servers of the conductors are not joined with the new key: a subscriber here misses what others send", "error", err)
		}
	}
}

// reloadKeys reads the key file again: what was put there opens from now on.
func (c *Conductor) reloadKeys() error {
	if c.keys.file == "" {
		return nil
	}
	keys, err := ReadKeys(c.keys.file)
	if err == nil {
		err = c.keys.store.SetKeys(keys)
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("the cluster key file %s: %w", c.keys.file, err)
	if c.membership == nil { // the key of a lone conductor is its own affair: it has always passed over what is in the file
		c.log.Warn("reload: the cluster key stays as it is", "error", err)
		return nil
	}
	return err
}

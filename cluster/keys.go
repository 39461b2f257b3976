// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/memberlist"
)

// Key is a key of the gossip.
type Key struct {
	ID     string // short, tells nothing of it; no comma
	Secret []byte // 16, 24 or 32 bytes
}

// deafRounds is after how many rounds in which no peer was heard gossip goes on with the next key.
const deafRounds = 2

// ids are the ids of keys as Member.Keys has them.
func ids(keys []Key) string {
	var out []string
	for _, k := range keys {
		out = append(out, k.ID)
	}
	return strings.Join(out, ",")
}

// keyring are the keys in use.
type keyring struct {
	mu   sync.Mutex // guards below
	keys []Key
	ring *memberlist.Keyring // nil = gossip in clear
}

// fill takes the first keys; the result is nil when there are none.
func (k *keyring) fill(keys []Key) (*memberlist.Keyring, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(keys) == 0 {
		return nil, nil //nolint:nilnil // in clear
	}
	var all [][]byte
	for _, key := range keys {
		all = append(all, key.Secret)
	}
	ring, err := memberlist.NewKeyring(all, all[0])
	if err != nil {
		return nil, err
	}
	k.keys, k.ring = slices.Clone(keys), ring
	return ring, nil
}

// set makes these the keys, the first the one that sends.
func (k *keyring) set(keys []Key) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.ring == nil:
		return errors.New("gossip is in clear: it gets no keys while it runs")
	case len(keys) == 0:
		return errors.New("wanted a key for the gossip, found none")
	}
	for _, key := range keys {
		if err := k.ring.AddKey(key.Secret); err != nil {
			return fmt.Errorf("gossip key %s: %w", key.ID, err)
		}
	}
	for _, old := range k.ring.GetKeys() {
		if slices.ContainsFunc(keys, func(x Key) bool { return bytes.Equal(x.Secret, old) }) {
			continue
		}
		// The ring drops its last key without writing into a list that others read at the time: so it becomes the last one.
		for _, key := range slices.Backward(keys) {
			if err := k.ring.UseKey(key.Secret); err != nil {
				return err
			}
		}
		if err := k.ring.RemoveKey(old); err != nil {
			return err
		}
	}
	k.keys = slices.Clone(keys)
	return k.ring.UseKey(keys[0].Secret)
}

// turn sends with the next key, where there are several.
func (k *keyring) turn() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.keys) < 2 {
		return
	}
	now := k.ring.GetPrimaryKey()
	i := slices.IndexFunc(k.keys, func(x Key) bool { return bytes.Equal(x.Secret, now) })
	_ = k.ring.UseKey(k.keys[(i+1)%len(k.keys)].Secret) // it is in the ring
}

// primary is the id of the key that sends, "" = gossip is in clear.
func (k *keyring) primary() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ring == nil {
		return ""
	}
	now := k.ring.GetPrimaryKey()
	for _, key := range k.keys {
		if bytes.Equal(key.Secret, now) {
			return key.ID
		}
	}
	return ""
}

// SetKeys makes these the keys of the gossip, the first the one that it sends with. Nobody is missed who knows that one.
// TellKeys is to follow.
func (m *Membership) SetKeys(keys []Key) error { return m.keys.set(keys) }

// TellKeys tells the others which keys this member knows; as every Update it may take a second.
func (m *Membership) TellKeys() error {
	m.keys.mu.Lock()
	now := ids(m.keys.keys)
	m.keys.mu.Unlock()
	return m.Update(func(x *Member) { x.Keys = now })
}

// door lets nobody in who could not hear the others: a member that has missed a change of the key is heard by those that still
// know the old one, would be taken for dead a moment later, and come again for ever.
type door Membership

// NotifyAlive refuses who does not know the key that this member sends with.
func (d *door) NotifyAlive(n *memberlist.Node) error {
	m := (*Membership)(d)
	mine := m.keys.primary()
	if n.Name == m.cfg.Member.Name || mine == "" {
		return nil
	}
	x, err := decode(n.Meta, n.Name)
	if err != nil || x.Keys == "" || slices.Contains(strings.Split(x.Keys, ","), mine) {
		return nil //nolint:nilerr // saw tells of words that nobody understands
	}
	who := n.Name + " " + x.Keys
	m.mu.Lock()
	first := m.refused != who
	m.refused = who
	m.mu.Unlock()
	if first {
		m.cfg.Logger.Warn("a conductor does not know the cluster key in use, nobody hears it: put that key into its --cluster-key-file", "name", n.Name, "address", n.Address(), "its_keys", x.Keys, "wanted", mine)
	}
	return errors.New("it does not know the cluster key in use")
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync/atomic"
)

// The ring of cluster keys that a conductor knows: the first seals, all open. Where there are several, the folder says which
// is the first, not the order in a file: key.check is sealed with it, and key.rotation holds both keys of a rotation.

// KeysFor puts cluster keys into the order in which a data folder uses them, the one that seals first, and adds the one that
// key.rotation holds beside one of them. It refuses keys that do not open the folder.
func KeysFor(dir string, keys [][]byte) ([][]byte, error) {
	s, _, err := folder(dir).ring(keys)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(folder(dir).check()); err == nil { // else there is nothing to open yet
		err = folder(dir).checkKey(s)
		if err != nil {
			return nil, err
		}
	}
	return s.raw(), nil
}

// ring is the ring of a folder, and its rotation, nil = none is under way.
func (d folder) ring(keys [][]byte) (*sealer, *rotationFile, error) {
	turn, fresh, old, err := d.rotationOf(keys)
	if err != nil {
		return nil, nil, err
	}
	if turn != nil {
		keys = append([][]byte{fresh, old}, keys...)
	}
	var all [][]byte
	for _, k := range keys {
		if !slices.ContainsFunc(all, func(have []byte) bool { return bytes.Equal(have, k) }) {
			all = append(all, k)
		}
	}
	s, err := newSealer(all...)
	if err != nil || turn != nil && !turn.Several {
		return s, turn, err
	}
	s.first(d.checkedWith())
	return s, turn, nil
}

// rotationOf reads key.rotation with whichever key opens it.
func (d folder) rotationOf(keys [][]byte) (turn *rotationFile, fresh, old []byte, err error) {
	turn, err = d.rotationFile()
	if err != nil || turn == nil {
		return nil, nil, nil, err
	}
	for _, k := range keys {
		if fresh, old, err = d.unrotated(k); err == nil {
			return turn, fresh, old, nil
		}
	}
	return nil, nil, nil, err // of the last one: each says the same
}

// checkedWith is the fingerprint of the key that key.check is sealed with, "" = it does not tell.
func (d folder) checkedWith() string {
	data, err := os.ReadFile(d.check())
	if err != nil {
		return "" // whoever opens the folder says what is wrong
	}
	finger, _, _ := sealedWith(strings.TrimSpace(string(data)))
	return finger
}

// endRotation forgets key.rotation.
func (d folder) endRotation() error {
	if err := os.Remove(d.rotation()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(string(d))
}

// first makes the key of a fingerprint the one that seals; one that is not there changes nothing.
func (s *sealer) first(finger string) {
	ring := slices.Clone(s.keys())
	i := slices.IndexFunc(ring, func(k *sealKey) bool { return k.fingerprint == finger })
	if i > 0 {
		k := ring[i]
		ring = slices.Insert(slices.Delete(ring, i, i+1), 0, k)
		s.ring.Store(&ring)
	}
}

// of is the key of a fingerprint, nil = it is not known.
func (s *sealer) of(finger string) *sealKey {
	for _, k := range s.keys() {
		if k.fingerprint == finger {
			return k
		}
	}
	return nil
}

func (s *sealer) raw() (out [][]byte) {
	for _, k := range s.keys() {
		out = append(out, k.raw)
	}
	return out
}

// takeKeys fills the ring at a start.
func (s *Raft) takeKeys(seal *sealer) error {
	ring, turn, err := s.dir.ring(append([][]byte{s.cfg.Key}, s.cfg.Keys...))
	if err != nil {
		return err
	}
	seal.ring.Store(ring.ring.Load())
	if turn == nil {
		return nil
	}
	fresh, old := seal.of(turn.To), seal.of(turn.From)
	if s.cfg.Net != nil {
		if !turn.Several {
			return fmt.Errorf("%s was rotating its cluster key from %s to %s alone: start it without --gossip-listen until that has ended, then as one of several", s.dir, turn.From, turn.To)
		}
		s.turn.pinned = turn.To
		return nil
	}
	seal.first(turn.To) // alone, the new key seals at once
	s.turn.key, s.turn.old = fresh.raw, old.raw
	s.turn.status.From = turn.From
	return nil
}

// useRing changes the ring. What was sealed with the one before is on its way to the log when it returns, and counted.
func (s *Raft) useRing(ring ...*sealKey) {
	s.sealing.Lock()
	defer s.sealing.Unlock()
	if ring[0] != s.codec.seal.keys()[0] {
		s.flights.next()
	}
	s.codec.seal.ring.Store(&ring)
}

// told tells the owner of other keys that are derived from these.
func (s *Raft) told() {
	if s.cfg.KeysChanged != nil {
		s.cfg.KeysChanged(s.codec.seal.raw())
	}
}

// SetKeys takes the keys of a file that was read again: they open from now on, and those that are not among them no more. The
// key that seals, and those of a rotation, must stay. Alone, a rotation that is under way passes it over: it owns the file.
func (s *Raft) SetKeys(keys [][]byte) error {
	given, err := newSealer(keys...)
	if err != nil {
		return err
	}
	s.turn.mu.Lock()
	defer s.turn.mu.Unlock()
	if s.turn.key != nil {
		return nil
	}
	needed := []string{s.codec.seal.fingerprints()[0]}
	if t, _, ok := s.turnRecord(); ok && s.port != nil {
		needed = append(needed, t.To)
		if t.Phase != turnDropping {
			needed = append(needed, t.From)
		}
	}
	if s.turn.pinned != "" {
		needed = append(needed, s.turn.pinned)
	}
	for _, finger := range needed {
		if given.of(finger) == nil && s.codec.seal.of(finger) != nil {
			return fmt.Errorf("the key with fingerprint %s is in use, found only %s: put it back; a key is replaced by \"ferrite secrets rotate\", and dropped by \"ferrite secrets drop\"",
				finger, strings.Join(given.fingerprints(), " and "))
		}
	}
	ring := []*sealKey{s.codec.seal.keys()[0]}
	for _, k := range given.keys() {
		if have := s.codec.seal.of(k.fingerprint); have != nil {
			k = have
		}
		if !slices.ContainsFunc(ring, func(have *sealKey) bool { return have.fingerprint == k.fingerprint }) {
			ring = append(ring, k)
		}
	}
	s.useRing(ring...)
	s.told()
	return nil
}

// flights count transactions under way by the key that sealed them. All but old hold Raft.sealing.
type flights struct {
	all atomic.Pointer[[]*atomic.Int64] // one for each key that has sealed, the present one last
}

// now is where a transaction is counted.
func (f *flights) now() *atomic.Int64 {
	if list := f.all.Load(); list != nil {
		return (*list)[len(*list)-1]
	}
	f.all.CompareAndSwap(nil, &[]*atomic.Int64{{}})
	return f.now()
}

// next begins to count those of another key.
func (f *flights) next() {
	f.now()
	var left []*atomic.Int64
	for _, n := range *f.all.Load() {
		if n.Load() > 0 {
			left = append(left, n)
		}
	}
	left = append(left, &atomic.Int64{})
	f.all.Store(&left)
}

// old counts those of keys that seal no more.
func (f *flights) old() (n int64) {
	list := f.all.Load()
	if list == nil {
		return 0
	}
	for _, x := range (*list)[:len(*list)-1] {
		n += x.Load()
	}
	return n
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Rotation of the cluster key: the new key seals at once, both open; every record that is sealed with the old one is
// sealed anew; then the log is cut behind a snapshot of that, and the old key is dropped. Meanwhile the folder holds each
// key sealed with the other (key.rotation), so that it opens with either, and a start goes on where the process died.
//
// A record sealed anew keeps its revision and its ids: it is no change, nobody conflicts with it and nobody is told.

// ErrRotating says that the key is being rotated already.
var ErrRotating = errors.New("the cluster key is being rotated already: wait for its end")

// Rotation tells how far the rotation of the cluster key is.
type Rotation struct {
	Current string   // fingerprint of the key that seals
	From    string   // of the key that is being replaced; "" = no rotation is under way
	Sealed  int      // records sealed anew since the process started
	Left    int      // records still to do, as of the last look
	Problem string   // why it does not come to its end at present
	Phase   string   // of several members: one of the phases of turnRecord; "" = none
	To      string   // likewise: of the key that takes From's place
	Keys    []string // of all that are known here, Current first
}

// rotating is a rotation under way.
type rotating struct {
	mu     sync.Mutex // guards the fields below, and who changes the ring
	status Rotation
	key    []byte // the new one; nil = none under way
	old    []byte
	pinned string // of several members: fingerprint of the new key, once it is in the folder
}

// resealBatch bounds an entry of records that are sealed anew.
const (
	resealBatch = 64
	resealBytes = 256 << 10
	resealPause = 2 * time.Second // after something failed
)

// rotationFile is key.rotation.
type rotationFile struct {
	Format   int
	From, To string // fingerprints
	Old, New string // the keys, each sealed with the other
	// Several: of a log of several members, which says when the new key seals; until then key.check names the old one.
	Several bool `json:",omitempty"`
}

func (d folder) rotation() string { return filepath.Join(string(d), "key.rotation") }

// Rotation tells how far a rotation is.
func (s *Raft) Rotation() Rotation {
	s.turn.mu.Lock()
	defer s.turn.mu.Unlock()
	r := s.turn.status
	r.Keys = s.codec.seal.fingerprints()
	r.Current = r.Keys[0]
	if s.port == nil {
		return r
	}
	if t, _, ok := s.turnRecord(); ok {
		r.Phase, r.From, r.To = t.Phase, t.From, t.To
	}
	return r
}

// Rotate begins to replace the cluster key by another one. When it returns nil the new key is known to the folder, and a
// process that dies goes on at its next start; Rotation tells of the end.
func (s *Raft) Rotate(key []byte) error {
	fresh, err := newSealKey(key)
	if err != nil {
		return err
	}
	if err := errors.Join(s.stopped(), s.life.Err()); err != nil {
		return err
	}
	if s.port != nil {
		return errors.New("the key of a conductor that may have others is rotated by RotateTogether")
	}
	s.turn.mu.Lock()
	defer s.turn.mu.Unlock()
	if s.turn.key != nil {
		return ErrRotating
	}
	present := s.codec.seal.keys()[0]
	if fresh.fingerprint == present.fingerprint {
		return fmt.Errorf("the key with fingerprint %s is the present one: wanted a new key", fresh.fingerprint)
	}
	if err := s.dir.beginRotation(present.raw, key, false); err != nil {
		return fmt.Errorf("the rotation of the cluster key has not begun: %w", err)
	}
	s.useRing(fresh, present)
	s.turn.old, s.turn.key = present.raw, key
	s.turn.status.From = present.fingerprint
	s.background.Go(s.rotate)
	return nil
}

// beginRotation writes key.rotation.
func (d folder) beginRotation(old, key []byte, several bool) error {
	f := rotationFile{Format: 1, Several: several}
	for _, w := range []struct {
		finger, box *string
		under, what []byte
	}{{&f.From, &f.New, old, key}, {&f.To, &f.Old, key, old}} {
		s, err := newSealer(w.under)
		if err != nil {
			return err
		}
		*w.finger = s.fingerprints()[0]
		if *w.box, err = s.sealSecret("", "rotation", base64.StdEncoding.EncodeToString(w.what)); err != nil {
			return err
		}
	}
	data, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(d.rotation(), append(data, '\n'))
}

// rotationFile reads key.rotation; nil = there is none.
func (d folder) rotationFile() (*rotationFile, error) {
	data, err := os.ReadFile(d.rotation())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // as said
	}
	if err != nil {
		return nil, err
	}
	var f rotationFile
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", d.rotation(), err)
	}
	if f.Format > 1 {
		return nil, fmt.Errorf("%s: format %d: %w", d.rotation(), f.Format, errNewer)
	}
	return &f, nil
}

// unrotated reads key.rotation with one of its two keys. Without such a file both are nil.
func (d folder) unrotated(key []byte) (fresh, old []byte, err error) {
	f, err := d.rotationFile()
	if err != nil || f == nil {
		return nil, nil, err
	}
	s, err := newSealer(key)
	if err != nil {
		return nil, nil, err
	}
	mine := s.fingerprints()[0]
	box := f.New
	if mine == f.To {
		box = f.Old
	} else if mine != f.From {
		return nil, nil, fmt.Errorf("%w: the key of %s is being rotated, and either of the two will do", &WrongKey{Want: f.From + " or " + f.To, Have: []string{mine}}, d)
	}
	text, err := s.openString("", "rotation", box)
	if err != nil {
		return nil, nil, fmt.Errorf("%s is damaged: %w", d.rotation(), err)
	}
	other, err := base64.StdEncoding.DecodeString(fmt.Sprint(text))
	if err != nil {
		return nil, nil, fmt.Errorf("%s is damaged: %w", d.rotation(), err)
	}
	if mine == f.To {
		return key, other, nil
	}
	return other, key, nil
}

// rotate works until the old key is dropped, or the store ends.
func (s *Raft) rotate() {
	for {
		err := s.turnKey(s.life)
		if err == nil || s.life.Err() != nil {
			return
		}
		s.log.Warn("the rotation of the cluster key waits", "error", err)
		s.turn.mu.Lock()
		s.turn.status.Problem = err.Error()
		s.turn.mu.Unlock()
		select {
		case <-s.life.Done():
			return
		case <-time.After(resealPause):
		}
	}
}

func (s *Raft) turnKey(ctx context.Context) error {
	// What was sealed with the old key before the change went into the queue before this entry, and is applied with it.
	if _, err := s.propose(ctx, &entry{reseal: true}); err != nil {
		return err
	}
	for {
		n, err := s.resealAll(ctx)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	if err := s.cutLog(); err != nil {
		return fmt.Errorf("cutting the log: %w", err)
	}
	s.turn.mu.Lock()
	key, from := s.turn.key, s.turn.status.From
	s.turn.mu.Unlock()
	if s.cfg.KeepKey != nil {
		if err := s.cfg.KeepKey(key); err != nil {
			return fmt.Errorf("keeping the new key: %w", err)
		}
	}
	only, err := newSealer(key)
	if err != nil {
		return err
	}
	if _, rev, ok := s.turnRecord(); ok { // of when it had others
		if _, err := s.propose(ctx, &entry{conds: []Cond{{Key: turnKey, Rev: rev}}, dels: []Key{turnKey}}); err != nil {
			return err
		}
	}
	if err := s.dir.sealCheck(only); err != nil {
		return err
	}
	if err := s.dir.endRotation(); err != nil {
		return err
	}
	s.turn.mu.Lock()
	defer s.turn.mu.Unlock()
	s.codec.seal.ring.Store(only.ring.Load())
	s.turn.key, s.turn.old = nil, nil
	s.turn.status.From, s.turn.status.Left, s.turn.status.Problem = "", 0, ""
	s.log.Info("the cluster key is rotated: nothing is sealed with the old one any more", "key", only.fingerprints()[0], "old", from, "records", s.turn.status.Sealed)
	return nil
}

// resealAll walks over all records once, and returns how many were sealed with another key than the present one.
func (s *Raft) resealAll(ctx context.Context) (int, error) {
	present := s.codec.seal.fingerprints()[0]
	found, err := s.stale(present)
	if err != nil {
		return 0, err
	}
	for at := 0; at < len(found); {
		s.turn.mu.Lock()
		s.turn.status.Left = len(found) - at
		s.turn.mu.Unlock()
		e := &entry{reseal: true}
		for size := 0; at < len(found) && len(e.puts) < resealBatch; at++ {
			k := found[at]
			r, ok := s.Get(k)
			if !ok {
				continue
			}
			data, err := s.codec.encode(k, r.Value)
			if err != nil {
				return 0, err
			}
			if size += len(data); size > resealBytes && len(e.puts) > 0 {
				break
			}
			e.conds = append(e.conds, Cond{Key: k, Rev: r.Rev})
			e.puts = append(e.puts, entryPut{key: k, data: data})
		}
		if _, err := s.propose(ctx, e); err != nil {
			return 0, err
		}
		s.turn.mu.Lock()
		s.turn.status.Sealed += len(e.puts)
		s.turn.mu.Unlock()
	}
	return len(found), nil
}

// stale finds the records with values that another key than this sealed.
func (s *Raft) stale(present string) ([]Key, error) {
	v, done, err := s.view()
	if err != nil {
		return nil, err
	}
	defer done()
	var out []Key
	err = v.scan([]byte{keyRecord}, nil, func(key []byte, value func() ([]byte, error)) (bool, error) {
		k, err := parseRecordKey(key)
		if err != nil || kinds[k.Kind].encode == nil { // only these are sealed
			return err == nil, err
		}
		data, err := value()
		if err != nil {
			return false, err
		}
		_, body, err := decodeRecord(k, data)
		if err != nil {
			return false, err
		}
		other, err := sealedByOther(body, present)
		if other {
			out = append(out, k)
		}
		return err == nil, err
	})
	return out, err
}

// sealedByOther reports whether an encoded value holds a secret that another key than this sealed.
func sealedByOther(body []byte, present string) (bool, error) {
	n := countSealed(body)
	if n == 0 || n == bytes.Count(body, []byte(`"`+keyedMark+present+":")) {
		return false, nil
	}
	var v any
	if err := json.Unmarshal(body[1:], &v); err != nil {
		return false, err
	}
	return holdsOther(v, present), nil
}

func holdsOther(v any, present string) bool {
	switch v := v.(type) {
	case string:
		if !strings.HasPrefix(v, sealMark) || strings.HasPrefix(v, plainMark) {
			return false
		}
		finger, _, _ := sealedWith(v)
		return finger != present
	case map[string]any:
		for _, e := range v {
			if holdsOther(e, present) {
				return true
			}
		}
	case []any:
		for _, e := range v {
			if holdsOther(e, present) {
				return true
			}
		}
	}
	return false
}

// cutLog takes the two snapshots that are kept, and drops the log behind them: neither holds what the old key sealed.
func (s *Raft) cutLog() error {
	usual := s.raft.ReloadableConfig()
	short := usual
	short.TrailingLogs = 0
	if err := s.raft.ReloadConfig(short); err != nil {
		return err
	}
	var errs []error
	for range 2 {
		if err := s.raft.Snapshot().Error(); err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, s.raft.ReloadConfig(usual))...)
}

// reseal puts new bytes of the same values in place of the old ones. A record that was written meanwhile is passed by:
// the new key has sealed it.
func (a *applying) reseal(e *entry) error {
	if len(e.conds) != len(e.puts) {
		return errDamaged
	}
	for i, p := range e.puts {
		if e.conds[i].Key != p.key {
			return errDamaged
		}
		cur, err := a.current(p.key)
		if err != nil {
			return err
		}
		if cur == nil || cur.rev != e.conds[i].Rev {
			continue
		}
		if _, err := a.r.codec.decode(p.key, p.data); err != nil {
			return err
		}
		if err := a.tx.set(recordKey(p.key), cur.encode(p.data)); err != nil {
			return a.failed(err)
		}
	}
	return nil
}

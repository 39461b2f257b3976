// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"ferrite/httpapi"
	"ferrite/persistence"
)

// keyring rotates the cluster key and keeps the file that it was read from: when the new key has sealed everything, it
// takes the place of the old one there, and the old one stays beside it for older backups. Of several conductors each does so
// with its own file.
type keyring struct {
	file  string // where the key is kept; "" = nowhere that we know
	log   *slog.Logger
	store interface {
		Rotate(key []byte) error
		Rotation() persistence.Rotation
		SetKeys(keys [][]byte) error
		RotateTogether(ctx context.Context, to string) error
		DropOldKey(ctx context.Context) error
		Members(ctx context.Context) []persistence.Member
		Alone() bool
	}

	mu     sync.Mutex // guards the fields below
	source string     // file that the new key was read from
	advice string
}

// RotateKey begins a rotation: alone, to the key in a file, to the other one in our own file, or to a new one; with others, to
// the one with that fingerprint, or to the only other one that all know.
func (k *keyring) RotateKey(ctx context.Context, file, to string) error {
	if !k.store.Alone() {
		if file != "" {
			return errors.New("the key of several conductors is not read from a file of one of them: put it below the present one in the cluster_key_file of each, reload all, and rotate without a file")
		}
		return k.store.RotateTogether(ctx, to)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	var key []byte
	var err error
	others, rerr := k.others()
	switch {
	case to != "":
		return errors.New("a fingerprint says which of the keys that all conductors know shall seal: this one is alone, name a file")
	case file == "" && rerr == nil && len(others) == 1:
		key = others[0]
	case file == "" && rerr == nil && len(others) > 1:
		return fmt.Errorf("%s holds several other keys: leave the one that shall seal, or name a file that holds it alone", k.file)
	case file != "" && !filepath.IsAbs(file):
		return fmt.Errorf("key_file is %q: wanted an absolute path on the conductor's machine", file)
	case file != "":
		key, err = ReadKey(file)
	case k.file == "":
		return errors.New("the conductor does not know where its key is kept: name a file with a new key")
	default:
		if err := writable(k.file); err != nil {
			return fmt.Errorf("a new key cannot be kept in %s (%w): make one with \"ferrite cluster key\" and name its file", k.file, err)
		}
		key, err = ParseKey(NewKey())
	}
	if err != nil {
		return err
	}
	source := k.source
	k.source, k.advice = file, ""
	if err := k.store.Rotate(key); err != nil {
		k.source = source
		return err
	}
	k.log.Info("the cluster key is being rotated", "from", k.store.Rotation().From, "to", k.store.Rotation().Current)
	return nil
}

// others are the keys in our file beside the one that seals.
func (k *keyring) others() ([][]byte, error) {
	if k.file == "" {
		return nil, nil
	}
	keys, err := ReadKeys(k.file)
	if err != nil || len(keys) < 2 {
		return nil, err
	}
	current := k.store.Rotation().Current
	return slices.DeleteFunc(keys, func(key []byte) bool {
		finger, err := persistence.Fingerprint(key)
		return err != nil || finger == current
	}), nil
}

// DropKey begins to drop the old key of a rotation of several conductors.
func (k *keyring) DropKey(ctx context.Context) error { return k.store.DropOldKey(ctx) }

// KeyStatus tells how far a rotation is, and, of several conductors, which keys each knows.
func (k *keyring) KeyStatus(ctx context.Context) httpapi.KeyStatus {
	r := k.store.Rotation()
	k.mu.Lock()
	out := httpapi.KeyStatus{Key: r.Current, Rotating: r.From, Resealed: r.Sealed, Left: r.Left, Problem: r.Problem, Kept: k.file, Advice: k.advice}
	k.mu.Unlock()
	if k.store.Alone() {
		return out
	}
	out.Phase, out.New = r.Phase, r.To
	for _, m := range k.store.Members(ctx) {
		row := httpapi.KeyMember{Name: m.Name, Problem: m.Problem}
		if m.Status != nil {
			if len(m.Status.Keys) > 0 {
				row.Key, row.Others = m.Status.Keys[0], m.Status.Keys[1:]
			}
			if m.Leader {
				out.Resealed, out.Left = m.Status.Turn.Sealed, m.Status.Turn.Left
				out.Problem = cmp.Or(m.Status.Turn.Problem, out.Problem)
			}
		}
		out.Members = append(out.Members, row)
	}
	slices.SortFunc(out.Members, func(a, b httpapi.KeyMember) int { return strings.Compare(a.Name, b.Name) })
	if r.Phase == persistence.TurnSealed {
		out.Rotating, out.Old = "", r.From
	}
	out.Advice = cmp.Or(out.Advice, nextStep(out))
	return out
}

// nextStep is what the operator of several conductors has to do for a rotation.
func nextStep(s httpapi.KeyStatus) string {
	switch {
	case s.Old != "":
		return "nothing is sealed with " + s.Old + " any more: \"ferrite secrets drop\" drops it on all conductors"
	case s.Rotating != "":
		return ""
	}
	know := map[string][]string{}
	for _, m := range s.Members {
		for _, key := range m.Others {
			know[key] = append(know[key], m.Name)
		}
	}
	all := slices.Sorted(maps.Keys(know))
	if len(all) == 0 {
		return ""
	}
	key := all[0] // of several, one after the other
	var without []string
	for _, m := range s.Members {
		if !slices.Contains(know[key], m.Name) {
			without = append(without, m.Name)
		}
	}
	if len(without) > 0 {
		return "give " + key + " to " + and(without) + " too: on a line of its own below the present one in the cluster_key_file, then reload"
	}
	return "all conductors know " + key + ": \"ferrite secrets rotate\" makes it the one that seals"
}

// keep puts a key into our file. If that cannot be written but the operator has the key in a file, it is for them to put
// that in its place.
func (k *keyring) keep(key []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	err := rewriteKeys(k.file, k.store.Rotation().From, key)
	if err == nil {
		return nil
	}
	if have, rerr := ReadKey(k.source); rerr == nil && bytes.Equal(have, key) {
		k.advice = fmt.Sprintf("start the conductor with --cluster-key-file %s from now on: the new key could not be written to %s", k.source, k.file)
		k.log.Warn("the new cluster key could not be kept where the old one is", "file", k.file, "error", err, "next_step", k.advice)
		return nil
	}
	return err
}

// drop takes a key out of our file that nothing is sealed with any more. If it cannot be written, that is for the operator.
func (k *keyring) drop(old, key []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.advice = ""
	if k.file == "" {
		return
	}
	was, err := persistence.Fingerprint(old)
	if err == nil {
		err = rewriteKeys(k.file, was, key)
	}
	if err == nil {
		return
	}
	is, _ := persistence.Fingerprint(key) // of a key that seals: cannot fail
	k.advice = fmt.Sprintf("on this conductor, %s could not be written: make the key with fingerprint %s the first in it, and take out the one with %s", k.file, is, was)
	k.log.Warn("the old cluster key could not be taken out of its file", "file", k.file, "error", err, "next_step", k.advice)
}

// rewriteKeys makes a key the first in a file, and takes out the one with a fingerprint, which stays beside the file under that;
// the rest stays.
func rewriteKeys(file, drop string, key []byte) error {
	data, err := os.ReadFile(file) //nolint:gosec // the operator names it
	if err != nil {
		return fmt.Errorf("cluster key: %w", err)
	}
	keys, err := ReadKeys(file)
	if err != nil {
		return err
	}
	text, dropped := base64.StdEncoding.EncodeToString(key)+"\n", []byte(nil)
	for line := range strings.Lines(string(data)) {
		if !noKey(line) {
			here := keys[0]
			keys = keys[1:]
			finger, err := persistence.Fingerprint(here)
			switch {
			case err != nil:
				return err
			case bytes.Equal(here, key):
				continue
			case finger == drop:
				dropped = here
				continue
			}
		}
		text += strings.TrimRight(line, "\n") + "\n"
	}
	if text == string(data) {
		return nil
	}
	if dropped != nil {
		if err := writeKey(file+".old-"+drop, base64.StdEncoding.EncodeToString(dropped)); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	tmp := file + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeKey(tmp, strings.TrimSuffix(text, "\n")); err != nil {
		return err
	}
	if err := os.Rename(tmp, file); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(file))
}

// writable reports why a file cannot be replaced.
func writable(file string) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".ferrite-key-")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

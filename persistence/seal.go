// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/chacha20poly1305"

	"ferrite/node"
)

// KeySize is the length of the cluster key in bytes.
const KeySize = 32

// A stored string that begins with sealMark is not what the user wrote: plainMark + text is a text that happens to begin
// with sealMark; keyedMark + fingerprint of the cluster key + ":" + base64 is a sealed value; sealedMark + base64 is one
// of before keys had fingerprints.
const (
	sealMark   = "ferrite-sealed:"
	plainMark  = sealMark + "0:"
	sealedMark = sealMark + "1:"
	keyedMark  = sealMark + "2:"
)

// hidden stands for a sealed value where there is no key to open it with (Verify).
const hidden = "sealed"

// errWrongKeyText begins every error about a wrong key.
const errWrongKeyText = "the cluster key does not fit"

var errWrongKey = errors.New(errWrongKeyText + ": it was sealed with another key")

// WrongKey says that something is sealed with a cluster key that we do not have.
type WrongKey struct {
	Want string   // fingerprint of the key that it was sealed with, "" = not known
	Have []string // fingerprints of the keys that we have
}

func (e *WrongKey) Error() string {
	want := "another key"
	if e.Want != "" {
		want = "the key with fingerprint " + e.Want
	}
	return fmt.Sprintf(errWrongKeyText+": wanted %s, found %s", want, strings.Join(e.Have, " and "))
}

// Is makes every WrongKey one kind of error.
func (e *WrongKey) Is(target error) bool { return target == errWrongKey }

// Fingerprint names a cluster key without telling anything of it: 16 hexadecimal digits.
func Fingerprint(clusterKey []byte) (string, error) {
	if len(clusterKey) != KeySize {
		return "", fmt.Errorf("the cluster key has %d bytes, wanted %d", len(clusterKey), KeySize)
	}
	b, err := hkdf.Key(sha256.New, clusterKey, nil, "ferrite key fingerprint v1", 8)
	return hex.EncodeToString(b), err
}

// sealKey is what seals and opens under one cluster key.
type sealKey struct {
	fingerprint string
	aead        cipher.AEAD
	raw         []byte // the cluster key
}

func newSealKey(clusterKey []byte) (*sealKey, error) {
	finger, err := Fingerprint(clusterKey)
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, clusterKey, nil, "ferrite record seal v1", chacha20poly1305.KeySize)
	if err != nil {
		return nil, err
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, err
	}
	return &sealKey{fingerprint: finger, aead: aead, raw: clusterKey}, nil
}

// sealer encrypts secrets with XChaCha20-Poly1305 under a key derived from the cluster key (L3). A sealed value is bound
// to its record and path: copied elsewhere, it does not open. It holds a ring of keys: the first seals, all open; there
// is more than one only while the key is being rotated, or is going to be. Without any key it opens nothing and says hidden
// instead.
type sealer struct{ ring atomic.Pointer[[]*sealKey] }

func newSealer(clusterKeys ...[]byte) (*sealer, error) {
	var ring []*sealKey
	for _, key := range clusterKeys {
		k, err := newSealKey(key)
		if err != nil {
			return nil, err
		}
		ring = append(ring, k)
	}
	s := &sealer{}
	s.ring.Store(&ring)
	return s, nil
}

func (s *sealer) keys() []*sealKey { return *s.ring.Load() }

func (s *sealer) fingerprints() []string {
	out := []string{}
	for _, k := range s.keys() {
		out = append(out, k.fingerprint)
	}
	return out
}

// sealMap returns m with the values of secret keys sealed, at any depth; m itself when there is nothing to seal.
func (s *sealer) sealMap(id, path string, m map[string]any) (map[string]any, error) {
	var out map[string]any
	for k, v := range m {
		sealed, changed, err := s.sealValue(id, path, k, v)
		if err != nil {
			return nil, err
		}
		if !changed {
			continue
		}
		if out == nil {
			out = node.With(m, k, sealed)
			continue
		}
		out[k] = sealed
	}
	if out == nil {
		return m, nil
	}
	return out, nil
}

func (s *sealer) sealValue(id, path, key string, v any) (any, bool, error) {
	if node.SecretKey(key) && v != nil {
		sealed, err := s.sealSecret(id, joinPath(path, key), v)
		return sealed, true, err
	}
	switch v := v.(type) {
	case nil, bool, float64, int, int64, json.Number:
		return v, false, nil
	case string:
		if strings.HasPrefix(v, sealMark) {
			return plainMark + v, true, nil
		}
		return v, false, nil
	case map[string]any:
		sub, err := s.sealMap(id, joinPath(path, key), v)
		return sub, !sameMap(sub, v), err
	case []any:
		return s.sealList(id, joinPath(path, key), v)
	}
	return s.sealOther(id, path, key, v)
}

func (s *sealer) sealList(id, path string, l []any) (any, bool, error) {
	var out []any
	for i, v := range l {
		sealed, changed, err := s.sealValue(id, path, strconv.Itoa(i), v)
		if err != nil {
			return nil, false, err
		}
		if !changed {
			continue
		}
		if out == nil {
			out = append([]any(nil), l...)
		}
		out[i] = sealed
	}
	if out == nil {
		return l, false, nil
	}
	return out, true, nil
}

// sealOther looks into Go types that encode as objects or lists without being map[string]any or []any.
func (s *sealer) sealOther(id, path, key string, v any) (any, bool, error) {
	switch reflect.ValueOf(v).Kind() {
	case reflect.Map, reflect.Slice, reflect.Array, reflect.Struct, reflect.Pointer, reflect.String:
	default:
		return v, false, nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, false, err
	}
	var plain any
	if err := unmarshal(data, &plain); err != nil {
		return nil, false, err
	}
	sealed, _, err := s.sealValue(id, path, key, plain)
	return sealed, true, err
}

func (s *sealer) sealSecret(id, path string, v any) (string, error) {
	keys := s.keys()
	if len(keys) == 0 {
		return "", errors.New("there is no cluster key to seal with")
	}
	k := keys[0]
	plain, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, k.aead.NonceSize(), k.aead.NonceSize()+len(plain)+k.aead.Overhead())
	if _, err := rand.Read(nonce); err != nil {
		return "", err
	}
	box := k.aead.Seal(nonce, nonce, plain, binding(id, path))
	return keyedMark + k.fingerprint + ":" + base64.RawStdEncoding.EncodeToString(box), nil
}

// sealedWith tells with which key a stored string is sealed: its fingerprint ("" = not recorded) and the box in base64.
// ok is false when it is not sealed.
func sealedWith(stored string) (finger, box string, ok bool) {
	if text, ok := strings.CutPrefix(stored, keyedMark); ok {
		finger, box, ok = strings.Cut(text, ":")
		return finger, box, ok
	}
	box, ok = strings.CutPrefix(stored, sealedMark)
	return "", box, ok
}

// openString turns a stored string that begins with sealMark back into what the user wrote.
func (s *sealer) openString(id, path, stored string) (any, error) {
	if text, ok := strings.CutPrefix(stored, plainMark); ok {
		return text, nil
	}
	finger, text, ok := sealedWith(stored)
	if !ok {
		return nil, fmt.Errorf("%s: unknown form of sealed value: %w", path, errNewer)
	}
	box, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || len(box) < chacha20poly1305.NonceSizeX+chacha20poly1305.Overhead {
		return nil, fmt.Errorf("%s: the sealed value is damaged", path)
	}
	keys := s.keys()
	if len(keys) == 0 {
		return hidden, nil
	}
	plain, err := openBox(keys, finger, box, binding(id, path))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var v any
	if err := unmarshal(plain, &v); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return settle(v), nil
}

// openBox opens with the key of that fingerprint; when none is recorded, with any that fits.
func openBox(keys []*sealKey, finger string, box, bound []byte) ([]byte, error) {
	wrong := &WrongKey{Want: finger}
	for _, k := range keys {
		wrong.Have = append(wrong.Have, k.fingerprint)
		if finger != "" && finger != k.fingerprint {
			continue
		}
		plain, err := k.aead.Open(nil, box[:k.aead.NonceSize()], box[k.aead.NonceSize():], bound)
		if err == nil {
			return plain, nil
		}
		if finger != "" {
			return nil, fmt.Errorf("%w, or the value is damaged or was sealed for another place", errWrongKey)
		}
	}
	return nil, wrong
}

// settle turns the numbers of an opened value into what JSON values are.
func settle(v any) any {
	switch v := v.(type) {
	case json.Number:
		return settleNumber(v)
	case map[string]any:
		for k := range v {
			v[k] = settle(v[k])
		}
	case []any:
		for i := range v {
			v[i] = settle(v[i])
		}
	}
	return v
}

func binding(id, path string) []byte {
	return bytes.Join([][]byte{[]byte(id), []byte(path)}, []byte{0})
}

// joinPath is a JSON pointer: no two places of a record have the same.
func joinPath(path, key string) string {
	if strings.ContainsAny(key, "~/") {
		key = strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1")
	}
	return path + "/" + key
}

func sameMap(a, b map[string]any) bool {
	return reflect.ValueOf(a).UnsafePointer() == reflect.ValueOf(b).UnsafePointer()
}

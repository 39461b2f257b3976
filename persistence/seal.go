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
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"

	"ferrite/node"
)

// KeySize is the length of the cluster key in bytes.
const KeySize = 32

// A stored string that begins with sealMark is not what the user wrote: plainMark + text is a text that happens to begin
// with sealMark, sealedMark + base64 is a sealed value.
const (
	sealMark   = "ferrite-sealed:"
	plainMark  = sealMark + "0:"
	sealedMark = sealMark + "1:"
)

var errWrongKey = errors.New("the cluster key does not fit: it was sealed with another key")

// sealer encrypts secrets with XChaCha20-Poly1305 under a key derived from the cluster key (L3). A sealed value is bound
// to its record and path: copied elsewhere, it does not open.
type sealer struct{ aead cipher.AEAD }

func newSealer(clusterKey []byte) (*sealer, error) {
	if len(clusterKey) != KeySize {
		return nil, fmt.Errorf("the cluster key has %d bytes, wanted %d", len(clusterKey), KeySize)
	}
	key, err := hkdf.Key(sha256.New, clusterKey, nil, "ferrite record seal v1", chacha20poly1305.KeySize)
	if err != nil {
		return nil, err
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, err
	}
	return &sealer{aead: aead}, nil
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
	plain, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+len(plain)+s.aead.Overhead())
	if _, err := rand.Read(nonce); err != nil {
		return "", err
	}
	box := s.aead.Seal(nonce, nonce, plain, binding(id, path))
	return sealedMark + base64.RawStdEncoding.EncodeToString(box), nil
}

// openString turns a stored string that begins with sealMark back into what the user wrote.
func (s *sealer) openString(id, path, stored string) (any, error) {
	if text, ok := strings.CutPrefix(stored, plainMark); ok {
		return text, nil
	}
	text, ok := strings.CutPrefix(stored, sealedMark)
	if !ok {
		return nil, fmt.Errorf("%s: unknown form of sealed value: %w", path, errNewer)
	}
	box, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || len(box) < s.aead.NonceSize() {
		return nil, fmt.Errorf("%s: the sealed value is damaged", path)
	}
	plain, err := s.aead.Open(nil, box[:s.aead.NonceSize()], box[s.aead.NonceSize():], binding(id, path))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, errWrongKey)
	}
	var v any
	if err := unmarshal(plain, &v); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return settle(v), nil
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

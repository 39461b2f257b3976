// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import "strings"

// Masked is what a secret looks like to a reader (spec api-rules.md rule 9). A client that writes it back stores it.
const Masked = "******"

// secretWords mark a key as secret wherever they occur in it: oslo's list as far as a node's maps can hold it, and the
// keys of BMC protocols.
var secretWords = []string{
	"password", "passwd", "pswd", "passphrase", "adminpass", "admin_pass", "new_pass",
	"secret", "token", "credential", "cookie",
	"auth_key", "priv_key", "private_key", "hex_kg_key", "encrypted_key", "sslkey", "fernetkey",
	"configdrive", // user data: may hold passwords and keys
}

// SecretKey reports whether the value under this key of a node's object fields is secret: sealed at rest (L3) and masked
// in answers, logs and notifications.
func SecretKey(key string) bool {
	if key == "image_url" { // may be a signed temporary URL
		return true
	}
	key = strings.ToLower(key)
	for _, w := range secretWords {
		if strings.Contains(key, w) {
			return true
		}
	}
	return false
}

// Mask returns a copy of m in which the values of secret keys, at any depth, are Masked. Without secrets it returns m
// itself; nil stays nil.
func Mask(m map[string]any) map[string]any {
	masked, _ := maskMap(m)
	return masked
}

func maskMap(m map[string]any) (map[string]any, bool) {
	var out map[string]any
	for k, v := range m {
		var repl any = Masked
		if !SecretKey(k) {
			var changed bool
			if repl, changed = maskValue(v); !changed {
				continue
			}
		}
		if out == nil {
			out = With(m, k, repl)
			continue
		}
		out[k] = repl
	}
	if out == nil {
		return m, false
	}
	return out, true
}

func maskValue(v any) (any, bool) {
	switch v := v.(type) {
	case map[string]any:
		return maskMap(v)
	case map[string]string:
		return maskStrings(v)
	case []any:
		return maskList(v)
	default:
		return v, false
	}
}

func maskStrings(m map[string]string) (any, bool) {
	found := false
	out := make(map[string]string, len(m))
	for k, v := range m {
		if SecretKey(k) {
			v, found = Masked, true
		}
		out[k] = v
	}
	return out, found
}

func maskList(l []any) (any, bool) {
	var out []any
	for i, v := range l {
		repl, changed := maskValue(v)
		if !changed {
			continue
		}
		if out == nil {
			out = append([]any(nil), l...)
		}
		out[i] = repl
	}
	if out == nil {
		return l, false
	}
	return out, true
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"ferrite/internal/jsontext"
	"ferrite/node"
)

// AppendString appends s as a JSON string. Bytes that are not UTF-8 become the replacement character.
func AppendString[S ~string | ~[]byte](b []byte, s S) []byte { return jsontext.Append(b, s) }

// appendNullable appends a string, or null for "".
func appendNullable[S ~string](b []byte, s S) []byte {
	if s == "" {
		return append(b, "null"...)
	}
	return jsontext.Append(b, s)
}

// AppendTime appends a time as Ironic writes it, 2026-11-21T02:08:54.838506+00:00: always UTC, microseconds left out
// when they are 0; the zero time is null.
func AppendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, "null"...)
	}
	t = t.UTC()
	layout := "2006-01-02T15:04:05.000000"
	if t.Nanosecond()/1000 == 0 {
		layout = "2006-01-02T15:04:05"
	}
	b = t.AppendFormat(append(b, '"'), layout)
	return append(b, "+00:00\""...)
}

func appendBool(b []byte, v bool) []byte { return strconv.AppendBool(b, v) }

// appendObject appends a JSON object with its keys in order; with mask, the values of secret keys at any depth are
// shown as node.Masked, as node.Mask does.
func appendObject(b []byte, m map[string]any, mask bool) []byte {
	var room [24]string
	keys := room[:0]
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(jsontext.Append(b, k), ':')
		if mask && secrets.has(k) {
			b = jsontext.Append(b, node.Masked)
			continue
		}
		b = appendValue(b, m[k], mask)
	}
	return append(b, '}')
}

// AppendValue appends any JSON value as it is.
func AppendValue(b []byte, v any) []byte { return appendValue(b, v, false) }

func appendValue(b []byte, v any, mask bool) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case string:
		return jsontext.Append(b, v)
	case bool:
		return appendBool(b, v)
	case float64:
		return appendFloat(b, v)
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case json.Number:
		return append(b, v...)
	case map[string]any:
		return appendObject(b, v, mask)
	case map[string]string:
		m := make(map[string]any, len(v))
		for k, s := range v {
			m[k] = s
		}
		return appendObject(b, m, mask)
	case []any:
		b = append(b, '[')
		for i, x := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendValue(b, x, mask)
		}
		return append(b, ']')
	case []string:
		return AppendStrings(b, v)
	default:
		data, err := json.Marshal(v)
		if err != nil {
			return jsontext.Append(b, fmt.Sprint(v))
		}
		return append(b, data...)
	}
}

// AppendStrings appends a list of strings; nil is [].
func AppendStrings(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = jsontext.Append(b, s)
	}
	return append(b, ']')
}

// appendFloat writes a number as encoding/json does; what JSON cannot hold is null.
func appendFloat(b []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(b, "null"...)
	}
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		b = strconv.AppendFloat(b, f, 'e', -1, 64)
		if n := len(b); n >= 4 && b[n-4] == 'e' && b[n-3] == '-' && b[n-2] == '0' { // e-09 is e-9
			b[n-2] = b[n-1]
			b = b[:n-1]
		}
		return b
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64)
}

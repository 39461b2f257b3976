// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strconv"

	"ferrite/node"
)

// object writes a map of JSON values with its keys in order; nil is {}. With hide, the values of keys that
// node.SecretKey knows (image_url among them) become node.Masked at every depth.
func (w *writer) object(m map[string]any, hide bool) {
	base := len(w.keys)
	for k := range m {
		w.keys = append(w.keys, k)
	}
	end := len(w.keys)
	slices.Sort(w.keys[base:end])
	w.b = append(w.b, '{')
	for i := base; i < end; i++ {
		if i > base {
			w.b = append(w.b, ',')
		}
		k := w.keys[i]
		w.string(k)
		w.b = append(w.b, ':')
		if hide && node.SecretKey(k) {
			w.string(node.Masked)
			continue
		}
		w.value(m[k], hide)
	}
	w.b = append(w.b, '}')
	w.keys = w.keys[:base]
}

// value writes any JSON value. Types that JSON decoding does not yield take the long way through encoding/json; what
// cannot be written at all is null, since a notification never fails an operation.
func (w *writer) value(v any, hide bool) {
	switch v := v.(type) {
	case nil:
		w.raw("null")
	case string:
		w.string(v)
	case bool:
		w.bool(v)
	case float64:
		w.float(v)
	case json.Number:
		w.number(v)
	case int:
		w.b = strconv.AppendInt(w.b, int64(v), 10)
	case int64:
		w.b = strconv.AppendInt(w.b, v, 10)
	case uint64:
		w.b = strconv.AppendUint(w.b, v, 10)
	case map[string]any:
		if v == nil {
			w.raw("null")
			return
		}
		w.object(v, hide)
	case []any:
		w.b = append(w.b, '[')
		for i, e := range v {
			if i > 0 {
				w.b = append(w.b, ',')
			}
			w.value(e, hide)
		}
		w.b = append(w.b, ']')
	case []string:
		w.strings(v)
	default:
		w.value(viaJSON(v), hide)
	}
}

// viaJSON turns a Go value into the types that JSON decoding yields.
func viaJSON(v any) any {
	b, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var out any
	if d.Decode(&out) != nil {
		return nil
	}
	return out
}

// float writes a number as encoding/json does; what JSON has no word for is null.
func (w *writer) float(f float64) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		w.raw("null")
		return
	}
	format := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	w.b = strconv.AppendFloat(w.b, f, format, -1, 64)
}

func (w *writer) number(n json.Number) {
	if !json.Valid([]byte(n)) || (n[0] != '-' && (n[0] < '0' || n[0] > '9')) {
		w.raw("null")
		return
	}
	w.raw(string(n))
}

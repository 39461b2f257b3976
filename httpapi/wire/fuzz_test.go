// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
	"unicode/utf8"
)

// FuzzShape: of a JSON text, Shape finds the depth, and no fewer values than a parser makes of it.
func FuzzShape(f *testing.F) {
	for _, s := range []string{`{}`, `[1,[2,{"a":"]\"[,"}]]`, `"\\"`, `[[[[[[]]]]]]`, ` { "a" : [ ] , "b" : null } `, `{"a":{"a":[1]},"a":2}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		depth, values := Shape(body)
		if depth > MaxDepth {
			return
		}
		if _, err := Decode(body); err != nil {
			return
		}
		if d, n := count(body); d != depth || n > values {
			t.Errorf("%q: depth %d, %d values; found depth %d, %d values", body, d, n, depth, values)
		}
	})
}

// count walks over a JSON text: a member that is there twice counts twice.
func count(body []byte) (depth, values int) {
	d := json.NewDecoder(bytes.NewReader(body))
	var open []json.Delim // what is open, with 0 behind a key whose value comes next
	for {
		token, err := d.Token()
		if err != nil {
			return depth, values
		}
		switch inside := len(open) > 0 && open[len(open)-1] == '{'; {
		case token == json.Delim('}') || token == json.Delim(']'):
			open = open[:len(open)-1]
		case inside: // a key
			open = append(open, 0)
			continue
		case token == json.Delim('{') || token == json.Delim('['):
			values++
			open = append(open, token.(json.Delim))
			depth = max(depth, len(slices.DeleteFunc(slices.Clone(open), func(c json.Delim) bool { return c == 0 })))
			continue
		default:
			values++
		}
		if len(open) > 0 && open[len(open)-1] == 0 {
			open = open[:len(open)-1]
		}
	}
}

// FuzzBody: a body that is taken for a node, a port, a chassis or traits shows as JSON; others are errors.
func FuzzBody(f *testing.F) {
	for _, s := range []string{
		`{"driver":"ipmi","name":"n","properties":{"memory_mb":1e400,"local_gb":12345678901234567890},"extra":{"a":[null]}}`,
		`{"address":"52:54:00:12:34:56","node_uuid":"5b0c3a52-0d1e-4a77-9b1f-2d0f5a7c9e11","local_link_connection":{"switch_id":"00:00:00:00:00:00","port_id":"p"}}`,
		`{"traits":["CUSTOM_A"],"x":1,"x":2}`, `{"extra":{"\ud800":"\u0000"}}`, `[]`, `{"uuid":1,"name":{}}`,
	} {
		f.Add([]byte(s), 115)
	}
	f.Fuzz(func(t *testing.T, body []byte, minor int) {
		if minor < MinMinor || minor > MaxMinor || tooDeep(body) || !utf8.Valid(body) {
			t.Skip("refused before")
		}
		m, err := DecodeObject(body)
		if err != nil {
			return
		}
		view := NewView(MaxMinor, "http://h")
		if n, err := NewNode(m, minor); err == nil {
			if out := Nodes.Append(nil, view, n, Nodes.Detail(MaxMinor)); !json.Valid(out) || !utf8.Valid(out) {
				t.Errorf("%q makes a node that is no JSON: %q", body, out)
			}
		}
		if m, err = DecodeObject(body); err != nil {
			t.Fatalf("%q is read once: %v", body, err)
		}
		if p, err := NewPort(m, minor); err == nil {
			if out := Ports.Append(nil, view, p, Ports.Detail(MaxMinor)); !json.Valid(out) || !utf8.Valid(out) {
				t.Errorf("%q makes a port that is no JSON: %q", body, out)
			}
		}
		if traits, err := ParseTraits(m["traits"]); err == nil && len(traits) > MaxTraits {
			t.Errorf("%q makes %d traits", body, len(traits))
		}
	})
}

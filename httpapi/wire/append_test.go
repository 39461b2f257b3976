// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"ferrite/node"
)

func TestStrings(t *testing.T) {
	for _, s := range []string{"", "plain", `q"b\s`, "\x00\x1f\t\n\r", "é ü 漢 😀", "\xff half \xe6\xbc", "\ufffd itself", strings.Repeat("long ", 100) + "\"", "</script>&"} {
		var back string
		if err := json.Unmarshal(AppendString(nil, s), &back); err != nil {
			t.Errorf("%q: %v", s, err)
		}
		want := strings.ToValidUTF8(s, "\ufffd")
		if s == "\xff half \xe6\xbc" { // one replacement a byte, as encoding/json has it
			want = "\ufffd half \ufffd\ufffd"
		}
		if back != want {
			t.Errorf("%q comes back as %q", s, back)
		}
	}
}

func TestTimes(t *testing.T) {
	east := time.FixedZone("east", 2*3600)
	for want, at := range map[string]time.Time{
		`null`:                               {},
		`"2026-11-21T02:08:54.838506+00:00"`: time.Date(2026, 11, 21, 4, 8, 54, 838506999, east),
		`"2026-11-21T02:08:54.120450+00:00"`: time.Date(2026, 11, 21, 2, 8, 54, 120450000, time.UTC),
		`"2026-11-21T02:08:54+00:00"`:        time.Date(2026, 11, 21, 2, 8, 54, 999, time.UTC),
	} {
		if got := string(AppendTime(nil, at)); got != want {
			t.Errorf("%v is %s, wanted %s", at, got, want)
		}
	}
}

// Values come out as encoding/json would have them.
func TestValues(t *testing.T) {
	for _, v := range []any{
		nil, true, "x", 1.0, -0.5, 1e21, 1e-7, 123456789012345.0, 7, int64(9), json.Number("12345678901234567890"),
		[]any{1.0, []any{}},
		[]string{"a"},
		map[string]any{"b": 1.0, "a": map[string]any{}},
		map[string]string{"k": "v"},
		struct{ A int }{3},
	} {
		want, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(AppendValue(nil, v)); got != string(want) {
			t.Errorf("%v is %s, wanted %s", v, got, want)
		}
	}
}

// Masking while encoding shows what node.Mask does.
func TestMasking(t *testing.T) {
	for i := range maxKeys + 10 { // beyond the cache too
		secrets.has(fmt.Sprint("key", i))
	}
	m := map[string]any{
		"ipmi_password": "s", "PASSWORD2": map[string]any{"a": 1.0}, "user": "u", "configdrive": "s",
		"deep": []any{map[string]any{"agent_secret_token": "s", "n": 1.0}, "x"}, "image_url": "s", "x": nil, "strings": map[string]string{"token": "s", "b": "c"},
	}
	var got, want any
	if err := json.Unmarshal(appendObject(nil, m, true), &got); err != nil {
		t.Fatal(err)
	}
	masked, _ := json.Marshal(node.Mask(m))
	if err := json.Unmarshal(masked, &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("shown is %v, wanted %v", got, want)
	}
	if s := string(appendObject(nil, m, false)); strings.Contains(s, node.Masked) {
		t.Errorf("without masking %s is shown", s)
	}
}

func TestDepth(t *testing.T) {
	nest := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for body, want := range map[string]int{
		"": 0, "1": 0, "{}": 1, `{"a":[{}]}`: 3, `"[[["`: 0, `{"a\"[":"]\\"}`: 1, "[][][]": 1, nest(25): 25, nest(26): 26, nest(10000): 26,
	} {
		if got, _ := Shape([]byte(body)); got != want {
			t.Errorf("%.40s is %d deep, wanted %d", body, got, want)
		}
	}
}

func TestDecodeKeepsDigits(t *testing.T) {
	v, err := DecodeObject([]byte(`{"a":1,"b":12345678901234567890,"c":[1.50,9007199254740993],"d":123456789012345678}`))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"a": 1.0, "b": json.Number("12345678901234567890"), "c": []any{1.5, json.Number("9007199254740993")}, "d": json.Number("123456789012345678")}
	if !reflect.DeepEqual(v, want) {
		t.Errorf("decoded %#v, wanted %#v", v, want)
	}
}

func TestBooleans(t *testing.T) {
	for in, want := range map[any]bool{true: true, "1": true, "T": true, "True": true, "y": true, "YES": true, "on": true, 1.0: true, false: false, "0": false, "f": false, "false": false, "N": false, "no": false, "OFF": false, 0.0: false} {
		if got, err := ParseBool("x", in); err != nil || got != want {
			t.Errorf("%v is %v, %v", in, got, err)
		}
	}
	for _, in := range []any{"", "maybe", 2.0, nil, []any{}} {
		if _, err := ParseBool("x", in); err == nil {
			t.Errorf("%v passes as a boolean", in)
		}
	}
}

func FuzzVersion(f *testing.F) {
	for _, s := range []string{"", "latest", "1.1", "1.115", "1.116", "2.1", "1", "1.1.1", "+1.5", "1. 5", " 1.30 ", "1.99999999999999999999"} {
		f.Add(s, "baremetal "+s)
	}
	f.Fuzz(func(t *testing.T, ironic, standard string) {
		v, err := ParseVersion(ironic, standard)
		if err == nil && (v.Minor < MinMinor || v.Minor > MaxMinor) {
			t.Errorf("%q and %q give minor %d", ironic, standard, v.Minor)
		}
	})
}

func tooDeep(body []byte) bool { depth, _ := Shape(body); return depth > MaxDepth }

// FuzzPatch: an applied patch never changes the node that it began with, and shows as JSON.
func FuzzPatch(f *testing.F) {
	for _, s := range []string{
		`[]`, `[{"op":"add","path":"/extra/a","value":{"b":[1]}},{"op":"add","path":"/extra/a/b/0","value":2}]`,
		`[{"op":"remove","path":"/extra/l/0"},{"op":"replace","path":"/extra/l/0/k","value":null}]`,
		`[{"op":"replace","path":"/name","value":"x"},{"op":"remove","path":"/power_interface"},{"op":"add","path":"/protected","value":"yes"}]`,
	} {
		f.Add([]byte(s), 115)
	}
	f.Fuzz(func(t *testing.T, body []byte, minor int) {
		if minor < MinMinor || minor > MaxMinor || tooDeep(body) {
			t.Skip("refused before")
		}
		n := &node.Node{
			UUID: "5b0c3a52-0d1e-4a77-9b1f-2d0f5a7c9e11", Name: "n", Driver: "ipmi", Interfaces: map[string]string{"power": "ipmitool"},
			Extra: map[string]any{"l": []any{1.0, map[string]any{"k": "v"}}, "m": map[string]any{"x": 1.0}},
		}
		view := NewView(MaxMinor, "http://h")
		before := string(Nodes.Append(nil, view, n, Nodes.Detail(MaxMinor)))
		ops, err := Nodes.ParsePatch(body, minor)
		if err != nil {
			return
		}
		m, err := PatchNode(n, ops, minor)
		if after := string(Nodes.Append(nil, view, n, Nodes.Detail(MaxMinor))); after != before {
			t.Errorf("%s changed the node it began with:\n%s\n%s", body, before, after)
		}
		if err == nil && !json.Valid(Nodes.Append(nil, view, m.Want, Nodes.Detail(MaxMinor))) {
			t.Errorf("%s makes a node that is no JSON", body)
		}
	})
}

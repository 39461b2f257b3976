// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"ferrite/inventory"
	"ferrite/node"
)

func testCodec(t testing.TB, key []byte) *codec {
	s, err := newSealer(key)
	if err != nil {
		t.Fatal(err)
	}
	return newCodec(s)
}

// L3: nothing secret is left in what is stored, however deep it lies.
func TestSecretsAreSealed(t *testing.T) {
	c := testCodec(t, goldenKey)
	const secret = "hunter2-in-clear"
	n := &node.Node{UUID: "u"}
	for _, f := range nodeMaps(n) {
		*f.m = map[string]any{
			"ipmi_password": secret,
			"deep":          []any{map[string]any{"auth_token": map[string]any{"k": secret}}},
			"typed":         map[string]string{"snmp_priv_key": secret},
			"open":          "open-" + f.name,
		}
	}
	n.Intent = &node.Intent{Steps: []node.StepSpec{{Args: map[string]any{"secret": []any{secret}}}}}
	k := Key{KindNode, "u"}
	data, err := c.encode(k, n)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte(secret)) {
		t.Fatalf("a secret in clear: %s", data)
	}
	if strings.Count(string(data), "open-") != len(nodeMaps(n)) {
		t.Fatalf("more than secrets is sealed: %s", data)
	}
	v, err := c.decode(k, data)
	if err != nil {
		t.Fatal(err)
	}
	got := v.(*node.Node)
	for i, f := range nodeMaps(got) {
		m := *f.m
		deep := m["deep"].([]any)[0].(map[string]any)["auth_token"]
		if m["ipmi_password"] != secret || !reflect.DeepEqual(deep, map[string]any{"k": secret}) || m["typed"].(map[string]any)["snmp_priv_key"] != secret {
			t.Errorf("map %d comes back as %v", i, m)
		}
	}
	if !reflect.DeepEqual(got.Intent.Steps[0].Args, map[string]any{"secret": []any{secret}}) {
		t.Errorf("step arguments come back as %v", got.Intent.Steps[0].Args)
	}
}

// A sealed value opens only in its own record and place, and only with its key.
func TestSealIsBound(t *testing.T) {
	c := testCodec(t, goldenKey)
	sealed, err := c.seal.sealSecret("u", "DriverInfo/ipmi_password", "x")
	if err != nil {
		t.Fatal(err)
	}
	if v, err := c.seal.openString("u", "DriverInfo/ipmi_password", sealed); err != nil || v != "x" {
		t.Fatalf("opens to %v, %v", v, err)
	}
	other := testCodec(t, bytes.Repeat([]byte{1}, KeySize))
	for name, open := range map[string]func() (any, error){
		"record": func() (any, error) { return c.seal.openString("v", "DriverInfo/ipmi_password", sealed) },
		"path":   func() (any, error) { return c.seal.openString("u", "DriverInfo/password", sealed) },
		"key":    func() (any, error) { return other.seal.openString("u", "DriverInfo/ipmi_password", sealed) },
	} {
		if v, err := open(); !errors.Is(err, errWrongKey) {
			t.Errorf("another %s: %v, %v", name, v, err)
		}
	}
	if _, err := newSealer([]byte("short")); err == nil {
		t.Error("a short key was taken")
	}
}

// Whatever JSON a client writes comes back as it was, the forms of our own seals included.
func TestSealRoundTrip(t *testing.T) {
	c := testCodec(t, goldenKey)
	text := rapid.SampledFrom([]string{"", "a", "password", "token", sealMark, plainMark + "x", sealedMark + "AAAA", "a/b", "~", "ipmi_password"})
	var value *rapid.Generator[any]
	value = rapid.Custom(func(t *rapid.T) any {
		switch rapid.IntRange(0, 6).Draw(t, "sort") {
		case 0:
			return nil
		case 1:
			return rapid.Bool().Draw(t, "bool")
		case 2:
			return float64(rapid.Int32().Draw(t, "n"))
		case 3:
			return rapid.SliceOfN(rapid.Deferred(func() *rapid.Generator[any] { return value }), 0, 3).Draw(t, "list")
		case 4:
			return rapid.MapOfN(text, rapid.Deferred(func() *rapid.Generator[any] { return value }), 0, 3).Draw(t, "map")
		default:
			return text.Draw(t, "text")
		}
	})
	rapid.Check(t, func(rt *rapid.T) {
		m := rapid.MapOfN(text, value, 0, 5).Draw(rt, "driver_info")
		want, _ := json.Marshal(m)
		k := Key{KindNode, "u"}
		data, err := c.encode(k, &node.Node{UUID: "u", DriverInfo: m})
		if err != nil {
			rt.Fatal(err)
		}
		v, err := c.decode(k, data)
		if err != nil {
			rt.Fatal(err)
		}
		got := v.(*node.Node).DriverInfo
		if data, _ := json.Marshal(got); len(m) > 0 && string(data) != string(want) {
			rt.Fatalf("%s came back as %s", want, data)
		}
		if after, _ := json.Marshal(m); string(after) != string(want) {
			rt.Fatalf("sealing changed its argument to %s", after)
		}
	})
}

func TestNumbersKeepTheirDigits(t *testing.T) {
	c := testCodec(t, goldenKey)
	k := Key{KindNode, "u"}
	in := map[string]any{
		"small": 5, "float": 1.25, "exact": int64(1) << 53, "long": json.Number("12345678901234567891"),
		"deep": map[string]any{"password": json.Number("98765432109876543210"), "list": []any{json.Number("7")}},
	}
	data, err := c.encode(k, &node.Node{UUID: "u", Extra: in, Owner: node.Owner{Incarnation: 1<<64 - 1}})
	if err != nil {
		t.Fatal(err)
	}
	v, err := c.decode(k, data)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"small": 5.0, "float": 1.25, "exact": float64(1 << 53), "long": json.Number("12345678901234567891"),
		"deep": map[string]any{"password": json.Number("98765432109876543210"), "list": []any{7.0}},
	}
	if n := v.(*node.Node); !reflect.DeepEqual(n.Extra, want) || n.Owner.Incarnation != 1<<64-1 {
		t.Fatalf("numbers come back as %#v, incarnation %d", n.Extra, n.Owner.Incarnation)
	}
}

// A new object field of a node or port must be looked into for secrets too (L3).
func TestEveryObjectFieldIsSealed(t *testing.T) {
	object := reflect.TypeFor[map[string]any]()
	for _, c := range []struct {
		typ  reflect.Type
		have []namedMap
	}{
		{reflect.TypeFor[node.Node](), nodeMaps(&node.Node{})},
		{reflect.TypeFor[inventory.Port](), portMaps(&inventory.Port{})},
	} {
		have := map[string]bool{}
		for _, f := range c.have {
			have[f.name] = true
		}
		for i := range c.typ.NumField() {
			if f := c.typ.Field(i); f.Type == object && !have[f.Name] {
				t.Errorf("%s.%s is not searched for secrets: add it to nodeMaps or portMaps", c.typ, f.Name)
			}
		}
	}
}

// TestAChassisComesBack: with its object sealed in between, and without the fields that the record's header keeps.
func TestAChassisComesBack(t *testing.T) { // L3
	c := testCodec(t, goldenKey)
	key := Key{KindChassis, "u"}
	x := &inventory.Chassis{UUID: "u", Description: "row 3", Extra: map[string]any{"pdu_password": "hunter2", "n": 1.0}, Rev: 7, Created: 3}
	data, err := c.encode(key, x)
	if err != nil || bytes.Contains(data, []byte("hunter2")) {
		t.Fatalf("%v, stored as %s", err, data)
	}
	got, err := c.decode(key, data)
	want := *x
	want.Rev, want.Created = 0, 0
	if err != nil || !reflect.DeepEqual(got, &want) {
		t.Errorf("%v, came back as %+v", err, got)
	}
	if _, err := c.encode(Key{KindChassis, "other"}, x); err == nil {
		t.Error("a chassis was stored under another's id")
	}
}

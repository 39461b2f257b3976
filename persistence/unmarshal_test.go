// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	"ferrite/node"
)

// The decoder of records reads what encoding/json reads, and refuses what it refuses: members of two versions of ferrite must
// come to the same state (L4).
func FuzzUnmarshal(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `[]`, `{"UUID":"a","uuid":"b"}`, `{"Extra":{"a":1,"a":{"b":[1e3,-0.5,null]}}}`, `{"Extra":{"A":1},"Extra":{"B":2}}`,
		`{"Traits":null,"Interfaces":{"power":"ipmitool"},"Maintenance":true}`, `{"Name":"\ud800"}`, "{\"Name\":\"\xff\"}", `{"Name":1}`, `{"Maintenance":"yes"}`,
		`{"Intent":{"ID":"x","Steps":[{"Step":"a","Args":{"p":"sealed:"}}]}}`, `{"Extra":{"n":123456789012345}}`, `{"Extra":[]}`, `{"Created":1}x`, `{"Created":-1}`,
		`{"Extra":{"n":12345678901234567890}}`, `{"Extra":{"n":12345678901234567890}}x`, `{"Extra":{"n":1234567890123456}} {}`, `{"Extra":{"n":[1234567890123456, 1e400, -0, 1.50]}}` + "\n\t ",
		`{"Extra":{"n":1234567890123456}}]`, `{"Owner":{"Epoch":18446744073709551615}}`, `{"Owner":{"Epoch":18446744073709551616}}`, `1234567890123456`, `{"Extra":{"1234567890123456":1}},`,
		`{"Intent":{"Steps":[{"Args":{"n":[{"m":1234567890123456.5}]}}]}}`, `{"Name":"1234567890123456"}` + "\x00", `{"Extra":{"n":1234567890123456`,
		`{"ProvisionUpdatedAt":"2026-01-02T03:04:05Z"}`, `{"ProvisionUpdatedAt":"2026-01-02T03:04:05,5Z"}`, `{"Owner":{"Name":"c1","Epoch":7}}`, `{"Extra":{"":{}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var want, got node.Node
		werr, gerr := json.Unmarshal(data, &want), unmarshal(data, &got)
		if longNumber(data) {
			var kept node.Node
			kerr := keepingNumbers(data, &kept)
			if (kerr == nil) != (gerr == nil) || kerr == nil && !reflect.DeepEqual(kept, got) {
				t.Fatalf("encoding/json with numbers: %+v, %v\nours: %+v, %v", kept, kerr, got, gerr)
			}
			tooLarge := (*json.UnmarshalTypeError)(nil) // for a float64; as a number it is kept
			if errors.As(werr, &tooLarge) && gerr == nil {
				return
			}
			float(&got)
		}
		if (werr == nil) != (gerr == nil) {
			t.Fatalf("encoding/json: %v; ours: %v", werr, gerr)
		}
		if werr == nil && !reflect.DeepEqual(want, got) {
			t.Fatalf("encoding/json: %+v\nours: %+v", want, got)
		}
	})
}

// keepingNumbers is what is wanted of a record with long numbers: one JSON value, and its numbers as they are written.
func keepingNumbers(data []byte, v any) error {
	if !json.Valid(data) {
		return errors.New("this is not one JSON value")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return d.Decode(v)
}

// float makes what encoding/json would of the numbers of a node that were kept as they are written.
func float(n *node.Node) {
	for _, m := range nodeMaps(n) {
		floatIn(*m.m)
	}
	if n.Intent != nil {
		for _, s := range n.Intent.Steps {
			floatIn(s.Args)
		}
	}
}

func floatIn(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, _ := v.Float64() // one that is too large was found before
		return f
	case map[string]any:
		for k := range v {
			v[k] = floatIn(v[k])
		}
	case []any:
		for i := range v {
			v[i] = floatIn(v[i])
		}
	}
	return v
}

// A record with a long number ends where its value ends, as any other does.
func TestUnmarshalRefusesWhatFollows(t *testing.T) {
	for _, number := range []string{"1", "12345678901234567890"} {
		for _, after := range []string{"x", "{}", "]", ",", "\x00", " 1"} {
			if err := unmarshal([]byte(`{"Extra":{"n":`+number+`}}`+after), &node.Node{}); err == nil {
				t.Errorf("%s with %q behind it was taken", number, after)
			}
		}
		if err := unmarshal([]byte(`{"Extra":{"n":`+number+"}} \r\n\t"), &node.Node{}); err != nil {
			t.Errorf("%s with space behind it: %v", number, err)
		}
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

// patch makes an UpdateNode of "field: value" lines.
func (s *story) patch(t *testing.T, input string) UpdateNode {
	t.Helper()
	want := *s.n
	m := UpdateNode{Base: s.n.Outer, Want: &want}
	in := map[string]string{}
	for k, v := range want.Interfaces {
		in[k] = v
	}
	want.Interfaces = in
	f := map[string]any{}
	for _, line := range strings.Split(strings.TrimSpace(input), "\n") {
		k, v, _ := strings.Cut(line, ": ")
		if k == "remove" {
			m.Removed = append(m.Removed, v)
			k, v = v, "null"
		}
		m.Changed = append(m.Changed, k)
		if kind, ok := strings.CutSuffix(k, "_interface"); ok {
			if v == "null" {
				v = ""
			}
			in[kind] = v
			continue
		}
		field := reflect.ValueOf(&want).Elem().FieldByName(goName(k))
		if !field.IsValid() {
			t.Fatalf("no field %q", k)
		}
		field.SetZero()
		if v != "null" {
			f[goName(k)] = value(v)
		}
	}
	fill(t, f, &want)
	return m
}

// goName is the field of Node that a wire name stands for.
func goName(wire string) string {
	if wire == "owner" {
		return "PlacedOwner"
	}
	var b strings.Builder
	for _, w := range strings.Split(wire, "_") {
		if w == "uuid" {
			w = "UUID"
		}
		b.WriteString(strings.ToUpper(w[:1]) + w[1:])
	}
	return b.String()
}

// message makes a message of its name and fields.
func message(t *testing.T, name string, f map[string]any) Msg {
	t.Helper()
	for _, m := range []Msg{
		&CreateNode{Node: &Node{}}, &DeleteNode{}, &SetMaintenance{}, &SetPower{}, &SetProvision{}, &SetBootDevice{}, &InjectNMI{},
		&SetConsole{}, &SetTraits{}, &Release{}, &Activated{}, &RenewPermit{}, &GetBootDevice{},
		&CallVendor{}, &Identify{},
	} {
		if m.MsgName() != name {
			continue
		}
		if c, ok := m.(*CreateNode); ok {
			fill(t, f, c.Node)
			return *c
		}
		fill(t, f, m)
		return deref(m)
	}
	t.Fatalf("no message %q", name)
	return nil
}

// deref gives the message itself: Step switches over values.
func deref(m Msg) Msg {
	switch m := m.(type) {
	case *DeleteNode:
		return *m
	case *SetMaintenance:
		return *m
	case *SetPower:
		return *m
	case *SetProvision:
		return *m
	case *SetBootDevice:
		return *m
	case *InjectNMI:
		return *m
	case *CallVendor:
		return *m
	case *Identify:
		return *m
	case *SetConsole:
		return *m
	case *SetTraits:
		return *m
	case *Release:
		return *m
	case *Activated:
		return *m
	case *RenewPermit:
		return *m
	case *GetBootDevice:
		return *m
	default:
		return m
	}
}

// fields reads "Name: value" lines; a value is JSON if it can be read so, else a text.
func fields(t *testing.T, input string) map[string]any {
	t.Helper()
	f := map[string]any{}
	for _, line := range strings.Split(strings.TrimSpace(input), "\n") {
		if line == "" {
			continue
		}
		k, v, ok := strings.Cut(line, ":")
		if !ok {
			t.Fatalf("line %q: wanted \"Name: value\"", line)
		}
		f[k] = value(strings.TrimSpace(v))
	}
	return f
}

func value(text string) any {
	var v any
	if json.Unmarshal([]byte(text), &v) == nil {
		return v
	}
	if d, err := time.ParseDuration(text); err == nil {
		return int64(d)
	}
	return text
}

// fill sets the fields of a struct.
func fill(t *testing.T, f map[string]any, to any) {
	t.Helper()
	b, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, to); err != nil {
		t.Fatal(err)
	}
}

// refusal gives the refusal of an error.
func refusal(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

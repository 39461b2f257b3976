// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"fmt"
	"slices"
	"strings"

	"ferrite/node"
)

// Table is all fields of one resource, in the order in which they are shown.
type Table[T any] struct {
	Resource string // as in error texts: "node"
	Fields   []Field[T]

	byName   map[string]*Field[T]
	detail   [MaxMinor + 1][]*Field[T] // by minor: everything that may be shown
	short    [MaxMinor + 1][]*Field[T]
	required []string // of POST
}

// newTable builds a table; required are the fields that POST must have.
func newTable[T any](resource string, required []string, fields ...Field[T]) *Table[T] {
	t := &Table[T]{Resource: resource, Fields: fields, byName: make(map[string]*Field[T], len(fields)), required: required}
	for i := range t.Fields {
		f := &t.Fields[i]
		if f.Since == 0 {
			f.Since = MinMinor
		}
		if _, twice := t.byName[f.Name]; twice {
			panic(fmt.Sprintf("table %s has field %s twice", resource, f.Name))
		}
		t.byName[f.Name] = f
		for minor := f.Since; minor <= MaxMinor && !f.Hidden; minor++ {
			t.detail[minor] = append(t.detail[minor], f)
			if f.Short {
				t.short[minor] = append(t.short[minor], f)
			}
		}
	}
	return t
}

// Field finds a field by its wire name.
func (t *Table[T]) Field(name string) (*Field[T], bool) { f, ok := t.byName[name]; return f, ok }

// Detail are all fields that a request of this minor sees.
func (t *Table[T]) Detail(minor int) []*Field[T] { return t.detail[minor] }

// Short are the fields of the short list.
func (t *Table[T]) Short(minor int) []*Field[T] { return t.short[minor] }

// Select are the fields asked for by ?fields=, in the table's order, links always with them.
func (t *Table[T]) Select(names []string, minor int) ([]*Field[T], error) {
	want := make(map[string]bool, len(names))
	for _, n := range names {
		f, ok := t.byName[n]
		if !ok || f.Links || f.Hidden {
			return nil, invalid("Field %s is not a valid field.", n)
		}
		if f.Since > minor {
			return nil, notAcceptable("field "+n, f.Since)
		}
		want[n] = true
	}
	var out []*Field[T]
	for i := range t.Fields {
		if f := &t.Fields[i]; want[f.Name] || f.Name == "links" {
			out = append(out, f)
		}
	}
	return out, nil
}

// SortBy is the order by a field.
func (t *Table[T]) SortBy(key string, minor int) (func(a, b *T) int, error) {
	f, ok := t.byName[key]
	if !ok || f.Compare == nil {
		return nil, invalid("The sort_key value %q is an invalid field for sorting", key)
	}
	if f.Since > minor {
		return nil, notAcceptable("sort_key "+key, f.Since)
	}
	return f.Compare, nil
}

// Append appends x as an object with these fields.
func (t *Table[T]) Append(b []byte, v *View, x *T, fields []*Field[T]) []byte {
	b = append(b, '{')
	for i, f := range fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), f.Name...), `":`...)
		b = f.Append(b, v, x)
	}
	return append(b, '}')
}

// Names are the wire names of fields, links left out, as ?fields= would have them.
func (t *Table[T]) Names(fields []*Field[T]) []string {
	var out []string
	for _, f := range fields {
		if f.Name != "links" && !f.Links {
			out = append(out, f.Name)
		}
	}
	return out
}

// Create fills x from the body of a POST.
func (t *Table[T]) Create(x *T, body map[string]any, minor int) error {
	for _, name := range t.required {
		if _, ok := body[name]; !ok {
			return t.schema("'%s' is a required property", name)
		}
	}
	keys := make([]string, 0, len(body))
	for k := range body {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys { // unknown keys first: they are wrong in any version
		if f, ok := t.byName[k]; !ok || !f.Create {
			return t.schema("Additional properties are not allowed ('%s' was unexpected)", k)
		}
	}
	for _, k := range keys {
		f, val := t.byName[k], body[k]
		if val == nil && slices.Contains(t.required, k) {
			return t.schema("None is not of type 'string': %s", k)
		}
		if val != nil && f.Since > minor {
			return notAcceptable("field "+k, f.Since)
		}
		if err := f.Set(x, val); err != nil {
			return t.schema("%s", err)
		}
	}
	return nil
}

func (t *Table[T]) schema(format string, args ...any) error {
	return invalid("Schema error for %s: %s", t.Resource, fmt.Sprintf(format, args...))
}

// Patchable are the names of the fields that PATCH may touch, for error texts.
func (t *Table[T]) Patchable() []string {
	var out []string
	for _, f := range t.Fields {
		if f.Patch {
			out = append(out, f.Name)
		}
	}
	slices.Sort(out)
	return out
}

// ParseFields reads the values of ?fields=: comma lists, lower case, trimmed, each once.
func ParseFields(values []string) []string {
	var out []string
	for _, v := range values {
		for _, name := range strings.Split(v, ",") {
			name = strings.ToLower(strings.TrimSpace(name))
			if name != "" && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

var _ error = (*node.Error)(nil)

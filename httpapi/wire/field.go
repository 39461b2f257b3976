// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"cmp"
	"time"

	"ferrite/internal/jsontext"
	"ferrite/node"
)

// Field is one field of a resource: what it is called, since when it exists, and what may be done with it.
type Field[T any] struct {
	Name   string
	Since  int    // minimum minor: older requests neither see nor may name it
	Type   string // for docs/fields.md
	Short  bool   // in the short list
	Create bool   // POST accepts it
	Patch  bool   // PATCH accepts it as a path
	Links  bool   // links of sub-resources: in whole views only, not to be asked for by ?fields=
	Hidden bool   // accepted in requests, never shown

	// Append appends the value as JSON.
	Append func(b []byte, v *View, x *T) []byte
	// Set takes a JSON value into x; nil is null or a removed field: the default.
	Set func(x *T, val any) error
	// Object is the present value of an object field, for PATCH paths that lead into it.
	Object func(x *T) map[string]any
	// Compare orders by this field, nulls first; nil = not sortable.
	Compare func(a, b *T) int
}

// View is what encoders need to know of the request. Build one with NewView.
type View struct {
	Minor int
	// Conductor tells who looks after a node, "" = nobody; nil = nobody ever.
	Conductor func(n *node.Node) string
	// Confirmed tells when a node's power state was last confirmed by its BMC, zero = not yet; nil = never.
	Confirmed func(uuid string) time.Time
	// Health tells what a node's sensors said when they were read last, nil = nothing; nil = nothing ever.
	Health func(uuid string) *node.Health

	base []byte // escaped for JSON
}

// NewView is a view at a microversion whose links begin with base ("http://host:6385").
func NewView(minor int, base string) *View {
	v := &View{}
	v.Reset(minor, base)
	return v
}

// Reset makes a used view a new one; Conductor, Confirmed and Health stay.
func (v *View) Reset(minor int, base string) {
	v.Minor, v.base = minor, jsontext.AppendEscaped(v.base[:0], base)
}

// since says that the field exists from 1.minor on.
func (f Field[T]) since(minor int) Field[T] { f.Since = minor; return f }

// short puts it into the short list.
func (f Field[T]) short() Field[T] { f.Short = true; return f }

// editable lets POST and PATCH write it.
func (f Field[T]) editable() Field[T] { f.Create, f.Patch = true, true; return f }

// creatable lets POST write it.
func (f Field[T]) creatable() Field[T] { f.Create = true; return f }

// patchable lets PATCH write it.
func (f Field[T]) patchable() Field[T] { f.Patch = true; return f }

// unsorted takes it from the sort keys.
func (f Field[T]) unsorted() Field[T] { f.Compare = nil; return f }

// check lets ok refuse a value before it is set; nil passes unseen.
func (f Field[T]) check(ok func(val any) error) Field[T] {
	set := f.Set
	f.Set = func(x *T, val any) error {
		if val != nil {
			if err := ok(val); err != nil {
				return err
			}
		}
		return set(x, val)
	}
	return f
}

// maker of fields for one resource: p points at the Go field behind the wire field.

// text is a nullable string of at most limit bytes (0 = no limit); "" is null.
func text[T any, S ~string](name string, limit int, p func(*T) *S) Field[T] {
	return Field[T]{
		Name: name, Type: "string or null",
		Append:  func(b []byte, _ *View, x *T) []byte { return appendNullable(b, *p(x)) },
		Compare: func(a, c *T) int { return cmp.Compare(*p(a), *p(c)) },
		Set: func(x *T, val any) error {
			s, err := parseString(name, val, limit)
			if err == nil {
				*p(x) = S(s)
			}
			return err
		},
	}
}

// plain is a string that is never null.
func plain[T any](name string, limit int, p func(*T) *string) Field[T] {
	f := text(name, limit, p)
	f.Type = "string"
	f.Append = func(b []byte, _ *View, x *T) []byte { return AppendString(b, *p(x)) }
	return f
}

// boolean is a bool; missing is the default.
func boolean[T any](name string, missing bool, p func(*T) *bool) Field[T] {
	return Field[T]{
		Name: name, Type: "bool",
		Append:  func(b []byte, _ *View, x *T) []byte { return appendBool(b, *p(x)) },
		Compare: func(a, c *T) int { return compareBool(*p(a), *p(c)) },
		Set: func(x *T, val any) error {
			v := missing
			if val != nil {
				var err error
				if v, err = ParseBool(name, val); err != nil {
					return err
				}
			}
			*p(x) = v
			return nil
		},
	}
}

// maybe is a bool or null.
func maybe[T any](name string, p func(*T) **bool) Field[T] {
	return Field[T]{
		Name: name, Type: "bool or null",
		Append: func(b []byte, _ *View, x *T) []byte {
			if v := *p(x); v != nil {
				return appendBool(b, *v)
			}
			return append(b, "null"...)
		},
		Compare: func(a, c *T) int {
			va, vc := *p(a), *p(c)
			switch {
			case va == nil && vc == nil:
				return 0
			case va == nil:
				return -1
			case vc == nil:
				return 1
			}
			return compareBool(*va, *vc)
		},
		Set: func(x *T, val any) error {
			if val == nil {
				*p(x) = nil
				return nil
			}
			v, err := ParseBool(name, val)
			if err == nil {
				*p(x) = &v
			}
			return err
		},
	}
}

// object is a JSON object; nil is {}. With mask its secrets are not shown.
func object[T any](name string, mask bool, p func(*T) *map[string]any) Field[T] {
	return Field[T]{
		Name: name, Type: "object",
		Append: func(b []byte, _ *View, x *T) []byte { return appendObject(b, *p(x), mask) },
		Object: func(x *T) map[string]any { return *p(x) },
		Set: func(x *T, val any) error {
			m, err := parseObject(name, val)
			if err == nil {
				*p(x) = m
			}
			return err
		},
	}
}

// moment is a time or null, read only.
func moment[T any](name string, p func(*T) *time.Time) Field[T] {
	return Field[T]{
		Name: name, Type: "datetime or null",
		Append:  func(b []byte, _ *View, x *T) []byte { return AppendTime(b, *p(x)) },
		Compare: func(a, c *T) int { return p(a).Compare(*p(c)) },
	}
}

// computed is a read-only value that is not sortable.
func computed[T any](name, kind string, fn func(b []byte, v *View, x *T) []byte) Field[T] {
	return Field[T]{Name: name, Type: kind, Append: fn}
}

// links is a computed pair of links, self and bookmark, to collection/id/sub.
func links[T any](name, collection, sub string, id func(*T) string) Field[T] {
	return Field[T]{
		Name: name, Type: "array[2]", Links: sub != "",
		Append: func(b []byte, v *View, x *T) []byte { return v.appendLinks(b, collection, id(x), sub) },
	}
}

// appendLinks appends [{"href": base/v1/collection/id/sub, "rel": "self"}, {... "bookmark"}].
func (v *View) appendLinks(b []byte, collection, id, sub string) []byte {
	for i, rel := range [...]string{"/v1/", "/"} {
		b = append(b, [...]string{`[{"href":"`, `,{"href":"`}[i]...)
		b = append(append(append(b, v.base...), rel...), collection...)
		b = jsontext.AppendEscaped(append(b, '/'), id)
		b = append(append(b, sub...), [...]string{`","rel":"self"}`, `","rel":"bookmark"}]`}[i]...)
	}
	return b
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

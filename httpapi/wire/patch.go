// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Op is one operation of a JSON patch.
type Op struct {
	Op    string   // add, replace, remove
	Path  string   // as given
	Parts []string // the path's parts, unescaped; the first is the field
	Value any
}

// Patched says what a patch did.
type Patched struct {
	Changed []string // fields touched, in order of the first touch
	Removed []string // those of Changed that ended removed
}

// MaxOps is how many operations a patch may have: each copies the object that it changes.
const MaxOps = 500

// Path patterns of Ironic's dialect: words and dashes; from 1.98 on also ~0 and ~1.
var (
	pathForm    = regexp.MustCompile(`^(/[\w-]+)+$`)
	pathEscaped = regexp.MustCompile(`^(/([\w-]|~0|~1)+)+$`)
	unescape    = strings.NewReplacer("~1", "/", "~0", "~")
)

// ParsePatch reads the body of a PATCH: a list of add, replace and remove (spec api-rules.md section 5 rows 1 and 2).
func (t *Table[T]) ParsePatch(body []byte, minor int) ([]Op, error) {
	v, err := Decode(body)
	if err != nil {
		return nil, err
	}
	list, ok := v.([]any)
	if !ok {
		return nil, invalid("Schema error for patch: found %s, wanted type 'array'", kindOf(v))
	}
	if len(list) > MaxOps {
		return nil, invalid("The patch has %d operations: wanted at most %d", len(list), MaxOps)
	}
	form := pathForm
	if minor >= 98 {
		form = pathEscaped
	}
	ops := make([]Op, 0, len(list))
	for i, item := range list {
		m, ok := item.(map[string]any)
		if !ok {
			return nil, invalid("Schema error for patch: operation %d is %s, wanted type 'object'", i, kindOf(item))
		}
		op, err := parseOp(m, form, i)
		if err != nil {
			return nil, err
		}
		f, ok := t.byName[op.Parts[0]]
		if !ok || !f.Patch {
			return nil, invalid("Cannot patch /%s. Only the following can be updated: %s", op.Parts[0], strings.Join(t.Patchable(), ", "))
		}
		if op.Op != "remove" && f.Since > minor {
			return nil, notAcceptable("field "+f.Name, f.Since)
		}
		ops = append(ops, op)
	}
	return ops, nil
}

func parseOp(m map[string]any, form *regexp.Regexp, i int) (Op, error) {
	for k := range m {
		if k != "op" && k != "path" && k != "value" {
			return Op{}, invalid("Schema error for patch: Additional properties are not allowed ('%s' was unexpected) in operation %d", k, i)
		}
	}
	name, _ := m["op"].(string)
	path, isPath := m["path"].(string)
	val, given := m["value"]
	switch {
	case name != "add" && name != "replace" && name != "remove":
		return Op{}, invalid("Schema error for patch: operation %d: %v is not one of ['add', 'replace', 'remove']", i, m["op"])
	case !isPath || !form.MatchString(path):
		return Op{}, invalid("Schema error for patch: operation %d: path %v does not match '%s'", i, m["path"], form)
	case !given && name != "remove":
		return Op{}, invalid("Schema error for patch: operation %d: value is missing, '%s' needs one", i, name)
	}
	parts := strings.Split(path[1:], "/")
	for j := range parts {
		parts[j] = unescape.Replace(parts[j])
	}
	return Op{Op: name, Path: path, Parts: parts, Value: val}, nil
}

// Patch applies ops in order to x, which must be a copy; the maps behind it are replaced, not written to. On an error x
// is to be thrown away: a patch is applied whole or not at all.
func (t *Table[T]) Patch(x *T, ops []Op) (Patched, error) {
	var out Patched
	for _, op := range ops {
		f := t.byName[op.Parts[0]]
		removed := false
		if len(op.Parts) == 1 {
			removed = op.Op == "remove"
			if err := f.Set(x, op.Value); err != nil {
				return out, op.failed(err.Error())
			}
		} else {
			if f.Object == nil {
				return out, op.failed(f.Name + " is not an object: it has no members")
			}
			var root any = f.Object(x)
			if f.Object(x) == nil {
				root = map[string]any{}
			}
			edited, err := op.edit(root, op.Parts[1:])
			if err == nil && deeper(edited, MaxDepth) {
				err = invalid("%s would be nested too deeply: wanted at most %d levels", f.Name, MaxDepth)
			}
			if err == nil {
				err = f.Set(x, edited)
			}
			if err != nil {
				return out, op.failed(err.Error())
			}
		}
		if !slices.Contains(out.Changed, f.Name) {
			out.Changed = append(out.Changed, f.Name)
		}
		out.Removed = slices.DeleteFunc(out.Removed, func(s string) bool { return s == f.Name })
		if removed {
			out.Removed = append(out.Removed, f.Name)
		}
	}
	return out, nil
}

// deeper reports whether a value has more than so many levels. Operations could nest what each of them may not.
func deeper(v any, levels int) bool {
	switch v := v.(type) {
	case map[string]any:
		for _, x := range v {
			if levels == 0 || deeper(x, levels-1) {
				return true
			}
		}
		return levels == 0
	case []any:
		for _, x := range v {
			if levels == 0 || deeper(x, levels-1) {
				return true
			}
		}
		return levels == 0
	}
	return false
}

// failed words why an operation cannot be applied. The value is left out: it may be a secret.
func (o Op) failed(reason string) error {
	return invalid("Couldn't apply patch '%s %s'. Reason: %s", o.Op, o.Path, reason)
}

// edit returns a copy of v with the member at parts added, replaced or removed.
func (o Op) edit(v any, parts []string) (any, error) {
	switch v := v.(type) {
	case map[string]any:
		return o.editObject(v, parts)
	case []any:
		return o.editList(v, parts)
	default:
		return nil, invalid("%s is inside %s, which has no members", parts[0], kindOf(v))
	}
}

func (o Op) editObject(m map[string]any, parts []string) (any, error) {
	key := parts[0]
	old, there := m[key]
	last := len(parts) == 1
	if !there && (!last || o.Op != "add") {
		return nil, invalid("member '%s' not found", key)
	}
	c := maps.Clone(m)
	switch {
	case !last:
		val, err := o.edit(old, parts[1:])
		if err != nil {
			return nil, err
		}
		c[key] = val
	case o.Op == "remove":
		delete(c, key)
	default:
		c[key] = o.Value
	}
	return c, nil
}

func (o Op) editList(l []any, parts []string) (any, error) {
	last := len(parts) == 1
	insert := last && o.Op == "add"
	at := len(l)
	if parts[0] != "-" || !insert {
		var err error
		at, err = strconv.Atoi(parts[0])
		if err != nil || at < 0 || parts[0] != strconv.Itoa(at) {
			return nil, invalid("'%s' is not a valid list index", parts[0])
		}
	}
	if at > len(l) || at == len(l) && !insert {
		return nil, invalid("list index %d is out of range: the list has %d items", at, len(l))
	}
	c := slices.Clone(l)
	switch {
	case !last:
		val, err := o.edit(l[at], parts[1:])
		if err != nil {
			return nil, err
		}
		c[at] = val
	case insert:
		c = slices.Insert(c, at, o.Value)
	case o.Op == "remove":
		c = slices.Delete(c, at, at+1)
	default:
		c[at] = o.Value
	}
	return c, nil
}

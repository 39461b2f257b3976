// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// MaxDepth is how deep a body may be nested.
const MaxDepth = 25

// Shape says, without parsing it, how deep a JSON text is nested and about how many values it has, strings skipped: it
// looks at brackets and commas only, and stops beyond MaxDepth.
func Shape(body []byte) (depth, values int) {
	open, quoted := 0, false
	values = 1
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			values++
			if open++; open > depth {
				depth = open
			}
			if depth > MaxDepth {
				return depth, values
			}
		case c == '}' || c == ']':
			open--
		case c == ',':
			values++
		}
	}
	return depth, values
}

// Decode reads one JSON value. Numbers are float64, or json.Number where that would lose digits.
func Decode(body []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, invalid("Malformed JSON in request body: %s", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, invalid("Malformed JSON in request body: there is more behind the first value")
	}
	return settle(v)
}

// DecodeObject reads a JSON object.
func DecodeObject(body []byte) (map[string]any, error) {
	v, err := Decode(body)
	if err != nil {
		return nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, invalid("Malformed request body: wanted a JSON object, found %s", kindOf(v))
	}
	return m, nil
}

// settle turns numbers into float64 where that keeps all digits. A number that float64 cannot hold at all is refused:
// what is stored must be read again by every conductor.
func settle(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return nil, invalid("Malformed JSON in request body: the number %.20s is out of range", v)
		}
		if len(v) > 15 && !strings.ContainsAny(string(v), ".eE") && strconv.FormatFloat(f, 'f', -1, 64) != string(v) {
			return v, nil
		}
		return f, nil
	case map[string]any:
		for k := range v {
			if v[k], err = settle(v[k]); err != nil {
				return nil, err
			}
		}
	case []any:
		for i := range v {
			if v[i], err = settle(v[i]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	default:
		return "a number"
	}
}

// ParseBool reads a boolean of a query or body: JSON, or one of Ironic's words.
func ParseBool(name string, val any) (bool, error) {
	switch v := val.(type) {
	case bool:
		return v, nil
	case string:
		switch strings.ToLower(strings.TrimSpace(v)) {
		case "1", "t", "true", "y", "yes", "on":
			return true, nil
		case "0", "f", "false", "n", "no", "off":
			return false, nil
		}
	case float64:
		if v == 0 || v == 1 {
			return v == 1, nil
		}
	}
	shown := val
	if s, ok := val.(string); ok {
		shown = "'" + s + "'"
	}
	return false, invalid("Invalid %s: Unrecognized value %v, acceptable values are: '0', '1', 'f', 'false', 'n', 'no', 'off', 'on', 't', 'true', 'y', 'yes'", name, shown)
}

// parseString reads a string or null.
func parseString(name string, val any, limit int) (string, error) {
	if val == nil {
		return "", nil
	}
	s, ok := val.(string)
	if !ok {
		return "", fmt.Errorf("%s: found %s, wanted type 'string', 'null'", name, kindOf(val))
	}
	if limit > 0 && len([]rune(s)) > limit {
		return "", fmt.Errorf("%s: the value is too long: wanted at most %d characters, found %d", name, limit, len([]rune(s)))
	}
	return s, nil
}

// parseObject reads an object; null is an empty one.
func parseObject(name string, val any) (map[string]any, error) {
	if val == nil {
		return map[string]any{}, nil
	}
	m, ok := val.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s: found %s, wanted type 'object', 'null'", name, kindOf(val))
	}
	return m, nil
}

var (
	uuidForm = regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`)
	nameForm = regexp.MustCompile(`^[A-Za-z0-9._~-]{1,255}$`)
	hostForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$`)
)

// IsUUID reports whether s looks like a UUID.
func IsUUID(s string) bool { return len(s) == 36 && uuidForm.MatchString(s) }

// reserved are words that cannot be names, because they are paths.
var reserved = []string{"detail", "validate", "states", "vendor_passthru", "management", "maintenance"}

// IsName reports whether s may be a node's or port's name in a path.
func IsName(s string) bool { return nameForm.MatchString(s) && !IsUUID(s) }

// checkUUID is a check of a field that holds a UUID.
func checkUUID(name string) func(any) error {
	return func(val any) error {
		if s, ok := val.(string); !ok || !IsUUID(s) {
			return fmt.Errorf("%s: Expected a UUID but received %v", name, val)
		}
		return nil
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package config

import "strings"

// Kind is the type of an option's value.
type Kind string

// Kinds.
const (
	Duration Kind = "duration" // "2s", "500ms" or plain seconds
	Int      Kind = "integer"
	Bool     Kind = "boolean"
	String   Kind = "string"
	List     Kind = "list" // commas in flags and environment
	Enum     Kind = "word"
)

// Option is one row of the table.
type Option struct {
	Key     string // as in the YAML file; a group is a prefix with a dot
	Kind    Kind
	Default string
	Min     string   // least value of a Duration or Int, "" = none
	Allowed []string // of an Enum
	Zero    string   // what 0 means, "" = nothing special
	Help    string
	Note    string // accepted, but has no effect here, and why
}

// Flag is the option's flag without dashes.
func (o Option) Flag() string {
	return strings.ReplaceAll(strings.ReplaceAll(o.Key, ".", "-"), "_", "-")
}

// Env is the option's environment variable.
func (o Option) Env() string {
	return "FERRITE_" + strings.ToUpper(strings.ReplaceAll(o.Key, ".", "_"))
}

// Find returns an option by its key.
func Find(key string) (Option, bool) {
	for _, o := range Options {
		if o.Key == key {
			return o, true
		}
	}
	return Option{}, false
}

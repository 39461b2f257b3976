// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package config

import "fmt"

// Row is one line of "ferrite config show --effective".
type Row struct {
	Key    string `json:"key" yaml:"key"`
	Value  string `json:"value" yaml:"value"`
	Source string `json:"source" yaml:"source"`
	Note   string `json:"note,omitempty" yaml:"note,omitempty"` // no effect and why, or what 0 means
}

// Effective lists all settings in the table's order.
func (c *Config) Effective() []Row {
	out := make([]Row, 0, len(Options))
	for _, o := range Options {
		v := c.values[o.Key]
		note := o.Note
		if note == "" && (v.text == "0" || v.text == "0s") {
			note = o.Zero
		}
		out = append(out, Row{o.Key, v.text, v.source, note})
	}
	return out
}

// Notes explains settings that were given but have no effect, in the table's order.
func (c *Config) Notes() []string {
	var out []string
	for _, o := range Options {
		if o.Note != "" && c.Given(o.Key) {
			out = append(out, fmt.Sprintf("%s has no effect: %s", o.Key, o.Note))
		}
	}
	return out
}

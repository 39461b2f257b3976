// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/config.md anew")

// TestTheTableIsSound: names are unique in each source, and the limits are of the option's own kind.
func TestTheTableIsSound(t *testing.T) {
	seen := map[string]string{}
	for _, o := range Options {
		for _, name := range []string{o.Key, "--" + o.Flag(), o.Env()} {
			if first, ok := seen[name]; ok && first != o.Key {
				t.Errorf("%s is of %s and of %s", name, first, o.Key)
			}
			seen[name] = o.Key
		}
		if o.Help == "" {
			t.Errorf("%s: no help", o.Key)
		}
		if (len(o.Allowed) > 0) != (o.Kind == Enum) {
			t.Errorf("%s: kind %s with allowed words %v", o.Key, o.Kind, o.Allowed)
		}
		if o.Min == "" && (o.Kind == Duration || o.Kind == Int) {
			t.Errorf("%s: no least value, so a negative one would be taken", o.Key)
		}
		if _, err := (Option{Key: o.Key, Kind: o.Kind, Allowed: o.Allowed}).parse(o.Min, "minimum"); o.Min != "" && err != nil {
			t.Error(err)
		}
		if _, err := o.parse(o.Default, byDefault); err != nil {
			t.Error(err)
		}
	}
	if len(seen) != 3*len(Options) {
		t.Errorf("%d names of %d options, wanted 3 each", len(seen), len(Options))
	}
}

// TestDocsAreTheTable holds docs/config.md against the table; -update writes it.
func TestDocsAreTheTable(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "config.md")
	want := page()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil { //nolint:gosec // a page for everybody
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the table in internal/config says: run go test ./internal/config -run Docs -update", path)
	}
}

const intro = `# Settings

This page is made from the table in [internal/config/table.go](../internal/config/table.go);
` + "`go test ./internal/config -run Docs -update`" + ` writes it anew.

Each setting is a key of a YAML file (` + "`--config`" + `, or variable ` + "`FERRITE_CONFIG`" + `), an environment variable and a flag. A flag
wins over the environment, that over the file, that over the default. The names follow from the key:

| key | flag | environment |
|---|---|---|
| ` + "`ipmi.min_command_interval` | `--ipmi-min-command-interval` | `FERRITE_IPMI_MIN_COMMAND_INTERVAL`" + ` |

In the file a group is a dotted key or a map: ` + "`ipmi.debug: true` is `ipmi: {debug: true}`" + `. Ironic's sections ` + "`conductor` and\n`DEFAULT`" + ` may be written or left out. Keys bear Ironic's names where they mean the same.

* duration: ` + "`2s`, `500ms`, `1m30s`" + ` or plain seconds, ` + "`30` or `0.5`" + `.
* list: with commas; in the file a YAML list as well.
* boolean: true, on, yes, 1; false, off, no, 0.

An unknown key, an unknown variable ` + "`FERRITE_…`" + ` and a bad value are errors. "ferrite config check" finds them without
starting anything; "ferrite config show --effective" tells each value and where it came from.
`

// page is docs/config.md: what has an effect, then what has none and why.
func page() string {
	var b strings.Builder
	b.WriteString(intro)
	b.WriteString("\n## With effect\n\n| key | kind | default | limits | SIGHUP | meaning |\n|---|---|---|---|---|---|\n")
	for _, o := range Options {
		if o.Note == "" {
			row(&b, "`"+o.Key+"`", string(o.Kind), code(o.Default), limits(o), map[bool]string{true: "taken"}[slices.Contains(reloadable, o.Key)], o.Help)
		}
	}
	b.WriteString("\n## Accepted without effect\n\nSo that a file made for Ironic can be kept. \"ferrite config check\" tells of each that was set.\n\n")
	b.WriteString("| key | kind | Ironic's default | why |\n|---|---|---|---|\n")
	for _, o := range Options {
		if o.Note != "" {
			row(&b, "`"+o.Key+"`", string(o.Kind), code(o.Default), o.Note)
		}
	}
	return b.String()
}

func row(b *strings.Builder, cells ...string) {
	for i, c := range cells {
		cells[i] = strings.ReplaceAll(c, "|", "\\|")
	}
	b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

// limits tells what is allowed, and what 0 means.
func limits(o Option) string {
	var parts []string
	if o.Min != "" {
		parts = append(parts, "≥ "+o.Min)
	}
	if len(o.Allowed) > 0 {
		parts = append(parts, words(o.Allowed))
	}
	if o.Zero != "" {
		parts = append(parts, "0 = "+o.Zero)
	}
	return strings.Join(parts, "; ")
}

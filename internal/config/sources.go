// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/spf13/pflag"
)

// RegisterFlags adds a flag for each option. Those without effect are accepted, but not shown.
func RegisterFlags(flags *pflag.FlagSet) {
	for _, o := range Options {
		if o.Kind == Bool {
			flags.Bool(o.Flag(), o.Default == "true", o.Help)
		} else if o.Kind == Duration {
			flags.Var(&durationText{o.Default}, o.Flag(), o.Help)
		} else {
			flags.String(o.Flag(), o.Default, o.Help)
		}
		if o.Note == "" {
			continue
		}
		if err := flags.MarkHidden(o.Flag()); err != nil {
			panic(err) // the flag was made just above
		}
	}
}

// flags takes the flags that were given.
func (c *Config) flags(flags *pflag.FlagSet) []error {
	if flags == nil {
		return nil
	}
	var all []error
	for _, o := range Options {
		f := flags.Lookup(o.Flag())
		if f == nil || !f.Changed {
			continue
		}
		if err := c.set(o.Key, f.Value.String(), "flag --"+o.Flag()); err != nil {
			all = append(all, err)
		}
	}
	return all
}

// unconfigured are FERRITE_ variables that are no options of a conductor: of tests, of the client, and the name of the file.
var unconfigured = []string{"FERRITE_BIN", "FERRITE_LONG", "FERRITE_CONFIG", "FERRITE_API", "FERRITE_API_USER", "FERRITE_API_PASSWORD", "FERRITE_API_CA"}

// environment takes all FERRITE_ variables. An unknown one is an error: a misspelt setting must not be passed over.
func (c *Config) environment(env []string) []error {
	byEnv := map[string]string{}
	for _, o := range Options {
		byEnv[o.Env()] = o.Key
	}
	var all []error
	for _, kv := range env {
		name, text, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, "FERRITE_") || slices.Contains(unconfigured, name) {
			continue
		}
		key, ok := byEnv[name]
		if !ok {
			all = append(all, fmt.Errorf("environment: unknown variable %s%s", name, nearest(name, Option.Env)))
			continue
		}
		if err := c.set(key, text, "environment "+name); err != nil {
			all = append(all, err)
		}
	}
	return all
}

// file takes a YAML file.
func (c *Config) file(name string) []error {
	if name == "" {
		return nil
	}
	b, err := os.ReadFile(name) //nolint:gosec // the operator names it
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return []error{fmt.Errorf("--config %s: there is no such file", name)}
	case err != nil:
		return []error{fmt.Errorf("--config: %w", err)}
	}
	doc, err := yaml.Parser().Unmarshal(b)
	if err != nil {
		return []error{fmt.Errorf("file %s: wanted YAML of keys and values: %w", name, err)}
	}
	flat, all := flatten(doc, "file "+name)
	for _, k := range slices.Sorted(maps.Keys(flat)) {
		if err := c.set(k, flat[k], "file "+name); err != nil {
			all = append(all, err)
		}
	}
	return all
}

// mainGroups are Ironic's names for what has no group here.
var mainGroups = []string{"conductor", "DEFAULT"}

// flatten turns groups into dotted keys. A key that is given twice, in whichever forms, is an error.
func flatten(doc map[string]any, source string) (flat map[string]string, all []error) {
	flat = map[string]string{}
	put := func(key string, v any) {
		if group, rest, ok := strings.Cut(key, "."); ok && slices.Contains(mainGroups, group) {
			key = rest
		}
		text, err := yamlText(v)
		if _, list := v.([]any); list && err == nil && !takesList(key) {
			err = errors.New("is a list: wanted one value")
		}
		switch _, twice := flat[key]; {
		case err != nil:
			all = append(all, fmt.Errorf("%s: %s: %w", source, key, err))
		case twice:
			all = append(all, fmt.Errorf("%s: %s is given twice: wanted the dotted key or the group, not both", source, key))
		default:
			flat[key] = text
		}
	}
	for _, k := range slices.Sorted(maps.Keys(doc)) {
		group, ok := doc[k].(map[string]any)
		if !ok {
			put(k, doc[k])
			continue
		}
		for _, kk := range slices.Sorted(maps.Keys(group)) {
			put(k+"."+kk, group[kk])
		}
	}
	return flat, all
}

// takesList reports whether an option has a list as its value. What is no option is refused elsewhere.
func takesList(key string) bool {
	for _, o := range Options {
		if o.Key == key {
			return o.Kind == List
		}
	}
	return true
}

// yamlText is a YAML scalar, or a list of them with commas, as text.
func yamlText(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case []any:
		parts := make([]string, len(v))
		for i, x := range v {
			text, err := yamlText(x)
			if err != nil {
				return "", err
			}
			parts[i] = text
		}
		return strings.Join(parts, ","), nil
	case map[string]any, map[any]any:
		return "", fmt.Errorf("is a group: wanted a value or a list, groups are one level deep")
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	default:
		return fmt.Sprint(v), nil
	}
}

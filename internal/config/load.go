// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/pflag"
)

// Config is the settings of one run.
type Config struct {
	values map[string]value // one for each option
}

// byDefault is the source of a value that nobody set.
const byDefault = "default"

// value is one setting in its plain form, and where it came from.
type value struct {
	text   string   // a List with commas, a Duration in Go's form
	list   []string // of List alone
	source string   // byDefault, "file NAME", "environment NAME" or "flag --NAME"
}

// Load reads all sources, weakest first, and returns every error that it finds, joined. env is like os.Environ; flags may
// be nil, and file "" is none. The options' relations to one another are checked once each value is good.
func Load(flags *pflag.FlagSet, env []string, file string) (*Config, error) {
	c := &Config{values: map[string]value{}}
	for _, o := range Options {
		v, err := o.parse(o.Default, byDefault)
		if err != nil {
			return nil, err
		}
		c.values[o.Key] = v
	}
	var all []error
	all = append(all, c.file(file)...)
	all = append(all, c.environment(env)...)
	all = append(all, c.flags(flags)...)
	if len(all) == 0 {
		c.settle()
		all = c.check()
	}
	if err := errors.Join(all...); err != nil {
		return nil, err
	}
	return c, nil
}

// set takes one text from a source that is stronger than those before it.
func (c *Config) set(key, text, source string) error {
	o, ok := Find(key)
	if !ok {
		return fmt.Errorf("%s: unknown key %q%s; \"ferrite config show --effective\" lists all", source, key, nearest(key, Option.name))
	}
	v, err := o.parse(text, source)
	if err != nil {
		return err
	}
	c.values[key] = v
	return nil
}

// String reads a setting as text. An unknown key is a defect of the caller, here as in the other readers: it panics.
func (c *Config) String(key string) string { return c.get(key).text }

// Bool reads a switch.
func (c *Config) Bool(key string) bool { return c.get(key).text == "true" }

// Int reads a number.
func (c *Config) Int(key string) int {
	n, _ := strconv.Atoi(c.get(key).text) // parse has checked it
	return n
}

// Duration reads a time.
func (c *Config) Duration(key string) time.Duration {
	d, _ := duration(c.get(key).text) // parse has checked it
	return d
}

// Strings reads a list; nil = empty.
func (c *Config) Strings(key string) []string { return c.get(key).list }

// Given reports whether a setting was set anywhere, were it to its default.
func (c *Config) Given(key string) bool { return c.get(key).source != byDefault }

func (c *Config) get(key string) value {
	v, ok := c.values[key]
	if !ok {
		panic("config: no option " + key)
	}
	return v
}

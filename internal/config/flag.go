// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"time"

	"github.com/spf13/pflag"
)

// DurationFlag declares a flag that takes durations as the settings do: 2s, 500ms or plain seconds. It is for commands
// that have durations of their own, and their own limits. *d is the default.
func DurationFlag(flags *pflag.FlagSet, d *time.Duration, name, usage string) {
	flags.Var((*durationFlag)(d), name, usage)
}

// durationText is the flag of a setting: package config reads and checks its text later, with the other sources' texts.
type durationText struct{ text string }

func (f *durationText) Set(s string) error { f.text = s; return nil }
func (f *durationText) String() string     { return f.text }

// Type is what help shows behind the flag.
func (f *durationText) Type() string { return "duration" }

type durationFlag time.Duration

func (f *durationFlag) Set(s string) error {
	d, err := duration(s)
	if err != nil {
		return errors.New("wanted a duration like 2s, 500ms or plain seconds")
	}
	*f = durationFlag(d)
	return nil
}

// String is "0" for none: help shows no default then.
func (f *durationFlag) String() string {
	if *f == 0 {
		return "0"
	}
	return time.Duration(*f).String()
}

// Type is what help shows behind the flag.
func (f *durationFlag) Type() string { return "duration" }

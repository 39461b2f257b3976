// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func TestDurationFlag(t *testing.T) {
	for _, c := range []struct {
		text string
		want time.Duration
		ok   bool
	}{
		{"2s", 2 * time.Second, true},
		{"10", 10 * time.Second, true},
		{"500ms", 500 * time.Millisecond, true},
		{"0", 0, true},
		{"-3s", -3 * time.Second, true},
		{"soon", time.Minute, false},
		{"", time.Minute, false},
	} {
		got := time.Minute
		flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
		DurationFlag(flags, &got, "for", "how long")
		if def := flags.Lookup("for").DefValue; def != "1m0s" {
			t.Errorf("default is %s, wanted 1m0s", def)
		}
		if err := flags.Parse([]string{"--for", c.text}); (err == nil) != c.ok || got != c.want {
			t.Errorf("%q: %s, %v; wanted %s, accepted %t", c.text, got, err, c.want, c.ok)
		}
	}
}

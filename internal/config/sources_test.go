// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func TestGroups(t *testing.T) {
	for name, text := range map[string]string{
		"dotted key": "ipmi.min_command_interval: 250ms\nsync_power_state_interval: 9\n",
		"nested map": "ipmi:\n  min_command_interval: 250ms\nsync_power_state_interval: 9\n",
		"Ironic's":   "ipmi:\n  min_command_interval: 0.25\nconductor:\n  sync_power_state_interval: 9\n",
		"DEFAULT":    "ipmi.min_command_interval: 0.25\nDEFAULT:\n  sync_power_state_interval: 9\n",
		"all dotted": "ipmi.min_command_interval: 0.25\nconductor.sync_power_state_interval: 9.0\n",
	} {
		c := mustLoad(t, nil, nil, text)
		if got := c.Duration("ipmi.min_command_interval"); got != 250*time.Millisecond {
			t.Errorf("%s: ipmi.min_command_interval is %s, wanted 250ms", name, got)
		}
		if got := c.Duration("sync_power_state_interval"); got != 9*time.Second {
			t.Errorf("%s: sync_power_state_interval is %s, wanted 9s", name, got)
		}
	}
	if got := mustLoad(t, []string{"--ipmi-min-command-interval=1s"}, nil, "").Duration("ipmi.min_command_interval"); got != time.Second {
		t.Errorf("by flag: %s", got)
	}
	if got := mustLoad(t, nil, []string{"FERRITE_IPMI_MIN_COMMAND_INTERVAL=1s"}, "").Duration("ipmi.min_command_interval"); got != time.Second {
		t.Errorf("by environment: %s", got)
	}
}

func TestFileErrors(t *testing.T) {
	for text, want := range map[string]string{
		"a: b: c\n":                      "wanted YAML of keys and values",
		"- name\n":                       "wanted YAML of keys and values",
		"name: a\nname: b\n":             "already defined",
		"fake:\n  power_delay: {a: 1}\n": "fake.power_delay: is a group: wanted a value or a list",
		"ipmi.debug: true\nipmi:\n  debug: false\n":       "ipmi.debug is given twice",
		"log_level: info\nDEFAULT:\n  log_level: debug\n": "log_level is given twice",
	} {
		_, file, err := load(t, nil, nil, text)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) {
			t.Errorf("%q: got %v, wanted %q and the file's name", text, err, want)
		}
	}
	missing := filepath.Join(t.TempDir(), "missing.yaml")
	if _, err := Load(nil, nil, missing); err == nil || !strings.Contains(err.Error(), missing+": there is no such file") {
		t.Errorf("got %v, wanted that there is no such file", err)
	}
	if _, err := Load(nil, nil, t.TempDir()); err == nil || !strings.Contains(err.Error(), "--config: ") {
		t.Errorf("got %v for a folder", err)
	}
	mustLoad(t, nil, nil, "# nothing but a comment\n")
}

func TestUnknownNamesSuggestTheNearest(t *testing.T) {
	for _, c := range []struct{ env, file, want string }{
		{file: "sync_power_state_intervall: 5", want: `unknown key "sync_power_state_intervall"; did you mean "sync_power_state_interval"?`},
		{file: "ipmi: {min_comand_interval: 5}", want: `unknown key "ipmi.min_comand_interval"; did you mean "ipmi.min_command_interval"?`},
		{file: "ipmi_debug: true", want: `did you mean "ipmi.debug"?`},
		{file: "Log_Level: info", want: `did you mean "log_level"?`},
		{env: "FERRITE_LOGLEVEL=info", want: `environment: unknown variable FERRITE_LOGLEVEL; did you mean "FERRITE_LOG_LEVEL"?`},
	} {
		var env []string
		if c.env != "" {
			env = []string{c.env}
		}
		if _, _, err := load(t, nil, env, c.file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, wanted %q", err, c.want)
		}
	}
	_, _, err := load(t, nil, nil, "colour_of_the_roof_tiles: red")
	if err == nil || !strings.Contains(err.Error(), `unknown key "colour_of_the_roof_tiles"; "ferrite config show`) {
		t.Errorf("got %v, wanted an error that suggests nothing", err)
	}
}

func TestFlagsWithoutEffectAreHidden(t *testing.T) {
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	RegisterFlags(flags)
	shown := 0
	for _, o := range Options {
		f := flags.Lookup(o.Flag())
		if f == nil {
			t.Fatalf("no flag --%s", o.Flag())
		}
		if f.Hidden != (o.Note != "") {
			t.Errorf("--%s: hidden is %v, its note is %q", o.Flag(), f.Hidden, o.Note)
		}
		if !f.Hidden {
			shown++
		}
	}
	if shown == 0 || shown == len(Options) {
		t.Errorf("%d of %d flags are shown: the test proves nothing", shown, len(Options))
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDurations(t *testing.T) {
	const env = "FERRITE_SYNC_POWER_STATE_INTERVAL="
	for text, want := range map[string]time.Duration{
		"2s": 2 * time.Second, "500ms": 500 * time.Millisecond, "1m30s": 90 * time.Second, " 7 ": 7 * time.Second,
		"30": 30 * time.Second, "0.25": 250 * time.Millisecond, "1e3": 1000 * time.Second, "0": 0,
	} {
		if got := mustLoad(t, nil, []string{env + text}, "").Duration("sync_power_state_interval"); got != want {
			t.Errorf("%q is %s, wanted %s", text, got, want)
		}
		yaml := "sync_power_state_interval: " + text + "\n"
		if got := mustLoad(t, nil, nil, yaml).Duration("sync_power_state_interval"); got != want {
			t.Errorf("in YAML %q is %s, wanted %s", text, got, want)
		}
	}
	for _, text := range []string{"", "soon", "2 s", "NaN", "Inf", "1e300", "-1", "-1s"} {
		if _, _, err := load(t, nil, []string{env + text}, ""); err == nil {
			t.Errorf("%q is taken as a duration", text)
		}
	}
}

func TestBooleans(t *testing.T) {
	for _, text := range []string{"1", "t", "TRUE", "on", "y", "Yes"} {
		if !mustLoad(t, nil, []string{"FERRITE_INSECURE=" + text}, "").Bool("insecure") {
			t.Errorf("%q is false", text)
		}
	}
	for _, text := range []string{"0", "f", "False", "off", "n", "NO"} {
		if mustLoad(t, nil, []string{"FERRITE_NODE_HISTORY=" + text}, "").Bool("node_history") {
			t.Errorf("%q is true", text)
		}
	}
	if !mustLoad(t, []string{"--insecure"}, nil, "").Bool("insecure") {
		t.Error("a switch needs a value")
	}
}

func TestLists(t *testing.T) {
	want := []string{"fake-hardware", "ipmi"}
	for name, c := range map[string]*Config{
		"flag":          mustLoad(t, []string{"--enabled-hardware-types=fake-hardware, ipmi,"}, nil, ""),
		"YAML list":     mustLoad(t, nil, nil, "enabled_hardware_types:\n- fake-hardware\n- ipmi\n"),
		"YAML text":     mustLoad(t, nil, nil, "enabled_hardware_types: fake-hardware,ipmi\n"),
		"environment":   mustLoad(t, nil, []string{"FERRITE_ENABLED_HARDWARE_TYPES=fake-hardware,ipmi"}, ""),
		"empty by flag": mustLoad(t, []string{"--enabled-hardware-types="}, nil, ""),
	} {
		got := c.Strings("enabled_hardware_types")
		if name == "empty by flag" {
			if len(got) != 0 {
				t.Errorf("%s: %v, wanted none", name, got)
			}
		} else if !slices.Equal(got, want) {
			t.Errorf("%s: %v, wanted %v", name, got, want)
		}
	}
}

// TestBadValues: an error names where the value came from, the key, the value and what is allowed.
func TestBadValues(t *testing.T) {
	for _, c := range []struct{ flag, env, file, want string }{
		{file: "sync_power_state_interval: soon", want: `file F: sync_power_state_interval is "soon": wanted a duration like 2s, 500ms or plain seconds`},
		{flag: "--power-state-change-timeout=1s", want: `flag --power-state-change-timeout: power_state_change_timeout is "1s": wanted at least 2s`},
		{env: "FERRITE_POWER_STATE_SYNC_MAX_RETRIES=3.5", want: `environment FERRITE_POWER_STATE_SYNC_MAX_RETRIES: power_state_sync_max_retries is "3.5": wanted a whole number`},
		{flag: "--api-max-limit=0", want: `flag --api-max-limit: api.max_limit is "0": wanted at least 1`},
		{env: "FERRITE_INSECURE=perhaps", want: `environment FERRITE_INSECURE: insecure is "perhaps": wanted true or false`},
		{flag: "--log-level=loud", want: `flag --log-level: log_level is "loud": wanted one of debug, info, warn, error`},
		{file: "notification_level: loud", want: `file F: notification_level is "loud": wanted one of "" (none), debug, info, warning, error, critical`},
		{file: "node_history:", want: `file F: node_history is "": wanted true or false`},
		{file: "sync_power_state_interval: [1]", want: "file F: sync_power_state_interval: is a list: wanted one value"},
	} {
		var flag, env []string
		if c.flag != "" {
			flag = []string{c.flag}
		}
		if c.env != "" {
			env = []string{c.env}
		}
		_, file, err := load(t, flag, env, c.file)
		if err == nil {
			t.Errorf("%+v: no error", c)
			continue
		}
		if want := strings.Replace(c.want, "file F", "file "+file, 1); err.Error() != want {
			t.Errorf("got  %s\nwant %s", err, want)
		}
	}
}

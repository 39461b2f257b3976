// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// load reads arguments, environment and the text of a file, "" = no file. It returns the file's name as well.
func load(t *testing.T, args, env []string, text string) (*Config, string, error) {
	t.Helper()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	RegisterFlags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	file := ""
	if text != "" {
		file = filepath.Join(t.TempDir(), "f.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Load(flags, env, file)
	return c, file, err
}

func mustLoad(t *testing.T, args, env []string, text string) *Config {
	t.Helper()
	c, _, err := load(t, args, env, text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// sourceOf is the source as Effective tells it.
func sourceOf(t *testing.T, c *Config, key string) string {
	t.Helper()
	for _, r := range c.Effective() {
		if r.Key == key {
			return r.Source
		}
	}
	t.Fatalf("Effective does not list %s", key)
	return ""
}

func TestTheStrongestSourceWins(t *testing.T) {
	const key = "power_state_sync_max_retries"
	var (
		flag = []string{"--power-state-sync-max-retries=4"}
		env  = []string{"HOME=/home/ann", "FERRITE_POWER_STATE_SYNC_MAX_RETRIES=5", "FERRITE_CONFIG=elsewhere.yaml"}
	)
	const file = "power_state_sync_max_retries: 6\n"
	for _, c := range []struct {
		name      string
		flag, env []string
		file      string
		want      int
		source    string
	}{
		{"nothing", nil, nil, "", 3, "default"},
		{"file", nil, nil, file, 6, "file "},
		{"environment over file", nil, env, file, 5, "environment FERRITE_POWER_STATE_SYNC_MAX_RETRIES"},
		{"flag over file", flag, nil, file, 4, "flag --power-state-sync-max-retries"},
		{"flag over environment and file", flag, env, file, 4, "flag --power-state-sync-max-retries"},
		{"a flag set to the default wins as well", []string{"--power-state-sync-max-retries=3"}, env, file, 3, "flag --power-state-sync-max-retries"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := mustLoad(t, c.flag, c.env, c.file)
			if got.Int(key) != c.want {
				t.Errorf("got %d, wanted %d", got.Int(key), c.want)
			}
			if s := sourceOf(t, got, key); !strings.HasPrefix(s, c.source) {
				t.Errorf("source %q, wanted %q", s, c.source)
			}
			if got.Given(key) != (c.source != "default") {
				t.Errorf("Given is %v from %s", got.Given(key), c.source)
			}
		})
	}
}

func TestLoadTakesNoFlags(t *testing.T) {
	c, err := Load(nil, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Duration("sync_power_state_interval"); got != 45*time.Second {
		t.Errorf("sync_power_state_interval is %s by default, wanted 45s", got)
	}
}

func TestLoadTellsAllErrorsAtOnce(t *testing.T) {
	_, _, err := load(t, []string{"--log-level=loud"}, []string{"FERRITE_INSECURE=perhaps"}, "bmc_shards: many\n")
	if err == nil {
		t.Fatal("no error")
	}
	for _, key := range []string{"log_level", "insecure", "bmc_shards"} {
		if !strings.Contains(err.Error(), key) {
			t.Errorf("%s is not told of in:\n%s", key, err)
		}
	}
	if n := len(strings.Split(err.Error(), "\n")); n != 3 {
		t.Errorf("%d lines, wanted 3:\n%s", n, err)
	}
}

func TestAnUnknownKeyOfTheCallerPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	mustLoad(t, nil, nil, "").String("no_such_key")
}

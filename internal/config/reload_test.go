// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestReloadableAreOptions(t *testing.T) {
	for _, key := range Reloadable() {
		if o, ok := Find(key); !ok || o.Note != "" {
			t.Errorf("%s is no option with an effect", key)
		}
	}
}

func TestChangedTellsWhatWantsARestart(t *testing.T) {
	for _, c := range []struct{ from, to, live, restart string }{
		{"", "", "", ""},
		{"", "--log-level=debug --name=x", "log_level", "name"},
		{"", "--api-max-connections=9 --api-idle-timeout=9s --sync-power-state-interval=9s", "api.max_connections sync_power_state_interval", "api.idle_timeout"},
		{"", "--notification-level=info --versioned-notifications-topics=a,b", "notification_level versioned_notifications_topics", ""},
		{"", "--periodic-max-workers=9", "", ""}, // without effect
		{"--api-tls-cert=a --api-tls-key=b", "--api-tls-cert=c --api-tls-key=d", "api_tls_cert api_tls_key", ""},
		{"", "--api-tls-cert=c --api-tls-key=d", "", "api_tls_cert api_tls_key"},
		{"--api-tls-cert=c --api-tls-key=d", "", "", "api_tls_cert api_tls_key"},
	} {
		live, restart := Changed(mustLoad(t, strings.Fields(c.from), nil, ""), mustLoad(t, strings.Fields(c.to), nil, ""))
		if strings.Join(live, " ") != c.live || strings.Join(restart, " ") != c.restart {
			t.Errorf("%q to %q: live %q, restart %q", c.from, c.to, live, restart)
		}
	}
}

// TestOperationsListWhatIsReloaded holds the table of docs/OPERATIONS.md against the list.
func TestOperationsListWhatIsReloaded(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "OPERATIONS.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, part, ok := strings.Cut(string(b), "\n## What may change without a restart\n")
	if !ok {
		t.Fatal("docs/OPERATIONS.md does not tell what may change without a restart")
	}
	part, _, _ = strings.Cut(part, "\n## ")
	told := map[string]bool{}
	for line := range strings.Lines(part) {
		if _, row, ok := strings.Cut(line, "| taken "); ok {
			for _, key := range regexp.MustCompile("`([a-z_.]+)`").FindAllStringSubmatch(row, -1) {
				told[key[1]] = true
			}
		}
	}
	for _, key := range Reloadable() {
		if !told[key] {
			t.Errorf("docs/OPERATIONS.md does not say that %s is taken at SIGHUP", key)
		}
		delete(told, key)
	}
	for key := range told {
		t.Errorf("docs/OPERATIONS.md says that %s is taken at SIGHUP, which it is not", key)
	}
}

func TestHelpShowsDurations(t *testing.T) {
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	RegisterFlags(flags)
	if got := flags.Lookup("sync-power-state-interval").Value.Type(); got != "duration" {
		t.Errorf("type %s, wanted duration", got)
	}
}

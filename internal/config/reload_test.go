// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
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

func TestHelpShowsDurations(t *testing.T) {
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	RegisterFlags(flags)
	if got := flags.Lookup("sync-power-state-interval").Value.Type(); got != "duration" {
		t.Errorf("type %s, wanted duration", got)
	}
}

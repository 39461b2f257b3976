// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package config

import "slices"

// reloadable are the settings that a running conductor takes at SIGHUP; the others want a restart. What their files hold
// (certificates, htpasswd_file) is read again whenever it changes, without a signal.
var reloadable = []string{"api_tls_cert", "api_tls_key", "log_level", "notification_level", "notification_format", "versioned_notifications_topics"}

// Reloadable lists the keys that may change while the conductor runs.
func Reloadable() []string { return slices.Clone(reloadable) }

// Changed lists the keys whose values differ, in the table's order: those that a running conductor can take, and those
// that want a restart. Settings without effect are left out.
func Changed(from, to *Config) (live, restart []string) {
	// Whether there is TLS at all is decided when the port is opened.
	tls := (from.String("api_tls_cert") == "") == (to.String("api_tls_cert") == "")
	for _, o := range Options {
		if o.Note != "" || from.String(o.Key) == to.String(o.Key) {
			continue
		}
		ofTLS := o.Key == "api_tls_cert" || o.Key == "api_tls_key"
		if slices.Contains(reloadable, o.Key) && (tls || !ofTLS) {
			live = append(live, o.Key)
		} else {
			restart = append(restart, o.Key)
		}
	}
	return live, restart
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package config

import "slices"

// reloadable are the settings that a running conductor takes at SIGHUP; the others want a restart. What their files hold
// (certificates, htpasswd_file) is read again whenever it changes, without a signal.
var reloadable = []string{
	"log_level", "api_tls_cert", "api_tls_key", "notification_level", "notification_format", "versioned_notifications_topics",
	"api.max_limit", "api.max_connections", "api.max_connections_per_address", "api.max_held_mb", "api.max_requests_at_work",
	"api.body_timeout", "api.write_timeout", "max_waiting_requests",
	"sync_power_state_interval", "power_failure_recovery_interval", "power_state_sync_max_retries", "force_power_state_during_sync",
	"power_state_change_timeout", "soft_power_off_timeout", "node_locked_retry_attempts", "node_locked_retry_interval",
	"node_history", "automated_clean", "allow_deleting_available_nodes", "allow_provisioning_in_maintenance",
	"default_resource_class", "graceful_shutdown_timeout",
}

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

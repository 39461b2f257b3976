// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package config

const (
	noWorkers = "Ferrite has no worker threads: operations wait in actors, and one sweep reads all BMCs"
	noRing    = "placement is by rendezvous hashing over live members: there is no ring to set up"
	noDB      = "conductors find each other by gossip, not by rows in a database"
	noTool    = "IPMI is spoken in the process: no ipmitool is started"
	later     = "accepted for later: the part that it belongs to is not built yet"
)

// Options are all settings: ours first, then Ironic's under their own names (spec power.md 10, takeover.md 8,
// console.md 5, ipmi-driver.md 2, conductor-rpc.md, fake-driver.md).
var Options = []Option{
	{Key: "name", Kind: String, Help: "stable name of this conductor (default: the host's name)"},
	{Key: "data_dir", Kind: String, Default: "ferrite-data", Help: "folder of log, state and cluster.key"},
	{Key: "api_listen", Kind: String, Default: "127.0.0.1:6385", Help: "address of the API"},
	{Key: "api_tls_cert", Kind: String, Help: "certificate file of the API (PEM); needs api_tls_key"},
	{Key: "api_tls_key", Kind: String, Help: "key file of the API (PEM); needs api_tls_cert"},
	{Key: "public_endpoint", Kind: String, Help: "base of the links in answers, like https://ironic.example:6385 (default: as requested)"},
	{Key: "api.max_limit", Kind: Int, Default: "1000", Min: "1", Help: "largest page of a list"},
	{Key: "auth_strategy", Kind: Enum, Default: "noauth", Allowed: []string{"noauth", "http_basic"}, Help: "who may use the API"},
	{Key: "htpasswd_file", Kind: String, Help: "users of http_basic: lines of user:bcrypt"},
	{Key: "insecure", Kind: Bool, Default: "false", Help: "allow noauth on an address that others can reach"},
	{Key: "cluster_key_file", Kind: String, Help: "cluster key, as \"ferrite cluster key\" prints it (default: cluster.key in data_dir, made when missing)"},
	{Key: "pprof_listen", Kind: String, Help: "loopback address of Go profiles (default: none)"},
	{Key: "log_level", Kind: Enum, Default: "info", Allowed: []string{"debug", "info", "warn", "error"}, Help: "least level of log lines"},
	{Key: "log_format", Kind: Enum, Default: "auto", Allowed: []string{"auto", "text", "json"}, Help: "auto = text on a terminal, else JSON"},
	{Key: "nats_listen", Kind: String, Default: "127.0.0.1:4222", Help: "address of the embedded NATS server; \"\" = none"},
	{Key: "nats_url", Kind: String, Help: "existing NATS to use instead of the embedded one"},
	{Key: "notification_level", Kind: Enum, Default: "", Allowed: []string{"", "debug", "info", "warning", "error", "critical"}, Help: "send notifications of this level and above (default: none)"},
	{Key: "notification_format", Kind: Enum, Default: "bare", Allowed: []string{"bare", "oslo"}, Help: "envelope alone, or wrapped as oslo.messaging does"},
	{Key: "versioned_notifications_topics", Kind: List, Default: "ironic_versioned_notifications", Help: "first words of the NATS subjects"},
	{Key: "conductor_group", Kind: String, Help: "group of nodes that this conductor serves"},
	{Key: "enabled_hardware_types", Kind: List, Default: "ipmi,fake-hardware", Help: "hardware types that nodes may have"},
	{Key: "default_resource_class", Kind: String, Help: "resource_class of a new node that names none"},

	{Key: "sync_power_state_interval", Kind: Duration, Default: "45s", Min: "0", Zero: "no power sync", Help: "how often each node's power is read; Ironic's default is 120 s (docs/adr tells why not here)"},
	{Key: "power_state_sync_max_retries", Kind: Int, Default: "3", Min: "0", Help: "failures or mismatches in a row before a node goes to maintenance"},
	{Key: "force_power_state_during_sync", Kind: Bool, Default: "true", Help: "put a node's power back to the record, instead of the record to the power"},
	{Key: "power_failure_recovery_interval", Kind: Duration, Default: "300s", Min: "0", Zero: "no recovery", Help: "how often a node in fault \"power failure\" is tried again"},
	{Key: "power_state_change_timeout", Kind: Duration, Default: "60s", Min: "2s", Help: "how long a machine may take to change its power"},
	{Key: "soft_power_off_timeout", Kind: Duration, Default: "600s", Min: "1s", Help: "the same for soft power off and soft reboot"},
	{Key: "node_locked_retry_attempts", Kind: Int, Default: "3", Min: "0", Help: "with node_locked_retry_interval: how long a request waits for another operation"},
	{Key: "node_locked_retry_interval", Kind: Duration, Default: "1s", Min: "0", Help: "see node_locked_retry_attempts"},
	{Key: "node_history", Kind: Bool, Default: "true", Help: "keep a history of each node"},
	{Key: "automated_clean", Kind: Bool, Default: "true", Help: "clean nodes between uses"},
	{Key: "allow_deleting_available_nodes", Kind: Bool, Default: "true", Help: "nodes in available may be deleted"},
	{Key: "allow_provisioning_in_maintenance", Kind: Bool, Default: "true", Help: "provide is allowed in maintenance"},
	{Key: "graceful_shutdown_timeout", Kind: Duration, Default: "60s", Min: "0", Help: "how long SIGTERM may take"},
	{Key: "drain_shutdown_timeout", Kind: Duration, Default: "1800s", Min: "0", Zero: "no limit", Help: "the same for a drain", Note: later},
	{Key: "node_history_max_entries", Kind: Int, Default: "300", Min: "0", Help: "entries kept of a node's history", Note: later},
	{Key: "node_history_cleanup_interval", Kind: Duration, Default: "86400s", Min: "0", Help: "how often the history is trimmed", Note: later},
	{Key: "node_history_cleanup_batch_count", Kind: Int, Default: "1000", Min: "0", Help: "entries trimmed at a time", Note: later},
	{Key: "enable_health_monitoring", Kind: Bool, Default: "true", Help: "read a node's health", Note: "IPMI has no health to read; Redfish is not built yet"},
	{Key: "nova.send_power_notifications", Kind: Bool, Default: "true", Help: "tell Nova of power changes", Note: later},

	{Key: "ipmi.command_retry_timeout", Kind: Duration, Default: "60s", Min: "1s", Help: "how long a BMC command is tried"},
	{Key: "ipmi.min_command_interval", Kind: Duration, Default: "5s", Min: "0", Zero: "no pause", Help: "least pause between commands that change something on one BMC"},
	{Key: "ipmi.cipher_suite_versions", Kind: List, Default: "", Help: "cipher suites to try, last first (default: 17, then 3)"},
	{Key: "ipmi.disable_boot_timeout", Kind: Bool, Default: "true", Help: "tell the BMC not to forget boot flags after 60 s"},
	{Key: "deploy.default_boot_mode", Kind: Enum, Default: "uefi", Allowed: []string{"uefi", "bios"}, Help: "boot mode of nodes that name none"},
	{Key: "ipmi.use_ipmitool_retries", Kind: Bool, Default: "false", Help: "let ipmitool retry", Note: noTool},
	{Key: "ipmi.kill_on_timeout", Kind: Bool, Default: "true", Help: "kill a hanging ipmitool", Note: noTool},
	{Key: "ipmi.additional_retryable_ipmi_errors", Kind: List, Default: "", Help: "texts of errors to retry", Note: noTool},
	{Key: "ipmi.debug", Kind: Bool, Default: "false", Help: "run ipmitool with debug output", Note: noTool},
	{Key: "ipmi.store_cred_in_env", Kind: Bool, Default: "false", Help: "pass the password by environment", Note: noTool},

	{Key: "fake.power_delay", Kind: String, Default: "0", Help: "seconds that the fake power interface takes: \"N\", or \"A,B\" for a random time between"},
	{Key: "fake.boot_delay", Kind: String, Default: "0", Help: "the same for boot"},
	{Key: "fake.deploy_delay", Kind: String, Default: "0", Help: "the same for deploy"},
	{Key: "fake.vendor_delay", Kind: String, Default: "0", Help: "the same for vendor"},
	{Key: "fake.management_delay", Kind: String, Default: "0", Help: "the same for management"},
	{Key: "fake.inspect_delay", Kind: String, Default: "0", Help: "the same for inspect"},
	{Key: "fake.raid_delay", Kind: String, Default: "0", Help: "the same for raid"},
	{Key: "fake.bios_delay", Kind: String, Default: "0", Help: "the same for bios"},
	{Key: "fake.storage_delay", Kind: String, Default: "0", Help: "the same for storage"},
	{Key: "fake.rescue_delay", Kind: String, Default: "0", Help: "the same for rescue"},
	{Key: "fake.firmware_delay", Kind: String, Default: "0", Help: "the same for firmware"},

	{Key: "sync_power_state_workers", Kind: Int, Default: "8", Min: "1", Help: "threads of the power sync", Note: noWorkers},
	{Key: "periodic_max_workers", Kind: Int, Default: "8", Min: "1", Help: "threads of periodic tasks", Note: noWorkers},
	{Key: "workers_pool_size", Kind: Int, Default: "300", Min: "3", Help: "threads of the conductor", Note: noWorkers},
	{Key: "reserved_workers_pool_percentage", Kind: Int, Default: "5", Min: "0", Help: "threads kept for the API", Note: noWorkers},
	{Key: "heartbeat_interval", Kind: Duration, Default: "10s", Min: "1s", Help: "beat of the conductor's row", Note: noDB},
	{Key: "heartbeat_timeout", Kind: Duration, Default: "60s", Min: "0", Help: "silence before a conductor counts as dead", Note: noDB},
	{Key: "sync_local_state_interval", Kind: Duration, Default: "180s", Min: "0", Help: "how often takeovers are looked for", Note: "takeover follows membership at once"},
	{Key: "hash_ring_reset_interval", Kind: Duration, Default: "15s", Min: "0", Help: "age of the hash ring", Note: noRing},
	{Key: "hash_partition_exponent", Kind: Int, Default: "5", Min: "0", Help: "partitions of the hash ring", Note: noRing},
	{Key: "hash_ring_algorithm", Kind: String, Default: "md5", Help: "hash of the ring", Note: noRing},
	{Key: "check_provision_state_interval", Kind: Duration, Default: "60s", Min: "0", Help: "how often callbacks are checked for timeouts", Note: later},
	{Key: "check_rescue_state_interval", Kind: Duration, Default: "60s", Min: "0", Help: "the same for rescue", Note: later},
	{Key: "check_allocations_interval", Kind: Duration, Default: "60s", Min: "0", Help: "the same for allocations", Note: later},
	{Key: "conductor_cleanup_interval", Kind: Duration, Default: "86400s", Min: "0", Help: "how often dead conductors' rows are deleted", Note: noDB},
	{Key: "conductor_cleanup_timeout", Kind: Duration, Default: "1209600s", Min: "0", Help: "silence before such a row is deleted", Note: noDB},
	{Key: "conductor_cleanup_batch_size", Kind: Int, Default: "50", Min: "0", Help: "rows deleted at a time", Note: noDB},
	{Key: "poweroff_in_cleanfail", Kind: Bool, Default: "false", Help: "switch a node off when its cleaning failed", Note: later},
	{Key: "poweroff_in_servicefail", Kind: Bool, Default: "false", Help: "the same for service", Note: later},
	{Key: "deploy_callback_timeout", Kind: Duration, Default: "1800s", Min: "0", Zero: "no limit", Help: "how long a deployment may wait for its agent", Note: later},
	{Key: "clean_callback_timeout", Kind: Duration, Default: "1800s", Min: "0", Zero: "no limit", Help: "the same for cleaning", Note: later},
	{Key: "service_callback_timeout", Kind: Duration, Default: "1800s", Min: "0", Zero: "no limit", Help: "the same for service", Note: later},
	{Key: "rescue_callback_timeout", Kind: Duration, Default: "1800s", Min: "0", Zero: "no limit", Help: "the same for rescue", Note: later},
	{Key: "inspect_wait_timeout", Kind: Duration, Default: "1800s", Min: "0", Zero: "no limit", Help: "the same for inspection", Note: later},
	{Key: "max_concurrent_deploy", Kind: Int, Default: "250", Min: "1", Help: "deployments at a time", Note: later},
	{Key: "max_concurrent_clean", Kind: Int, Default: "50", Min: "1", Help: "cleanings at a time", Note: later},
	{Key: "console.terminal_pid_dir", Kind: String, Help: "folder of the terminals' pid files", Note: later},
	{Key: "console.terminal_timeout", Kind: Duration, Default: "600s", Min: "0", Zero: "never", Help: "idle time before a terminal is closed", Note: later},
	{Key: "console.socat_address", Kind: String, Help: "address that terminals listen on", Note: later},
	{Key: "console.port_range", Kind: List, Help: "ports of terminals, start:end", Note: later},
	{Key: "console.subprocess_checking_interval", Kind: Duration, Default: "1s", Min: "0", Help: "how often a terminal's start is looked at", Note: later},
	{Key: "console.subprocess_timeout", Kind: Duration, Default: "10s", Min: "0", Help: "how long it may take", Note: later},
	{Key: "console.kill_timeout", Kind: Duration, Default: "1s", Min: "0", Help: "how long its end may take", Note: later},
	{Key: "vnc.enabled", Kind: Bool, Default: "false", Help: "graphical consoles", Note: later},
	{Key: "vnc.container_provider", Kind: Enum, Default: "fake", Allowed: []string{"fake", "systemd", "container", "kubernetes"}, Help: "what runs their containers", Note: later},
	{Key: "vnc.read_only", Kind: Bool, Default: "false", Help: "look, do not touch", Note: later},
	{Key: "vnc.public_url", Kind: String, Help: "base of the URLs of graphical consoles", Note: later},
	{Key: "vnc.token_timeout", Kind: Duration, Default: "600s", Min: "10s", Help: "how long such a URL is good", Note: later},
	{Key: "vnc.expire_console_session_interval", Kind: Duration, Default: "120s", Min: "0", Help: "how often expired ones are closed", Note: later},
	{Key: "sensor_data.send_sensor_data", Kind: Bool, Default: "false", Help: "collect sensors", Note: later},
	{Key: "sensor_data.interval", Kind: Duration, Default: "600s", Min: "1s", Help: "how often", Note: later},
	{Key: "sensor_data.workers", Kind: Int, Default: "4", Min: "1", Help: "nodes read at a time", Note: later},
	{Key: "sensor_data.wait_timeout", Kind: Duration, Default: "300s", Min: "0", Help: "how long a round may take", Note: later},
	{Key: "sensor_data.data_types", Kind: List, Default: "ALL", Help: "types of sensors to send", Note: later},
	{Key: "cache_clean_up_interval", Kind: Duration, Default: "3600s", Min: "0", Help: "how often cached images are thinned out", Note: later},
	{Key: "pxe.boot_retry_timeout", Kind: Duration, Default: "0", Min: "0", Zero: "no retry", Help: "how long a ramdisk may take to call back before the node is booted again", Note: later},
	{Key: "pxe.boot_retry_check_interval", Kind: Duration, Default: "90s", Min: "0", Help: "how often that is checked", Note: later},
	{Key: "bmc_shards", Kind: Int, Default: "0", Min: "0", Zero: "one a core, two at the most", Help: "UDP sockets of the IPMI engine"},
}

// kinds of driver interface; each has an enabled_X_interfaces and a default_X_interface.
var kinds = []string{"bios", "boot", "console", "deploy", "firmware", "inspect", "management", "network", "power", "raid", "rescue", "storage", "vendor"}

func init() {
	for _, k := range kinds {
		Options = append(Options,
			Option{Key: "enabled_" + k + "_interfaces", Kind: List, Help: k + " interfaces that nodes may have (default: all that Ferrite knows)"},
			Option{Key: "default_" + k + "_interface", Kind: String, Help: k + " interface of a node that names none (default: the hardware type's)"})
	}
}

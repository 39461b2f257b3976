// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ferrite/bmc/fake"
	"ferrite/conductor"
	"ferrite/internal/config"
	"ferrite/node"
	"ferrite/notify"
	"ferrite/notify/nova"
)

// addSettings gives a command all settings as flags, and --config.
func addSettings(c *cobra.Command) {
	c.Flags().String("config", "", "YAML file of settings (environment: FERRITE_CONFIG)")
	config.RegisterFlags(c.Flags())
}

// configFile is the YAML file that a command shall read, "" = none.
func configFile(c *cobra.Command) string {
	if file, _ := c.Flags().GetString("config"); file != "" || c.Flags().Changed("config") {
		return file
	}
	return os.Getenv("FERRITE_CONFIG")
}

// loadSettings reads flags, environment and file.
func loadSettings(c *cobra.Command) (*config.Config, error) {
	s, err := config.Load(c.Flags(), os.Environ(), configFile(c))
	if err != nil {
		return nil, usageError{err}
	}
	return s, nil
}

// conductorConfig is what the settings mean to package conductor. It reads the files that they name.
func conductorConfig(s *config.Config) (conductor.Config, error) {
	c := conductor.Defaults()
	c.Version = version
	if name := s.String("name"); name != "" {
		c.Name = name
	}
	c.DataDir, c.Group = s.String("data_dir"), strings.ToLower(s.String("conductor_group"))
	c.History = conductor.HistoryLimit{Keep: s.Int("node_history_max_entries"), Batch: s.Int("node_history_cleanup_batch_count"), Every: s.Duration("node_history_cleanup_interval")}
	c.DiskMinFree = uint64(s.Int("disk_min_free_mb")) << 20 //nolint:gosec // at least 0
	c.MaxWaiting = s.Int("max_waiting_requests")
	c.APIListen, c.PublicEndpoint, c.MaxLimit = s.String("api_listen"), s.String("public_endpoint"), s.Int("api.max_limit")
	c.APILimits = conductor.APILimits{
		Connections: s.Int("api.max_connections"), PerAddress: s.Int("api.max_connections_per_address"),
		HeldBytes: int64(s.Int("api.max_held_mb")) << 20, Working: s.Int("api.max_requests_at_work"),
		HeaderTimeout: s.Duration("api.header_timeout"), BodyTimeout: s.Duration("api.body_timeout"),
		WriteTimeout: s.Duration("api.write_timeout"), IdleTimeout: s.Duration("api.idle_timeout"),
	}
	c.AuthStrategy, c.HtpasswdFile = s.String("auth_strategy"), s.String("htpasswd_file")
	c.PprofListen = s.String("pprof_listen")
	c.NATSHtpasswdFile = s.String("nats_htpasswd_file")
	c.NATSListen, c.NATSURL, c.NATSJetStream = s.String("nats_listen"), s.String("nats_url"), s.Bool("nats_jetstream")
	c.OutboxKeep, c.OutboxMaxAge, c.OutboxMaxBytes = s.Duration("outbox_keep"), s.Duration("outbox_max_age"), int64(s.Int("outbox_max_mb"))<<20
	c.NotificationLevel, c.NotificationFormat = s.String("notification_level"), s.String("notification_format")
	c.Topics = s.Strings("versioned_notifications_topics")
	c.SyncInterval, c.RecoveryEvery = s.Duration("sync_power_state_interval"), s.Duration("power_failure_recovery_interval")
	c.LockRetry = time.Duration(s.Int("node_locked_retry_attempts")) * s.Duration("node_locked_retry_interval")
	c.DrainTimeout = s.Duration("graceful_shutdown_timeout")
	c.Sensors = conductor.SensorData{
		Send: s.Bool("sensor_data.send_sensor_data"), Interval: s.Duration("sensor_data.interval"), Workers: s.Int("sensor_data.workers"),
		Wait: s.Duration("sensor_data.wait_timeout"), Undeployed: s.Bool("sensor_data.enable_for_undeployed_nodes"),
		Nodes: s.Bool("sensor_data.enable_for_nodes"), Conductor: s.Bool("sensor_data.enable_for_conductor"), Types: s.Strings("sensor_data.data_types"), Topics: s.Strings("oslo_messaging_notifications.topics"),
	}
	for _, part := range []func(*config.Config, *conductor.Config) error{policySettings, ipmiSettings, fakeSettings, novaSettings, clusterSettings, fileSettings} {
		if err := part(s, &c); err != nil {
			return c, usageError{err}
		}
	}
	if c.NATSURL != "" {
		if _, err := notify.Connect(notify.Link{URL: c.NATSURL}); err != nil { // only looks at the URL
			return c, usageError{err}
		}
	}
	if err := c.Validate(); err != nil {
		return c, usageError{err}
	}
	return c, nil
}

func policySettings(s *config.Config, c *conductor.Config) error {
	p := &c.Policy
	p.MaxRetries, p.ForcePower = s.Int("power_state_sync_max_retries"), s.Bool("force_power_state_during_sync")
	p.History, p.AutomatedClean = s.Bool("node_history"), s.Bool("automated_clean")
	p.ChangeTimeout, p.SoftTimeout = s.Duration("power_state_change_timeout"), s.Duration("soft_power_off_timeout")
	p.DeleteAvailable = s.Bool("allow_deleting_available_nodes")
	p.ProvisionMaintenance = s.Bool("allow_provisioning_in_maintenance")
	p.ResourceClass = s.String("default_resource_class")
	p.HardwareTypes = s.Strings("enabled_hardware_types")
	if len(p.HardwareTypes) == 0 {
		return fmt.Errorf("enabled_hardware_types is empty: wanted some of %s", strings.Join(hardwareTypes(), ", "))
	}
	for _, t := range p.HardwareTypes {
		if !slices.Contains(hardwareTypes(), t) {
			return fmt.Errorf("enabled_hardware_types holds %q: wanted some of %s", t, strings.Join(hardwareTypes(), ", "))
		}
	}
	p.Defaults = map[string]string{}
	for _, kind := range node.InterfaceKinds {
		if err := interfaceSettings(s, p, kind); err != nil {
			return err
		}
	}
	return nil
}

// interfaceSettings reads enabled_X_interfaces and default_X_interface of one kind.
func interfaceSettings(s *config.Config, p *node.Policy, kind string) error {
	enabled, chosen := "enabled_"+kind+"_interfaces", "default_"+kind+"_interface"
	if list := s.Strings(enabled); len(list) > 0 {
		for _, name := range list {
			if known := knownInterfaces(kind); !slices.Contains(known, name) {
				return fmt.Errorf("%s holds %q: wanted some of %s", enabled, name, strings.Join(known, ", "))
			}
		}
		p.Enabled[kind] = list
	}
	if name := s.String(chosen); name != "" {
		if !slices.Contains(p.Enabled[kind], name) {
			return fmt.Errorf("%s is %q: wanted one that %s holds: %s", chosen, name, enabled, strings.Join(p.Enabled[kind], ", "))
		}
		p.Defaults[kind] = name
	}
	return nil
}

func hardwareTypes() []string {
	names := make([]string, len(node.HardwareTypes))
	for i, t := range node.HardwareTypes {
		names[i] = t.Name
	}
	return names
}

// knownInterfaces are all names of a kind, of any hardware type.
func knownInterfaces(kind string) []string {
	all := map[string]bool{}
	for _, t := range node.HardwareTypes {
		for _, name := range t.Interfaces[kind] {
			all[name] = true
		}
	}
	for _, name := range node.EnabledInterfaces()[kind] {
		all[name] = true
	}
	return slices.Sorted(maps.Keys(all))
}

func ipmiSettings(s *config.Config, c *conductor.Config) error {
	i := &c.IPMI
	i.CommandRetryTimeout, i.MinCommandInterval = s.Duration("ipmi.command_retry_timeout"), s.Duration("ipmi.min_command_interval")
	i.DisableBootTimeout = s.Bool("ipmi.disable_boot_timeout")
	i.DefaultBootMode = s.String("deploy.default_boot_mode")
	i.Rate, i.SubnetRate, i.Handshakes = float64(s.Int("ipmi.rate")), float64(s.Int("ipmi.subnet_rate")), float64(s.Int("ipmi.handshake_rate"))
	i.Quirks, c.PETListen = s.Strings("ipmi.quirks"), s.String("ipmi.pet_listen")
	i.Shards = s.Int("bmc_shards")
	for _, text := range s.Strings("ipmi.cipher_suite_versions") {
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("ipmi.cipher_suite_versions holds %q: wanted numbers such as 3 and 17", text)
		}
		i.CipherSuiteVersions = append(i.CipherSuiteVersions, n)
	}
	return i.Validate()
}

// fakeSettings reads every fake.X_delay.
func fakeSettings(s *config.Config, c *conductor.Config) error {
	delay := func(kind string) string { return s.String("fake." + kind + "_delay") }
	c.Fake = fake.Config{
		PowerDelay: delay("power"), BootDelay: delay("boot"), DeployDelay: delay("deploy"), VendorDelay: delay("vendor"),
		ManagementDelay: delay("management"), InspectDelay: delay("inspect"), RaidDelay: delay("raid"), BiosDelay: delay("bios"),
		StorageDelay: delay("storage"), RescueDelay: delay("rescue"), FirmwareDelay: delay("firmware"), ConsoleDelay: delay("console"),
	}
	return c.Fake.Validate()
}

// novaSettings says where Nova is and how to sign in. What is missing is told by conductor.Config.Validate.
func novaSettings(s *config.Config, c *conductor.Config) error {
	c.NovaPower = s.Bool("nova.send_power_notifications")
	c.Nova = nova.Config{
		Auth: s.String("nova.auth_type"), Endpoint: s.String("nova.endpoint_override"), AuthURL: s.String("nova.auth_url"),
		User: s.String("nova.username"), Password: s.String("nova.password"), UserDomain: s.String("nova.user_domain_name"),
		Project: s.String("nova.project_name"), ProjectDomain: s.String("nova.project_domain_name"),
		Region: s.String("nova.region_name"), Interfaces: s.Strings("nova.valid_interfaces"),
		CAFile: s.String("nova.cafile"), Insecure: s.Bool("nova.insecure"), Timeout: s.Duration("nova.timeout"),
	}
	return nil
}

// fileSettings reads the certificate and the cluster key.
func fileSettings(s *config.Config, c *conductor.Config) error {
	if file := s.String("api_tls_cert"); file != "" {
		pair, err := newCertificate(file, s.String("api_tls_key"))
		if err != nil {
			return err
		}
		c.APITLS = &tls.Config{GetCertificate: pair.get, MinVersion: tls.VersionTLS12}
	}
	if file := s.String("cluster_key_file"); file != "" {
		keys, err := conductor.ReadKeys(file)
		if err != nil {
			return fmt.Errorf("cluster_key_file: %w", err)
		}
		c.Key, c.Keys, c.KeyFile = keys[0], keys[1:], file
	}
	return nil
}

// logSettings makes the logger that the settings ask for.
func logSettings(s *config.Config, w *os.File, level *slog.LevelVar) *slog.Logger {
	setLevel(level, s)
	switch s.String("log_format") {
	case "json":
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
	case "text":
		return slog.New(newConsole(w, level, paletteFor(w)))
	default:
		return newLogger(w, level)
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package config reads Ferrite's settings: one table of options, four sources.
//
// # Usage
//
//	config.RegisterFlags(cmd.Flags())
//	c, err := config.Load(cmd.Flags(), os.Environ(), file)
//	every := c.Duration("sync_power_state_interval")
//
// A flag wins over the environment, that over the YAML file, that over the default. Keys bear Ironic's names; a group
// other than conductor is a prefix: key ipmi.min_command_interval, flag --ipmi-min-command-interval, environment
// FERRITE_IPMI_MIN_COMMAND_INTERVAL.
//
// # Concurrency
//
// A Config is not written to after Load.
//
// # Failure
//
// An unknown key or a bad value is an error that names the key, the value, where it came from and what is allowed.
package config

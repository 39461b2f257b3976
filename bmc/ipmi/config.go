// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"fmt"
	"log/slog"
	"runtime"
	"time"
)

// Config is how the engine treats BMCs. Start from Defaults.
type Config struct {
	Logger *slog.Logger

	// Shards is how many sockets with one goroutine each share the BMCs; 0 = one for each two CPUs, two at the most: one does
	// 100,000 readings a second of its CPU, and two that share the CPUs with the rest of the process take a tenth more for each.
	Shards int
	// Window is how many BMCs of a shard may have a command outstanding at once; fewer if their answers would not fit into its
	// receive buffer. Those that are dead hold a place each until it is known.
	Window int
	// ReceiveBuffer is the wished size of a socket's receive buffer in bytes.
	ReceiveBuffer int
	// Handshakes is how many sessions are opened a second at most; 0 = no limit. Those that somebody waits for go first.
	Handshakes float64
	// Rate is how many readings a second are begun at most, SubnetRate how many in one subnet (a /24 of IPv4 or a /64 of
	// IPv6); 0 = no limit. A second's worth may come at once. Commands that somebody waits for count, and do not wait.
	// An engine that is one of several keeps to its part of all three: see Engine.Share.
	Rate, SubnetRate float64
	// Portable leaves batches of datagrams aside, as on systems that have none.
	Portable bool
	// StartsFile is where New and Close keep account of starts and ends, so that a process that keeps dying does not fill
	// the session tables of its BMCs; "" = no account.
	StartsFile string
	// Quirks are those of vendors, instead of the built-in ones: "VENDOR:QUIRK+QUIRK", or "VENDOR:none".
	Quirks []string

	// Timeouts are the waits for an answer: the first try waits Timeouts[0], and so on, each +-20 %. Their sum is how
	// long a command that must not be repeated waits.
	Timeouts []time.Duration
	// CommandRetryTimeout bounds a command with all its retries ([ipmi]command_retry_timeout).
	CommandRetryTimeout time.Duration
	// MinCommandInterval is the pause between mutating commands to one BMC ([ipmi]min_command_interval).
	MinCommandInterval time.Duration
	// BusyDelay is the pause before a command is tried again that the BMC was too busy for.
	BusyDelay time.Duration
	// SessionIdle is how long a session without traffic is taken to be open; BMCs drop theirs after 60 s.
	SessionIdle time.Duration
	// AuthBackOff is how long a BMC that refused the login is left alone, so that accounts are not locked.
	AuthBackOff time.Duration
	// AuthRest is how long readings leave a BMC alone that refused the login again after AuthBackOff: a third try could be the
	// one that locks the account. Commands that somebody waits for may try after AuthBackOff.
	AuthRest time.Duration
	// SlotBackOff is how long a BMC without a free session slot is left alone: between it and three times it.
	SlotBackOff time.Duration

	// CipherSuiteVersions is [ipmi]cipher_suite_versions: suites to fall back to, the last one first. Empty = 3. Suites
	// other than 3 and 17 are passed over: 0, 1 and 2 do not protect anything.
	CipherSuiteVersions []int
	// DisableBootTimeout tells BMCs to keep boot flags beyond 60 s ([ipmi]disable_boot_timeout).
	DisableBootTimeout bool
	// DefaultBootMode is the boot mode of nodes that name none: "uefi" or "bios" ([deploy]default_boot_mode).
	DefaultBootMode string
}

// Defaults are Ironic's settings where it has any.
func Defaults() Config {
	return Config{
		Window: 8192, ReceiveBuffer: 8 << 20, Handshakes: 1000, Rate: 5000, SubnetRate: 50,
		Timeouts:            []time.Duration{time.Second, 2 * time.Second, 4 * time.Second},
		CommandRetryTimeout: 60 * time.Second, MinCommandInterval: 5 * time.Second, BusyDelay: time.Second,
		SessionIdle: 50 * time.Second, AuthBackOff: 5 * time.Minute, AuthRest: 4 * time.Hour, SlotBackOff: 20 * time.Second,
		DisableBootTimeout: true, DefaultBootMode: modeUEFI,
	}
}

// Validate names the setting that cannot be.
func (c Config) Validate() error {
	for _, s := range c.CipherSuiteVersions {
		if s < 0 || s > 255 {
			return fmt.Errorf("ipmi.cipher_suite_versions holds %d: wanted suite numbers such as 3 and 17", s)
		}
	}
	for _, t := range c.Timeouts {
		if t <= 0 {
			return fmt.Errorf("an IPMI timeout is %s: wanted more than 0", t)
		}
	}
	if _, err := vendorQuirks(c.Quirks); err != nil {
		return err
	}
	switch {
	case c.Rate < 0 || c.SubnetRate < 0 || c.Handshakes < 0:
		return fmt.Errorf("an IPMI rate is below 0 (rate %g, subnet rate %g, handshakes %g): wanted 0 or more a second", c.Rate, c.SubnetRate, c.Handshakes)
	case len(c.Timeouts) == 0:
		return fmt.Errorf("the list of IPMI timeouts is empty: wanted at least one")
	case c.Window < 1:
		return fmt.Errorf("the IPMI window is %d: wanted at least 1", c.Window)
	case c.CommandRetryTimeout <= 0:
		return fmt.Errorf("ipmi.command_retry_timeout is %s: wanted more than 0", c.CommandRetryTimeout)
	case c.MinCommandInterval < 0:
		return fmt.Errorf("ipmi.min_command_interval is %s: wanted 0 or more", c.MinCommandInterval)
	case c.DefaultBootMode != modeUEFI && c.DefaultBootMode != modeBIOS:
		return fmt.Errorf("deploy.default_boot_mode is %q: wanted uefi or bios", c.DefaultBootMode)
	default:
		return nil
	}
}

func (c Config) shards() int {
	if c.Shards > 0 {
		return c.Shards
	}
	return max(1, min(2, runtime.NumCPU()/2))
}

// order lists the suites to try: 17 first, then [ipmi]cipher_suite_versions from its end, or 3.
func (c Config) order() []*suite {
	out := []*suite{suites[17]}
	if len(c.CipherSuiteVersions) == 0 {
		return append(out, suites[3])
	}
	for i := len(c.CipherSuiteVersions) - 1; i >= 0; i-- {
		if s := suites[byte(c.CipherSuiteVersions[i])]; s != nil && s != out[0] { //nolint:gosec // validated
			out = append(out, s)
		}
	}
	return out
}

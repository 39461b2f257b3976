// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ferrite/internal/config"
	"ferrite/sim"
)

func newSim() *cobra.Command {
	cfg := sim.Defaults()
	base := cfg.AddressBase.String()
	var faults map[string]string
	c := &cobra.Command{
		Use: "sim", Short: "Run simulated BMCs that speak IPMI 2.0 over UDP", Args: noArgs,
		Long: `Run simulated BMCs that speak IPMI 2.0 over UDP on loopback.

BMC number i (from 0) answers at address-base + i, all on one UDP socket; its machine is off at first. Which BMCs are
dead is fixed by the seed. Datagrams whose destination is outside 127.0.0.0/8 are dropped.

With --control, a small HTTP API shows and changes what no conductor can:
  GET /bmcs/3    power, boot device, sessions, log of commands
  PUT /bmcs/3    {"power":"on|off", "dead":bool, "latency":"3s", "refuse_power":bool,
                 "lose_replies":bool, "password":"new", "fault":"garbage",
                 "event":"13 bytes in hex"}, any of them

Faults, of --fault and of PUT, one a BMC:
` + faultLines() + `
docs/BMCS.md tells what comes of each fault and what each key of PUT does.`,
		Example: "  ferrite sim --bmcs 50 --control 127.0.0.1:6231\n" +
			"  ipmitool -I lanplus -H 127.1.0.1 -p 6230 -U admin -P password power status\n" +
			"  ferrite sim --bmcs 1000 --fault slow=0.05,lossy=0.05,garbage=0.01 --seed 7\n" +
			"  curl -X PUT http://127.0.0.1:6231/bmcs/0 -d '{\"power\":\"on\"}'",
		RunE: func(c *cobra.Command, _ []string) error {
			a, err := netip.ParseAddr(base)
			if err != nil {
				return usageError{fmt.Errorf("--address-base is %q: wanted an IPv4 address in 127.0.0.0/8", base)}
			}
			cfg.AddressBase = a
			if cfg.Faults, err = faultShares(faults); err != nil {
				return usageError{err}
			}
			if err := cfg.Validate(); err != nil {
				return usageError{err}
			}
			return runSim(c, cfg)
		},
	}
	f := c.Flags()
	f.IntVar(&cfg.BMCs, "bmcs", cfg.BMCs, "how many BMCs")
	f.StringVar(&cfg.Listen, "listen", cfg.Listen, "UDP address of the one socket; its host must cover all BMCs")
	f.StringVar(&base, "address-base", base, "address of BMC 0")
	f.StringVar(&cfg.User, "user", cfg.User, "user that may log in")
	f.StringVar(&cfg.Password, "password", cfg.Password, "its password, up to 20 bytes")
	config.DurationFlag(f, &cfg.Latency, "latency", "time until a reply is sent")
	f.Float64Var(&cfg.Jitter, "jitter", cfg.Jitter, "share of the latency that is left to chance, 0 to 1")
	f.Float64Var(&cfg.Loss, "loss", cfg.Loss, "share of datagrams lost each way, 0 to 1")
	f.Float64Var(&cfg.Dead, "dead", cfg.Dead, "share of BMCs that never answer, 0 to 1")
	f.StringToStringVar(&faults, "fault", nil, "shares of BMCs with a fault each, like slow=0.1,garbage=0.01 (listed above)")
	f.Int64Var(&cfg.Seed, "seed", cfg.Seed, "source of all chance")
	f.StringVar(&cfg.Control, "control", cfg.Control, "loopback address of the control API, none when empty")
	return c
}

func runSim(c *cobra.Command, cfg sim.Config) error {
	fleet, err := sim.New(cfg)
	if err != nil {
		return err
	}
	first, last := fleet.Addr(0), fleet.Addr(fleet.Len()-1)
	out := c.OutOrStdout()
	fmt.Fprintf(out, "%d BMCs answer at %s to %s, UDP port %d (user %s)\n", fleet.Len(), first.Addr(), last.Addr(), first.Port(), cfg.User)
	if control := fleet.ControlAddr(); control != "" {
		fmt.Fprintf(out, "control API at http://%s/bmcs/0\n", control)
	}
	fmt.Fprintln(out, "Ctrl-C ends them")
	began := time.Now()
	if err := fleet.Run(c.Context()); err != nil {
		return err
	}
	s := fleet.Stats()
	fmt.Fprintf(out, "ended after %s: %d datagrams in, %d out, %d commands\n", time.Since(began).Round(time.Second), s.PacketsIn, s.PacketsOut, s.Commands)
	return nil
}

// faultLines lists what --fault knows.
func faultLines() string {
	var b strings.Builder
	for _, f := range sim.Faults() {
		fmt.Fprintf(&b, "  %-14s %s\n", f, f.Does())
	}
	return b.String()
}

// faultShares reads --fault; Validate checks names and shares.
func faultShares(in map[string]string) (map[sim.Fault]float64, error) {
	out := map[sim.Fault]float64{}
	for name, text := range in {
		share, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("--fault %s=%s: wanted a share from 0 to 1, like %s=0.05", name, text, name)
		}
		out[sim.Fault(name)] = share
	}
	return out, nil
}

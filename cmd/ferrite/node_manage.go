// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

func newNodeIdentify(a *apiFlags) *cobra.Command {
	m := &many{}
	seconds := 0
	c := &cobra.Command{
		Use: "identify on|off TARGETS...", Short: "Switch the identify lights of nodes",
		Long: `Switch the identify lights of nodes on, for good or for a while, or out. It is done when the command ends.

A light that is on for good stays so until it is put out. BMCs before IPMI 2.0 know a while only.`,
		Example: "  ferrite node identify on r07n09\n" +
			"  ferrite node identify on 'r07n[1-4]' --seconds 120\n" +
			"  ferrite node identify off r07n09",
		RunE: func(c *cobra.Command, args []string) error {
			verb, names, err := verbAndTargets(args, []string{"off", "on"})
			timed := c.Flags().Changed("seconds")
			switch {
			case err != nil:
				return err
			case timed && verb == "off":
				return usageError{errors.New("--seconds goes with identify on only")}
			case timed && (seconds < 1 || seconds > 255):
				return usageError{fmt.Errorf("--seconds is %d: wanted 1 to 255", seconds)}
			}
			span := time.Duration(-1)
			if timed || verb == "off" {
				span = time.Duration(seconds) * time.Second
			}
			api, err := a.client()
			if err != nil {
				return err
			}
			return m.run(c, "identify "+verb, names, func(ctx context.Context, name string) (string, error) {
				return "light " + verb, explain(api.Identify(ctx, name, span), a)
			})
		},
	}
	c.Flags().IntVar(&seconds, "seconds", 0, "for how long the light is on, up to 255; for good if not given")
	m.plainFlags(c)
	return c
}

func newNodeResetBMC(a *apiFlags) *cobra.Command {
	m := &many{}
	c := &cobra.Command{
		Use: "bmc-reset warm|cold TARGETS...", Short: "Restart the BMCs of nodes",
		Long: `Restart the BMCs of nodes, not the machines. Which settings and sessions a warm reset keeps is the maker's business; a
cold one begins anew. A BMC is away for a minute or two then, and its power cannot be read.

The command ends when the conductor has accepted all. What goes wrong shows in last_error. It is never sent twice.`,
		Example: "  ferrite node bmc-reset cold r07n09\n" +
			"  ferrite node bmc-reset warm 'r07n[01-20]'",
		RunE: func(c *cobra.Command, args []string) error {
			verb, names, err := verbAndTargets(args, []string{"cold", "warm"})
			if err != nil {
				return err
			}
			api, err := a.client()
			if err != nil {
				return err
			}
			return m.run(c, "bmc-reset "+verb, names, func(ctx context.Context, name string) (string, error) {
				return "accepted", explain(api.ResetBMC(ctx, name, verb == "cold"), a)
			})
		},
	}
	m.plainFlags(c)
	return c
}

func newNodeBootDevice(a *apiFlags) *cobra.Command {
	m := &many{}
	persistent := false
	c := &cobra.Command{
		Use: "boot-device show|DEVICE TARGETS...", Short: "Show or set what nodes boot from",
		Long: `Show or set what nodes boot from: pxe, disk, cdrom, bios or safe, for the next start alone or for all of them. It is done
when the command ends. Boot mode (UEFI or BIOS) is the node's capability boot_mode.`,
		Example: "  ferrite node boot-device show 'r07n[01-20]'\n" +
			"  ferrite node boot-device pxe r07n09\n" +
			"  ferrite node boot-device disk 'r07n[01-20]' --persistent",
		RunE: func(c *cobra.Command, args []string) error {
			verb, names, err := verbAndTargets(args, nil)
			if err == nil && verb == "show" && persistent {
				err = usageError{errors.New("--persistent goes with a device only")}
			}
			if err != nil {
				return err
			}
			api, err := a.client()
			if err != nil {
				return err
			}
			m.yes = m.yes || verb == "show" // nothing is changed
			return m.run(c, "boot-device "+verb, names, func(ctx context.Context, name string) (string, error) {
				if verb != "show" {
					return "boots from " + verb, explain(api.SetBootDevice(ctx, name, verb, persistent), a)
				}
				d, err := api.GetBootDevice(ctx, name)
				switch {
				case err != nil:
					return "", explain(err, a)
				case d.Device == nil:
					return "not told", nil
				case *d.Device == "":
					return "none set", nil
				case d.Persistent != nil && *d.Persistent:
					return plain(*d.Device) + ", always", nil
				default:
					return plain(*d.Device) + ", once", nil
				}
			})
		},
	}
	c.Flags().BoolVar(&persistent, "persistent", false, "for all starts, not only the next one")
	m.plainFlags(c)
	return c
}

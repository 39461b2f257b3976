// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

const rootLong = `Ferrite is a bare-metal conductor in one binary. It speaks OpenStack Ironic's Bare Metal API,
drives the power of machines over IPMI, keeps its record of them true, and tells the world
about every change through NATS. The "baremetal" CLI, openstacksdk and gophercloud work with it.

Exit codes:
  0    the command did what it should (serve and demo: ended in order)
  1    it failed; the line on standard error says why
  2    the command line or the configuration is wrong
  130  ended at once by a second Ctrl-C or SIGTERM

Environment:
  FERRITE_...  every setting of "ferrite serve" (see "ferrite config show --effective")
  NO_COLOR     no colours, whatever the terminal`

func newRoot() *cobra.Command {
	root := group("ferrite", "A bare-metal conductor that speaks OpenStack Ironic's API", rootLong,
		"  ferrite demo                                 # try it: 200 simulated machines\n"+
			"  ferrite serve --data-dir /var/lib/ferrite    # run it")
	root.SilenceUsage, root.SilenceErrors = true, true
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w: see \"%s --help\"", err, c.CommandPath())}
	})
	root.AddCommand(newServe(), newDemo(), newSim(), newConfig(), newCluster(), newNode(), newNotifications(), newBackup(), newVerify(), newRestore(), newSecrets(), newDoctor(), newSupportBundle(), newBench(), newVersion())
	return root
}

// group is a command that only holds others.
func group(use, short, long, example string, children ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Long: long, Example: example, SuggestionsMinimumDistance: 2}
	c.Args = noArgs
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	c.AddCommand(children...)
	return c
}

// noArgs refuses arguments; of a group it says which command may have been meant.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	what := "argument"
	hint := ""
	if c.HasSubCommands() {
		what = "command"
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			hint = fmt.Sprintf(": did you mean %s?", strings.Join(near, " or "))
		}
	}
	return usageError{fmt.Errorf("unknown %s %q for %q%s (see \"%s --help\")", what, args[0], c.CommandPath(), hint, c.CommandPath())}
}

// oneOf refuses a flag's value that is not allowed.
func oneOf(flag, value string, allowed ...string) error {
	for _, a := range allowed {
		if value == a {
			return nil
		}
	}
	return usageError{fmt.Errorf("--%s is %q: wanted %s", flag, value, strings.Join(allowed, ", "))}
}

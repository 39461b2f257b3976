// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"ferrite/persistence"
)

func newClusterRecover() *cobra.Command {
	var dir, name string
	var yes bool
	c := &cobra.Command{
		Use: "recover", Short: "Make the log of a stopped conductor one of its own, when most voters are lost for good", Args: noArgs,
		Long: `Make the log in a stopped conductor's data folder one of a single voter: itself. It is the way out when most of the voters
are lost for good, with their disks. It changes that folder and asks nobody.

It is dangerous, because it ends the promise that nothing acknowledged is lost:
  - What only the lost conductors held is lost. Choose the survivor that is furthest: "ferrite verify DIR" tells the newest
    revision of a folder.
  - If another conductor of the old cluster runs on, there are two logs, and two conductors that command the same BMCs. Stop
    all others first, and see to it that they stay stopped. (Where they reach each other, the one that is started second ends
    by itself and says why.)

If the others are only down or cut off, do not do this: start them, or mend the network, and all goes on by itself.

Afterwards start this conductor with the same name, key file and --bootstrap-expect as before. The log is that of a new cluster
then, with another id: it refuses the old data folders of the others. Move these away: the others join as new members, and get
everything from this one. A recovery that was interrupted is begun anew by the same command.`,
		Example: "  systemctl stop ferrite                              # on every host\n" +
			"  cp -a /var/lib/ferrite /var/lib/ferrite.before\n" +
			"  ferrite cluster recover --data-dir /var/lib/ferrite --name c1\n" +
			"  systemctl start ferrite                             # here; elsewhere with an empty data folder",
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case dir == "":
				return usageError{errors.New("--data-dir is not given: wanted the data folder of the conductor that survived")}
			case name == "":
				return usageError{errors.New("--name is not given: wanted the name of the conductor whose data folder it is")}
			}
			if err := sure(c, yes, fmt.Sprintf("The log in %s will have one voter, %s. What only other conductors held is lost, and if one of them still runs,\ntwo conductors will command the same machines.\nAre all other conductors stopped for good, and shall %s be made a log of its own?", dir, name, dir)); err != nil {
				return err
			}
			if err := persistence.Recover(dir, name, slog.New(slog.DiscardHandler)); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "%s is the log of %s alone now, under a new cluster id. Start %s with the settings that it had; start the others with empty data folders: they join it. Their old ones are refused.\n", dir, name, name)
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&dir, "data-dir", "", "data folder of the conductor that survived; it must be stopped")
	f.StringVar(&name, "name", "", "its name")
	f.BoolVar(&yes, "yes", false, "do not ask")
	return c
}

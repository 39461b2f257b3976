// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"ferrite/conductor"
)

func newCluster() *cobra.Command {
	return group("cluster", "Keys of the cluster", "What the conductors of one cluster share.",
		"  ferrite cluster key > cluster.key", newClusterKey())
}

func newClusterKey() *cobra.Command {
	return &cobra.Command{
		Use: "key", Short: "Print a new cluster key", Args: noArgs,
		Long: `Print a new random cluster key: 32 bytes in base64.

BMC passwords are sealed with it before they enter the log. Without --cluster-key-file, "ferrite serve" makes one as
cluster.key in its data folder. Whoever loses the key loses the passwords; whoever has it can read them.`,
		Example: "  (umask 077; ferrite cluster key > cluster.key)\n" +
			"  ferrite serve --data-dir /var/lib/ferrite --cluster-key-file cluster.key",
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), conductor.NewKey())
			return err
		},
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"ferrite/client"
)

func newSecrets() *cobra.Command {
	return group("secrets", "The key that BMC passwords are sealed with", `BMC passwords and other secrets are sealed with the cluster key before they are stored. Keys are named by their
fingerprints here, which tell nothing of them.`,
		"  ferrite secrets status\n  ferrite secrets rotate", newSecretsRotate(), newSecretsStatus())
}

func newSecretsRotate() *cobra.Command {
	a, file := &apiFlags{}, ""
	c := &cobra.Command{
		Use: "rotate", Short: "Seal all secrets with a new cluster key", Args: noArgs,
		Long: `Replace the cluster key of a running conductor. The new key seals from the first moment on, the old one opens until every
record is sealed anew; then it is dropped. Nothing waits meanwhile, and a conductor that is killed in the middle goes on
at its next start, with either key.

At the end the new key takes the place of the old one in the file that the conductor read it from; the old one stays
beside it as FILE.old-FINGERPRINT. Backups of before need it: delete it when they are gone.

Without --new-key-file the conductor makes a key. The file must be readable for the conductor, on its machine.
If the old key has become known to others, change the passwords of the BMCs too: whoever has the key and an old backup or
disk can read them.`,
		Example: "  ferrite secrets rotate\n" +
			"  (umask 077; ferrite cluster key > new.key) && ferrite secrets rotate --new-key-file new.key",
		RunE: func(c *cobra.Command, _ []string) error { return rotateSecrets(c, a, file) },
	}
	bindAPI(c, a)
	c.Flags().StringVar(&file, "new-key-file", "", "file with the new key, as \"ferrite cluster key\" prints it (default: the conductor makes one)")
	return c
}

func rotateSecrets(c *cobra.Command, a *apiFlags, file string) error {
	if file != "" {
		var err error
		if file, err = filepath.Abs(file); err != nil {
			return err
		}
	}
	ctx := c.Context()
	to, err := a.client(client.WithUserAgent("ferrite-secrets"))
	if err != nil {
		return err
	}
	defer to.Close()
	before, err := to.KeyStatus(ctx)
	if err != nil {
		return err
	}
	if err := to.RotateKey(ctx, file); err != nil {
		return fmt.Errorf("the key is as it was: %w", err)
	}
	step, finish := progress(c.ErrOrStderr(), "sealing")
	problem := ""
	for {
		s, err := to.KeyStatus(ctx)
		if err != nil {
			finish()
			return fmt.Errorf("the rotation goes on by itself, \"ferrite secrets status\" tells how far it is: %w", err)
		}
		done := s.Resealed - before.Resealed
		step(done, done+s.Left)
		if s.Rotating == "" {
			finish()
			fmt.Fprintf(c.OutOrStdout(), "sealed anew: %d records, with the key with fingerprint %s; nothing is sealed with %s any more\n", done, s.Key, before.Key)
			tellKey(c, s)
			return nil
		}
		if s.Problem != problem {
			problem = s.Problem
			fmt.Fprintln(c.ErrOrStderr(), "waiting:", plain(problem))
		}
		select {
		case <-ctx.Done():
			finish()
			return fmt.Errorf("the rotation goes on by itself: \"ferrite secrets status\" tells how far it is")
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func newSecretsStatus() *cobra.Command {
	a := &apiFlags{}
	var output string
	c := &cobra.Command{
		Use: "status", Short: "Tell which key seals, and how far a rotation is", Args: noArgs,
		Long: "Tell the fingerprint of the cluster key of a running conductor, and how far a rotation is.",
		Example: "  ferrite secrets status\n" +
			"  ferrite secrets status -o json | jq .left",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := oneOf("output", output, "text", "json", "yaml"); err != nil {
				return err
			}
			from, err := a.client(client.WithUserAgent("ferrite-secrets"))
			if err != nil {
				return err
			}
			defer from.Close()
			s, err := from.KeyStatus(c.Context())
			if err != nil {
				return err
			}
			if output != "text" {
				raw, err := json.Marshal(s)
				if err != nil {
					return err
				}
				return document(c.OutOrStdout(), raw, output)
			}
			fmt.Fprintln(c.OutOrStdout(), "key", s.Key)
			if s.Rotating != "" {
				fmt.Fprintf(c.OutOrStdout(), "rotating from %s, %d records sealed anew, %d left\n", s.Rotating, s.Resealed, s.Left)
			}
			if s.Problem != "" {
				fmt.Fprintln(c.OutOrStdout(), "waiting:", plain(s.Problem))
			}
			tellKey(c, s)
			return nil
		},
	}
	bindAPI(c, a)
	c.Flags().StringVarP(&output, "output", "o", "text", "text, json or yaml")
	return c
}

// tellKey says where the key is kept, or what is to be done about it.
func tellKey(c *cobra.Command, s client.KeyStatus) {
	switch {
	case s.NextStep != "":
		fmt.Fprintln(c.OutOrStdout(), "next:", plain(s.NextStep))
	case s.KeyFile != "":
		fmt.Fprintln(c.OutOrStdout(), "kept in", plain(s.KeyFile))
	}
}

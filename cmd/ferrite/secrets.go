// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"ferrite/client"
)

func newSecrets() *cobra.Command {
	return group("secrets", "The key that BMC passwords are sealed with", `BMC passwords and other secrets are sealed with the cluster key before they are stored. Keys are named by their
fingerprints here, which tell nothing of them.`,
		"  ferrite secrets status\n  ferrite secrets rotate\n  ferrite secrets drop", newSecretsRotate(), newSecretsDrop(), newSecretsStatus())
}

func newSecretsRotate() *cobra.Command {
	a, file, finger := &apiFlags{}, "", ""
	c := &cobra.Command{
		Use: "rotate", Short: "Seal all secrets with a new cluster key", Args: noArgs,
		Long: `Replace the cluster key of a running conductor, or of several. The new key seals from the first moment on, the old one
opens until every record is sealed anew. Nothing waits meanwhile, and a conductor that is killed in the middle goes on at
its next start, with either key.

One conductor: without --new-key-file it makes a key. The file must be readable for the conductor, on its machine. At the
end the new key takes the place of the old one in the file that the conductor read it from; the old one stays beside it as
FILE.old-FINGERPRINT. Backups of before need it: delete it when they are gone.

Several conductors (started with --gossip-listen): no key travels. First put the new key on a line of its own below the
present one into the --cluster-key-file of every conductor, and reload each (SIGHUP, "systemctl reload ferrite").
"ferrite secrets status" tells who knows which key. Then run this once, with the API of any of them; it refuses unless all
know the new key. At the end the old key still opens: "ferrite secrets drop" ends the rotation.

If the old key has become known to others, change the passwords of the BMCs too: whoever has the key and an old backup or
disk can read them.`,
		Example: "  ferrite secrets rotate\n" +
			"  (umask 077; ferrite cluster key > new.key) && ferrite secrets rotate --new-key-file new.key",
		RunE: func(c *cobra.Command, _ []string) error { return rotateSecrets(c, a, file, finger) },
	}
	bindAPI(c, a)
	c.Flags().StringVar(&file, "new-key-file", "", "of one conductor: file with the new key, as \"ferrite cluster key\" prints it (default: the conductor makes one)")
	c.Flags().StringVar(&finger, "key", "", "of several conductors: fingerprint of the new key (default: the only other one that they know)")
	return c
}

func rotateSecrets(c *cobra.Command, a *apiFlags, file, finger string) error {
	if file != "" {
		var err error
		if file, err = filepath.Abs(file); err != nil {
			return err
		}
	}
	return turnKey(c, a, "sealing",
		func(ctx context.Context, to *client.Client) error {
			if err := to.RotateKey(ctx, file, finger); err != nil {
				return fmt.Errorf("the key is as it was: %w", err)
			}
			return nil
		},
		func(before, s client.KeyStatus, done int) string {
			if s.OldKey != "" {
				return fmt.Sprintf("sealed anew: %d records, with the key with fingerprint %s, on %d conductors", done, s.Key, len(s.Members))
			}
			return fmt.Sprintf("sealed anew: %d records, with the key with fingerprint %s; nothing is sealed with %s any more", done, s.Key, before.Key)
		})
}

func newSecretsDrop() *cobra.Command {
	a := &apiFlags{}
	c := &cobra.Command{
		Use: "drop", Short: "Drop the old cluster key of several conductors, after a rotation", Args: noArgs,
		Long: `End a rotation of several conductors. Each makes sure that nothing is sealed with the old key, cuts its log behind a
snapshot of that, takes the old key out of its --cluster-key-file, and forgets it. It stays beside the file as
FILE.old-FINGERPRINT: backups of before need it. Where the file cannot be written, "ferrite secrets status" on that
conductor says which line is to be taken out.

It refuses while a rotation is under way, and while a conductor is away that must forget the key too: start it, or evict it
if it is gone for good.`,
		Example: "  ferrite secrets drop",
		RunE: func(c *cobra.Command, _ []string) error {
			return turnKey(c, a, "dropping",
				func(ctx context.Context, to *client.Client) error { return to.DropKey(ctx) },
				func(before, s client.KeyStatus, _ int) string {
					return fmt.Sprintf("dropped: the key with fingerprint %s, on %d conductors; %s is the only one in use", before.OldKey, len(s.Members), s.Key)
				})
		},
	}
	bindAPI(c, a)
	return c
}

// turnKey begins a step of a rotation and waits for its end.
func turnKey(c *cobra.Command, a *apiFlags, what string, begin func(context.Context, *client.Client) error, ended func(before, after client.KeyStatus, done int) string) error {
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
	if err := begin(ctx, to); err != nil {
		return err
	}
	step, finish := progress(c.ErrOrStderr(), what)
	problem, silent := "", 0
	for {
		s, err := to.KeyStatus(ctx)
		switch {
		case err != nil && len(before.Members) > 1 && ctx.Err() == nil && silent < maxSilent:
			silent++ // an election, or it is being restarted
		case err != nil:
			finish()
			return fmt.Errorf("the rotation goes on by itself, \"ferrite secrets status\" tells how far it is: %w", err)
		default:
			silent = 0
			done := max(s.Resealed-before.Resealed, 0)
			step(done, done+s.Left)
			if s.Rotating == "" {
				finish()
				fmt.Fprintln(c.OutOrStdout(), ended(before, s, done))
				tellKey(c, s)
				return nil
			}
			if s.Problem != problem {
				problem = s.Problem
				if problem != "" {
					fmt.Fprintln(c.ErrOrStderr(), "waiting:", plain(problem))
				}
			}
		}
		select {
		case <-ctx.Done():
			finish()
			return fmt.Errorf("the rotation goes on by itself: \"ferrite secrets status\" tells how far it is")
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// maxSilent is how many times in a row one of several conductors may not answer.
const maxSilent = 100

func newSecretsStatus() *cobra.Command {
	a := &apiFlags{}
	var output string
	c := &cobra.Command{
		Use: "status", Short: "Tell which key seals, and how far a rotation is", Args: noArgs,
		Long: `Tell the fingerprint of the cluster key of a running conductor, and how far a rotation is. Of several conductors, tell which
keys each knows, and what is to be done next.`,
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
			switch {
			case s.Rotating != "" && s.Phase != "":
				fmt.Fprintf(c.OutOrStdout(), "rotating from %s to %s, %s: %d records sealed anew, %d left\n", s.Rotating, s.NewKey, s.Phase, s.Resealed, s.Left)
			case s.Rotating != "":
				fmt.Fprintf(c.OutOrStdout(), "rotating from %s, %d records sealed anew, %d left\n", s.Rotating, s.Resealed, s.Left)
			case s.OldKey != "":
				fmt.Fprintf(c.OutOrStdout(), "rotated from %s, which still opens\n", s.OldKey)
			}
			if err := keysOf(c.OutOrStdout(), s.Members); err != nil {
				return err
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

// keysOf lists which keys each of several conductors knows.
func keysOf(w io.Writer, members []client.KeyMember) error {
	if len(members) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nConductor\tSeals with\tOpens too")
	for _, m := range members {
		if m.Problem != "" {
			fmt.Fprintf(t, "%s\tdoes not answer: %s\n", plain(m.Name), plain(m.Problem))
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", plain(m.Name), plain(m.Key), plain(strings.Join(m.Others, " ")))
	}
	fmt.Fprintln(t)
	return t.Flush()
}

// tellKey says where the key is kept, or what is to be done about it.
func tellKey(c *cobra.Command, s client.KeyStatus) {
	switch {
	case s.NextStep != "":
		fmt.Fprintln(c.OutOrStdout(), "next:", plain(s.NextStep))
	case s.KeyFile != "" && len(s.Members) > 1:
		fmt.Fprintln(c.OutOrStdout(), "kept by each conductor in its key file, by the one that was asked in", plain(s.KeyFile))
	case s.KeyFile != "":
		fmt.Fprintln(c.OutOrStdout(), "kept in", plain(s.KeyFile))
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"ferrite/client"
)

func newClusterMembers(a *apiFlags) *cobra.Command {
	var output string
	var watch bool
	var every time.Duration
	c := &cobra.Command{
		Use: "members", Short: "List the conductors, and say what the cluster survives", Args: noArgs,
		Long: `List the conductors, and say what the cluster survives.

State: alive; draining (gives its nodes away); cordoned (takes nothing new); cut (has no contact to the log, so that others
may take its nodes); gone. Role: the log's leader, a voter, or a non-voter, which keeps everything and takes over the vote of
a voter that is lost. Lag: revisions of the log that it is behind. Nodes: how many belong there.

--watch shows the list anew again and again, also when the conductor that was asked goes away; off a terminal it prints what
there is and then one line a change.`,
		Example: "  ferrite cluster members\n" +
			"  ferrite cluster members --watch\n" +
			"  ferrite cluster members -o json | jq -r '.members[] | select(.state != \"alive\") | .name'",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := oneOf("output", output, "table", "json", "yaml"); err != nil {
				return err
			}
			switch {
			case watch && output != "table":
				return usageError{errors.New("--watch goes with -o table only")}
			case every < 100*time.Millisecond:
				return usageError{fmt.Errorf("--interval is %s: wanted 100ms or more", every)}
			}
			w := newCrew(a)
			if watch {
				return w.watch(c, every)
			}
			s, err := w.status(c.Context())
			if err != nil {
				return err
			}
			if output != "table" {
				return document(c.OutOrStdout(), s.Raw, output)
			}
			return printMembers(c.OutOrStdout(), s, paletteFor(c.OutOrStdout()))
		},
	}
	f := c.Flags()
	f.StringVarP(&output, "output", "o", "table", "table, json or yaml")
	f.BoolVar(&watch, "watch", false, "go on showing it until Ctrl-C")
	f.DurationVar(&every, "interval", time.Second, "with --watch: how often to look")
	return c
}

// stateColours are those of members' states.
var stateColours = map[string]string{"alive": green, "draining": yellow, "cordoned": yellow, "cut": red, "gone": red}

func printMembers(out io.Writer, s *client.Cluster, colour palette) error {
	w := plainTable()
	w.AppendHeader(table.Row{"Name", "State", "Role", "Nodes", "Lag", "Version", "Group", "API"})
	for _, m := range s.Members {
		lag := fmt.Sprint(m.Lag)
		if m.State == client.StateGone || m.Problem != "" {
			lag = "?"
		}
		w.AppendRow(table.Row{plain(m.Name), colour.paint(stateColours[m.State], plain(m.State)), plain(m.Role), m.Nodes, lag, plain(m.Version), plain(m.Group), plain(m.API)})
	}
	b := w.Render() + "\n\n" + capital(plain(s.Advice)) + ".\n"
	for _, x := range s.Warnings {
		b += colour.paint(yellow, "Warning") + ": " + plain(x) + ".\n"
	}
	for _, m := range s.Members {
		if m.Problem != "" {
			b += colour.paint(red, "Problem") + ": " + plain(m.Name) + " does not answer for its log: " + plain(m.Problem) + ".\n"
		}
	}
	_, err := io.WriteString(out, b)
	return err
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// watch shows the members anew again and again.
func (w *crew) watch(c *cobra.Command, every time.Duration) error {
	out := c.OutOrStdout()
	_, _, live := terminal(out)
	known := map[string]string{}
	for first := true; ; {
		s, err := w.status(c.Context())
		switch {
		case c.Context().Err() != nil:
			return nil //nolint:nilerr // Ctrl-C is its end
		case err != nil && first:
			return err
		case err != nil:
			fmt.Fprintln(c.ErrOrStderr(), "no conductor answers, trying again:", plain(err.Error()))
		case live:
			err = redrawMembers(out, s, every)
		case first:
			err = printMembers(out, s, false)
			memberChanges(io.Discard, s, known)
		default:
			memberChanges(out, s, known)
		}
		if err == nil {
			first = false
		}
		select {
		case <-c.Context().Done():
			return nil
		case <-time.After(every):
		}
	}
}

func redrawMembers(out io.Writer, s *client.Cluster, every time.Duration) error {
	var b bytes.Buffer
	if err := printMembers(&b, s, paletteFor(out)); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\x1b[H\x1b[2J%s  every %s, Ctrl-C ends\n%s", time.Now().Format("15:04:05"), every, b.String())
	return err
}

// memberChanges prints a line for each member that is otherwise than known says.
func memberChanges(out io.Writer, s *client.Cluster, known map[string]string) {
	at, seen := time.Now().Format("15:04:05"), map[string]bool{}
	tell := func(name, now string) {
		seen[name] = true
		if was, ok := known[name]; !ok || was != now {
			fmt.Fprintf(out, "%s  %s  %s -> %s\n", at, plain(name), cmp.Or(was, "new"), now)
		}
		known[name] = now
	}
	for _, m := range s.Members {
		tell(m.Name, plain(m.State+", "+m.Role+", "+count(m.Nodes, "node")))
	}
	for name, was := range known {
		if !seen[name] {
			delete(known, name)
			fmt.Fprintf(out, "%s  %s  %s -> no member\n", at, plain(name), was)
		}
	}
}

// count is "1 node" or "2 nodes".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func newClusterOwners(a *apiFlags) *cobra.Command {
	var output string
	var summary bool
	c := &cobra.Command{
		Use: "owners [NODE]", Short: "Tell which conductor has which nodes, or whose a node is",
		Long: `Tell how many nodes each conductor has, or of one node where it belongs and why, who has written it last and in which
epoch, and what is under way on it.

A node moves without being written; whoever writes it next becomes its owner in the record. So after a change of the members
"belongs" and "in the record" differ for a while, and that is well.`,
		Example: "  ferrite cluster owners\n" +
			"  ferrite cluster owners --summary -o json\n" +
			"  ferrite cluster owners r07n09",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 || summary && len(args) > 0 {
				return usageError{fmt.Errorf("%s: wanted one node, or --summary, found %d arguments", c.CommandPath(), len(args))}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if err := oneOf("output", output, "table", "json", "yaml"); err != nil {
				return err
			}
			api, err := a.client()
			if err != nil {
				return err
			}
			defer api.Close()
			out := c.OutOrStdout()
			if len(args) == 1 {
				o, err := api.Owner(c.Context(), args[0])
				if err != nil {
					return explain(err, a)
				}
				if output != "table" {
					return document(out, o.Raw, output)
				}
				return printOwner(out, o)
			}
			o, err := api.Owners(c.Context())
			if err != nil {
				return explain(err, a)
			}
			if output != "table" {
				return document(out, o.Raw, output)
			}
			return printOwners(out, o)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "table", "table, json or yaml")
	c.Flags().BoolVar(&summary, "summary", false, "the counts; what it shows without a node anyhow")
	return c
}

func printOwners(out io.Writer, o *client.Owners) error {
	w := plainTable()
	w.AppendHeader(table.Row{"Conductor", "Alive", "Nodes", "In the record", "Operations"})
	for _, r := range o.Conductors {
		w.AppendRow(table.Row{plain(r.Conductor), map[bool]string{true: "True", false: "False"}[r.Alive], r.Placed, r.Recorded, r.Operations})
	}
	b := w.Render() + fmt.Sprintf("\n\n%s: %d written last by the conductor that has them, %d by another one, %d by one that is gone, %d by nobody; %s under way.\n",
		capital(count(o.Nodes, "node")), o.Recorded.Here, o.Recorded.Other, o.Recorded.Gone, o.Recorded.Nobody, count(o.Recorded.Pending, "operation"))
	if o.Unserved > 0 {
		b += fmt.Sprintf("%s that nobody looks after: \"ferrite cluster members\" says why.\n", count(o.Unserved, "node"))
	}
	_, err := io.WriteString(out, b)
	return err
}

func printOwner(out io.Writer, o *client.NodeOwner) error {
	w := plainTable()
	w.AppendHeader(table.Row{"Field", "Value"})
	alive := "that process lives"
	if !o.Alive {
		alive = "that process has ended"
	}
	rows := [][2]string{
		{"Node", strings.TrimSpace(o.Node + " " + o.Name)},
		{"Conductor", cmp.Or(o.Placed, "none")},
		{"Why", o.Why},
		{"Group", cmp.Or(o.Group, "(none)")},
		{"Placed by", o.Key},
		{"In the record", "nobody yet"},
		{"Operation", "none"},
	}
	if o.Owner != "" {
		rows[5][1] = fmt.Sprintf("%s, incarnation %s, epoch %d; %s", o.Owner, o.Incarnation, o.Epoch, alive)
	}
	if x := o.Operation; x != nil {
		rows[6][1] = strings.TrimSpace(x.Verb+" "+x.Target) + ", phase " + x.Phase + ", on " + x.Conductor
		if x.Since != nil {
			rows[6][1] += " since " + x.Since.UTC().Format(time.RFC3339)
		}
	}
	for _, r := range rows {
		w.AppendRow(table.Row{r[0], plain(r[1])})
	}
	_, err := fmt.Fprintln(out, w.Render())
	return err
}

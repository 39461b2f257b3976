// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ferrite/bench"
)

func newBench() *cobra.Command {
	return group("bench", "Measure Ferrite against raw limits and other tools",
		"Measure Ferrite against raw limits and other tools, alternately in one run. Load goes to loopback only.",
		"  ferrite bench sync --bmcs 1000\n  ferrite bench api",
		newBenchSync(), newBenchAPI(), newEchoServer())
}

func newBenchSync() *cobra.Command {
	cfg := bench.SyncConfig{}
	var against, out string
	c := &cobra.Command{
		Use: "sync", Short: "Power sync of a simulated fleet through a whole conductor", Args: noArgs,
		Long: `Reads the power of a whole simulated fleet through a whole conductor, as fast as it goes, alternately with a raw UDP echo
that has the same crypto and batching, and with "ipmipower --stat" (5,000 hosts at a time). The simulator and the echo
server are processes of their own; CPU figures are those of the measured process. Writes JSON and Markdown to --out.`,
		Example: "  ferrite bench sync --bmcs 1000 --rounds 9\n  ferrite bench sync --bmcs 50000 --rounds 5 --against echo --out bench/results",
		RunE: func(c *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return err
			}
			cfg.Self = self
			for name := range strings.SplitSeq(against, ",") {
				if name == "" {
					continue
				}
				if err := oneOf("against", name, "echo", "ipmipower"); err != nil {
					return err
				}
				cfg.Against = append(cfg.Against, name)
			}
			cfg.Say = say(c)
			r, err := bench.Sync(c.Context(), cfg)
			if err != nil {
				return err
			}
			return keep(c, out, r.Markdown(), r)
		},
	}
	f := c.Flags()
	f.IntVar(&cfg.BMCs, "bmcs", 1000, "how many BMCs")
	f.IntVar(&cfg.Rounds, "rounds", 5, "how many rounds")
	f.Int64Var(&cfg.Window, "window", 512, "readings under way at a time")
	f.StringVar(&against, "against", "echo,ipmipower", "what to compare with: echo, ipmipower")
	f.StringVar(&out, "out", "", "folder to keep the result in")
	return c
}

func newBenchAPI() *cobra.Command {
	cfg := bench.APIConfig{}
	var out string
	c := &cobra.Command{
		Use: "api", Short: "Requests per second and latency of the API", Args: noArgs,
		Long: `Stores nodes in a conductor of its own and asks for one node, for lists of 1000 and for changes, from several clients at
a time. Client and server share the machine. Prints a Markdown table, and keeps it in --out.`,
		Example: "  ferrite bench api --nodes 1000 --clients 8",
		RunE: func(c *cobra.Command, _ []string) error {
			cfg.Say = say(c)
			text, err := bench.API(c.Context(), cfg)
			if err != nil {
				return err
			}
			fmt.Fprint(c.OutOrStdout(), text)
			if out == "" {
				return nil
			}
			name := filepath.Join(out, fmt.Sprintf("%s-api-%d.md", time.Now().UTC().Format(time.DateOnly), cfg.Nodes))
			return os.WriteFile(name, []byte(text), 0o644) //nolint:gosec // results are for everybody
		},
	}
	f := c.Flags()
	f.IntVar(&cfg.Nodes, "nodes", 1000, "how many nodes are stored")
	f.IntVar(&cfg.Clients, "clients", 8, "how many clients ask at a time")
	f.DurationVar(&cfg.For, "for", 5*time.Second, "how long each kind of request is made")
	f.StringVar(&out, "out", "", "folder to keep the result in")
	return c
}

// newEchoServer is the other side of the raw echo; "bench sync" starts it.
func newEchoServer() *cobra.Command {
	listen := "127.0.0.1:0"
	c := &cobra.Command{
		Use: "echo-server", Short: "Answer every datagram with itself", Args: noArgs, Hidden: true,
		Long:    "Answers every datagram with itself until it is ended: the other side of the raw echo of \"ferrite bench sync\".",
		Example: "  ferrite bench echo-server --listen 127.0.0.1:7000",
		RunE: func(c *cobra.Command, _ []string) error {
			conn, err := bench.EchoServer(listen)
			if err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), "echo at", conn.LocalAddr())
			<-c.Context().Done()
			return conn.Close()
		},
	}
	c.Flags().StringVar(&listen, "listen", listen, "loopback UDP address")
	return c
}

func say(c *cobra.Command) func(string, ...any) {
	return func(format string, args ...any) { fmt.Fprintf(c.ErrOrStderr(), format+"\n", args...) }
}

// keep prints a report and saves it when a folder is named.
func keep(c *cobra.Command, out, text string, r interface{ Save(string) (string, error) }) error {
	fmt.Fprint(c.OutOrStdout(), text)
	if out == "" {
		return nil
	}
	name, err := r.Save(out)
	if err != nil {
		return err
	}
	fmt.Fprintln(c.ErrOrStderr(), "kept in", name)
	return nil
}

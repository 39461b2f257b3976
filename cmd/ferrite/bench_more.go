// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"ferrite/bench"
)

// newBenchScale works out what the measured costs come to.
func newBenchScale() *cobra.Command {
	from, d, p := "bench/results", bench.DefaultDemand(), bench.DefaultPlan()
	memory := p.Memory / 1e9
	c := &cobra.Command{
		Use: "scale", Short: "Where each resource ends, from what was measured", Args: noArgs,
		Long: `Works out, from the newest kept results, what a large fleet takes that is cut into cells (a log with conductors of its own
each), at which size of a cell each resource ends, and lets cells of several sizes live through a simulated day with a wave of
commands and the loss of a conductor. Nothing is measured.`,
		Example: "  ferrite bench scale --from bench/results\n  ferrite bench scale --nodes 200000 --cell 20000 --conductors 5 --interval 2m",
		RunE: func(c *cobra.Command, _ []string) error {
			if p.Nodes < 1 || p.Cell < 1 || p.Conductors < 1 || memory <= 0 || d.Interval <= 0 {
				return errors.New("wanted more than 0 for --nodes, --cell, --conductors, --memory and --interval")
			}
			costs, err := bench.Measured(from)
			if err != nil {
				return err
			}
			p.Memory = memory * 1e9
			fmt.Fprint(c.OutOrStdout(), bench.Scale(costs, d, p))
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&from, "from", from, "folder of kept results")
	f.IntVar(&p.Nodes, "nodes", p.Nodes, "nodes of the whole fleet")
	f.IntVar(&p.Cell, "cell", p.Cell, "nodes of a cell")
	f.IntVar(&p.Conductors, "conductors", p.Conductors, "conductors of a cell")
	f.Float64Var(&memory, "memory", memory, "memory of a conductor in GB")
	f.DurationVar(&d.Interval, "interval", d.Interval, "sync_power_state_interval")
	f.Float64Var(&d.Writes, "writes", d.Writes, "commits a node and day")
	f.Float64Var(&d.Wave, "wave", d.Wave, "share of the nodes that are commanded at once")
	return c
}

// newBenchAll runs all benches as the kept results were made.
func newBenchAll() *cobra.Command {
	var f benchFlags
	c := &cobra.Command{
		Use: "all", Short: "All benches, one after the other, as the kept results were made", Args: noArgs,
		Long: `Runs all benches with the sizes of the kept results, which takes about half an hour and 6 GB of memory. --quick takes small
fleets and few rounds, to see that all of them work; its results have "-quick" in their names and are compared with such only. A bench that fails does not keep the others from running.`,
		Example: "  ferrite bench all --out bench/results\n  ferrite bench all --quick",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.check(c, "", bench.AnySize); err != nil {
				return err
			}
			rows := allBenches
			if f.quick {
				rows = quickBenches
			}
			var bad []error
			for _, row := range rows {
				args := strings.Fields(row)
				for flag, v := range map[string]string{"--out": f.out, "--compare": f.compare} {
					if v != "" {
						args = append(args, flag, v)
					}
				}
				if f.quick {
					args = append(args, "--quick")
				}
				fmt.Fprintln(c.ErrOrStderr(), "ferrite bench", strings.Join(args, " "))
				one := newBench()
				one.SetArgs(args)
				one.SetOut(c.OutOrStdout())
				one.SetErr(c.ErrOrStderr())
				one.SilenceUsage, one.SilenceErrors = true, true
				if err := one.ExecuteContext(c.Context()); err != nil {
					bad = append(bad, err)
				}
				if c.Context().Err() != nil {
					break
				}
			}
			return errors.Join(bad...)
		},
	}
	f.add(c)
	quick := c.Flags().Lookup("quick")
	quick.Usage, quick.Hidden = "small fleets and few rounds", false
	return c
}

var (
	allBenches = []string{
		"sync --bmcs 1000 --rounds 9 --against echo,portable,ipmipower,ipmitool",
		"sync --bmcs 10000 --rounds 7 --against echo,portable,ipmipower,ipmitool --dead 0.05,0.2",
		"sync --bmcs 50000 --rounds 7 --against echo,portable,ipmipower,ipmitool --dead 0 --interval 2s",
		"growth --rounds 7",
		"api", "commit",
		"takeover --bmcs 3000", "takeover --bmcs 10000", "takeover --bmcs 50000 --rounds 2", "console",
	}
	quickBenches = []string{
		"sync --bmcs 200 --rounds 2 --against echo,portable --dead 0.05 --interval 1s", "growth --sizes 100,200 --rounds 2", "api --rounds 1 --for 200ms",
		"commit --rounds 1 --for 200ms --calls 640", "takeover --bmcs 100 --rounds 1 --sample 20 --interval 1s",
		"console --bmcs 100 --consoles 30 --rounds 1 --sample 20 --interval 1s",
	}
)

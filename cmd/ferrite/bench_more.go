// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"slices"
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
		PreRunE: func(c *cobra.Command, _ []string) error {
			if err := countsAreCounts(c.Flags()); err != nil {
				return err
			}
			for _, x := range []struct {
				flag        string
				v, from, to float64
				want        string
			}{
				{"memory", memory, 1e-3, 1e6, "GB, more than 0"}, {"writes", d.Writes, 0, 1e6, "0 or more"}, {"wave", d.Wave, 0, 1, "a share from 0 to 1"},
			} {
				if !(x.v >= x.from && x.v <= x.to) {
					return usageError{fmt.Errorf("--%s is %g: wanted %s", x.flag, x.v, x.want)}
				}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error {
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
	var other otherwise
	c := &cobra.Command{
		Use: "all", Short: "All benches, one after the other, as the kept results were made", Args: noArgs,
		Long: `Runs all benches with the sizes of the kept results, which takes about half an hour and 6 GB of memory. --quick takes small
fleets and few rounds, to see that all of them work; its results have "-quick" in their names and are compared with such only.
--bmcs takes one size instead: sync (with 5 % and 20 % dead), api, takeover and console once each, with so many nodes (takeover and
console with 100 at least), and growth with a hundredth, a tenth and all of them; commit has none. --rounds is for all of them,
--against for sync. All flags are looked at before the first bench starts; one that fails does not keep the others from running.`,
		Example: "  ferrite bench all --out bench/results\n  ferrite bench all --quick\n  ferrite bench all --bmcs 2000 --rounds 3 --against echo",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.check(c, "", bench.AnySize); err != nil {
				return err
			}
			rows := benchRows(f.quick, other)
			for i, args := range rows {
				for _, x := range [][2]string{{"--out", f.out}, {"--compare", f.compare}} {
					if x[1] != "" {
						args = append(args, x[0], x[1])
					}
				}
				if f.quick {
					args = append(args, "--quick")
				}
				if rows[i] = args; looksWrong(args) != nil {
					return looksWrong(args)
				}
			}
			var bad []error
			for _, args := range rows {
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
	c.Flags().IntVar(&other.bmcs, "bmcs", 1000, "one size for all benches (default the sizes of the kept results)")
	c.Flags().IntVar(&other.rounds, "rounds", 7, "rounds of each bench (default as the kept results were made)")
	c.Flags().StringVar(&other.against, "against", strings.Join(bench.Contenders(), ","), "what sync is compared with")
	for _, name := range []string{"bmcs", "rounds"} {
		c.Flags().Lookup(name).DefValue = "0" // the help tells it in words
	}
	c.PreRun = func(c *cobra.Command, _ []string) {
		other.isBMCs, other.isRounds, other.isAgainst = c.Flags().Changed("bmcs"), c.Flags().Changed("rounds"), c.Flags().Changed("against")
	}
	quick := c.Flags().Lookup("quick")
	quick.Usage, quick.Hidden = "small fleets and few rounds", false
	return c
}

// looksWrong is what a bench says of its flags before it starts; nil = nothing.
func looksWrong(args []string) error {
	c, rest, err := newBench().Find(args)
	if err == nil {
		err = c.ParseFlags(rest)
	}
	if err == nil && c.PreRunE != nil {
		err = c.PreRunE(c, nil)
	}
	if err != nil {
		return fmt.Errorf("bench %s: %w", args[0], err)
	}
	return nil
}

// otherwise is what "bench all" is to do unlike the kept results.
type otherwise struct {
	bmcs, rounds                int
	against                     string
	isBMCs, isRounds, isAgainst bool
}

// benchRows are the command lines of all benches.
func benchRows(quick bool, other otherwise) (rows [][]string) {
	table := allBenches
	if quick {
		table = quickBenches
	}
	seen := map[string]bool{}
	for _, row := range table {
		args := strings.Fields(row)
		what := args[0]
		if other.isBMCs {
			if seen[what] { // one size, so once
				continue
			}
			n := other.bmcs
			switch what {
			case "sync":
				args = with(with(args, "--bmcs", n), "--dead", "0.05,0.2")
			case "growth":
				sizes := slices.Compact([]int{max(1, n/100), max(1, n/10), n})
				args = with(args, "--sizes", strings.Trim(strings.ReplaceAll(fmt.Sprint(sizes), " ", ","), "[]"))
			case "takeover":
				args = with(args, "--bmcs", max(n, leastTakeover))
			case "console":
				args = with(with(args, "--bmcs", max(n, leastTakeover)), "--consoles", min(500, max(n, leastTakeover)))
			case "api":
				args = with(args, "--bmcs", n)
			}
		}
		if other.isRounds {
			args = with(args, "--rounds", other.rounds)
		}
		if other.isAgainst && what == "sync" {
			args = with(args, "--against", other.against)
		}
		seen[what] = true
		rows = append(rows, args)
	}
	return rows
}

// with gives a flag another value.
func with(args []string, flag string, v any) []string {
	if i := slices.Index(args, flag); i >= 0 {
		args[i+1] = fmt.Sprint(v)
		return args
	}
	return append(args, flag, fmt.Sprint(v))
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

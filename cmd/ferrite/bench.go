// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"ferrite/bench"
)

func newBench() *cobra.Command {
	return group("bench", "Measure Ferrite against raw limits and other tools",
		`Measure Ferrite against raw limits and other tools, in turns within one run. Load goes to loopback only. Each bench prints a
Markdown table; --out keeps it, with JSON, a file for benchstat, and plots; --compare holds it against what was kept: ratios to
others (the raw echo, the tools, the disk), memory, allocations, commits and the seconds of a takeover, and that a node of a large
fleet costs no more than one of a small fleet. With both, only what stands the comparison takes the place of what was kept: a run
that is too much worse is saved beside it, with "-worse" in its names, and one that lacks something kept with "-part".`,
		"  ferrite bench sync --bmcs 1000\n  ferrite bench all --out bench/results",
		newBenchSync(), newBenchGrowth(), newBenchAPI(), newBenchCommit(), newBenchTakeover(), newBenchConsole(), newBenchScale(), newBenchAll(), newWorker())
}

// benchFlags are those of every bench.
type benchFlags struct {
	out, compare string
	quick        bool   // a short run: kept under other names, and compared with its like
	disk         string // folder on the disk that is measured; "" = where temporary files go
}

func (f *benchFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.out, "out", "", "folder to keep the result in: JSON, Markdown, benchstat, plots")
	c.Flags().StringVar(&f.compare, "compare", "", "folder of kept results: fail when a ratio to others, memory, allocations or commits are more than 20 % worse than in the last one")
	c.Flags().BoolVar(&f.quick, "quick", false, "keep the result as one of a short run")
	_ = c.Flags().MarkHidden("quick") // "bench all" shows it
}

func (f *benchFlags) set() string {
	if f.quick {
		return bench.Quick
	}
	return ""
}

// check refuses, before anything runs, what would be told only after it: counts below one, and nothing to compare with. bmcs is
// the size of the fleet, or bench.AnySize. A size of which nothing is kept yet is made when there is a folder to keep it in.
func (f *benchFlags) check(c *cobra.Command, what string, bmcs int) error {
	if err := countsAreCounts(c.Flags()); err != nil {
		return err
	}
	if f.out != "" {
		err := os.MkdirAll(f.out, 0o755) //nolint:gosec // results are for everybody
		if err == nil {
			err = writable(f.out)
		}
		if err != nil {
			return usageError{fmt.Errorf("--out is %q, and nothing can be kept there: %w", f.out, err)}
		}
	}
	if !c.Flags().Changed("compare") {
		return nil
	}
	err := bench.Kept(f.compare, "", 0, f.set())
	if err == nil && what != "" && f.out == "" {
		err = bench.Kept(f.compare, what, bmcs, f.set())
	}
	if err != nil {
		return usageError{fmt.Errorf("--compare is %q: %w", f.compare, err)}
	}
	return nil
}

// writable tries to write into a folder.
func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".ferrite-bench")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// scratch makes a folder for the data of one run: on a disk, or where temporary files go. end removes it, and so does a second
// Ctrl-C, which does not wait for anything.
func scratch(disk string) (dir string, end func(), err error) {
	if dir, err = os.MkdirTemp(disk, "ferrite-bench"); err != nil {
		return "", nil, err
	}
	remove := func() { _ = os.RemoveAll(dir) }
	atOnce.Store(&remove)
	return dir, func() { remove(); atOnce.Store(nil) }, nil
}

// countsAreCounts refuses numbers and times that make no bench.
func countsAreCounts(flags *pflag.FlagSet) (err error) {
	flags.VisitAll(func(p *pflag.Flag) {
		if (p.Value.Type() == "int" || p.Value.Type() == "int64") && !atLeastOne(p.Value.String()) {
			err = usageError{fmt.Errorf("--%s is %s: wanted 1 or more", p.Name, p.Value)}
		}
		if v, bad := flags.GetIntSlice(p.Name); bad == nil && (len(v) == 0 || slices.Min(v) < 1) {
			err = usageError{fmt.Errorf("--%s is %v: wanted numbers above 0, like 1,3", p.Name, v)}
		}
		if d, bad := time.ParseDuration(p.Value.String()); p.Value.Type() == "duration" && (bad != nil || d <= 0) {
			err = usageError{fmt.Errorf("--%s is %s: wanted more than 0", p.Name, p.Value)}
		}
	})
	return err
}

func atLeastOne(s string) bool {
	n, err := strconv.ParseInt(s, 10, 64)
	return err == nil && n > 0
}

// place is where a bench finds the binary for its workers, and has its data.
type place struct{ self, dir string }

// run makes one report, shows how far it is, and does what the flags say.
func (f *benchFlags) run(c *cobra.Command, what string, bmcs int, work func(ctx context.Context, at place, p bench.Progress) (*bench.Report, error)) error {
	if err := f.check(c, what, bmcs); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir, clean, err := scratch(f.disk)
	if err != nil {
		return err
	}
	defer clean()
	p, end := benchProgress(c.ErrOrStderr(), what)
	r, err := work(c.Context(), place{self, dir}, p)
	end()
	if c.Context().Err() != nil { // whatever came of it then
		return fmt.Errorf("bench %s: interrupted; nothing of this run is kept", what)
	}
	if err != nil {
		return fmt.Errorf("bench %s: %w", what, err)
	}
	r.Versions["ferrite"] = version
	fmt.Fprint(c.OutOrStdout(), r.Markdown())
	return f.keep(c, r)
}

// keep compares a report with what was kept and saves it: in the place of that only if it stands the comparison, so that the next
// run is not held against a bad one.
func (f *benchFlags) keep(c *cobra.Command, r *bench.Report) error {
	r.Set = f.set()
	beside, verdict := f.verdict(c.OutOrStdout(), r)
	if f.out == "" {
		return verdict
	}
	name, err := r.Save(f.out, beside)
	switch {
	case err != nil:
		return errors.Join(verdict, err)
	case beside == "":
		fmt.Fprintln(c.ErrOrStderr(), "kept in", name)
	default:
		fmt.Fprintf(c.ErrOrStderr(), "saved as %s, which is never compared with; the same without --compare keeps a run whatever it is\n", name)
	}
	return verdict
}

// verdict compares with what was kept. beside says as what a run is saved that must not take the place of it.
func (f *benchFlags) verdict(w io.Writer, r *bench.Report) (beside string, err error) {
	if f.compare == "" {
		return "", nil
	}
	to, err := r.Compare(f.compare)
	switch {
	case errors.Is(err, bench.ErrNothingKept):
		return "", err
	case err != nil:
		return "part", err
	case len(to.Missing) > 0:
		beside = "part"
	}
	fmt.Fprint(w, "\n", to.Markdown())
	if bad, judged := to.Failed(); len(bad) > 0 {
		return "worse", fmt.Errorf("%d of %d figures are worse than they may be against %s: %s", len(bad), judged, to.Kept, strings.Join(bad, "; "))
	}
	return beside, nil
}

// benchProgress shows a bar on a terminal, and a line for each piece of work elsewhere.
func benchProgress(w io.Writer, what string) (p bench.Progress, end func()) {
	if _, _, ok := terminal(w); !ok {
		return bench.Progress{Say: func(format string, args ...any) { fmt.Fprintf(w, what+": "+format+"\n", args...) }}, func() {}
	}
	all := bars(w, 30, 100*time.Millisecond)
	var now atomic.Pointer[string]
	say := func(text string) { now.Store(&text) }
	say("starting")
	// Of 0: one that begins with a total keeps it, and is full at the first step.
	bar := all.AddBar(0, mpb.BarRemoveOnComplete(), mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return what + ": " + *now.Load() + "  " })),
		mpb.AppendDecorators(decor.Percentage(), decor.Elapsed(decor.ET_STYLE_GO, decor.WCSyncSpace)))
	progress := bench.Progress{
		Say: func(format string, args ...any) {
			say(fmt.Sprintf(format, args...))
			bar.SetTotal(1, false)
			bar.SetCurrent(0)
		},
		Step: func(done, of int) {
			bar.SetTotal(int64(of)+1, false) // the end is told by end
			bar.SetCurrent(int64(done))
		},
	}
	return progress, func() {
		bar.Abort(true)
		all.Wait()
	}
}

func newBenchSync() *cobra.Command {
	cfg := bench.SyncConfig{}
	var f benchFlags
	var against, pacing string
	c := &cobra.Command{
		Use: "sync", Short: "Power sync of a simulated fleet through a whole conductor", Args: noArgs,
		Long: `Reads the power of a whole simulated fleet as fast as it goes (--pacing off): through a whole conductor and through the IPMI
engine alone, with sessions that are kept and with a session for each reading, in turns with a raw UDP echo that has the same
crypto and batching, with the engine on the socket of systems that have no batches (portable), with "ipmipower --stat" (5,000 hosts at a time), and with "ipmitool power status" (200 of the BMCs).
With --dead, conductors then sweep side by side at --interval, and the age of the living nodes' power state is looked at.
Simulator, echo server and each contender are processes of their own.`,
		Example: "  ferrite bench sync --bmcs 1000 --rounds 9\n  ferrite bench sync --bmcs 50000 --rounds 5 --against echo --dead 0.05,0.2 --out bench/results",
		PreRunE: func(c *cobra.Command, _ []string) error {
			if err := oneOf("pacing", pacing, "off", "on"); err != nil {
				return err
			}
			cfg.Paced, cfg.Against = pacing == "on", nil
			for _, v := range cfg.Dead {
				if !(v >= 0) || float64(cfg.BMCs)*(1-v) < 1 {
					return usageError{fmt.Errorf("--dead is %v: wanted shares from 0 to less than 1, like 0.05,0.2, so that some of the BMCs live", cfg.Dead)}
				}
			}
			for name := range strings.SplitSeq(against, ",") {
				if name == "" {
					continue
				}
				if err := oneOf("against", name, bench.Contenders()...); err != nil {
					return err
				}
				cfg.Against = append(cfg.Against, name)
			}
			return f.check(c, "sync", cfg.BMCs)
		},
		RunE: func(c *cobra.Command, _ []string) error {
			return f.run(c, "sync", cfg.BMCs, func(ctx context.Context, at place, p bench.Progress) (*bench.Report, error) {
				cfg.Self, cfg.Dir, cfg.Progress = at.self, at.dir, p
				return bench.Sync(ctx, cfg)
			})
		},
	}
	f.add(c)
	syncFlags(c, &cfg, 1000, 7)
	c.Flags().StringVar(&against, "against", "echo,ipmipower", "what to compare with: "+strings.Join(bench.Contenders(), ", "))
	c.Flags().StringVar(&pacing, "pacing", "off", "off = as fast as it goes; on = with the rates that spare real BMCs, which takes seconds for each 250 BMCs")
	c.Flags().Float64SliceVar(&cfg.Dead, "dead", nil, "shares of dead BMCs to measure the age of the others' power state with, like 0.05,0.2; 0 = with none")
	c.Flags().DurationVar(&cfg.Interval, "interval", 5*time.Second, "how often each BMC is read then")
	return c
}

func syncFlags(c *cobra.Command, cfg *bench.SyncConfig, bmcs, rounds int) {
	c.Flags().IntVar(&cfg.BMCs, "bmcs", bmcs, "how many BMCs")
	c.Flags().IntVar(&cfg.Rounds, "rounds", rounds, "how many rounds")
	c.Flags().Int64Var(&cfg.Window, "window", 512, "readings under way at a time")
}

func newBenchGrowth() *cobra.Command {
	cfg := bench.SyncConfig{}
	var f benchFlags
	c := &cobra.Command{
		Use: "growth", Short: "What a node costs in fleets of several sizes", Args: noArgs,
		Long: `Sets up fleets of several sizes at once, and reads each as fast as it goes, in turns: CPU for each reading and memory for each
node, of the whole conductor, of the engine alone, and of the raw echo. Needs about 15 KB of memory for each node of all sizes
together, and 5 KB for each BMC of the simulator; sizes that do not fit into the memory that is available are left out, and it
says so.`,
		Example: "  ferrite bench growth --sizes 1000,10000,100000 --out bench/results",
		PreRunE: func(c *cobra.Command, _ []string) error { return f.check(c, "growth", bench.AnySize) },
		RunE: func(c *cobra.Command, _ []string) error {
			slices.Sort(cfg.Sizes)
			return f.run(c, "growth", bench.AnySize, func(ctx context.Context, at place, p bench.Progress) (*bench.Report, error) {
				cfg.Self, cfg.Dir, cfg.Progress = at.self, at.dir, p
				return bench.Growth(ctx, cfg)
			})
		},
	}
	f.add(c)
	c.Flags().IntSliceVar(&cfg.Sizes, "sizes", []int{1000, 5000, 10_000, 20_000, 50_000, 100_000}, "sizes of the fleets")
	c.Flags().IntVar(&cfg.Rounds, "rounds", 7, "how many rounds")
	c.Flags().Int64Var(&cfg.Window, "window", 512, "readings under way at a time")
	return c
}

func newBenchAPI() *cobra.Command {
	cfg := bench.APIConfig{}
	var f benchFlags
	c := &cobra.Command{
		Use: "api", Short: "Requests per second and latency of the API", Args: noArgs,
		Long: `Stores nodes in a conductor of its own and asks for one node, for lists of 1000 and for changes, from several clients at
a time. Client and server share the machine.`,
		Example: "  ferrite bench api --bmcs 1000 --clients 8",
		PreRunE: func(c *cobra.Command, _ []string) error { return f.check(c, "api", cfg.Nodes) },
		RunE: func(c *cobra.Command, _ []string) error {
			return f.run(c, "api", cfg.Nodes, func(ctx context.Context, at place, p bench.Progress) (*bench.Report, error) {
				cfg.Dir, cfg.Progress = at.dir, p
				return bench.API(ctx, cfg)
			})
		},
	}
	f.add(c)
	c.Flags().IntVar(&cfg.Nodes, "bmcs", 1000, "how many nodes are stored")
	c.Flags().IntVar(&cfg.Rounds, "rounds", 3, "how many rounds")
	c.Flags().IntVar(&cfg.Clients, "clients", 8, "how many clients ask at a time")
	c.Flags().DurationVar(&cfg.For, "for", 3*time.Second, "how long each kind of request is made in a round")
	return c
}

func newBenchCommit() *cobra.Command {
	cfg := bench.CommitConfig{}
	var f benchFlags
	c := &cobra.Command{
		Use: "commit", Short: "Commits per second of the log, and what a call to another conductor costs", Args: noArgs,
		Long: `Writes nodes of 3 KB with one event each, from many writers, into logs of one, three and five voters that speak over loopback
TCP, at the leader and at a follower; and calls another process as conductors call each other. --dir puts the logs on a disk.`,
		Example: "  ferrite bench commit --rounds 3 --dir /var/tmp",
		PreRunE: func(c *cobra.Command, _ []string) error {
			if f.disk != "" {
				if err := writable(f.disk); err != nil {
					return usageError{fmt.Errorf("--dir is %q, and nothing can be written there: %w", f.disk, err)}
				}
			}
			return f.check(c, "commit", 0)
		},
		RunE: func(c *cobra.Command, _ []string) error {
			return f.run(c, "commit", 0, func(ctx context.Context, at place, p bench.Progress) (*bench.Report, error) {
				cfg.Self, cfg.Dir, cfg.Progress = at.self, at.dir, p
				return bench.Commit(ctx, cfg)
			})
		},
	}
	f.add(c)
	c.Flags().IntVar(&cfg.Rounds, "rounds", 3, "how many rounds")
	c.Flags().IntVar(&cfg.Writers, "writers", 64, "how many write at a time")
	c.Flags().IntSliceVar(&cfg.Voters, "voters", []int{1, 3, 5}, "sizes of the logs")
	c.Flags().DurationVar(&cfg.For, "for", 2*time.Second, "how long each turn lasts")
	c.Flags().IntVar(&cfg.Calls, "calls", 4000, "calls to the other process in a turn")
	c.Flags().StringVar(&f.disk, "dir", "", "folder on the disk to measure (default the system's for temporary files)")
	return c
}

func newBenchTakeover() *cobra.Command {
	cfg := bench.TakeoverConfig{}
	var f benchFlags
	c := &cobra.Command{
		Use: "takeover", Short: "kill -9 of one of three conductors: when its nodes go on", Args: noArgs,
		Long: `Starts three conductors as processes of their own, on loopback addresses of their own, with a share of the nodes each, and
kills one with SIGKILL: a follower of the log, then its leader. Measures when the others have noticed, when each lost node takes
a write, when all are in a sweep again and confirmed by their BMCs, and the longest time without an answer for a reader.`,
		Example: "  ferrite bench takeover --bmcs 10000 --rounds 3 --out bench/results",
		PreRunE: func(c *cobra.Command, _ []string) error { return f.checkTakeover(c, "takeover", cfg) },
		RunE:    func(c *cobra.Command, _ []string) error { return f.takeover(c, "takeover", cfg) },
	}
	f.add(c)
	takeoverFlags(c, &cfg)
	return c
}

func newBenchConsole() *cobra.Command {
	cfg := bench.TakeoverConfig{}
	var f benchFlags
	c := &cobra.Command{
		Use: "console", Short: "kill -9 of one of three conductors: when its consoles are back", Args: noArgs,
		Long: `Starts three conductors as "ferrite bench takeover" does, and consoles of the fake interface on some of their nodes, and kills
a conductor: measures how fast consoles are started, and when all are restored. Fake consoles carry no bytes.`,
		Example: "  ferrite bench console --bmcs 3000 --consoles 500 --out bench/results",
		PreRunE: func(c *cobra.Command, _ []string) error {
			if err := f.checkTakeover(c, "console", cfg); err != nil {
				return err
			}
			if cfg.Consoles > cfg.Nodes {
				return usageError{fmt.Errorf("--consoles is %d: wanted 1 to --bmcs, which is %d", cfg.Consoles, cfg.Nodes)}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return f.takeover(c, "console", cfg) },
	}
	f.add(c)
	takeoverFlags(c, &cfg)
	c.Flags().IntVar(&cfg.Consoles, "consoles", 500, "how many of the nodes have a console")
	return c
}

// leastTakeover is the smallest fleet of which each of three conductors has a share for certain.
const leastTakeover = 100

func (f *benchFlags) checkTakeover(c *cobra.Command, what string, cfg bench.TakeoverConfig) error {
	if err := countsAreCounts(c.Flags()); err != nil {
		return err
	}
	if cfg.Nodes < leastTakeover {
		return usageError{fmt.Errorf("--bmcs is %d: wanted %d or more, so that each of three conductors has a share of the nodes", cfg.Nodes, leastTakeover)}
	}
	if err := oneOf("profile", cfg.Profile, "fast", "mid", "lan"); err != nil {
		return err
	}
	return f.check(c, what, cfg.Nodes)
}

func (f *benchFlags) takeover(c *cobra.Command, what string, cfg bench.TakeoverConfig) error {
	return f.run(c, what, cfg.Nodes, func(ctx context.Context, at place, p bench.Progress) (*bench.Report, error) {
		cfg.Self, cfg.Dir, cfg.Progress = at.self, at.dir, p
		return bench.Takeover(ctx, cfg)
	})
}

func takeoverFlags(c *cobra.Command, cfg *bench.TakeoverConfig) {
	c.Flags().IntVar(&cfg.Nodes, "bmcs", 3000, "how many nodes, 100 or more")
	c.Flags().IntVar(&cfg.Rounds, "rounds", 3, "how many rounds, of two kills each")
	c.Flags().IntVar(&cfg.Sample, "sample", 200, "lost nodes that are written to")
	c.Flags().DurationVar(&cfg.Interval, "interval", 10*time.Second, "sync_power_state_interval")
	c.Flags().StringVar(&cfg.Profile, "profile", "fast", "of the gossip: fast, mid, lan")
}

// newWorker is what the benches start beside themselves.
func newWorker() *cobra.Command {
	return &cobra.Command{
		Use: "worker", Short: "One contender of a bench", Args: noArgs, Hidden: true,
		Long:    "One contender of a bench, which tells it over standard input what to do. It ends with its input.",
		Example: "  (started by the benches)",
		RunE: func(c *cobra.Command, _ []string) error {
			signal.Ignore(syscall.SIGPIPE) // when the bench is gone there is still a folder to remove
			return bench.Work(c.Context(), c.InOrStdin(), c.OutOrStdout())
		},
	}
}

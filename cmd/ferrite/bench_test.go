// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ferrite/bench"
)

// measured is a report as a bench of ten BMCs makes it, with ratios ours : theirs.
func measured(ours float64, against ...string) *bench.Report {
	r := &bench.Report{Bench: "sync", BMCs: 10, Rounds: 1, Date: "2026-01-02T10:00:00Z", Versions: map[string]string{}}
	for _, b := range against {
		r.Ratios = append(r.Ratios, bench.Ratio{A: "ferrite", B: b, Figure: "cpu_us_per_node", Median: ours, Min: ours, Max: ours})
	}
	return r
}

// benched runs a bench that comes to this report; it tells the error and what the files in dir are called.
func benched(t *testing.T, dir string, quick bool, r *bench.Report, flags ...string) (files []string, ran bool, err error) {
	t.Helper()
	f := benchFlags{}
	c := newBenchAPI()
	c.ResetFlags()
	f.add(c)
	if err := c.ParseFlags(flags); err != nil {
		t.Fatal(err)
	}
	f.quick = quick
	var b bytes.Buffer
	c.SetOut(&b)
	c.SetErr(&b)
	c.SetContext(t.Context())
	err = f.run(c, "sync", 10, func(context.Context, place, bench.Progress) (*bench.Report, error) {
		ran = true
		return r, nil
	})
	names, _ := filepath.Glob(filepath.Join(dir, "*.json"))
	for _, name := range names {
		files = append(files, filepath.Base(name))
	}
	return files, ran, err
}

// A run that is worse must not become what the next one is held against, nor one that measured less.
func TestBenchKeepsOnlyWhatStandsTheComparison(t *testing.T) {
	dir := t.TempDir()
	const kept, worse, part, quick = "2026-01-02-sync-10.json", "2026-01-02-sync-10-worse.json", "2026-01-02-sync-10-part.json", "2026-01-02-sync-10-quick.json"
	both := []string{"--compare", dir, "--out", dir}
	for i, x := range []struct {
		what   string
		r      *bench.Report
		quick  bool
		flags  []string
		fails  bool
		files  []string
		median float64 // of the kept one afterwards
	}{
		{"the first", measured(1, "echo", "tool"), false, []string{"--out", dir}, false, []string{kept}, 1},
		{"worse", measured(2, "echo", "tool"), false, both, true, []string{worse, kept}, 1},
		{"worse again: rerunning does not make it good", measured(2, "echo", "tool"), false, both, true, []string{worse, kept}, 1},
		{"good, with less", measured(1.1, "echo"), false, both, false, []string{part, worse, kept}, 1},
		{"nothing in common", measured(1.1, "other"), false, both, true, []string{part, worse, kept}, 1},
		{"quick, and nothing quick is kept", measured(5, "echo", "tool"), true, both, true, []string{part, worse, kept}, 1},
		{"quick", measured(5, "echo", "tool"), true, []string{"--out", dir}, false, []string{part, quick, worse, kept}, 1},
		{"quick is held against quick", measured(5.1, "echo", "tool"), true, both, false, []string{part, quick, worse, kept}, 1},
		{"good", measured(1.1, "echo", "tool", "more"), false, both, false, []string{part, quick, worse, kept}, 1.1},
		{"worse, and kept all the same", measured(3, "echo", "tool"), false, []string{"--out", dir}, false, []string{part, quick, worse, kept}, 3},
	} {
		files, _, err := benched(t, dir, x.quick, x.r, x.flags...)
		if (err != nil) != x.fails || fmt.Sprint(files) != fmt.Sprint(x.files) {
			t.Errorf("%d, %s: files %v, error %v; wanted %v and an error: %v", i, x.what, files, err, x.files, x.fails)
		}
		if r, err := bench.Load(filepath.Join(dir, kept)); err != nil || r.Ratios[0].Median != x.median {
			t.Errorf("%d, %s: kept is %+v (%v), wanted %g", i, x.what, r, err, x.median)
		}
	}
}

// What cannot end well is refused before hours are spent on it.
func TestBenchRefusesBeforeItRuns(t *testing.T) {
	dir := t.TempDir()
	empty := t.TempDir()
	if err := os.WriteFile(filepath.Join(empty, "2026-01-02-sync-10-worse.json"), []byte("{}"), 0o600); err != nil { // no kept result
		t.Fatal(err)
	}
	other := measured(1, "echo")
	other.BMCs = 20
	if _, err := other.Save(dir, ""); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		flags []string
		runs  bool
		want  string
	}{
		{[]string{"--compare", filepath.Join(dir, "none"), "--out", dir}, false, "none"},
		{[]string{"--compare", empty, "--out", dir}, false, "no kept result"},
		{[]string{"--compare", "", "--out", dir}, false, "--compare"},
		{[]string{"--compare", dir}, false, "no kept result *-sync-10.json"},
		{[]string{"--compare", dir, "--out", dir}, true, "no kept result *-sync-10.json"}, // so that there is one next time
	} {
		_, ran, err := benched(t, dir, false, measured(1, "echo"), x.flags...)
		var usage usageError
		if ran != x.runs || err == nil || !strings.Contains(err.Error(), x.want) || errors.As(err, &usage) == x.runs {
			t.Errorf("%v: ran %v, error %v; wanted %v and %q", x.flags, ran, err, x.runs, x.want)
		}
	}
	if _, _, err := benched(t, dir, false, measured(1, "echo"), "--compare", dir); err != nil {
		t.Errorf("what was made without anything to compare with is not kept: %v", err)
	}
}

func TestBenchWantsNumbersAboveZero(t *testing.T) {
	for _, args := range []string{
		"sync --rounds 0", "sync --rounds -1", "sync --bmcs 0", "sync --window 0", "sync --interval 0s", "growth --sizes 10,0", "growth --rounds -1",
		"api --rounds 0", "api --clients 0", "api --for -1s", "commit --rounds 0", "commit --voters 0", "takeover --rounds 0", "console --rounds 0", "console --sample 0",
	} {
		c := newBench()
		c.SetArgs(strings.Fields(args))
		var b bytes.Buffer
		c.SetOut(&b)
		c.SetErr(&b)
		c.SilenceUsage = true
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // whatever begins ends at once
		err := c.ExecuteContext(ctx)
		var usage usageError
		if flag := strings.Fields(args)[1]; !errors.As(err, &usage) || !strings.Contains(err.Error(), strings.TrimSuffix(flag, "=")+" is ") {
			t.Errorf("bench %s: %v, wanted a refusal of %s", args, err, flag)
		}
	}
}

// Nothing is started, stored or measured before a wrong flag is told, with the exit code of wrong use.
func TestBenchTellsWrongFlagsFirst(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"sync --dead 1.5":                       "--dead is [1.5]",
		"sync --dead 1":                         "--dead is [1]",
		"sync --dead NaN":                       "--dead is [NaN]",
		"sync --out " + file:                    "--out is",
		"growth --out " + file:                  "--out is",
		"api --out " + file + "/in":             "--out is",
		"takeover --profile foo":                `--profile is "foo": wanted fast, mid, lan`,
		"takeover --bmcs 5":                     "--bmcs is 5: wanted 100 or more",
		"console --bmcs 1":                      "--bmcs is 1: wanted 100 or more",
		"console --consoles 0":                  "--consoles is 0",
		"console --bmcs 200 --consoles 201":     "--consoles is 201: wanted 1 to --bmcs",
		"commit --dir " + file + "/in":          "--dir is",
		"scale --cell 0":                        "--cell is 0",
		"scale --nodes -5":                      "--nodes is -5",
		"scale --wave -1":                       "--wave is -1",
		"scale --wave 2":                        "--wave is 2",
		"scale --writes -5":                     "--writes is -5",
		"scale --writes NaN":                    "--writes is NaN",
		"scale --memory 0":                      "--memory is 0",
		"all --rounds 0":                        "--rounds is 0",
		"all --bmcs -1":                         "--bmcs is -1",
		"all --against nobody":                  `--against is "nobody"`,
		"all --quick --bmcs 200 --out " + file:  "--out is",
		"all --quick --bmcs 200 --compare none": "--compare is",
	} {
		c := newBench()
		c.SetArgs(strings.Fields(args))
		var b bytes.Buffer
		c.SetOut(&b)
		c.SetErr(&b)
		c.SilenceUsage, c.SilenceErrors = true, true
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // whatever begins ends at once
		err := c.ExecuteContext(ctx)
		var usage usageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), want) || b.Len() > 0 {
			t.Errorf("bench %s: %v, wanted %s; it said %q", args, err, want, &b)
		}
	}
}

func TestBenchAllTakesOtherSizes(t *testing.T) {
	for _, x := range []struct {
		other otherwise
		want  []string
	}{
		{otherwise{isBMCs: true, bmcs: 2000, isRounds: true, rounds: 3, isAgainst: true, against: "echo"}, []string{
			"sync --bmcs 2000 --rounds 3 --against echo --dead 0.05,0.2", "growth --rounds 3 --sizes 20,200,2000", "api --bmcs 2000 --rounds 3", "commit --rounds 3",
			"takeover --bmcs 2000 --rounds 3", "console --bmcs 2000 --consoles 500 --rounds 3",
		}},
		{otherwise{isBMCs: true, bmcs: 5}, []string{
			"sync --bmcs 5 --rounds 9 --against echo,portable,ipmipower,ipmitool --dead 0.05,0.2", "growth --rounds 7 --sizes 1,5", "api --bmcs 5", "commit",
			"takeover --bmcs 100", "console --bmcs 100 --consoles 100",
		}},
	} {
		var got []string
		for _, args := range benchRows(false, x.other) {
			got = append(got, strings.Join(args, " "))
			if err := looksWrong(args); err != nil {
				t.Error(err)
			}
		}
		if !slices.Equal(got, x.want) {
			t.Errorf("%+v: %q, wanted %q", x.other, got, x.want)
		}
	}
	for _, quick := range []bool{false, true} {
		for i, args := range benchRows(quick, otherwise{}) {
			if row := [][]string{allBenches, quickBenches}[map[bool]int{false: 0, true: 1}[quick]][i]; strings.Join(args, " ") != row {
				t.Errorf("without flags: %v, wanted %s", args, row)
			}
		}
	}
}

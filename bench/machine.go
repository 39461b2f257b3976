// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// machine says what the figures were measured on.
func machine() string {
	model, memory := "", ""
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
				model = ", " + strings.TrimSpace(v)
				break
			}
		}
	}
	if kb, ok := proc("/proc/meminfo", "MemTotal:"); ok {
		memory = fmt.Sprintf(", %.0f GB", float64(kb)/1e6)
	}
	return fmt.Sprintf("%d cores%s%s, %s/%s, %s", runtime.NumCPU(), model, memory, runtime.GOOS, runtime.GOARCH, runtime.Version())
}

// proc reads a line like "RssAnon:  123 kB" of a file of /proc.
func proc(file, name string) (kb int64, ok bool) {
	b, err := os.ReadFile(file) //nolint:gosec // of the system
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(b)) {
		if rest, found := strings.CutPrefix(line, name); found {
			_, err := fmt.Sscan(rest, &kb)
			return kb, err == nil
		}
	}
	return 0, false
}

// rssAnon is this process's anonymous resident memory in bytes (Linux; 0 elsewhere).
func rssAnon() int64 {
	kb, _ := proc("/proc/self/status", "RssAnon:")
	return kb << 10
}

// cpuTime is what this process has used of the CPU.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// newReport begins one. tools are programs whose versions count.
func newReport(name string, bmcs, rounds int, tools ...string) *Report {
	r := &Report{
		Bench: name, BMCs: bmcs, Rounds: rounds, Machine: machine(), Versions: map[string]string{}, Date: time.Now().UTC().Format(time.RFC3339),
		Command: strings.Join(append([]string{filepath.Base(os.Args[0])}, os.Args[1:]...), " "), Load: "unknown",
	}
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		r.Load, _, _ = strings.Cut(string(b), " ")
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		r.Versions["kernel"] = strings.TrimSpace(string(b))
	}
	for _, tool := range tools {
		if v := version(tool); v != "" {
			r.Versions[tool] = v
		}
	}
	return r
}

// version asks a program for its own.
func version(tool string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	flag := map[string]string{"ipmitool": "-V"}[tool]
	if flag == "" {
		flag = "--version"
	}
	out, _ := exec.CommandContext(ctx, tool, flag).CombinedOutput() //nolint:gosec // names of ours; some end with 1
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return line
}

func (r *Report) versions() string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(r.Versions)) {
		out = append(out, k+" "+strings.TrimPrefix(r.Versions[k], k+" "))
	}
	return strings.Join(out, ", ")
}

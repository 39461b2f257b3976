// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const limits Area = "limits"

// Fleet is what limits are measured against.
type Fleet struct {
	PID        int // of the conductor, 0 = it does not run: what this process may is looked at instead
	Nodes      int // 0 = not known
	Sockets    int // UDP sockets that share the BMCs
	Window     int // BMCs of a socket that may be asked at once
	Buffer     int // receive buffer that each socket wishes for, bytes
	Files      int // descriptors open now, 0 = not known
	MaxFiles   int // descriptors allowed, 0 = not known
	GoMaxProcs int // 0 = not known
}

// Limits looks at descriptors, receive buffers, memory and CPUs.
func Limits(f Fleet) []Finding {
	group := cgroupOf(f.PID)
	return []Finding{files(f), receive(f, number("/proc/sys/net/core/rmem_max")), memory(f, group), cpus(f, group)}
}

func files(f Fleet) Finding {
	const enough, least = 65536, 1024
	most, who := f.MaxFiles, "the conductor"
	if most == 0 {
		var r unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
			return limits.Warn("descriptors", err.Error(), "to know the limit", "see \"ulimit -Hn\" yourself")
		}
		most, who = int(min(r.Max, math.MaxInt32)), "this shell"
	}
	found := fmt.Sprintf("%d allowed to %s", most, who)
	if f.Files > 0 {
		found += fmt.Sprintf(", %d open", f.Files)
	}
	const do = "LimitNOFILE=65536 in the unit, or \"ulimit -n 65536\""
	switch {
	case most < least || f.Files > most-most/10:
		return limits.Fail("descriptors", found, strconv.Itoa(enough)+", and room left", do)
	case most < 8192:
		return limits.Warn("descriptors", found, strconv.Itoa(enough)+": one for each client's connection, some hundred for the store", do)
	}
	return limits.OK("descriptors", "%s", found)
}

// weight is what a small datagram weighs in a receive buffer by the kernel's account, in bytes.
const weight = 1024

// receive compares the receive buffer that the kernel allows with the answers that may arrive at once.
func receive(f Fleet, most int) Finding {
	const check = "UDP buffer"
	if most == 0 {
		return limits.Warn(check, "net.core.rmem_max is not readable", "to know the limit", "see \"sysctl net.core.rmem_max\" on the host")
	}
	need := f.Buffer // of a fleet that is not known: what is wished for
	if f.Nodes > 0 && f.Sockets > 0 {
		need = min(need, max(min((f.Nodes+f.Sockets-1)/f.Sockets, f.Window)*weight, 64<<10))
	}
	// The kernel doubles what is asked for, to pay for its own book-keeping.
	found := fmt.Sprintf("net.core.rmem_max %s", bytesText(uint64(most))) //nolint:gosec // not negative
	if f.Nodes > 0 {
		found += fmt.Sprintf(", %d nodes on %d sockets need %s", f.Nodes, f.Sockets, bytesText(uint64(need))) //nolint:gosec // not negative
	}
	if 2*most < need {
		return limits.Warn(check, found, bytesText(uint64(need))+" or more: what does not fit is lost, and sent again a second later", //nolint:gosec // not negative
			fmt.Sprintf("sysctl -w net.core.rmem_max=%d, and in /etc/sysctl.d (the package does so)", f.Buffer))
	}
	return limits.OK(check, "%s", found)
}

// bytesANode is what a node costs in memory, about; bytesAlone what a conductor without any does.
const bytesANode, bytesAlone = 12 << 10, 64 << 20

func memory(f Fleet, group string) Finding {
	all := uint64(meminfo("MemTotal")) << 10      //nolint:gosec // not negative
	free := uint64(meminfo("MemAvailable")) << 10 //nolint:gosec // not negative
	if all == 0 {
		return limits.Warn("memory", "/proc/meminfo is not readable", "to know how much there is", "see \"free -m\" yourself")
	}
	found := fmt.Sprintf("%s, of which %s are available", bytesText(all), bytesText(free))
	have := all
	if most := least(group, "memory.max"); most > 0 && most < all {
		have = most
		found = fmt.Sprintf("limited to %s (cgroup) of %s", bytesText(most), bytesText(all))
	}
	need := uint64(bytesAlone + f.Nodes*bytesANode) //nolint:gosec // not negative
	wanted := fmt.Sprintf("%s for %d nodes", bytesText(need), f.Nodes)
	switch {
	case have < need:
		return limits.Fail("memory", found, wanted, "give the machine, or MemoryMax= of the unit, more")
	case have < 2*need || f.PID == 0 && free < need:
		return limits.Warn("memory", found, wanted+", and as much again for starts and backups", "give the machine, or MemoryMax= of the unit, more")
	}
	return limits.OK("memory", "%s; about %s needed", found, bytesText(need))
}

func cpus(f Fleet, group string) Finding {
	procs := f.GoMaxProcs
	if procs == 0 {
		procs = runtime.GOMAXPROCS(0)
	}
	found := fmt.Sprintf("GOMAXPROCS %d on %d CPUs", procs, runtime.NumCPU())
	share := quota(group)
	if share == 0 {
		return limits.OK("CPUs", "%s, no quota", found)
	}
	found += fmt.Sprintf(", quota %.2g", share)
	switch {
	case share < 1:
		return limits.Warn("CPUs", found, "a quota of 1 or more", "raise CPUQuota= of the unit: a pause of its group stops the conductor for most of each tenth of a second")
	case float64(procs) > math.Max(2, math.Ceil(share)):
		return limits.Warn("CPUs", found, "GOMAXPROCS no greater than the quota", "do not set GOMAXPROCS, or set it to the quota: the kernel stops the process when it runs on more")
	}
	return limits.OK("CPUs", "%s", found)
}

// cgroupRoot is where cgroup v2 is mounted.
const cgroupRoot = "/sys/fs/cgroup"

// cgroupOf is the folder of a process's cgroup (v2), "" = not known.
func cgroupOf(pid int) string {
	who := "self"
	if pid > 0 {
		who = strconv.Itoa(pid)
	}
	b, err := os.ReadFile("/proc/" + who + "/cgroup")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return filepath.Join(cgroupRoot, path)
		}
	}
	return ""
}

// upwards reads a file of a cgroup and of all groups above it.
func upwards(group, file string, fn func(text string)) {
	for dir := group; strings.HasPrefix(dir, cgroupRoot); dir = filepath.Dir(dir) {
		if b, err := os.ReadFile(filepath.Join(dir, file)); err == nil { //nolint:gosec // of the kernel
			fn(strings.TrimSpace(string(b)))
		}
	}
}

// least is the smallest limit of a group and those above it, 0 = none.
func least(group, file string) (most uint64) {
	upwards(group, file, func(text string) {
		if n, err := strconv.ParseUint(text, 10, 64); err == nil && (most == 0 || n < most) {
			most = n
		}
	})
	return most
}

// quota is how many CPUs a group may use, 0 = all.
func quota(group string) (share float64) {
	upwards(group, "cpu.max", func(text string) {
		if s := quotaOf(text); s > 0 && (share == 0 || s < share) {
			share = s
		}
	})
	return share
}

// quotaOf reads "max 100000" or "150000 100000".
func quotaOf(text string) float64 {
	q, period, _ := strings.Cut(text, " ")
	n, err := strconv.ParseFloat(q, 64)
	p, perr := strconv.ParseFloat(period, 64)
	if err != nil || perr != nil || p <= 0 {
		return 0
	}
	return n / p
}

// number is what a file of /proc holds, 0 = not readable.
func number(file string) int {
	b, err := os.ReadFile(file) //nolint:gosec // of the kernel
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return n
}

// meminfo is a row of /proc/meminfo in KB, 0 = not known.
func meminfo(row string) int {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, row+":"); ok {
			n, _ := strconv.Atoi(strings.Fields(rest)[0])
			return n
		}
	}
	return 0
}

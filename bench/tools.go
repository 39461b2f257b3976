// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The tools that operators use today. Their CPU is that of their processes.

const (
	ipmipowerBatch  = 5000 // hosts that one ipmipower takes: it opens a descriptor for each
	ipmitoolSample  = 200  // BMCs that ipmitool is measured with: it takes a process each
	ipmitoolWorkers = 8    // at a time, as Ironic's power sync does
)

// tool finds a program, or says which package has it.
func tool(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%w; install it: apt-get install %s", err, map[string]string{"ipmipower": "freeipmi-tools", "ipmitool": "ipmitool"}[name])
	}
	return path, nil
}

// ipmipower asks hosts BMCs in one process.
func ipmipower(ctx context.Context, path string, port, hosts int) (sample, error) {
	names := make([]string, hosts)
	for i := range names {
		names[i] = fmt.Sprintf("%s:%d", bmcAddress(i), port)
	}
	c := exec.CommandContext(ctx, path, "-D", "LAN_2_0", "-I", "17", "-u", "admin", "-p", "password", "--stat", "-C", "-h", strings.Join(names, ","))
	start := time.Now()
	out, err := c.CombinedOutput()
	took := time.Since(start)
	if err != nil {
		return sample{}, fmt.Errorf("%w: %.300s", err, out)
	}
	if good := folded(string(out)); good != hosts || !strings.Contains(string(out), "off") {
		return sample{}, fmt.Errorf("ipmipower got %d of %d answers: %.300s", good, hosts, out)
	}
	used := c.ProcessState.UserTime() + c.ProcessState.SystemTime()
	return sample{Rate: float64(hosts) / took.Seconds(), CPU: float64(used.Nanoseconds()) / 1e3 / float64(hosts)}, nil
}

// ipmitool asks hosts BMCs, each by a process of its own, some at a time.
func ipmitool(ctx context.Context, path string, port, hosts int) (sample, error) {
	var mu sync.Mutex
	var used time.Duration
	var failed error
	work := make(chan int)
	var wg sync.WaitGroup
	start := time.Now()
	for range ipmitoolWorkers {
		wg.Go(func() {
			for i := range work {
				c := exec.CommandContext(ctx, path, "-I", "lanplus", "-C", "17", "-H", bmcAddress(i).String(), "-p", strconv.Itoa(port),
					"-U", "admin", "-P", "password", "power", "status")
				out, err := c.CombinedOutput()
				if err == nil && !strings.Contains(string(out), "is off") {
					err = errors.New("it gave no power state")
				}
				mu.Lock()
				if err != nil {
					failed = fmt.Errorf("ipmitool: %w: %.300s", err, out)
				} else {
					used += c.ProcessState.UserTime() + c.ProcessState.SystemTime()
				}
				mu.Unlock()
			}
		})
	}
	for i := range hosts {
		work <- i
	}
	close(work)
	wg.Wait()
	return sample{Rate: float64(hosts) / time.Since(start).Seconds(), CPU: float64(used.Nanoseconds()) / 1e3 / float64(hosts)}, failed
}

// folded counts the hosts of the first consolidated block of output, like "127.1.0.[1-255],127.1.1.7". Without
// consolidation ipmipower loses lines when thousands come at once.
func folded(out string) int {
	n := 0
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "127.") {
			continue
		}
		depth, part := 0, ""
		for _, c := range line + "," {
			switch {
			case c == ',' && depth == 0:
				n += ranges(part)
				part = ""
				continue
			case c == '[':
				depth++
			case c == ']':
				depth--
			}
			part += string(c)
		}
	}
	return n
}

// ranges counts one name with at most one bracket: "127.1.0.[1-3,7]" is 4.
func ranges(part string) int {
	_, in, ok := strings.Cut(part, "[")
	if !ok {
		if part == "" {
			return 0
		}
		return 1
	}
	in, _, _ = strings.Cut(in, "]")
	n := 0
	for r := range strings.SplitSeq(in, ",") {
		a, b, two := strings.Cut(r, "-")
		low, err := strconv.Atoi(a)
		high := low
		if two && err == nil {
			high, err = strconv.Atoi(b)
		}
		if err == nil {
			n += high - low + 1
		}
	}
	return n
}

func freeUDP() (int, error) {
	c, err := net.ListenPacket("udp4", "0.0.0.0:0")
	if err != nil {
		return 0, err
	}
	defer c.Close() //nolint:errcheck // only asked for its number
	return c.LocalAddr().(*net.UDPAddr).Port, nil
}

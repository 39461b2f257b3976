// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A demo with several conductors: one that is killed from elsewhere is told of, a demo that is killed itself leaves no
// process, and one that is interrupted leaves no folder either.
func TestDemoOfSeveralConductors(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "interrupted": syscall.SIGINT} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			p := runAs(t, binary, []string{"TMPDIR=" + dir, "FERRITE_API_LISTEN=0.0.0.0:1"}, "demo", "--conductors", "3", "--bmcs", "4", "--for", "10m",
				"--api-listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0", "--sim-listen", "0.0.0.0:0", "--sim-control", "127.0.0.1:0")
			var pids []int
			untilLong(t, "the demo is ready", func() bool { // it waits 2 minutes itself
				pids = nil
				for _, m := range regexp.MustCompile(`(?m)^  c[123] .*  process (\d+)$`).FindAllStringSubmatch(p.out.String(), -1) {
					pid, err := strconv.Atoi(m[1])
					if err != nil {
						t.Fatal(err)
					}
					pids = append(pids, pid)
				}
				return len(pids) == 3 && strings.Contains(p.out.String(), "Ctrl-C ends")
			})
			if err := syscall.Kill(pids[1], syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			until(t, "c2's end is told", func() bool {
				return strings.Contains(p.out.String(), fmt.Sprintf("Killed c2 (process %d), by a signal from elsewhere", pids[1]))
			})
			until(t, "the others have its nodes", func() bool { return strings.Contains(p.out.String(), "Taken over: noticed that c2 is gone") })
			p.signal(end)
			<-p.done
			for i, pid := range pids {
				until(t, fmt.Sprintf("c%d has ended", i+1), func() bool {
					b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
					return err != nil || !strings.Contains(string(b), dir)
				})
			}
			if end == syscall.SIGKILL {
				return
			}
			if code := p.exit(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
				t.Errorf("left behind: %v %v", left, err)
			}
		})
	}
}

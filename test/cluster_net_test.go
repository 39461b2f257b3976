// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// netVariable tells a test process that it has a network and mounts of its own, where it may do what it likes.
const netVariable = "NEMESIS_NETNS"

// lan is a small network: each conductor in a namespace of its own, on one bridge with the test, which has the BMCs. All
// addresses are of the loopback's block, so that what is allowed only there is allowed here. It is gone with the process.
type lan struct {
	t       *testing.T
	hosts   []string
	holders []int // processes that hold the namespaces
}

const (
	lanHere = "127.77.0.254" // the test's side of the bridge
	lanBMCs = "127.1.0.0/16"
)

// inOwnNet runs the test again in a process with a network and mounts of its own; false = that is not allowed here, or this is it.
func inOwnNet(t *testing.T) bool {
	t.Helper()
	if os.Getenv(netVariable) != "" {
		return false
	}
	if os.Getenv(switchVariable) != "" {
		t.Logf("%s: no network namespaces, partitions are made by a switch in the transports", switchVariable)
		return false
	}
	var own []string // who is not root may be it in a user namespace
	for _, own = range [][]string{{"-n", "-m"}, {"-r", "-n", "-m"}} {
		if out, err := exec.Command("unshare", append(own, "ip", "link", "add", "name", "probe0", "type", "bridge")...).CombinedOutput(); err != nil { //nolint:gosec // our own words
			t.Logf("unshare %v: %v %s", own, err, out)
			own = nil
			continue
		}
		break
	}
	if own == nil {
		t.Log("no network namespaces: they need root, or user namespaces; partitions are made by a switch in the transports")
		return false
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("unshare", append(own, self, "-test.run", "^"+t.Name()+"$", "-test.v", "-test.count=1", "-test.timeout=0")...) //nolint:gosec // ourselves
	c.Env = append(os.Environ(), netVariable+"=1", "FERRITE_BIN="+absolute(t, binary))
	log, err := os.CreateTemp("", "ferrite-nemesis-*.log")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	c.Stdout, c.Stderr = log, log
	err = c.Run()
	text, _ := os.ReadFile(log.Name())
	short := strings.Builder{}
	for line := range strings.Lines(string(text)) {
		if !strings.Contains(line, `{"time":`) {
			short.WriteString(line)
		}
	}
	if err != nil {
		t.Fatalf("in its own network: %v; everything that the conductors said is in %s\n%s", err, log.Name(), short.String())
	}
	t.Log(short.String())
	_ = os.Remove(log.Name())
	return true
}

func absolute(t *testing.T, file string) string {
	t.Helper()
	full, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	return full
}

// newLAN lays the cables for so many conductors; nil where this process has no network of its own.
func newLAN(t *testing.T, conductors int) *lan {
	t.Helper()
	if os.Getenv(netVariable) == "" {
		return nil
	}
	l := &lan{t: t}
	l.sh(`echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet
ip link set lo up
ip link add br0 type bridge && ip addr add ` + lanHere + `/24 dev br0 scope global && ip link set br0 up
ip route add local 127.0.0.0/16 dev lo && ip route add local ` + lanBMCs + ` dev lo && ip route del local 127.0.0.0/8 table local`)
	for i := range conductors {
		c := exec.Command("unshare", "-n", "sleep", "infinity")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
		here, err := os.Readlink("/proc/self/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		until(t, "a network namespace", func() bool {
			there, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", c.Process.Pid))
			return err == nil && there != here
		})
		host := fmt.Sprintf("127.77.0.%d", i+1)
		l.hosts, l.holders = append(l.hosts, host), append(l.holders, c.Process.Pid)
		l.sh(fmt.Sprintf("ip link add v%d type veth peer name e%d && ip link set v%d master br0 up && ip link set e%d netns %d", i, i, i, i, c.Process.Pid))
		l.in(i, fmt.Sprintf(`echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet
ip link set lo up && ip addr add 127.0.0.1/32 dev lo && ip addr del 127.0.0.1/8 dev lo
ip addr add %s/24 dev e%d scope global && ip link set e%d up && ip route add %s via %s src %s`, host, i, i, lanBMCs, lanHere, host))
	}
	return l
}

func (l *lan) sh(script string) {
	l.t.Helper()
	if out, err := exec.Command("sh", "-ec", script).CombinedOutput(); err != nil { //nolint:gosec // our own scripts
		l.t.Fatalf("%s: %v %s", script, err, out)
	}
}

// inside is the command that runs something in a conductor's namespace.
func (l *lan) inside(i int) []string {
	return []string{"nsenter", "-n", "-t", fmt.Sprint(l.holders[i])}
}

func (l *lan) in(i int, script string) {
	l.t.Helper()
	args := append(l.inside(i)[1:], "sh", "-ec", script)
	if out, err := exec.Command("nsenter", args...).CombinedOutput(); err != nil { //nolint:gosec // our own scripts
		l.t.Fatalf("%s: %v %s", script, err, out)
	}
}

// senders implements wires: each conductor has an address of its own.
func (l *lan) senders(source string) []string {
	host, _, _ := net.SplitHostPort(source)
	return []string{fmt.Sprintf("c%d", slices.Index(l.hosts, host)+1)}
}

// unplug cuts a conductor off from everything, BMCs included.
func (l *lan) unplug(i int, cut bool) {
	l.sh(fmt.Sprintf("ip link set v%d %s", i, map[bool]string{true: "down", false: "up"}[cut]))
}

// cut implements wires.
func (l *lan) cut(from, to int, yes bool) {
	verb := map[bool]string{true: "add", false: "del"}[yes]
	l.in(from, fmt.Sprintf("ip route %s blackhole %s/32", verb, l.hosts[to]))
}

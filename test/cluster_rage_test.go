// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// nemesis harms conductors, one or several at a time, in an order that its seed gives.
type nemesis struct {
	*ensemble
	lan   *lan  // nil = there are no namespaces
	net   wires // nil = nobody can be cut off
	disks []*disk
	own   string // build of ferrite that all begin with, "" = the one under test
	other string // another one, "" = there is none
	rnd   *rand.Rand
	size  size
	done  map[string]int // blows by kind
	full  map[*site]bool // whose disk was full to the last byte
}

// blow is one kind of harm.
type blow struct {
	name  string
	lacks func(n *nemesis) string                                // why it cannot be done here, "" = it can
	do    func(n *nemesis, v int, s *site, outage time.Duration) // to s, which is number v
}

func nothing(*nemesis) string { return "" }

func cables(n *nemesis) string {
	if n.net == nil {
		return "no network namespaces, and no build with a switch"
	}
	return ""
}

// blows are dealt in this order, each in turn; then as it comes. Deaths come first: a conductor that has died again and again
// waits for a while before it reads all BMCs, and what follows takes that time anyway.
var blows = []blow{
	{"kill", nothing, func(_ *nemesis, _ int, s *site, outage time.Duration) {
		s.p.kill()
		time.Sleep(outage)
	}},
	{"kill the leader", nothing, func(n *nemesis, _ int, _ *site, outage time.Duration) {
		n.leader().p.kill()
		time.Sleep(outage)
	}},
	{"kill two at once", nothing, func(n *nemesis, v int, s *site, outage time.Duration) {
		s.p.kill()
		n.all[(v+1)%len(n.all)].p.kill()
		time.Sleep(outage)
	}},
	{"cut the power of all", func(n *nemesis) string {
		if len(n.disks) == 0 || !n.disks[0].loop {
			return "no ext4 on a loop device in a mount namespace"
		}
		return ""
	}, (*nemesis).blackout},
	{"pause", nothing, func(_ *nemesis, _ int, s *site, outage time.Duration) {
		s.p.signal(syscall.SIGSTOP)
		time.Sleep(outage)
		s.p.signal(syscall.SIGCONT)
	}},
	{"upgrade", func(n *nemesis) string {
		if n.other == "" {
			return "no second build"
		}
		return ""
	}, func(n *nemesis, _ int, s *site, _ time.Duration) {
		s.ends()
		if s.bin == n.own {
			s.bin = n.other
		} else {
			s.bin = n.own
		}
	}},
	{"end", nothing, func(_ *nemesis, _ int, s *site, _ time.Duration) { s.ends() }},
	{"part", cables, func(n *nemesis, v int, _ *site, outage time.Duration) { // it still reaches the BMCs
		both := n.rnd.IntN(2) == 0
		for _, yes := range []bool{true, false} {
			for i := range n.all {
				if i != v {
					n.part(v, i, both, yes)
				}
			}
			if yes {
				time.Sleep(outage)
			}
		}
	}},
	{"part two", func(n *nemesis) string { // all others reach both
		if why := cables(n); why != "" {
			return why
		}
		if n.lan != nil && n.size.least == 0 {
			return "the short run with namespaces has unplug instead"
		}
		return ""
	}, func(n *nemesis, v int, _ *site, outage time.Duration) {
		both, i := n.rnd.IntN(2) == 0, (v+1)%len(n.all)
		n.part(v, i, both, true)
		time.Sleep(outage)
		n.part(v, i, both, false)
	}},
	{"unplug", func(n *nemesis) string {
		if n.lan == nil {
			return "no network namespaces; BMCs and clients are not behind the switch"
		}
		return ""
	}, func(n *nemesis, v int, _ *site, outage time.Duration) {
		n.lan.unplug(v, true)
		time.Sleep(outage)
		n.lan.unplug(v, false)
	}},
	{"fill the disk", func(n *nemesis) string {
		if len(n.disks) == 0 {
			return "no mount namespace"
		}
		return ""
	}, func(n *nemesis, v int, s *site, outage time.Duration) {
		leave := uint64(n.rnd.IntN(2)) * (32 << 20) // below the watermark, or not a byte
		if n.full[s] = leave == 0; n.full[s] {
			n.done["of these to the last byte"]++
		}
		n.disks[v].fill(leave)
		time.Sleep(outage)
		n.disks[v].empty()
	}},
}

// part cuts what one conductor sends to another, or mends it. both = also what the other one sends to it.
func (n *nemesis) part(v, i int, both, yes bool) {
	n.net.cut(v, i, yes)
	if both {
		n.net.cut(i, v, yes)
	}
	if w, ok := n.net.(*switched); ok && yes {
		for _, s := range n.all {
			until(n.t, s.name()+" to be cut off", func() bool { return !s.runs() || w.heard(s) })
		}
	}
}

// rage harms until there was enough of it; in between all is well for a moment, or not quite.
func (n *nemesis) rage() {
	var can []blow
	only := os.Getenv("NEMESIS_ONLY") // kinds by name, with commas between: to look for one cause
	for _, b := range blows {
		why := b.lacks(n)
		if why != "" {
			n.t.Logf("SKIPPED: %s: %s", b.name, why)
		}
		if why == "" && (only == "" || slices.Contains(strings.Split(only, ","), b.name)) {
			can = append(can, b)
		}
	}
	if len(can) == 0 {
		n.t.Fatalf("NEMESIS_ONLY=%s: nothing of it can be done here", only)
	}
	end := time.Now().Add(n.size.least)
	for i := 0; i < n.size.acts || time.Now().Before(end); i++ {
		b := can[i%len(can)]
		if i >= len(can) {
			b = can[n.rnd.IntN(len(can))]
		}
		v := n.rnd.IntN(len(n.all))
		s := n.all[v]
		outage := 500*time.Millisecond + time.Duration(n.rnd.Int64N(int64(n.size.pause)))
		n.t.Logf("%s: %s %s for %s", time.Now().UTC().Format("15:04:05.000"), b.name, s.name(), outage.Round(time.Millisecond))
		n.done[b.name]++
		n.alive()
		b.do(n, v, s, outage)
		n.revive()
		if n.rnd.IntN(3) > 0 { // else the next blow falls on a cluster that is not whole yet
			n.whole()
		}
		time.Sleep(time.Duration(n.rnd.Int64N(int64(time.Second))))
	}
	n.whole()
}

// revive starts those that are gone.
func (n *nemesis) revive() {
	for _, s := range n.all {
		if !s.runs() {
			s.launch()
		}
	}
}

// alive: nobody ends by itself, unless its disk has not a byte left; then it says so.
func (n *nemesis) alive() {
	n.t.Helper()
	for _, s := range n.all {
		if s.runs() {
			continue
		}
		if n.full[s] {
			n.t.Logf("%s ended without a byte of room: %s", s.name(), lastLine(s.p.out.String()))
		} else {
			n.t.Errorf("%s ended by itself:\n%s", s.name(), s.p.out)
		}
		s.launch()
	}
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// blackout is what the loss of power does: no disk gets another byte, and no process lives on.
func (n *nemesis) blackout(_ int, _ *site, outage time.Duration) {
	var all sync.WaitGroup
	for i, s := range n.all {
		all.Go(func() {
			n.disks[i].cut()
			s.p.kill()
		})
	}
	all.Wait()
	time.Sleep(min(outage, 3*time.Second)) // nothing happens meanwhile
	for _, d := range n.disks {
		d.again()
	}
}

// versions: each conductor is the build that was started last, and the others know.
func (n *nemesis) versions() {
	n.t.Helper()
	want := map[string]string{}
	for _, s := range n.all {
		want[s.name()] = versionOf(n.t, n.own)
		if s.bin != n.own {
			want[s.name()] = otherVersion
		}
	}
	for _, s := range n.all {
		code, doc, _, err := n.do(s, "GET", "/v1/x/cluster", nil, nil)
		if err != nil || code != http.StatusOK {
			n.t.Errorf("the members by %s: %d %v", s.name(), code, err)
		}
		members, _ := doc["members"].([]any)
		for _, m := range members {
			x, _ := m.(map[string]any)
			if name, _ := x["name"].(string); x["version"] != want[name] {
				n.t.Errorf("%s takes %s for version %v, it is %s", s.name(), name, x["version"], want[name])
			}
		}
	}
}

// tally is the summary: how many of each, and what could not be done here.
func (n *nemesis) tally() string {
	var out []string
	for _, b := range blows {
		if why := b.lacks(n); why != "" {
			out = append(out, fmt.Sprintf("%s SKIPPED (%s)", b.name, why))
			continue
		}
		out = append(out, fmt.Sprintf("%s %d", b.name, n.done[b.name]))
	}
	return strings.Join(append(out, fmt.Sprintf("of these to the last byte %d", n.done["of these to the last byte"])), ", ")
}

// versionOf is what a build says that it is; "" = the one under test.
func versionOf(t *testing.T, bin string) string {
	t.Helper()
	if bin == "" {
		bin = binary
	}
	out, err := exec.Command(bin, "version", "-o", "json").Output() //nolint:gosec // a binary under test
	if err != nil {
		t.Fatal(err)
	}
	var about struct{ Version string }
	if err := json.Unmarshal(out, &about); err != nil {
		t.Fatal(err)
	}
	return about.Version
}

// otherVersion is what the other build says that it is.
const otherVersion = "0.0.0-other"

// anotherBuild is ferrite with another version; "" where it cannot be built.
func (n *nemesis) anotherBuild() string {
	file := filepath.Join(n.t.TempDir(), "ferrite-"+otherVersion)
	flags := []string{"-ldflags", "-X main.version=" + otherVersion}
	if n.own != "" {
		flags = append(flags, "-tags", "cuttable")
	}
	if err := build(file, flags...); err != nil {
		n.t.Logf("SKIPPED: another build of ferrite: %v", err)
		return ""
	}
	return file
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// deed is an operation that is under way on its owner when something happens to that.
type deed struct {
	name   string
	fake   bool   // on fake-hardware: a step of a driver instead of a BMC
	before string // power target or provision verb that brings the node there
	do     string // as act.do
	want   map[string]any
	family string // events that come as one start and one end; "" = none
	sent   string // commands of an undisturbed run
}

var deeds = []deed{
	{name: "on", do: "power power on", want: power("power on"), family: "node.power_set", sent: "power on"},
	{name: "reboot", before: "power on", do: "power rebooting", want: power("power on"), family: "node.power_set", sent: "power off, power on"},
	{name: "nmi", before: "power on", do: "nmi", want: power("power on"), sent: "nmi"},
	{name: "deploy", fake: true, before: "provide", do: "provision active", want: provision("active"), family: "node.provision_set"},
}

// play is a cluster with deeds that all belong to one conductor, and can be made to stand still there.
type play struct {
	*ensemble
	farm   *farm
	heard  *tidings
	victim *site
	file   string // of the victim's killpoints
	deeds  []deed
	bmc    []int
	uuid   []string
	sent   [][]string // commands before
	mark   []int      // events before
}

// newPlay makes nodes until one of each deed belongs to the same conductor, and brings those to where they begin.
func newPlay(t *testing.T, bin string, deeds []deed) *play {
	t.Helper()
	const spare = 40 // BMCs to choose from
	p := &play{ensemble: prepared(t, 3, "--automated-clean=false", "--sync-power-state-interval", "2s"), farm: newFarm(t, spare), deeds: deeds}
	dir := t.TempDir()
	for _, s := range p.all {
		s.bin, s.env = bin, []string{"KILLPOINTS_FILE=" + filepath.Join(dir, s.name())}
	}
	p.startAll()
	p.heard = p.listen()
	next := 0
	for _, d := range deeds {
		for try := 0; ; try++ {
			if try == spare-len(deeds) {
				t.Fatalf("%d nodes are all with others than %s: the hash places badly", try, p.victim.name())
			}
			body := map[string]any{"driver": "fake-hardware", "name": fmt.Sprintf("%s-%d", d.name, try)}
			if !d.fake {
				if next == spare {
					t.Fatalf("%d machines are not enough to find %d of one conductor", spare, len(deeds))
				}
				body["driver"], body["driver_info"] = "ipmi", p.farm.driverInfo(next)
				next++
			}
			doc := p.must(http.StatusCreated, "POST", "/v1/nodes", body)
			id, _ := doc["uuid"].(string)
			at := p.settled(id)
			if p.victim == nil {
				p.victim = at
			}
			if at == p.victim {
				p.uuid, p.bmc = append(p.uuid, id), append(p.bmc, next-1)
				break
			}
		}
	}
	p.file = filepath.Join(dir, p.victim.name())
	for i, d := range deeds {
		p.turn(p.uuid[i], "provision manage", provision("manageable"))
		switch d.before {
		case "":
		case "provide":
			p.turn(p.uuid[i], "provision provide", provision("available"))
		default:
			p.turn(p.uuid[i], "power "+d.before, power(d.before))
		}
	}
	for i := range deeds {
		p.sent = append(p.sent, p.farm.commands(p.bmc[i]))
		until(t, "the events of the preparation", func() bool { return open(p.heard.events(p.uuid[i]), "node.provision_set") == 0 })
		if deeds[i].before == "power on" {
			until(t, "the events of the preparation", func() bool { return open(p.heard.events(p.uuid[i]), "node.power_set") == 0 })
		}
		p.mark = append(p.mark, len(p.heard.events(p.uuid[i])))
	}
	return p
}

// settled is the conductor that all agree on; members that have just come take a moment until others count on them.
func (p *play) settled(id string) (at *site) {
	p.t.Helper()
	last := ""
	until(p.t, "all to agree on a node's owner", func() bool {
		at = nil
		for _, s := range p.all {
			if !p.sees(s, &last) {
				return false
			}
			_, doc, _, err := p.do(s, "GET", "/v1/x/cluster/owners/"+id, nil, nil)
			for _, m := range p.all {
				switch {
				case err != nil || m.name() != doc["placed"]:
				case at != nil && at != m:
					return false
				default:
					at = m
				}
			}
		}
		return at != nil
	})
	return at
}

// turn brings a node into a state.
func (p *play) turn(id, do string, want map[string]any) {
	p.t.Helper()
	kind, target, _ := strings.Cut(do, " ")
	p.must(http.StatusAccepted, "PUT", "/v1/nodes/"+id+"/states/"+kind, map[string]any{"target": target})
	p.await(id, want)
}

// standAt begins all deeds through conductors that do not own the nodes and waits until they stand at a place.
func (p *play) standAt(place string) {
	p.t.Helper()
	if err := os.WriteFile(p.file, fmt.Appendf(nil, "%s %d", place, len(p.deeds)), 0o600); err != nil {
		p.t.Fatal(err)
	}
	others := p.others(p.victim)
	for i, d := range p.deeds {
		path, body := "/v1/nodes/"+p.uuid[i]+"/management/inject_nmi", map[string]any{}
		if kind, target, two := strings.Cut(d.do, " "); two {
			path, body = "/v1/nodes/"+p.uuid[i]+"/states/"+kind, map[string]any{"target": target}
		} else { // answered at its end
			go func() { _, _, _, _ = p.do(others[i%2], "PUT", path, body, nil) }()
			continue
		}
		if code, doc, _, err := p.do(others[i%2], "PUT", path, body, nil); err != nil || code != http.StatusAccepted {
			p.t.Fatalf("%s: %d %v %v", d.name, code, doc, err)
		}
	}
	defer func() {
		if p.t.Failed() {
			for i, d := range p.deeds {
				_, doc, err := p.ask("GET", "/v1/nodes/"+p.uuid[i], nil)
				_, owner, _ := p.ask("GET", "/v1/x/cluster/owners/"+p.uuid[i], nil)
				p.t.Logf("%s: %v %v\n%v\nvictim %s", d.name, doc, err, owner, p.victim.name())
			}
		}
	}()
	until(p.t, "all operations at "+place, func() bool { _, err := os.Stat(p.file + ".reached"); return err == nil })
}

// ended looks at the end of a deed: it is as if undisturbed, but for a once effect, which is never sent twice.
func (p *play) ended(i int, place string) {
	t, d := p.t, p.deeds[i]
	t.Helper()
	n := p.await(p.uuid[i], d.want)
	if n["last_error"] != nil && d.name != "nmi" {
		t.Errorf("%s: last_error %v", d.name, n["last_error"])
	}
	if !d.fake {
		want := d.sent
		if d.name == "nmi" && place == "before-send" {
			want = "" // who comes next cannot know (S12)
		}
		if got := strings.Join(p.farm.commands(p.bmc[i])[len(p.sent[i]):], ", "); got != want {
			t.Errorf("%s: the BMC was sent %q, wanted %q", d.name, got, want)
		}
	}
	if d.name == "nmi" {
		h := p.must(http.StatusOK, "GET", "/v1/nodes/"+p.uuid[i]+"/history", nil)
		if !strings.Contains(fmt.Sprint(h), "outcome unknown") {
			t.Errorf("nmi: the history does not tell of an unknown outcome: %v", h)
		}
	}
	if d.family == "" {
		return
	}
	until(t, "the end of "+d.name+" to be told", func() bool { return open(p.heard.events(p.uuid[i])[p.mark[i]:], d.family) == 0 })
	got := p.heard.events(p.uuid[i])[p.mark[i]:]
	count := func(what string) (n int) {
		for _, e := range got {
			if e == d.family+"."+what {
				n++
			}
		}
		return n
	}
	if count("start") != 1 || count("end") != 1 || count("error") != 0 {
		t.Errorf("%s: events %v, wanted one %s.start and one .end", d.name, got, d.family)
	}
}

// places where a conductor may lose what it does, and the deeds that pass them.
var places = []struct {
	name  string
	deeds []string
}{
	{"before-send", []string{"on", "reboot", "nmi"}},
	{"in-step", []string{"deploy"}},
	{"after-reply", []string{"on", "reboot", "nmi", "deploy"}},
}

func deedsAt(names []string) (out []deed) {
	for _, d := range deeds {
		if slices.Contains(names, d.name) {
			out = append(out, d)
		}
	}
	return out
}

// TestClusterOwnerIsLost takes the owner of running operations away. The others end them: nothing is lost, nothing is done
// twice. One that was only paused does nothing on the BMCs any more when it goes on (S3, S9, S10, S11, S12).
func TestClusterOwnerIsLost(t *testing.T) {
	t.Parallel()
	bin := os.Getenv("KILLPOINTS_BIN")
	if bin == "" {
		bin = killable(t)
	}
	for _, place := range places {
		if os.Getenv("FERRITE_LONG") == "" && place.name == "in-step" { // "after-reply" has its deed, too
			continue
		}
		t.Run("killed "+place.name, func(t *testing.T) {
			t.Parallel()
			p := newPlay(t, bin, deedsAt(place.deeds))
			p.standAt(place.name)
			p.victim.p.kill()
			for i := range p.deeds {
				p.ended(i, place.name)
			}
			_ = os.Remove(p.file)
			p.startAll()
			for i := range p.deeds {
				p.ended(i, place.name)
			}
		})
		t.Run("paused "+place.name, func(t *testing.T) {
			t.Parallel()
			p := newPlay(t, bin, deedsAt(place.deeds))
			p.standAt(place.name)
			p.victim.p.signal(syscall.SIGSTOP)
			for i, d := range p.deeds {
				p.await(p.uuid[i], d.want)
			}
			if err := os.Remove(p.file); err != nil {
				t.Fatal(err)
			}
			p.victim.p.signal(syscall.SIGCONT)
			p.whole()
			for i, d := range p.deeds { // it takes part again, and its late answers have been judged by then
				doc := p.must(http.StatusOK, "GET", "/v1/nodes/"+p.uuid[i], nil)
				if doc["reservation"] != nil {
					t.Errorf("%s is reserved again: %v", d.name, doc["reservation"])
				}
				_, _, _, _ = p.do(p.victim, "PATCH", "/v1/nodes/"+p.uuid[i], []map[string]any{{"op": "add", "path": "/extra/after", "value": 1}}, nil)
			}
			for i := range p.deeds {
				p.ended(i, place.name)
			}
		})
	}
}

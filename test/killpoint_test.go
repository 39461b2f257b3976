// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ferrite/notify/embedded"
)

// act is one operation on one node, and how it must end whatever happens to the conductor in between.
type act struct {
	name   string
	before []string       // what brings the node there: a provision verb, or a power target
	do     string         // "power X", "provision X", "plug" or "nmi"
	want   map[string]any // fields in the end
	family string         // events that must come as one start and one end
	sent   string         // mutating commands of an undisturbed run; may be repeated unless once
	once   string         // a command that must never be sent twice (S12)
	step   bool           // its effect is a step of a driver, not a command to the BMC
}

var acts = []act{
	{name: "on", do: "power power on", want: power("power on"), family: "node.power_set", sent: "power on"},
	{name: "off", before: []string{"power on"}, do: "power power off", want: power("power off"), family: "node.power_set", sent: "power off"},
	{name: "soft-off", before: []string{"power on"}, do: "power soft power off", want: power("power off"), family: "node.power_set", sent: "soft off"},
	{name: "reboot", before: []string{"power on"}, do: "power rebooting", want: power("power on"), family: "node.power_set", sent: "power off, power on"},
	{name: "forced-sync", before: []string{"power on"}, do: "plug", want: power("power on"), family: "node.power_set", sent: "power on"},
	{name: "manage", do: "provision manage", want: provision("manageable"), family: "node.provision_set"},
	{name: "adopt", do: "provision adopt", want: provision("active"), family: "node.provision_set", step: true},
	{name: "deploy", before: []string{"provide"}, do: "provision active", want: provision("active"), family: "node.provision_set", step: true},
	{name: "tear-down", before: []string{"provide", "active"}, do: "provision deleted", want: provision("available"), family: "node.provision_set", step: true},
	{name: "nmi", before: []string{"power on"}, do: "nmi", want: power("power on"), once: "diagnostic interrupt"},
}

func power(state string) map[string]any {
	return map[string]any{"power_state": state, "target_power_state": nil, "reservation": nil}
}

func provision(state string) map[string]any {
	return map[string]any{"provision_state": state, "target_provision_state": nil, "reservation": nil}
}

// killable builds ferrite with the places where operations can be made to stand still.
func killable(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "ferrite-killpoints")
	if out, err := exec.Command("go", "build", "-tags", "killpoints", "-o", bin, "ferrite/cmd/ferrite").CombinedOutput(); err != nil {
		t.Fatalf("building with killpoints: %v\n%s", err, out)
	}
	return bin
}

// scene is a conductor with a node for each act, ready for it.
type scene struct {
	*site
	farm  *farm
	heard *heard
	file  string
	ids   []string
	sent  [][]string // commands of each BMC before the act
	mark  []int      // events of each node before the act
}

// TestKillPoints kills the conductor with every kind of operation under way, at each place of its life. After the
// restart each has ended as if undisturbed (S3, S8, S11, S12, N1).
func TestKillPoints(t *testing.T) {
	t.Parallel()
	bin := killable(t)
	for _, place := range []string{"before-intent", "after-intent", "after-packet", "after-reply", "after-result"} {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, bin)
			s.stopAt(place)
			s.start()
			if place == "before-intent" { // nobody was told that it is under way: it is asked for again
				for i, a := range acts {
					if a.do != "plug" { // the plug is out; again would be while it is put in
						s.ask(i, a)
					}
				}
			}
			for i, a := range acts {
				s.check(t, place, i, a)
			}
		})
	}
}

func newScene(t *testing.T, bin string) *scene {
	t.Helper()
	bus, err := embedded.Start(embedded.Config{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Shutdown)
	s := &scene{file: filepath.Join(t.TempDir(), "killpoint"), farm: newFarm(t, len(acts))}
	s.site = &site{
		t: t, dir: t.TempDir(), bin: bin, env: []string{"KILLPOINTS_FILE=" + s.file},
		api: fmt.Sprintf("http://127.0.0.1:%d", freePort(t, "tcp")), nats: strings.TrimPrefix(bus.ClientURL(), "nats://"),
		args: []string{"--nats-url", bus.ClientURL(), "--sync-power-state-interval", "1s", "--ipmi-min-command-interval", "0", "--automated-clean=false"},
	}
	s.heard = s.listen()
	s.start()
	for i, a := range acts {
		body := map[string]any{"driver": "ipmi", "name": a.name, "driver_info": s.farm.driverInfo(i)}
		code, doc := s.call("POST", "/v1/nodes", body)
		if code != http.StatusCreated {
			t.Fatalf("POST node: %d %v", code, doc)
		}
		s.ids = append(s.ids, doc["uuid"].(string))
		if a.name != "manage" {
			s.provision(a.name, "manage", "manageable")
		}
		for _, step := range a.before {
			switch step {
			case "provide":
				s.provision(a.name, step, "available")
			case "active":
				s.provision(a.name, step, "active")
			default:
				s.power(a.name, step)
				s.await(a.name, power(step))
			}
		}
	}
	for i := range acts {
		s.sent = append(s.sent, s.farm.commands(i))
		s.mark = append(s.mark, len(s.events(i)))
	}
	return s
}

func (s *scene) provision(ident, verb, state string) {
	s.t.Helper()
	if code, doc := s.call("PUT", "/v1/nodes/"+ident+"/states/provision", map[string]any{"target": verb}); code != http.StatusAccepted {
		s.t.Fatalf("%s of %s: %d %v", verb, ident, code, doc)
	}
	s.await(ident, provision(state))
}

// ask sends an act's request and does not mind the answer: the conductor may be dead by then.
func (s *scene) ask(i int, a act) {
	kind, target, _ := strings.Cut(a.do, " ")
	switch kind {
	case "power", "provision":
		_, _, _ = s.try("PUT", "/v1/nodes/"+a.name+"/states/"+kind, map[string]any{"target": target})
	case "plug":
		s.farm.put(i, map[string]any{"power": "off"})
	case "nmi":
		_, _, _ = s.try("PUT", "/v1/nodes/"+a.name+"/management/inject_nmi", map[string]any{})
	}
}

// stopAt brings all acts to a place and kills the conductor there.
func (s *scene) stopAt(place string) {
	s.t.Helper()
	hook, count := place, len(acts)
	if place == "after-packet" { // the BMC has carried out what was sent, the answer is never heard
		hook, count = "in-step", 0
		for i, a := range acts {
			if a.step {
				count++
				continue
			}
			s.farm.put(i, map[string]any{"lose_replies": true})
			if a.name == "manage" {
				s.farm.put(i, map[string]any{"latency": "1h"})
			}
		}
	}
	if err := os.WriteFile(s.file, fmt.Appendf(nil, "%s %d", hook, count), 0o600); err != nil {
		s.t.Fatal(err)
	}
	for i, a := range acts {
		go s.ask(i, a)
	}
	until(s.t, "all operations at "+place, func() bool { _, err := os.Stat(s.file + ".reached"); return err == nil })
	if place == "after-packet" {
		for i, a := range acts {
			if a.sent != "" || a.once != "" {
				until(s.t, "the packet of "+a.name, func() bool { return len(s.farm.commands(i)) > len(s.sent[i]) })
			}
		}
	}
	s.p.kill()
	if err := os.Remove(s.file); err != nil {
		s.t.Fatal(err)
	}
	for i := range acts {
		s.farm.put(i, map[string]any{"lose_replies": false, "latency": "0s"})
	}
}

// check looks at the end of an act.
func (s *scene) check(t *testing.T, place string, i int, a act) {
	t.Helper()
	if a.sent != "" { // before power sync has seen the plug, the record says what is wanted in the end
		until(t, "the command of "+a.name, func() bool { return len(s.farm.commands(i)) > len(s.sent[i]) })
	}
	n := s.await(a.name, a.want)
	unknown := a.once != "" && place != "before-intent" && place != "after-result" // S12: it ends with an error instead
	if n["last_error"] != nil && !unknown {
		t.Errorf("%s: last_error %v", a.name, n["last_error"])
	}
	_, history := s.call("GET", "/v1/nodes/"+a.name+"/history", nil) // last_error goes with the next good reading
	if told := strings.Contains(fmt.Sprint(history), "outcome unknown"); told != unknown {
		t.Errorf("%s: history %v, wanted an unknown outcome: %v", a.name, history, unknown)
	}
	sent := s.farm.commands(i)[len(s.sent[i]):]
	if a.once != "" {
		if most := map[bool]int{true: 1}[place != "after-intent"]; len(sent) != most {
			t.Errorf("%s: commands %v, wanted %d", a.name, sent, most)
		}
		return
	}
	if got := strings.Join(slices.Compact(slices.Clone(sent)), ", "); got != a.sent {
		t.Errorf("%s: commands %q, wanted %q", a.name, got, a.sent)
	}
	until(t, "the events of "+a.name, func() bool { return open(s.events(i)[s.mark[i]:], a.family) == 0 })
	got := strings.Join(s.events(i)[s.mark[i]:], " ")
	if strings.Count(got, a.family+".start") != 1 || strings.Count(got, a.family+".end") != 1 || strings.Contains(got, a.family+".error") {
		t.Errorf("%s: events %s, wanted one %s.start and one .end", a.name, got, a.family)
	}
}

// events are what was heard of a node; what came twice counts once (N2).
func (s *scene) events(i int) []string {
	s.heard.mu.Lock()
	defer s.heard.mu.Unlock()
	var out []string
	seen := map[string]bool{}
	for _, m := range s.heard.all {
		if m.Header.Get("Ironic-Node") == s.ids[i] && !seen[m.Header.Get("Ferrite-Rev")] {
			seen[m.Header.Get("Ferrite-Rev")] = true
			_, e, _ := strings.Cut(m.Subject, "baremetal.")
			out = append(out, e)
		}
	}
	return out
}

// open counts the starts of a family that have no end yet; -1 = there was none at all.
func open(events []string, family string) int {
	n := -1
	for _, e := range events {
		switch e {
		case family + ".start":
			n = max(n, 0) + 1
		case family + ".end", family + ".error":
			n--
		}
	}
	return n
}

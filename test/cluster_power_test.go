// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// machine is a simulated machine, its node, and all that its one user asked of it.
type machine struct {
	i    int
	name string
	uuid string

	acked, maybe map[string]int    // requests by target that were accepted, and whose outcome is not known
	sent         []pushed          // mutating commands that the BMC has executed
	reigns       map[uint64]string // who owned the node in an epoch, as far as somebody looked
	reign        uint64            // the first epoch in which the newest command can have been sent
	judged       int               // of sent: their reign is known
}

// pushed is a mutating chassis command as the BMC logged it.
type pushed struct {
	at, name, source string
}

// operators send power commands through any conductor and check what became of each.
type operators struct {
	e    *ensemble
	farm *farm
	net  wires // nil = nobody knows whose command it was
	all  []*machine

	mu      sync.Mutex // guards below
	wrong   []string
	ops     int
	unknown int

	anonymous atomic.Int64 // commands whose sender nobody knows
}

func (o *operators) violation(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.wrong = append(o.wrong, fmt.Sprintf(format, args...))
}

// enroll makes nodes of all machines.
func (o *operators) enroll(n int) {
	var all sync.WaitGroup
	queue := make(chan *machine)
	for i := range n {
		o.all = append(o.all, &machine{i: i, name: fmt.Sprintf("m%04d", i), acked: map[string]int{}, maybe: map[string]int{}, reigns: map[uint64]string{}})
	}
	for range 8 {
		all.Go(func() {
			for m := range queue {
				code, doc, err := o.e.ask("POST", "/v1/nodes", map[string]any{"driver": "ipmi", "name": m.name, "driver_info": map[string]any{
					"ipmi_address": fmt.Sprintf("127.1.%d.%d", (m.i+1)/256, (m.i+1)%256), "ipmi_port": o.farm.port, "ipmi_username": "admin", "ipmi_password": "password",
				}})
				if err != nil || code != http.StatusCreated {
					o.violation("POST %s: %d %v %v", m.name, code, doc, err)
					continue
				}
				m.uuid, _ = doc["uuid"].(string)
				if code, doc, err := o.e.ask("PUT", "/v1/nodes/"+m.uuid+"/states/provision", map[string]any{"target": "manage"}); err != nil || code != http.StatusAccepted {
					o.violation("manage %s: %d %v %v", m.name, code, doc, err)
				}
			}
		})
	}
	for _, m := range o.all {
		queue <- m
	}
	close(queue)
	all.Wait()
	if len(o.wrong) > 0 {
		o.e.t.Fatalf("enrolling: %v", o.wrong)
	}
	until(o.e.t, "all machines to be manageable", func() bool {
		return len(o.nodes("&provision_state=manageable")) == n
	})
}

// nodes lists the machines' nodes, each with what the checks need.
func (o *operators) nodes(filter string) (out []map[string]any) {
	marker := ""
	for {
		code, doc, err := o.e.ask("GET", "/v1/nodes?driver=ipmi&limit=1000&fields=uuid,name,power_state,target_power_state,reservation,provision_state,maintenance,last_error"+filter+marker, nil)
		if err != nil || code != http.StatusOK {
			return nil
		}
		page, _ := doc["nodes"].([]any)
		for _, x := range page {
			n, _ := x.(map[string]any)
			out = append(out, n)
		}
		if len(page) < 1000 {
			return out
		}
		marker = fmt.Sprintf("&marker=%v", out[len(out)-1]["uuid"])
	}
}

// operate sends one command and waits until the node is idle again, whatever happens to the conductors meanwhile.
func (o *operators) operate(m *machine, stop <-chan struct{}) {
	target := []string{"power on", "power off", "rebooting", "power on", "power off", "rebooting", "nmi"}[rand.IntN(7)]
	epoch, ok := o.epoch(m)
	if !ok {
		return
	}
	o.collect(m)
	before := len(m.sent)
	unclear := sum(m.maybe)
	path, body, want := "/v1/nodes/"+m.uuid+"/states/power", map[string]any{"target": target}, http.StatusAccepted
	if target == "nmi" {
		path, body, want = "/v1/nodes/"+m.uuid+"/management/inject_nmi", map[string]any{}, http.StatusNoContent
	}
	code, doc, err := o.e.ask("PUT", path, body)
	o.mu.Lock()
	o.ops++
	o.mu.Unlock()
	accepted := false
	switch {
	case err == nil && code == want:
		m.acked[target]++
		accepted = true
	case unsent(err), err == nil && code == http.StatusConflict: // nobody was asked; another operation is under way
		return
	case err == nil && code >= 500 && target == "nmi" && strings.Contains(fmt.Sprint(doc), "outcome unknown"):
		m.maybe[target]++
	case err != nil || code == http.StatusServiceUnavailable:
		m.maybe[target]++
		o.mu.Lock()
		o.unknown++
		o.mu.Unlock()
	default:
		o.violation("%s of %s: %d %v", target, m.name, code, doc)
		return
	}
	n := o.idle(m, stop)
	if n == nil {
		return // the last check finds it if it is stuck
	}
	o.collect(m)
	sent := m.sent[before:]
	var names, sources []string
	for _, c := range sent {
		names, sources = append(names, c.name), append(sources, c.source)
	}
	if after, ok := o.epoch(m); ok {
		// Each change of the commanding conductor takes a claim (S1, S4, S11); and one before the first command.
		if switches := len(slices.Compact(slices.Clone(sources))) - 1; switches > 0 && uint64(switches) > after-epoch { //nolint:gosec // positive
			o.violation("%s of %s: the commands %v came from %v, with %d claims between", target, m.name, names, sources, after-epoch)
		}
		o.judge(m, after)
	}
	if !accepted || unclear+sum(m.maybe) > 0 { // a request of unknown outcome may have come later
		return
	}
	if said, _ := n["last_error"].(string); strings.Contains(said, "no free session slot") { // the dead hold them all for a minute
		return
	}
	switch target {
	case "nmi":
		if slices.Index(names, "nmi") < 0 {
			o.violation("nmi of %s was answered by 204, but the BMC got %v", m.name, names)
		}
	case "rebooting":
		if n["power_state"] != "power on" || !rebooted(names) {
			o.violation("reboot of %s was accepted, but the BMC got %v, and the node is %v (last_error %v)", m.name, names, n["power_state"], n["last_error"])
		}
	default:
		if n["power_state"] != target {
			o.violation("%q of %s was accepted, but the node is %v after %v (last_error %v)", target, m.name, n["power_state"], names, n["last_error"])
		}
	}
}

// rebooted: the last power command is on, or nothing but on was needed because the machine was off.
func rebooted(names []string) bool {
	return slices.Contains(names, "power on") || slices.Contains(names, "power cycle") || slices.Contains(names, "hard reset")
}

func sum(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

// idle waits until nothing is under way; nil = the end of the test came first.
func (o *operators) idle(m *machine, stop <-chan struct{}) map[string]any {
	for {
		code, doc, err := o.e.ask("GET", "/v1/nodes/"+m.uuid, nil)
		if err == nil && code == http.StatusOK && doc["reservation"] == nil && doc["target_power_state"] == nil {
			return doc
		}
		select {
		case <-stop:
			return nil
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// epoch is that of the node's owner in the record.
func (o *operators) epoch(m *machine) (uint64, bool) {
	code, doc, err := o.e.ask("GET", "/v1/x/cluster/owners/"+m.uuid, nil)
	v, ok := doc["epoch"].(float64)
	if err != nil || code != http.StatusOK || !ok {
		return 0, false
	}
	if name, _ := doc["recorded"].(string); name != "" {
		m.reigns[uint64(v)] = name
	}
	return uint64(v), true
}

// judge finds for each new command a reign in which its sender owned the node, none before that of the command before it:
// who has lost a node sends nothing once its new owner has (S1, S9, S10, S11). upTo is an epoch that was read after them.
func (o *operators) judge(m *machine, upTo uint64) {
	if o.net == nil {
		return
	}
	for ; m.judged < len(m.sent); m.judged++ {
		c := m.sent[m.judged]
		from := o.net.senders(c.source)
		if len(from) == 0 {
			o.anonymous.Add(1)
			continue
		}
		reign := m.reign
		for reign <= upTo && m.reigns[reign] != "" && !slices.Contains(from, m.reigns[reign]) {
			reign++
		}
		if reign > upTo {
			o.violation("%s: %q at %s came from %s (%v), which owned the node in no epoch from %d to %d; owners: %v; all commands: %v",
				m.name, c.name, c.at, c.source, from, m.reign, upTo, m.reigns, m.sent)
			continue
		}
		m.reign = reign
	}
}

// collect takes over what the BMC has logged since; its log is short.
func (o *operators) collect(m *machine) {
	list, _ := o.farm.get(m.i)["commands"].([]any)
	var fresh []pushed
	for _, x := range list {
		c, _ := x.(map[string]any)
		name, _ := c["name"].(string)
		if !strings.HasPrefix(name, "chassis control: ") || c["completion"] != 0.0 {
			continue
		}
		at, _ := c["time"].(string)
		source, _ := c["source"].(string)
		fresh = append(fresh, pushed{at, strings.TrimPrefix(name, "chassis control: "), source})
	}
	known := 0
	for _, c := range fresh {
		if slices.Contains(m.sent, c) {
			known++
		}
	}
	m.sent = append(m.sent, fresh[known:]...)
}

// check looks at the end: every node idle, owned and as its machine is, and no once effect more often than asked for (S12).
func (o *operators) check(told func(string)) {
	t := o.e.t
	t.Helper()
	var open []string
	listed := 0
	t.Cleanup(func() { o.explain(open, listed) })
	untilLong(t, "all operations to close", func() bool {
		open = open[:0]
		nodes := o.nodes("")
		for _, n := range nodes {
			if n["reservation"] != nil || n["target_power_state"] != nil {
				open = append(open, fmt.Sprint(n["uuid"]))
			}
		}
		listed = len(nodes)
		return listed == len(o.all) && len(open) == 0
	})
	told("all operations are closed")
	for _, m := range o.all {
		o.collect(m)
		if len(m.sent) > 0 {
			if at, ok := o.epoch(m); ok {
				o.judge(m, at)
			}
		}
		nmis := 0
		for _, c := range m.sent {
			if c.name == "nmi" {
				nmis++
			}
		}
		if nmis < m.acked["nmi"] || nmis > m.acked["nmi"]+m.maybe["nmi"] {
			o.violation("%s got %d nmis; %d requests were done, of %d the outcome is not known", m.name, nmis, m.acked["nmi"], m.maybe["nmi"])
		}
	}
	polls := map[int]float64{}
	for _, m := range o.all {
		polls[m.i], _ = o.farm.get(m.i)["polls"].(float64)
	}
	unseen := ""
	t.Cleanup(func() {
		if unseen != "" && t.Failed() {
			_, doc, err := o.e.ask("GET", "/v1/nodes/"+unseen, nil)
			t.Logf("not looked at: %v %v", doc, err)
		}
	})
	untilLong(t, "power sync to look at every machine", func() bool {
		for _, m := range o.all {
			if now, _ := o.farm.get(m.i)["polls"].(float64); now <= polls[m.i] {
				unseen = m.uuid
				return false
			}
		}
		return true
	})
	unseen = ""
	told("every machine is looked at")
	for _, n := range o.nodes("") {
		name, _ := n["name"].(string)
		var i int
		_, _ = fmt.Sscanf(name, "m%d", &i)
		if power := o.farm.get(i)["power"]; n["power_state"] != fmt.Sprintf("power %v", power) || n["maintenance"] != false {
			o.violation("%s is recorded as %v (maintenance %v, %v), the machine is %v", name, n["power_state"], n["maintenance"], n["last_error"], power)
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	t.Logf("%d power commands, %d of unknown outcome; %d came to BMCs from nobody knows whom", o.ops, o.unknown, o.anonymous.Load())
	for _, w := range o.wrong {
		t.Error(w)
	}
}

// untilLong has the patience that a BMC takes whose sessions are all those of dead processes: they end after a minute, and what
// waits for one of them may have waited for an old permit before, and waits as long as a command is tried.
func untilLong(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(3 * patience); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %s in vain for: %s", 3*patience, what)
		}
	}
}

// explain tells what is known of nodes that are stuck, and where each conductor hangs.
func (o *operators) explain(open []string, listed int) {
	t := o.e.t
	if !t.Failed() || listed == len(o.all) && len(open) == 0 {
		return
	}
	t.Logf("%d of %d nodes were listed in the end", listed, len(o.all))
	paths := []string{"/v1/x/cluster", "/v1/x/cluster/owners"}
	for _, uuid := range open {
		paths = append(paths, "/v1/x/cluster/owners/"+uuid, "/v1/nodes/"+uuid, "/v1/nodes/"+uuid+"/history")
	}
	for _, path := range paths {
		for _, s := range o.e.all {
			code, doc, _, err := o.e.do(s, "GET", path, nil, nil)
			t.Logf("%s at %s: %d %v %v", path, s.name(), code, doc, err)
		}
	}
	for _, s := range o.e.all {
		s.p.signal(syscall.SIGQUIT)
	}
	for _, s := range o.e.all {
		s.p.exit()
	}
}

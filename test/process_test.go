// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// enroll makes a manageable ipmi node on a BMC of the farm.
func (s *site) enroll(name string, info map[string]any) string {
	s.t.Helper()
	code, doc := s.call("POST", "/v1/nodes", map[string]any{"driver": "ipmi", "name": name, "driver_info": info})
	if code != http.StatusCreated {
		s.t.Fatalf("POST node: %d %v", code, doc)
	}
	if code, doc := s.call("PUT", "/v1/nodes/"+name+"/states/provision", map[string]any{"target": "manage"}); code != http.StatusAccepted {
		s.t.Fatalf("manage: %d %v", code, doc)
	}
	return s.await(name, map[string]any{"provision_state": "manageable", "target_provision_state": nil})["uuid"].(string)
}

func (s *site) power(ident, target string) {
	s.t.Helper()
	if code, doc := s.call("PUT", "/v1/nodes/"+ident+"/states/power", map[string]any{"target": target}); code != http.StatusAccepted {
		s.t.Fatalf("power %s: %d %v", target, code, doc)
	}
}

func TestPulledPlugIsCorrectedAndTold(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 1)
	s := newSite(t, "--sync-power-state-interval", "1s", "--force-power-state-during-sync=false")
	h := s.listen()
	id := s.enroll("n1", f.driverInfo(0))
	s.power("n1", "power on")
	s.await("n1", map[string]any{"power_state": "power on", "reservation": nil})
	f.put(0, map[string]any{"power": "off"})
	s.await("n1", map[string]any{"power_state": "power off"})
	until(t, "the correction on NATS", func() bool {
		e := h.events(id)
		return len(e) > 0 && e[len(e)-1] == "node.power_state_corrected.success"
	})
	h.mu.Lock()
	last := h.all[len(h.all)-1]
	h.mu.Unlock()
	var doc struct {
		Priority string
		Payload  struct {
			Data map[string]any `json:"ironic_object.data"`
		}
	}
	if err := json.Unmarshal(last.Data, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Priority != "INFO" || doc.Payload.Data["from_power"] != "power on" || doc.Payload.Data["power_state"] != "power off" {
		t.Errorf("notification %s", last.Data)
	}
}

func TestForcePutsThePowerBack(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 1)
	s := newSite(t, "--sync-power-state-interval", "1s", "--ipmi-min-command-interval", "0")
	h := s.listen()
	id := s.enroll("n1", f.driverInfo(0))
	s.power("n1", "power on")
	s.await("n1", map[string]any{"power_state": "power on", "reservation": nil})
	f.put(0, map[string]any{"power": "off"})
	until(t, "the machine to be on again", func() bool { return f.get(0)["power"] == "on" })
	until(t, "power_set.end of the sync", func() bool {
		return strings.Count(strings.Join(h.events(id), " "), "node.power_set.end") == 2
	})
	if got := strings.Join(h.events(id), " "); strings.Count(got, "power_state_corrected") != 1 { // the one of manage
		t.Errorf("a forced node was corrected: %s", got)
	}
	pairs(t, h.events(id))
}

func TestKilledConductorEndsItsOperationAfterTheRestart(t *testing.T) { // S3, S8, S11
	t.Parallel()
	f := newFarm(t, 1)
	s := newSite(t, "--ipmi-min-command-interval", "0")
	id := s.enroll("n1", f.driverInfo(0))
	f.put(0, map[string]any{"latency": "400ms"})
	s.power("n1", "power on")
	s.p.kill() // the 202 is out: the intent is committed, the BMC may or may not have been told
	f.put(0, map[string]any{"latency": "0s"})
	s.start()
	n := s.await(id, map[string]any{"power_state": "power on", "target_power_state": nil, "reservation": nil})
	if n["last_error"] != nil {
		t.Errorf("last_error %v", n["last_error"])
	}
}

func TestEveryAcknowledgedWriteSurvivesKill9(t *testing.T) { // L1, R3
	t.Parallel()
	s := newSite(t)
	for round := range 3 {
		var mu sync.Mutex
		acked := map[string]bool{}
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for i := 0; ; i++ {
					name := fmt.Sprintf("r%d-w%d-%d", round, w, i)
					code, _, err := s.try("POST", "/v1/nodes", map[string]any{"driver": "fake-hardware", "name": name})
					if err != nil || code != http.StatusCreated {
						return
					}
					mu.Lock()
					acked[name] = true
					mu.Unlock()
				}
			})
		}
		until(t, "some writes", func() bool { mu.Lock(); defer mu.Unlock(); return len(acked) > 100*(round+1) })
		s.p.kill()
		wg.Wait()
		s.start()
		for name := range acked {
			if code, doc := s.call("GET", "/v1/nodes/"+name, nil); code != http.StatusOK || doc["provision_state"] != "enroll" {
				t.Fatalf("round %d: acknowledged node %s is lost: %d %v", round, name, code, doc)
			}
		}
	}
}

func TestSIGTERMIsGraceful(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 3)
	s := newSite(t, "--sync-power-state-interval", "1s")
	for i := range 3 {
		s.enroll(fmt.Sprintf("n%d", i), f.driverInfo(i))
	}
	until(t, "sessions", func() bool { return f.get(0)["sessions"].(float64) == 1 && f.get(2)["sessions"].(float64) == 1 })
	for try := 1; !s.graceful(); try++ { // a busy machine may not let us run in the second that requests are still served
		if try == 3 {
			t.Fatal("three times the API was gone before readyz turned red and a request was served")
		}
		s.start()
		until(t, "sessions again", func() bool { return f.get(0)["sessions"].(float64) >= 1 && f.get(2)["sessions"].(float64) >= 1 })
	}
	for i := range 3 {
		if n := f.get(i)["sessions"].(float64); n != 0 {
			t.Errorf("BMC %d keeps %v sessions", i, n)
		}
	}
}

// graceful ends the conductor by SIGTERM and reports whether requests were still served after readyz had turned red.
func (s *site) graceful() (served bool) {
	s.t.Helper()
	s.p.signal(syscall.SIGTERM)
	for {
		r, err := http.Get(s.api + "/readyz")
		if err != nil {
			break
		}
		_ = r.Body.Close()
		if r.StatusCode == http.StatusServiceUnavailable {
			code, _, err := s.try("GET", "/v1/nodes", nil)
			if served = err == nil; served && code != http.StatusOK {
				s.t.Errorf("a request within the grace got %d", code)
			}
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if code := s.p.exit(); code != 0 {
		s.t.Errorf("exit code %d, wanted 0", code)
	}
	return served
}

func TestDataFolderInUseNamesTheProcess(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := run(t, "serve", "--data-dir", s.dir, "--api-listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0")
	if code := p.exit(); code == 0 {
		t.Error("a second conductor started on the same folder")
	}
	if out := p.out.String(); !strings.Contains(out, fmt.Sprint(s.p.cmd.Process.Pid)) {
		t.Errorf("the error does not name the process %d:\n%s", s.p.cmd.Process.Pid, out)
	}
}

func TestNoauthOnAPublicAddressIsRefused(t *testing.T) {
	t.Parallel()
	p := run(t, "serve", "--data-dir", t.TempDir(), "--api-listen", "0.0.0.0:0", "--nats-listen", "127.0.0.1:0")
	if code := p.exit(); code == 0 || !strings.Contains(p.out.String(), "insecure") {
		t.Errorf("code %d, output %s", code, p.out)
	}
}

func TestDeadNATSStopsNothing(t *testing.T) { // N2
	t.Parallel()
	s := newSite(t, "--nats-url", fmt.Sprintf("nats://127.0.0.1:%d", freePort(t, "tcp")), "--nats-listen", "")
	if code, doc := s.call("POST", "/v1/nodes", map[string]any{"driver": "fake-hardware", "name": "n1"}); code != http.StatusCreated {
		t.Fatalf("%d %v", code, doc)
	}
	for _, step := range []struct{ verb, state string }{{"manage", "manageable"}, {"provide", "available"}} {
		s.call("PUT", "/v1/nodes/n1/states/provision", map[string]any{"target": step.verb})
		s.await("n1", map[string]any{"provision_state": step.state, "reservation": nil})
	}
}

func TestDemoEndsByItself(t *testing.T) {
	t.Parallel()
	for _, span := range []string{"6s", "40s"} { // on a busy machine the nodes may take longer than the first
		p := run(t, "demo", "--for", span, "--bmcs", "20", "--api-listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0")
		if code := p.exit(); code != 0 {
			t.Fatalf("exit code %d:\n%s", code, p.out)
		}
		missing := slices.DeleteFunc([]string{"http://", "nats://", "available"}, func(want string) bool { return strings.Contains(p.out.String(), want) })
		if len(missing) == 0 {
			return
		}
		if span == "40s" {
			t.Errorf("the demo never says %q:\n%s", missing, p.out)
		}
	}
}

// A network that fails is told once, on NATS too, and puts nobody into maintenance.
func TestAFailingSubnetIsOneEvent(t *testing.T) {
	t.Parallel()
	const nodes = 24
	f := newFarm(t, nodes)
	s := newSite(t, "--sync-power-state-interval", "1s", "--power-state-sync-max-retries", "1", "--ipmi-command-retry-timeout", "2s")
	h := s.listen()
	for i := range nodes {
		s.enroll(fmt.Sprintf("n%d", i), f.driverInfo(i))
	}
	for i := range nodes {
		f.put(i, map[string]any{"dead": true})
	}
	told := func(what string) func() bool {
		return func() bool {
			h.mu.Lock()
			defer h.mu.Unlock()
			n := 0
			for _, m := range h.all {
				if strings.HasSuffix(m.Subject, ".ferrite.bmc_subnet."+what) {
					n++
				}
			}
			return n == 1
		}
	}
	until(t, "the subnet to be told down", told("down"))
	until(t, "readings to be frozen", func() bool { return s.metric("conductor_bmc_frozen_readings_total") > nodes })
	for i := range nodes {
		f.put(i, map[string]any{"dead": false})
	}
	until(t, "the subnet to be told up", told("up"))
	waiting := 0
	for i := range nodes {
		if s.node(fmt.Sprintf("n%d", i))["maintenance"] == true {
			waiting++
		}
	}
	if waiting > nodes/3 { // with one retry those that failed first go, before there is a pattern
		t.Errorf("%d of %d nodes are in maintenance", waiting, nodes)
	}
}

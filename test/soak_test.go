// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// soakFor is how long the test runs where nobody says otherwise; SOAK_FOR says so ("make soak": an hour).
const soakFor = 75 * time.Second

// soakSample is what a conductor holds at one moment.
type soakSample struct {
	memory      float64 // anonymous resident, MB
	goroutines  float64
	descriptors float64
}

// TestSoak lets a conductor sweep a fleet in which everything goes wrong that a BMC can do, while machines are switched behind
// its back and in front, BMCs die and come back, and readers come and go. What it holds must not grow: it is bounded by the
// fleet, not by time.
func TestSoak(t *testing.T) {
	t.Parallel()
	long := soakFor
	if v := os.Getenv("SOAK_FOR"); v != "" {
		var err error
		if long, err = time.ParseDuration(v); err != nil {
			t.Fatalf("SOAK_FOR is %q: wanted a duration, like 1h", v)
		}
	}
	const nodes = 60
	f := newFarm(t, nodes, "--loss", "0.01", "--fault", "slow=0.05,lossy=0.1,duplicate=0.1,late=0.1,reordered=0.1,garbage=0.05,truncated=0.05")
	s := newSite(t, "--sync-power-state-interval", "1s", "--force-power-state-during-sync=false", "--ipmi-min-command-interval", "0",
		"--power-failure-recovery-interval", "2s")
	for i := range nodes {
		code, doc := s.call("POST", "/v1/nodes", map[string]any{"driver": "ipmi", "name": fmt.Sprintf("n%d", i), "driver_info": f.driverInfo(i)})
		if code != http.StatusCreated {
			t.Fatalf("node %d: %d %v", i, code, doc)
		}
		s.call("PUT", fmt.Sprintf("/v1/nodes/n%d/states/provision", i), map[string]any{"target": "manage"})
	}
	until(t, "most nodes to be managed", func() bool {
		_, doc := s.call("GET", "/v1/nodes?provision_state=manageable", nil)
		list, _ := doc["nodes"].([]any)
		return len(list) > nodes/2
	})
	stop := make(chan struct{})
	var trouble sync.WaitGroup
	for w := range 3 {
		trouble.Go(func() { s.soakTrouble(f, nodes, uint64(w), stop) })
	}
	var all []soakSample
	polls := s.metric("conductor_power_sync_total")
	const enough = 12 // looks for grown; on a busy machine each may take long
	for end := time.Now().Add(long); time.Now().Before(end) || len(all) < enough; {
		select {
		case <-s.p.done:
			t.Fatal("serve ended")
		case <-time.After(min(long/60, 10*time.Second)):
		}
		all = append(all, s.soakSample())
	}
	close(stop)
	trouble.Wait()
	if more := s.metric("conductor_power_sync_total") - polls; more < nodes {
		t.Errorf("%g readings in all: the sweep stood still", more)
	}
	for _, problem := range grown(all, t.Logf) {
		t.Error(problem)
	}
}

// grown says what has grown beyond all excuse. The first quarter is for caches and pools to fill. Of the rest, the
// last third is held against the first, with room for a busy machine: a leak of one goroutine, descriptor or KB a reading is far
// beyond these bounds.
func grown(all []soakSample, say func(string, ...any)) (problems []string) {
	rest := all[len(all)/4:]
	early, late := rest[:len(rest)/3], rest[len(rest)-len(rest)/3:]
	for _, x := range []struct {
		what        string
		of          func(soakSample) float64
		most, spare float64
	}{
		{"goroutines", func(x soakSample) float64 { return x.goroutines }, 1.15, 25},
		{"descriptors", func(x soakSample) float64 { return x.descriptors }, 1.15, 15},
		{"MB of anonymous memory", func(x soakSample) float64 { return x.memory }, 1.25, 16},
	} {
		a, b := middle(early, x.of), middle(late, x.of)
		say("%s: %.0f early, %.0f late (%d looks)", x.what, a, b, len(all))
		if a == 0 {
			problems = append(problems, fmt.Sprintf("no %s were seen", x.what))
		}
		if b > a*x.most+x.spare {
			problems = append(problems, fmt.Sprintf("%s grow: %.0f early, %.0f late", x.what, a, b))
		}
	}
	return problems
}

// TestSoakSeesLeaks holds the measure itself to account: one that leaks a little each second is found, one that breathes is not.
func TestSoakSeesLeaks(t *testing.T) {
	var level, leaks []soakSample
	for i := range 60 {
		breath := float64(i % 7)
		level = append(level, soakSample{30 + breath, 80 + breath, 40 + breath})
		leaks = append(leaks, soakSample{30 + 2*float64(i), 80 + 5*float64(i), 40 + 3*float64(i)})
	}
	quiet := func(string, ...any) {}
	if p := grown(level, quiet); len(p) != 0 {
		t.Errorf("level: %v", p)
	}
	if p := grown(leaks, quiet); len(p) != 3 {
		t.Errorf("three leaks: %v", p)
	}
}

// middle is the median of a figure.
func middle(all []soakSample, of func(soakSample) float64) float64 {
	var v []float64
	for _, x := range all {
		v = append(v, of(x))
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// soakTrouble does something every 50 ms; what is refused is refused.
func (s *site) soakTrouble(f *farm, nodes int, seed uint64, stop chan struct{}) {
	r := rand.New(rand.NewPCG(seed, 5)) //nolint:gosec // which node is next
	for {
		select {
		case <-stop:
			return
		case <-time.After(50 * time.Millisecond):
		}
		i := r.IntN(nodes)
		node := fmt.Sprintf("/v1/nodes/n%d", i)
		switch r.IntN(8) {
		case 0:
			_ = f.tell(i, map[string]any{"power": []string{"on", "off"}[r.IntN(2)]})
		case 1:
			_ = f.tell(i, map[string]any{"dead": r.IntN(3) == 0})
		case 2:
			_, _, _ = s.try("PUT", node+"/states/power", map[string]any{"target": []string{"power on", "power off", "rebooting"}[r.IntN(3)]})
		case 3:
			_, _, _ = s.try("PATCH", node, []map[string]any{{"op": "add", "path": "/extra/k", "value": strings.Repeat("x", r.IntN(2000))}})
		case 4:
			_, _, _ = s.try("PUT", node+"/management/boot_device", map[string]any{"boot_device": "pxe", "persistent": false})
		case 5:
			_, _, _ = s.try("GET", "/v1/nodes/detail", nil)
		default:
			_, _, _ = s.try("GET", node, nil)
		}
	}
}

// soakSample looks at the process from outside, and asks it for its goroutines.
func (s *site) soakSample() soakSample {
	s.t.Helper()
	x := soakSample{goroutines: s.metric("go_goroutines")}
	proc := fmt.Sprintf("/proc/%d", s.p.cmd.Process.Pid)
	list, err := os.ReadDir(proc + "/fd")
	if err != nil {
		s.t.Fatal(err)
	}
	x.descriptors = float64(len(list))
	b, err := os.ReadFile(proc + "/status")
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			x.memory = kb / 1024
		}
	}
	return x
}

// tell is put that may fail: for goroutines, and BMCs in trouble.
func (f *farm) tell(i int, change map[string]any) error {
	b, err := json.Marshal(change)
	if err != nil {
		return err
	}
	q, err := http.NewRequest(http.MethodPut, fmt.Sprintf("http://%s/bmcs/%d", f.control, i), bytes.NewReader(b))
	if err != nil {
		return err
	}
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		return err
	}
	return r.Body.Close()
}

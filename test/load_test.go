// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// rss is the anonymous resident memory of the process in bytes.
func (p *process) rss() int64 {
	p.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(b), "RssAnon:")
	kb, err := strconv.ParseInt(strings.Fields(after)[0], 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return kb << 10
}

// descriptors counts the open files of the process.
func (p *process) descriptors() int {
	p.t.Helper()
	all, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	return len(all)
}

// TestLoad asks for far more than may wait: writes are refused with what to do, commands being asked back before records
// and those before bulk, or done; reads take their turn while the queue is full; nothing grows, and when it is over all is
// as before. FERRITE_LONG=1 makes it last minutes.
func TestLoad(t *testing.T) {
	const waiting, writers, nodes = 64, 256, 40
	lasting := 2000 // writes done
	if os.Getenv("FERRITE_LONG") != "" {
		lasting = 300_000
	}
	f := newFarm(t, nodes)
	s := newSite(t, "--max-waiting-requests", fmt.Sprint(waiting), "--sync-power-state-interval", "1s")
	for i := range nodes {
		s.enroll(fmt.Sprintf("n%d", i), f.driverInfo(i))
	}
	line := &http.Transport{MaxIdleConnsPerHost: writers}
	client := &http.Client{Transport: line}
	// one POST, PATCH or power of many clients that never wait
	ask := func(method, path, body string) (int, http.Header) {
		q, _ := http.NewRequest(method, s.api+path, strings.NewReader(body))
		q.Header.Set("X-OpenStack-Ironic-API-Version", "1.89")
		q.Header.Set("Content-Type", "application/json")
		r, err := client.Do(q)
		if err != nil {
			t.Error(err)
			return 0, nil
		}
		defer r.Body.Close()
		_, _ = io.Copy(io.Discard, r.Body)
		return r.StatusCode, r.Header
	}
	until(t, "a session with each BMC", func() bool { return s.metric("conductor_bmc_sessions") == nodes })
	before, files, routines := int64(0), s.p.descriptors(), s.metric("go_goroutines")
	var done, shed, busy, reads, answers atomic.Int64
	refused := func(h http.Header, after string) {
		shed.Add(1)
		if got := h.Get("Retry-After"); got != after {
			t.Errorf("503 with Retry-After %q, wanted %q", got, after)
		}
	}
	var last [nodes]atomic.Int64 // the newest acknowledged value of each node
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := 0; done.Load() < int64(lasting); i++ {
				n := w % nodes
				if w%8 == 0 { // some drive power, most of which meets another operation
					code, h := ask("PUT", fmt.Sprintf("/v1/nodes/n%d/states/power", n), `{"target":"`+[]string{"power on", "power off"}[i%2]+`"}`)
					switch answers.Add(1); code {
					case http.StatusConflict, http.StatusAccepted:
						busy.Add(1)
					case http.StatusServiceUnavailable:
						refused(h, "1")
					default:
						t.Errorf("power answers %d", code)
					}
					continue
				}
				if w%8 == 1 { // some enroll what is there already
					code, h := ask("POST", "/v1/nodes", fmt.Sprintf(`{"driver":"fake-hardware","name":"n%d"}`, n))
					switch answers.Add(1); code {
					case http.StatusConflict:
						busy.Add(1)
					case http.StatusServiceUnavailable:
						refused(h, "5")
					default:
						t.Errorf("POST of a name that is taken answers %d", code)
					}
					continue
				}
				value := int64(i*writers + w + 1)
				code, h := ask("PATCH", fmt.Sprintf("/v1/nodes/n%d", n), fmt.Sprintf(`[{"op":"add","path":"/extra/w%d","value":%d}]`, w, value))
				switch answers.Add(1); code {
				case http.StatusOK:
					done.Add(1)
					last[n].Store(value)
				case http.StatusServiceUnavailable:
					refused(h, "2")
				case http.StatusConflict:
					busy.Add(1)
				default:
					t.Errorf("PATCH answers %d", code)
				}
			}
		})
	}
	var among []int64 // of each read: the changes that were answered while it was under way
	full := 0         // reads while which a change was refused
	all.Go(func() {
		for done.Load() < int64(lasting) {
			others, refusals := answers.Load(), shed.Load()
			if code, _ := ask("GET", fmt.Sprintf("/v1/nodes/n%d", reads.Load()%nodes), ""); code != http.StatusOK {
				t.Errorf("GET answers %d under load", code)
			}
			among = append(among, answers.Load()-others)
			if shed.Load() > refusals {
				full++
			}
			if reads.Add(1); before == 0 && done.Load() > int64(lasting/4) {
				before = s.p.rss()
			}
		}
	})
	all.Wait()
	after := s.p.rss()
	slices.Sort(among)
	t.Logf("changes answered while a read was under way: p50 %d, p99 %d, most %d; %d reads met a full queue", among[len(among)/2], among[len(among)*99/100], among[len(among)-1], full)
	// Whoever is served in turn waits for each of the others about once; seconds say nothing on a busy machine.
	if p99 := among[len(among)*99/100]; p99 > 8*writers || full < len(among)/10 {
		t.Errorf("of %d reads %d met a full queue, and %d changes were answered during the slowest but one in a hundred; wanted a tenth, and at most %d", len(among), full, p99, 8*writers)
	}
	t.Logf("%d done, %d shed, %d met another operation, %d reads; memory %d -> %d MB", done.Load(), shed.Load(), busy.Load(), reads.Load(), before>>20, after>>20)
	if done.Load() == 0 || shed.Load() == 0 || reads.Load() == 0 || s.metric("conductor_requests_shed_total") == 0 {
		t.Errorf("%d done, %d shed, %d reads: wanted some of each", done.Load(), shed.Load(), reads.Load())
	}
	if after > 2*before+64<<20 {
		t.Errorf("memory grew from %d to %d MB", before>>20, after>>20)
	}
	line.CloseIdleConnections()
	until(t, "all connections to be closed", func() bool { return s.p.descriptors() <= files+2 })
	until(t, "goroutines to end", func() bool { return s.metric("go_goroutines") <= routines+16 })
	if n := s.metric("conductor_bmc_sessions"); n > nodes {
		t.Errorf("%v sessions with %d BMCs", n, nodes)
	}
	until(t, "nothing to wait", func() bool {
		return s.metric("conductor_mailbox_depth") == 0 && s.metric("conductor_findings_late") == 0
	})
	for i := range nodes { // calm again: everything can be done
		ident := fmt.Sprintf("n%d", i)
		until(t, ident+" to be free", func() bool { return s.node(ident)["reservation"] == nil })
	}
	s.p.kill()
	s.start()
	for i := range nodes {
		extra, _ := s.node(fmt.Sprintf("n%d", i))["extra"].(map[string]any)
		found := false
		for _, v := range extra {
			found = found || int64(v.(float64)) == last[i].Load()
		}
		if last[i].Load() != 0 && !found {
			t.Errorf("node n%d: acknowledged value %d is lost: %v", i, last[i].Load(), extra)
		}
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// instance is the UUID of the server on machine i.
func instance(i int) string { return fmt.Sprintf("%08d-0000-4000-8000-000000000000", i) }

// openStack is a Keystone and a Nova that writes down what it is told.
type openStack struct {
	t   *testing.T
	web *httptest.Server

	mu     sync.Mutex // guards the fields below
	told   []string   // "server tag", in order
	heads  []http.Header
	sizes  []int             // events of each request
	logins int               // tokens given
	status int               // of Nova's answers; 0 = it takes all
	codes  map[string]int    // of events, by server
	hung   chan struct{}     // not nil: Nova answers once it is closed
	caught chan http.Request // a request that hangs
}

func newOpenStack(t *testing.T) *openStack {
	t.Helper()
	o := &openStack{t: t, codes: map[string]int{}, caught: make(chan http.Request, 100)}
	o.web = httptest.NewServer(http.HandlerFunc(o.serve))
	t.Cleanup(func() { o.hang(false); o.web.Close() })
	return o
}

func (o *openStack) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if r.URL.Path == "/v3/auth/tokens" {
		o.mu.Lock()
		o.logins++
		o.mu.Unlock()
		if !strings.Contains(string(body), `"password":"geheim"`) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("X-Subject-Token", "a-token")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"token": {"expires_at": %q, "catalog": [{"type": "compute", "endpoints": [{"interface": "internal", "region": "r", "url": "%s/compute"}]}]}}`,
			time.Now().Add(time.Hour).UTC().Format(time.RFC3339), o.web.URL)
		return
	}
	o.mu.Lock()
	hung := o.hung
	o.mu.Unlock()
	if hung != nil {
		o.caught <- *r
		<-hung
		return // whatever we said, the caller has long gone or gets an empty answer
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.status != 0 || r.Header.Get("X-Auth-Token") != "a-token" || r.URL.Path != "/compute/os-server-external-events" {
		w.WriteHeader(max(o.status, http.StatusUnauthorized))
		return
	}
	var in struct {
		Events []map[string]any `json:"events"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		o.t.Errorf("%s: %v", body, err)
	}
	o.heads, o.sizes = append(o.heads, r.Header), append(o.sizes, len(in.Events))
	for _, e := range in.Events {
		if e["name"] != "power-update" {
			o.t.Errorf("event %v", e)
		}
		e["code"], e["status"] = http.StatusOK, "completed"
		if code := o.codes[e["server_uuid"].(string)]; code != 0 {
			e["code"], e["status"] = code, "failed"
			w.WriteHeader(http.StatusMultiStatus)
			continue
		}
		o.told = append(o.told, fmt.Sprint(e["server_uuid"], " ", e["tag"]))
	}
	_ = json.NewEncoder(w).Encode(in)
}

func (o *openStack) answer(status int) { o.mu.Lock(); defer o.mu.Unlock(); o.status = status }

// refuse lets Nova refuse the events of a server; 0 = take them.
func (o *openStack) refuse(i, code int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.codes[instance(i)] = code
}

// look reads what was written down.
func (o *openStack) look() (heads []http.Header, sizes []int, logins int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.heads), slices.Clone(o.sizes), o.logins
}

// hang lets Nova's requests hang, or go unanswered at last.
func (o *openStack) hang(on bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.hung != nil {
		close(o.hung)
		o.hung = nil
	}
	if on {
		o.hung = make(chan struct{})
	}
}

// tags are what Nova was told of one server.
func (o *openStack) tags(i int) (out []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, line := range o.told {
		if tag, ok := strings.CutPrefix(line, instance(i)+" "); ok {
			out = append(out, tag)
		}
	}
	return out
}

func (o *openStack) flags(more ...string) []string {
	return append([]string{
		"--nova-auth-url", o.web.URL, "--nova-username", "ironic", "--nova-password", "geheim", "--nova-project-name", "service",
		"--nova-timeout", "20s",
	}, more...)
}

// server makes a fake machine with a server on it.
func (s *site) server(i int) string {
	s.t.Helper()
	name := fmt.Sprintf("s%d", i)
	if code, doc := s.call("POST", "/v1/nodes", map[string]any{"driver": "fake-hardware", "name": name, "instance_uuid": instance(i)}); code != http.StatusCreated {
		s.t.Fatalf("POST node: %d %v", code, doc)
	}
	return name
}

// switched switches a machine and waits for the end.
func (s *site) switched(ident, target string) {
	s.t.Helper()
	s.power(ident, target)
	want := "power on"
	if strings.HasSuffix(target, "off") {
		want = "power off"
	}
	if n := s.await(ident, map[string]any{"power_state": want, "target_power_state": nil, "reservation": nil}); n["last_error"] != nil {
		s.t.Errorf("%s %s: last_error %v", ident, target, n["last_error"])
	}
}

// Nova hears of what we switch and of what others switch, not of what changes nothing, and bears the request's id
// (spec power.md section 9).
func TestNovaIsTold(t *testing.T) { // N3
	f := newFarm(t, 1)
	o := newOpenStack(t)
	s := newSite(t, o.flags("--sync-power-state-interval", "1s", "--force-power-state-during-sync=false", "--ipmi-min-command-interval", "0")...)
	s.enroll("n1", f.driverInfo(0)) // verification reads the power: no word to Nova
	if code, doc := s.call("PATCH", "/v1/nodes/n1", []map[string]any{{"op": "add", "path": "/instance_uuid", "value": instance(1)}}); code != http.StatusOK {
		t.Fatalf("%d %v", code, doc)
	}
	told := func(want ...string) {
		t.Helper()
		until(t, fmt.Sprintf("Nova to have heard %v", want), func() bool { return slices.Equal(o.tags(1), want) })
	}
	s.switched("n1", "power on")
	told("POWER_ON")
	s.switched("n1", "power on") // nothing to do
	s.switched("n1", "rebooting")
	told("POWER_ON", "POWER_ON")
	f.put(0, map[string]any{"power": "off"})
	told("POWER_ON", "POWER_ON", "POWER_OFF")
	heads, _, logins := o.look()
	if logins != 1 {
		t.Errorf("%d tokens", logins)
	}
	for i, h := range heads {
		if h.Get("OpenStack-API-Version") != "compute 2.76" || !strings.HasPrefix(h.Get("X-OpenStack-Request-ID"), "req-") {
			t.Errorf("request %d: %v", i, h)
		}
	}
	until(t, "three are counted", func() bool { return s.figure("conductor_nova_sent_total") == 3 })
	if strings.Contains(s.p.out.String(), "geheim") {
		t.Error("the password is in the log")
	}
}

// Nova hangs with one call in hand when a second change is committed, and the conductor is killed: after the restart Nova
// is told of both. The operations had long ended (N3).
func TestNovaHearsAfterKill9(t *testing.T) {
	o := newOpenStack(t)
	s := newSite(t, o.flags("--nova-timeout", "50s")...)
	for round := range 3 {
		o.hang(true)
		a, b := 2*round, 2*round+1
		s.switched(s.server(a), "power on")
		<-o.caught
		s.switched(s.server(b), "power on")
		s.p.kill()
		o.hang(false)
		if got := slices.Concat(o.tags(a), o.tags(b)); got != nil {
			t.Fatalf("Nova heard %v before the restart", got)
		}
		s.start()
		until(t, "Nova to be told", func() bool { return len(o.tags(a)) > 0 && len(o.tags(b)) > 0 })
	}
	s.switched("s0", "power off")
	until(t, "the next change", func() bool { got := o.tags(0); return len(got) > 0 && got[len(got)-1] == "POWER_OFF" })
	for i := 1; i < 6; i++ { // at least once; more often says the same
		if got := slices.Compact(o.tags(i)); !slices.Equal(got, []string{"POWER_ON"}) {
			t.Errorf("server %d: %v", i, got)
		}
	}
}

// The conductor is killed in the middle of switching, before or after the machine has obeyed: whoever ends the operation
// after the restart, Nova is told.
func TestNovaHearsOfWhatARestartEnded(t *testing.T) { // N3, S8
	t.Parallel() // it waits for old permits to end (S11)
	f := newFarm(t, 1)
	o := newOpenStack(t)
	s := newSite(t, o.flags("--ipmi-min-command-interval", "0")...)
	s.enroll("n1", f.driverInfo(0))
	s.switched("n1", "power off") // with its session
	if code, doc := s.call("PATCH", "/v1/nodes/n1", []map[string]any{{"op": "add", "path": "/instance_uuid", "value": instance(1)}}); code != http.StatusOK {
		t.Fatalf("%d %v", code, doc)
	}
	for round, target := range []string{"power on", "power off"} {
		f.put(0, map[string]any{"latency": "400ms"})
		s.power("n1", target)
		if round == 1 { // not before the machine has obeyed
			until(t, "the machine to obey", func() bool { return f.get(0)["power"] == strings.TrimPrefix(target, "power ") })
		}
		s.p.kill()
		f.put(0, map[string]any{"latency": "0s"})
		s.start()
		s.await("n1", map[string]any{"power_state": target, "target_power_state": nil, "reservation": nil})
		want := map[string]string{"power on": "POWER_ON", "power off": "POWER_OFF"}[target]
		until(t, "Nova to be told "+want, func() bool { got := o.tags(1); return len(got) > 0 && got[len(got)-1] == want })
	}
	if got := slices.Compact(o.tags(1)); len(got) != 2 {
		t.Errorf("%v", got)
	}
}

// While Nova hangs, machines are switched to and fro: it is then told of each server once, as it is now.
func TestNovaIsToldTheNewest(t *testing.T) {
	o := newOpenStack(t)
	s := newSite(t, o.flags("--nova-timeout", "50s")...)
	for i := range 4 {
		s.server(i)
	}
	o.hang(true)
	s.switched("s3", "power on")
	<-o.caught // Nova has this one in hand
	for range 2 {
		for i := range 3 {
			s.switched(fmt.Sprintf("s%d", i), "power on")
			s.switched(fmt.Sprintf("s%d", i), "power off")
		}
	}
	s.switched("s1", "power on")
	o.hang(false)
	until(t, "all told", func() bool {
		return len(o.tags(0)) > 0 && len(o.tags(1)) > 0 && len(o.tags(2)) > 0 && len(o.tags(3)) > 0
	})
	want := []string{"POWER_OFF", "POWER_ON", "POWER_OFF", "POWER_ON"}
	for i := range want {
		if got := o.tags(i); !slices.Equal(got, want[i:i+1]) {
			t.Errorf("server %d: %v, wanted %s alone", i, got, want[i])
		}
	}
	if _, sizes, _ := o.look(); !slices.Equal(sizes, []int{1, 3}) {
		t.Errorf("requests of %v events", sizes)
	}
	until(t, "10 of 13 to be counted as superseded", func() bool { return s.figure("conductor_nova_superseded_total") == 10 }) // after Nova's answer
}

// A Nova that is dead, mute or refuses neither fails nor slows an operation, nor NATS; what it missed after three tries
// is dropped, counted and logged, and what happens later it hears (N3).
func TestDeadNovaHarmsNothing(t *testing.T) {
	o := newOpenStack(t)
	s := newSite(t, o.flags("--nova-timeout", "2s")...)
	c := newConsumer(t, "nats://"+s.nats)
	s.server(0)
	told := 2
	until(t, "the machine to be told of", func() bool { return c.len() == told })
	dropped := func(n float64) {
		t.Helper()
		until(t, fmt.Sprintf("%v dropped", n), func() bool { return s.figure("conductor_nova_dropped_total") == n })
	}
	for i, trouble := range []struct {
		begin, end func()
		tries      int
	}{
		{func() { o.answer(http.StatusServiceUnavailable) }, func() { o.answer(0) }, 3},
		{func() { o.hang(true) }, func() { o.hang(false) }, 3},
		{func() { o.refuse(0, http.StatusNotFound) }, func() { o.refuse(0, 0) }, 0},
		{func() { o.answer(http.StatusForbidden) }, func() { o.answer(0) }, 1},
	} {
		failed := s.figure("conductor_nova_failed_total")
		trouble.begin()
		s.switched("s0", "power on")
		told += 2
		until(t, "NATS to be told all the same", func() bool { return c.len() >= told })
		dropped(float64(i + 1))
		if got := s.figure("conductor_nova_failed_total") - failed; got != float64(trouble.tries) {
			t.Errorf("trouble %d: %v failed requests, wanted %d", i, got, trouble.tries)
		}
		trouble.end()
		before := len(o.tags(0))
		s.switched("s0", "power off")
		told += 2
		until(t, "Nova to hear again", func() bool { return len(o.tags(0)) == before+1 })
	}
	if got := o.tags(0); slices.Contains(got, "POWER_ON") {
		t.Errorf("Nova heard %v", got)
	}
	if n := strings.Count(s.p.out.String(), "Nova was not told of a power update"); n != 3 {
		t.Errorf("%d lines of what Nova missed, wanted 3", n)
	}
	if n := strings.Count(s.p.out.String(), "Nova refused a power update"); n != 1 {
		t.Errorf("%d lines of what Nova refused, wanted 1", n)
	}
	until(t, "an empty outbox", func() bool { return s.figure("conductor_notify_outbox") == 0 })
}

// Switched off, Nova hears nothing, and nothing waits for it; switched on again, it hears of what happens from then on.
func TestNovaSwitchedOffAndOn(t *testing.T) {
	o := newOpenStack(t)
	s := newSite(t, o.flags()...)
	s.server(0)
	s.switched("s0", "power on")
	until(t, "Nova to be told", func() bool { return len(o.tags(0)) == 1 })
	args := s.args
	for i, flags := range [][]string{append(slices.Clone(args), "--nova-send-power-notifications=false"), nil} {
		s.p.kill()
		s.args = flags
		s.start()
		s.switched("s0", "power off")
		s.switched("s0", "power on")
		until(t, "an empty outbox", func() bool { return s.figure("conductor_notify_outbox") == 0 })
		if got := o.tags(0); len(got) != 1 || s.figure("conductor_nova_sent_total") != 0 {
			t.Errorf("without Nova, way %d: %v", i, got)
		}
	}
	s.p.kill()
	s.args = args
	s.start()
	s.switched("s0", "power off")
	until(t, "Nova to be told again", func() bool { return slices.Equal(o.tags(0), []string{"POWER_ON", "POWER_OFF"}) })
}

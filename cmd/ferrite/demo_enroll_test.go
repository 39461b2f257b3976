// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"ferrite/client"
	"ferrite/sim"
)

// forgetful does what it is asked for and loses its first answer: the client asks again, and is refused.
type forgetful struct {
	mu    sync.Mutex // guards below
	state string     // "" = there is no node
	asked map[string]int
}

func (f *forgetful) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	do := func(from, to string, refusal int) {
		what := r.Method + from
		f.asked[what]++
		if f.state == from {
			f.state = to
			w.WriteHeader(http.StatusServiceUnavailable) // the outcome is not known
			return
		}
		w.WriteHeader(refusal)
		_, _ = io.WriteString(w, `{"error_message":"{\"faultstring\":\"no\"}"}`)
	}
	switch {
	case r.Method == http.MethodPost:
		do("", "enroll", http.StatusConflict)
	case r.Method == http.MethodGet:
		_ = json.NewEncoder(w).Encode(map[string]any{"uuid": "u", "name": "r01n02", "provision_state": f.state, "power_state": "power off"})
	case strings.Contains(string(body), "manage"):
		do("enroll", "manageable", http.StatusBadRequest)
	case strings.Contains(string(body), "provide"):
		do("manageable", "available", http.StatusBadRequest)
	}
}

// TestDemoEnrollsThroughLostAnswers: what was done under a leader that is gone is no failure; what was not done is.
func TestDemoEnrollsThroughLostAnswers(t *testing.T) {
	cfg := sim.Defaults()
	cfg.BMCs, cfg.Listen = 2, "0.0.0.0:0"
	fleet, err := sim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer fleet.Close()
	d := &demo{fleet: fleet}
	for _, row := range []struct {
		state string // before
		ok    bool
	}{{"", true}, {"clean failed", false}} { // there is a node of that name, and it goes nowhere
		f := &forgetful{state: row.state, asked: map[string]int{}}
		s := httptest.NewServer(f)
		api := client.New(s.URL, client.WithPoll(time.Millisecond), client.WithRetry(3, time.Millisecond))
		err := d.enrollOne(t.Context(), api, 1)
		if (err == nil) != row.ok || row.ok && (f.state != "available" || f.asked["POST"] < 2 || f.asked["PUTenroll"] < 2 || f.asked["PUTmanageable"] < 2) {
			t.Errorf("from %q: %v, in the end %q after %v", row.state, err, f.state, f.asked)
		}
		api.Close()
		s.Close()
	}
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"ferrite/client"
)

// fakeConductor is as much of one conductor's API as "ferrite cluster" needs. All of a test share a cluster.
type fakeConductor struct {
	name    string
	cluster *fakeCluster
	url     string
}

type fakeCluster struct {
	mu      sync.Mutex // guards below
	members []client.Member
	holds   map[string]int // nodes that a draining conductor still looks after; one less each time it is asked
	stuck   bool           // they stay
	asked   []string
}

// newFakeCluster makes conductors c1, c2 ..., with 3 nodes each; FERRITE_API leads to c1.
func newFakeCluster(t *testing.T, n int) (*fakeCluster, []*fakeConductor) {
	f := &fakeCluster{holds: map[string]int{}}
	var all []*fakeConductor
	for i := range n {
		c := &fakeConductor{name: fmt.Sprintf("c%d", i+1), cluster: f}
		s := httptest.NewServer(c)
		t.Cleanup(s.Close)
		c.url = s.URL
		all = append(all, c)
		f.members = append(f.members, client.Member{Name: c.name, State: "alive", Role: "voter", API: s.URL, Nodes: 3, Version: "0.1.0"})
	}
	f.members[0].Role = "leader"
	t.Setenv("FERRITE_API", all[0].url)
	return f, all
}

func (c *fakeConductor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := c.cluster
	f.mu.Lock()
	defer f.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/v1/x/cluster")
	switch {
	case r.Method == "GET" && path == "":
		s := client.Cluster{Conductor: c.name, Advice: "survives the loss of any 1 of the voters", Members: f.members, Warnings: []string{"it is only a test"}}
		s.Here.State, s.Here.Active = "active", 3
		for _, m := range f.members {
			if m.Name == c.name && m.State != "alive" {
				if s.Here.State = m.State; f.holds[c.name] > 0 && !f.stuck {
					f.holds[c.name]--
				}
				s.Here.Active = f.holds[c.name]
			}
		}
		_ = json.NewEncoder(w).Encode(s)
	case r.Method == "PUT" && path == "/self":
		var in struct{ State, Conductor string }
		_ = json.NewDecoder(r.Body).Decode(&in)
		f.asked = append(f.asked, c.name+" "+in.State)
		if in.Conductor != c.name {
			w.WriteHeader(http.StatusConflict)
			_, _ = fmt.Fprintf(w, `{"error_message":{"faultstring":"This is conductor %s, not %s: nothing was changed."}}`, c.name, in.Conductor)
			return
		}
		for i := range f.members {
			if f.members[i].Name == c.name {
				f.members[i].State = map[string]string{"active": "alive"}[in.State]
				if in.State != "active" {
					f.members[i].State = in.State
				}
				f.members[i].Nodes, f.holds[c.name] = 0, 3
			}
		}
		_, _ = io.WriteString(w, `{}`)
	case r.Method == "DELETE":
		f.asked = append(f.asked, "evict "+path)
		w.WriteHeader(http.StatusNoContent)
	case path == "/v1/conductors":
		_, _ = io.WriteString(w, `{"conductors":[{"hostname":"c1","alive":true},{"hostname":"c7","alive":true},{"hostname":"c8","alive":false}]}`)
	case path == "/owners":
		_, _ = io.WriteString(w, `{"nodes":1,"unserved":2,"conductors":[{"conductor":"c1","alive":true,"placed":1,"recorded":0}],"recorded":{"gone":1}}`)
	case path == "/owners/n1":
		_, _ = io.WriteString(w, `{"node_uuid":"u1","node_name":"n1","placed":"c2","why":"placed there by its hash","placed_by":"127.0.0.1:623","recorded":"c3","incarnation":"ab","epoch":4,"operation":{"verb":"set power","target":"power on","phase":"on","conductor":"c3"}}`)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// typedIn runs a command line as a user does.
func typedIn(t *testing.T, line string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(strings.Fields(line), &o, &e)
	return code, o.String(), e.String()
}

func wantLine(t *testing.T, line string, code int, texts ...string) {
	t.Helper()
	got, out, errOut := typedIn(t, line)
	if got != code {
		t.Errorf("%s: exit code %d, wanted %d: %s%s", line, got, code, out, errOut)
	}
	for _, text := range texts {
		if !strings.Contains(out+errOut, text) {
			t.Errorf("%s: %q is not in %s%s", line, text, out, errOut)
		}
	}
}

func TestClusterCommands(t *testing.T) {
	f, all := newFakeCluster(t, 3)
	f.members[2].State, f.members[2].API = "gone", ""
	wantLine(t, "cluster members", 0, "Name  State  Role    Nodes  Lag  Version  Group  API\nc1    alive  leader      3  0    0.1.0           http://127.0.0.1:", "c3    gone   voter       3  ?", "Survives the loss of any 1 of the voters.\nWarning: it is only a test.\n")
	wantLine(t, "cluster members -o json", 0, `"advice": "survives`)
	wantLine(t, "cluster members -o yaml", 0, "advice: survives")
	wantLine(t, "cluster owners", 0, "c1         True       1              0           0", "1 node: 0 written last by the conductor that has them", "2 nodes that nobody looks after")
	wantLine(t, "cluster owners n1", 0, "Conductor      c2", "c3, incarnation ab, epoch 4; that process has ended", "set power power on, phase on, on c3")
	wantLine(t, "cluster owners n2", 1, "404")
	wantLine(t, "cluster drain c2", 0, "c2 has no node any more, after")
	wantLine(t, "cluster uncordon c2", 0, "c2 takes nodes again")
	wantLine(t, "cluster cordon c2", 0, "c2 is cordoned")
	wantLine(t, "cluster drain c9", 1, `no conductor is named "c9": there are c1, c2, c3`)
	wantLine(t, "cluster drain c3", 1, "conductor c3 is gone, the others have its nodes already")
	wantLine(t, "cluster evict c2", 1, "conductor c2 is cordoned: only one that is gone is evicted")
	wantLine(t, "cluster evict c3", 2, "say --yes")
	wantLine(t, "cluster evict c3 --yes", 0, "c3 is evicted. The cluster survives")
	wantLine(t, "cluster evict c8 --yes", 0, "c8 is evicted. The cluster survives") // on the list of conductors only
	wantLine(t, "cluster evict c7 --yes", 1, `no conductor is named "c7": there are c1, c2, c3`)
	wantLine(t, "cluster evict c9 --yes", 1, `no conductor is named "c9": there are c1, c2, c3`)
	f.stuck = true
	wantLine(t, "cluster drain c1 --timeout 300ms", 1, "c1 still has 3 nodes after 300ms", "the drain goes on")
	wantLine(t, "cluster drain c1 --no-wait", 0, "c1 drains")
	f.members[1].API = all[0].url // the same address for two
	wantLine(t, "cluster drain c2", 1, "This is conductor c1, not c2", "leads to another one from here")
	f.members[1].API = "http://127.0.0.1:1"
	wantLine(t, "cluster drain c2", 1, "says that its API is at http://127.0.0.1:1, which does not answer from here")
	want := "c2 draining,c2 active,c2 cordoned,evict /members/c3,evict /members/c8,c1 draining,c1 draining,c1 draining"
	if got := strings.Join(f.asked, ","); got != want {
		t.Errorf("asked for %s, wanted %s", got, want)
	}
}

// What changes is told a line each; a member that was evicted is told, too.
func TestMemberChanges(t *testing.T) {
	known := map[string]string{}
	s := &client.Cluster{Members: []client.Member{{Name: "c1", State: "alive", Role: "leader", Nodes: 2}, {Name: "c2", State: "alive", Role: "voter", Nodes: 1}}}
	memberChanges(io.Discard, s, known)
	var out bytes.Buffer
	s.Members = []client.Member{{Name: "c1", State: "alive", Role: "leader", Nodes: 3}}
	memberChanges(&out, s, known)
	memberChanges(&out, s, known)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || !strings.HasSuffix(lines[0], "c1  alive, leader, 2 nodes -> alive, leader, 3 nodes") || !strings.HasSuffix(lines[1], "c2  alive, voter, 1 node -> no member") {
		t.Errorf("%q", lines)
	}
}

// Who was asked may go away: the others, of whom it told, are asked then.
func TestAnyConductorWillDo(t *testing.T) {
	_, all := newFakeCluster(t, 2)
	w := newCrew(&apiFlags{url: all[0].url})
	if s, err := w.status(t.Context()); err != nil || s.Conductor != "c1" {
		t.Fatal(s, err)
	}
	w.urls[0] = "http://127.0.0.1:1" // nobody is there
	if s, err := w.status(t.Context()); err != nil || s.Conductor != "c2" {
		t.Fatal(s, err)
	}
}

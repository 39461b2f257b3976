// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package client_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"ferrite/client"
)

// What is asked for arrives at its place, and what is answered is understood.
func TestCluster(t *testing.T) {
	answers := map[string]string{
		"GET /v1/x/cluster":               `{"conductor":"c1","survives":1,"members":[{"name":"c2","state":"draining","nodes":3}],"here":{"state":"active","active":4}}`,
		"GET /v1/x/cluster/owners":        `{"nodes":9,"conductors":[{"conductor":"c2","placed":9}],"recorded":{"in_place":8}}`,
		"GET /v1/x/cluster/owners/a%2Fb":  `{"placed":"c2","epoch":5,"operation":{"verb":"set power"}}`,
		"PUT /v1/x/cluster/self":          `{"conductor":"c2","state":"draining"}`,
		"DELETE /v1/x/cluster/members/c3": ``,
	}
	bodies := map[string]string{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		what := r.Method + " " + r.URL.EscapedPath()
		b, _ := io.ReadAll(r.Body)
		bodies[what] = string(b)
		answer, ok := answers[what]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = io.WriteString(w, answer)
	}))
	defer s.Close()
	c := client.New(s.URL)
	got, err := c.Cluster(t.Context())
	if err != nil || got.Survives != 1 || got.Here.Active != 4 || string(got.Raw) != answers["GET /v1/x/cluster"] {
		t.Errorf("%+v %v", got, err)
	}
	if m, ok := got.Member("c2"); !ok || m.Nodes != 3 || m.State != client.StateDraining {
		t.Errorf("%+v %v", m, ok)
	}
	if _, ok := got.Member("c9"); ok {
		t.Error("a stranger was found")
	}
	o, err := c.Owners(t.Context())
	if err != nil || o.Nodes != 9 || o.Conductors[0].Placed != 9 || o.Recorded.Here != 8 {
		t.Errorf("%+v %v", o, err)
	}
	n, err := c.Owner(t.Context(), "a/b")
	if err != nil || n.Placed != "c2" || n.Epoch != 5 || n.Operation == nil || n.Operation.Verb != "set power" {
		t.Errorf("%+v %v", n, err)
	}
	if err := c.SetState(t.Context(), "c2", client.StateDraining); err != nil || bodies["PUT /v1/x/cluster/self"] != `{"conductor":"c2","state":"draining"}` {
		t.Errorf("%v %q", err, bodies)
	}
	if err := c.Evict(t.Context(), "c3"); err != nil {
		t.Error(err)
	}
	if _, err := c.Owner(t.Context(), "missing"); client.Status(err) != http.StatusNotFound {
		t.Error(err)
	}
}

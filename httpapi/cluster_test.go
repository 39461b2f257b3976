// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"ferrite/httpapi"
	"ferrite/node"
	"ferrite/persistence"
)

// gathering is a cluster that answers as it is told.
type gathering struct {
	asked []string
	err   error
}

func (g *gathering) Status(context.Context) httpapi.ClusterStatus {
	return httpapi.ClusterStatus{Conductor: "c1", Members: []httpapi.ClusterMember{{Name: "c1"}}}
}
func (g *gathering) Owners() httpapi.Owners { return httpapi.Owners{Nodes: 7} }
func (g *gathering) Owner(n *node.Node) httpapi.NodeOwner {
	return httpapi.NodeOwner{Node: n.UUID, Placed: "c2"}
}

func (g *gathering) SetState(_ context.Context, state string) error {
	g.asked = append(g.asked, state)
	return g.err
}

func (g *gathering) Evict(_ context.Context, name string) error {
	g.asked = append(g.asked, "evict "+name)
	return g.err
}

func TestCluster(t *testing.T) { // P6
	g := &gathering{}
	var audit bytes.Buffer
	w := newWorld(t, func(c *httpapi.Config) {
		c.Cluster, c.Audit = g, slog.New(slog.NewTextHandler(&audit, nil))
	})
	id := w.create(`{"driver":"fake-hardware","name":"n1"}`)
	if a := w.want(http.StatusOK, "GET", "/v1/x/cluster", ""); a.get("conductor") != "c1" {
		t.Error(a.text)
	}
	if a := w.want(http.StatusOK, "GET", "/v1/x/cluster/owners", ""); a.get("nodes") != 7.0 {
		t.Error(a.text)
	}
	w.at("").want(http.StatusOK, "GET", "/v1/x/cluster/owners/n1", "") // by name without a microversion
	if a := w.want(http.StatusOK, "GET", "/v1/x/cluster/owners/n1", ""); a.get("node_uuid") != id || a.get("placed") != "c2" || a.get("operation") != nil {
		t.Error(a.text)
	}
	w.owner.open = true
	w.want(http.StatusAccepted, "PUT", "/v1/nodes/n1/states/power", `{"target":"power on"}`)
	if a := w.want(http.StatusOK, "GET", "/v1/x/cluster/owners/n1", ""); !strings.Contains(a.text, `"verb":"set power"`) {
		t.Error(a.text)
	}
	w.want(http.StatusNotFound, "GET", "/v1/x/cluster/owners/n2", "")
	w.want(http.StatusBadRequest, "GET", "/v1/x/cluster?all=1", "")
	for _, state := range httpapi.SelfStates {
		if a := w.want(http.StatusOK, "PUT", "/v1/x/cluster/self", `{"state":"`+state+`"}`); a.get("state") != state {
			t.Error(a.text)
		}
	}
	w.want(http.StatusOK, "PUT", "/v1/x/cluster/self", `{"state":"active","conductor":"cond-a"}`)
	for body, status := range map[string]int{
		`{"state":"active","conductor":"cond-b"}`: http.StatusConflict,
		`{"state":"asleep"}`:                      http.StatusBadRequest,
		`{"state":1}`:                             http.StatusBadRequest,
		`{}`:                                      http.StatusBadRequest,
		`{"state":"active","force":true}`:         http.StatusBadRequest,
	} {
		w.want(status, "PUT", "/v1/x/cluster/self", body)
	}
	w.want(http.StatusNoContent, "DELETE", "/v1/x/cluster/members/c3", "")
	g.err = &node.Error{Kind: node.Conflict, Text: "conductor c3 is alive: stop it first"}
	if a := w.want(http.StatusConflict, "DELETE", "/v1/x/cluster/members/c3", ""); !strings.Contains(a.text, "stop it first") {
		t.Error(a.text)
	}
	g.err = persistence.ErrNoQuorum
	if a := w.want(http.StatusServiceUnavailable, "DELETE", "/v1/x/cluster/members/c3", ""); a.Header.Get("Retry-After") == "" {
		t.Error(a.text)
	}
	if want := append(slices.Clone(httpapi.SelfStates), "active", "evict c3", "evict c3", "evict c3"); !slices.Equal(g.asked, want) {
		t.Errorf("asked for %q, wanted %q", g.asked, want)
	}
	for _, line := range []string{"action=cluster state=draining conductor=cond-a", "action=evict conductor=c3"} {
		if !strings.Contains(audit.String(), line) {
			t.Errorf("no audit line has %q", line)
		}
	}
	w = newWorld(t)
	for _, q := range [][2]string{{"GET", ""}, {"GET", "/owners"}, {"GET", "/owners/n1"}, {"PUT", "/self"}, {"DELETE", "/members/c1"}} {
		w.want(http.StatusNotFound, q[0], "/v1/x/cluster"+q[1], "")
	}
}

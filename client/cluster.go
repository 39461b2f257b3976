// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
)

// States of a conductor that SetState takes.
const (
	StateActive   = "active"   // takes nodes
	StateDraining = "draining" // gives all its nodes away
	StateCordoned = "cordoned" // takes nothing new and keeps what it has
)

// StateGone is the state of a member that does not live; the others are alive, draining, cordoned and cut.
const StateGone = "gone"

// Cluster is what a conductor knows of all conductors (GET /v1/x/cluster, Ferrite alone).
type Cluster struct {
	Conductor string   `json:"conductor"` // that answered
	ID        string   `json:"cluster_id"`
	Leader    string   `json:"leader"` // of the log, "" = none is known
	Quorum    bool     `json:"quorum"`
	Survives  int      `json:"survives"` // voters that may be lost at once, any of them
	Advice    string   `json:"advice"`
	Warnings  []string `json:"warnings"`
	Nodes     int      `json:"nodes"`
	Members   []Member `json:"members"`
	Here      struct {
		State      string `json:"state"`      // active, draining, cordoned or ending
		Active     int    `json:"active"`     // nodes that the conductor which answered looks after
		Operations int    `json:"operations"` // under way on them
	} `json:"here"`
	Raw json.RawMessage `json:"-"` // as the service wrote it
}

// Member is one conductor.
type Member struct {
	Name        string `json:"name"`
	State       string `json:"state"`
	Role        string `json:"role"` // in the log: leader, voter, non-voter, joining
	API         string `json:"api"`
	Gossip      string `json:"gossip"`
	Incarnation string `json:"incarnation"`
	Group       string `json:"conductor_group"`
	Version     string `json:"version"`
	Applied     uint64 `json:"applied"`
	Lag         uint64 `json:"lag"`   // revisions that it is behind
	Nodes       int    `json:"nodes"` // that should be there
	Problem     string `json:"problem"`
}

// Member finds a member by name.
func (c *Cluster) Member(name string) (Member, bool) {
	for _, m := range c.Members {
		if m.Name == name {
			return m, true
		}
	}
	return Member{}, false
}

// Owners counts the nodes by conductor (GET /v1/x/cluster/owners).
type Owners struct {
	Nodes      int `json:"nodes"`
	Unserved   int `json:"unserved"` // of a group that no conductor serves, or none that takes nodes
	Conductors []struct {
		Conductor  string `json:"conductor"`
		Alive      bool   `json:"alive"`
		Placed     int    `json:"placed"`
		Recorded   int    `json:"recorded"`
		Operations int    `json:"operations"`
	} `json:"conductors"`
	Recorded struct {
		Here    int `json:"in_place"`
		Other   int `json:"elsewhere"`
		Gone    int `json:"gone"`
		Nobody  int `json:"nobody"`
		Pending int `json:"operations"`
	} `json:"recorded"`
	Raw json.RawMessage `json:"-"`
}

// NodeOwner tells where a node belongs (GET /v1/x/cluster/owners/NODE).
type NodeOwner struct {
	Node        string          `json:"node_uuid"`
	Name        string          `json:"node_name"`
	Group       string          `json:"conductor_group"`
	Key         string          `json:"placed_by"`
	Placed      string          `json:"placed"` // "" = nobody serves its group
	Why         string          `json:"why"`
	Owner       string          `json:"recorded"`
	Incarnation string          `json:"incarnation"`
	Epoch       uint64          `json:"epoch"`
	Alive       bool            `json:"recorded_alive"`
	Operation   *Released       `json:"operation"` // under way, nil = none
	Raw         json.RawMessage `json:"-"`
}

const clusterPath = "/v1/x/cluster"

// Cluster asks a conductor for all conductors.
func (c *Client) Cluster(ctx context.Context) (*Cluster, error) {
	out := new(Cluster)
	raw, err := c.raw(ctx, clusterPath, out)
	out.Raw = raw
	return out, err
}

// Owners asks who has how many nodes.
func (c *Client) Owners(ctx context.Context) (*Owners, error) {
	out := new(Owners)
	raw, err := c.raw(ctx, clusterPath+"/owners", out)
	out.Raw = raw
	return out, err
}

// Owner asks where a node belongs.
func (c *Client) Owner(ctx context.Context, ident string) (*NodeOwner, error) {
	out := new(NodeOwner)
	raw, err := c.raw(ctx, clusterPath+"/owners/"+url.PathEscape(ident), out)
	out.Raw = raw
	return out, err
}

func (c *Client) raw(ctx context.Context, path string, out any) (json.RawMessage, error) {
	var raw json.RawMessage
	if err := c.call(ctx, http.MethodGet, path, nil, &raw); err != nil {
		return nil, err
	}
	return raw, json.Unmarshal(raw, out)
}

// SetState makes the conductor at the client's address drain, cordon or take nodes again. It refuses if it is not the one of
// that name.
func (c *Client) SetState(ctx context.Context, conductor, state string) error {
	return c.call(ctx, http.MethodPut, clusterPath+"/self", map[string]string{"conductor": conductor, "state": state}, nil)
}

// Evict takes a conductor that is gone for good out of the log.
func (c *Client) Evict(ctx context.Context, conductor string) error {
	return c.call(ctx, http.MethodDelete, clusterPath+"/members/"+url.PathEscape(conductor), nil, nil)
}

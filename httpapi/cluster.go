// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"encoding/json"
	"net/http"

	"ferrite/node"
)

// Cluster is the conductors as those see them who run the service. Errors of its changes are *node.Error or the store's.
type Cluster interface {
	// Status asks every member how it is; one that does not answer costs up to a second.
	Status(ctx context.Context) ClusterStatus
	// Owners counts the nodes by conductor.
	Owners() Owners
	// Owner tells where a node belongs and who has written it last.
	Owner(n *node.Node) NodeOwner
	// SetState makes this conductor one of SelfStates.
	SetState(ctx context.Context, state string) error
	// Evict takes a member that is gone out of the log for good.
	Evict(ctx context.Context, name string) error
}

// States of a conductor that its operator may ask for.
const (
	StateActive   = "active"   // takes nodes
	StateDraining = "draining" // gives all its nodes away
	StateCordoned = "cordoned" // takes nothing new and keeps what it has
)

// SelfStates are what PUT /v1/x/cluster/self takes.
var SelfStates = []string{StateActive, StateCordoned, StateDraining}

// ClusterStatus is the answer to GET /v1/x/cluster.
type ClusterStatus struct {
	Conductor string          `json:"conductor"` // that answers
	ID        string          `json:"cluster_id"`
	Leader    string          `json:"leader"`   // of the log, "" = none is known
	Quorum    bool            `json:"quorum"`   // changes are taken
	Survives  int             `json:"survives"` // voters that may be lost at once, any of them (L5)
	Advice    string          `json:"advice"`   // the same in a sentence, with what to do for more
	Warnings  []string        `json:"warnings"`
	Nodes     int             `json:"nodes"`
	Members   []ClusterMember `json:"members"` // by name
	Here      HereStatus      `json:"here"`
}

// ClusterMember is one conductor.
type ClusterMember struct {
	Name        string `json:"name"`
	State       string `json:"state"` // alive, draining, cordoned, cut (no contact to the log), gone
	Role        string `json:"role"`  // in the log: leader, voter, non-voter, joining
	API         string `json:"api"`
	Gossip      string `json:"gossip"`
	Incarnation string `json:"incarnation"` // of its process, in hex
	Group       string `json:"conductor_group"`
	Version     string `json:"version"`
	Applied     uint64 `json:"applied"` // revision
	Lag         uint64 `json:"lag"`     // revisions that it is behind
	Nodes       int    `json:"nodes"`   // that should be there
	Problem     string `json:"problem,omitempty"`
}

// HereStatus is what only the conductor that answers knows of itself.
type HereStatus struct {
	State      string `json:"state"`      // of SelfStates, or ending
	Active     int    `json:"active"`     // nodes that it looks after now
	Operations int    `json:"operations"` // under way on them
}

// Owners is the answer to GET /v1/x/cluster/owners.
type Owners struct {
	Nodes      int         `json:"nodes"`
	Unserved   int         `json:"unserved"` // of a group that no conductor serves, or none that takes nodes
	Conductors []OwnerRow  `json:"conductors"`
	Recorded   RecordedSum `json:"recorded"`
}

// RecordedSum sums up who has written the nodes last. A node moves without a write, so these differ after a change of the
// members until somebody writes it.
type RecordedSum struct {
	Here    int `json:"in_place"`  // by the conductor that they belong to
	Other   int `json:"elsewhere"` // by another one that lives
	Gone    int `json:"gone"`      // by one that does not
	Nobody  int `json:"nobody"`
	Pending int `json:"operations"` // nodes with an operation under way
}

// OwnerRow is the share of one conductor.
type OwnerRow struct {
	Conductor  string `json:"conductor"`
	Alive      bool   `json:"alive"`
	Placed     int    `json:"placed"`     // nodes that should be there
	Recorded   int    `json:"recorded"`   // nodes that it has written last
	Operations int    `json:"operations"` // that it has under way
}

// NodeOwner is the answer to GET /v1/x/cluster/owners/{node}.
type NodeOwner struct {
	Node        string `json:"node_uuid"`
	Name        string `json:"node_name"`
	Group       string `json:"conductor_group"`
	Key         string `json:"placed_by"` // what is hashed: the BMC's address, or the UUID
	Placed      string `json:"placed"`    // conductor that should have it, "" = none serves its group
	Why         string `json:"why"`
	Owner       string `json:"recorded"` // conductor in the record, "" = none
	Incarnation string `json:"incarnation"`
	Epoch       uint64 `json:"epoch"`
	Alive       bool   `json:"recorded_alive"` // that very process lives
	Operation   *held  `json:"operation"`
}

func (r *request) cluster() (Cluster, error) {
	c := r.s.cfg.Cluster
	if c == nil {
		return nil, &routing{status: http.StatusNotFound}
	}
	return c, nil
}

func (r *request) document(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	r.json(http.StatusOK, append(r.buffer(), b...))
	return nil
}

// showCluster is GET /v1/x/cluster (P6). It answers without a quorum, too: then it is asked most.
func showCluster(r *request) error {
	c, err := r.cluster()
	if err == nil {
		err = r.allow()
	}
	if err != nil {
		return err
	}
	r.leave()
	ctx, cancel := context.WithTimeout(context.Background(), r.s.cfg.CommandWait)
	defer cancel()
	return r.document(c.Status(ctx))
}

// showOwners is GET /v1/x/cluster/owners.
func showOwners(r *request) error {
	c, err := r.cluster()
	if err == nil {
		err = r.allow()
	}
	if err != nil {
		return err
	}
	return r.document(c.Owners())
}

// showOwner is GET /v1/x/cluster/owners/{node}.
func showOwner(r *request) error {
	c, err := r.cluster()
	if err == nil {
		err = r.allow()
	}
	if err != nil {
		return err
	}
	n, err := r.theNode()
	if err != nil {
		return err
	}
	o := c.Owner(n)
	if n.Intent != nil {
		h := heldBy(n)
		o.Operation = &h
	}
	return r.document(o)
}

// setSelf is PUT /v1/x/cluster/self with {"state": "draining", "conductor": "c2"}: it is about the conductor that answers. With
// a name it is refused by any other, so that an address that leads elsewhere drains nobody by mistake.
func setSelf(r *request) error {
	c, err := r.cluster()
	if err != nil {
		return err
	}
	args, err := r.arguments("state", "conductor")
	if err != nil {
		return err
	}
	state, err := neededString(args, "state")
	if err != nil {
		return err
	}
	self := r.s.cfg.Members.Self()
	r.tell("action", "cluster", "state", state, "conductor", self)
	if _, named := args["conductor"]; named {
		name, err := neededString(args, "conductor")
		if err != nil {
			return err
		}
		if name != self {
			return refuse(node.Conflict, "This is conductor %s, not %s: nothing was changed. Ask %s at its own address.", self, name, name)
		}
	}
	known := false
	for _, s := range SelfStates {
		known = known || s == state
	}
	if !known {
		return invalid("Invalid state: wanted one of %v, found %q", SelfStates, state)
	}
	r.leave()
	ctx, cancel := context.WithTimeout(context.Background(), r.s.cfg.CommandWait)
	defer cancel()
	if err := c.SetState(ctx, state); err != nil {
		return err
	}
	return r.document(map[string]string{"conductor": self, "state": state})
}

// evictMember is DELETE /v1/x/cluster/members/{name}.
func evictMember(r *request) error {
	c, err := r.cluster()
	if err == nil {
		err = r.allow()
	}
	if err != nil {
		return err
	}
	name := r.param(0)
	r.tell("action", "evict", "conductor", name)
	r.leave()
	ctx, cancel := context.WithTimeout(context.Background(), r.s.cfg.CommandWait)
	defer cancel()
	if err := c.Evict(ctx, name); err != nil {
		return err
	}
	r.empty(http.StatusNoContent)
	return nil
}

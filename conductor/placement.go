// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"fmt"
	"slices"
	"sync/atomic"

	"ferrite/cluster"
	"ferrite/node"
)

// placement says who should own a node: a View of the members, and the node's key in it.
type placement struct {
	view        atomic.Pointer[cluster.View]
	known       atomic.Pointer[cluster.View] // what the gossip says, before the log has proved that view may follow; nil = view
	old         atomic.Bool                  // view is frozen, or the gossip errs: see mine
	self        string
	incarnation uint64
}

// alone is the View of a cluster of one.
func alone(name, group string, incarnation uint64) *placement {
	p := &placement{self: name, incarnation: incarnation}
	p.view.Store(cluster.NewView(0, []cluster.Member{{Name: name, Group: group, Incarnation: incarnation}}))
	return p
}

// placeOf is what is hashed: the BMC's address where there is one, so that nodes behind one BMC share an owner and a
// session (S15); else the UUID.
func placeOf(n *node.Node) string {
	if at := node.Endpoint(n); at != "" {
		return at
	}
	return n.UUID
}

// owner is the member that should own a node, "" = nobody serves its group. An operation under way stays with its owner
// while that lives and has contact to the log: neither a join nor a drain takes a node in mid-operation (S4). A cordoned
// member keeps what it had.
func (p *placement) owner(n *node.Node) string {
	v := p.view.Load()
	if n.Intent != nil {
		if m, ok := v.Find(n.Intent.Owner.Name); ok && m.Incarnation == n.Intent.Owner.Incarnation && !m.Cut {
			return m.Name
		}
	}
	key := placeOf(n)
	if m, ok := v.Holder(key, n.ConductorGroup, uint64(n.Created)); ok {
		return m.Name
	}
	m, _ := v.Owner(key, n.ConductorGroup)
	return m.Name
}

// mine is what S3 calls wanted. By an old View an operation of another conductor is not: its owner may have come meanwhile (S4,
// S7).
func (p *placement) mine(n *node.Node) bool {
	if n.Intent != nil && n.Intent.Owner.Name != p.self && p.old.Load() {
		return false
	}
	return p.owner(n) == p.self
}

// newest is the View that the gossip has now.
func (p *placement) newest() *cluster.View {
	if v := p.known.Load(); v != nil {
		return v
	}
	return p.view.Load()
}

// answers reports whether a member that places nodes is still there to be asked.
func (p *placement) answers(m cluster.Member) bool {
	now, ok := p.newest().Find(m.Name)
	return ok && now.Incarnation == m.Incarnation && !now.Cut
}

// members are the conductors that live and hear the log's leader.
func (p *placement) members() (out []node.Owner) {
	for _, m := range p.view.Load().Members {
		if !m.Cut {
			out = append(out, node.Owner{Name: m.Name, Incarnation: m.Incarnation})
		}
	}
	return out
}

// serves reports whether a living conductor is of a group, whether it takes nodes at the moment or not.
func (p *placement) serves(group string) bool { return slices.Contains(p.groups(), group) }

// unserved is Ironic's refusal of a request for a node of a group that no living conductor serves: conductors of other groups let
// such nodes alone, and most likely do not reach their BMCs. nil = the group has somebody, or the node is its conductor's.
func (p *placement) unserved(op string, n *node.Node) error {
	if p.owner(n) != "" || p.serves(n.ConductorGroup) {
		return nil
	}
	return &node.Error{Op: op, Node: n.UUID, Kind: node.NoHost, Text: fmt.Sprintf(
		"No valid host was found. Reason: No conductor service registered which supports driver %s for conductor group %q.", n.Driver, n.ConductorGroup)}
}

// idle names the conductors of a group none of which takes nodes now, and why not.
func idle(v *cluster.View, group string) string {
	var out []string
	for _, m := range v.Members {
		if m.Group != group {
			continue
		}
		state := stateOf(m)
		if m.Joining {
			state = "starting"
		}
		out = append(out, m.Name+" ("+state+")")
	}
	return and(out)
}

// groups are the conductor groups that somebody serves.
func (p *placement) groups() (out []string) {
	for _, m := range p.view.Load().Members {
		if !slices.Contains(out, m.Group) {
			out = append(out, m.Group)
		}
	}
	return out
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"ferrite/cluster"
	"ferrite/node"
)

// placement says who should own a node: a View of the members, and the node's key in it.
type placement struct {
	view *cluster.View
	self string
}

// alone is the View of a cluster of one.
func alone(name, group string, incarnation uint64) placement {
	return placement{cluster.NewView(1, []cluster.Member{{Name: name, Group: group, Incarnation: incarnation}}), name}
}

// placeOf is what is hashed: the BMC's address where there is one, so that nodes behind one BMC share an owner and a
// session (S15); else the UUID.
func placeOf(n *node.Node) string {
	if at := node.Endpoint(n); at != "" {
		return at
	}
	return n.UUID
}

// owner is the member that should own a node, "" = nobody serves its group.
func (p placement) owner(n *node.Node) string {
	m, _ := p.view.Owner(placeOf(n), n.ConductorGroup)
	return m.Name
}

// mine is what S3 calls wanted.
func (p placement) mine(n *node.Node) bool { return p.owner(n) == p.self }

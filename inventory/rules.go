// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"ferrite/node"
)

// Decision is what Step decided about a port: commit Port (or its removal) and Notices in one entry, under a condition
// on the node's record, then answer Reply. With no Port there is nothing to commit but the notices.
type Decision struct {
	Port    *Port // the record to write or, with Delete, to remove
	Delete  bool
	Create  bool // the record must not exist yet
	Notices []node.Notice
	Reply   any // *Port for create and update, nil for delete
}

// Step decides what a message does to a port of node n; old is the port as it is, nil when there is none. It changes
// neither. A refusal is a *node.Error; the decision that comes with it holds only the start and error notices (N1).
// That the MAC address and the name are unique is the store's matter: it refuses with node.Exists.
func Step(env node.Env, n *node.Node, old *Port, m node.Msg) (Decision, error) {
	s := &step{env: env, n: n, op: m.MsgName()}
	switch m := m.(type) {
	case CreatePort:
		return s.create(m.Port, old)
	case UpdatePort:
		if old == nil {
			return Decision{}, s.refuse(node.NotFound, "Port %s could not be found.", m.Want.UUID)
		}
		return s.update(old, m)
	case DeletePort:
		if old == nil {
			return Decision{}, s.refuse(node.NotFound, "Port %s could not be found.", m.UUID)
		}
		return s.delete(old)
	default:
		return Decision{}, s.refuse(node.Internal, "no port rule for message %T", m)
	}
}

// step is one Step under way.
type step struct {
	env node.Env
	n   *node.Node
	op  string
}

// create stores a new port. It takes no lock (spec api-rules.md section 8): nothing under way knows of it yet.
func (s *step) create(want, old *Port) (Decision, error) {
	p := *want
	mac, err := NormalizeMAC(p.Address)
	if err != nil {
		return Decision{}, s.refuse(node.Invalid, "%s", err)
	}
	p.Address, p.NodeUUID = mac, s.n.UUID
	p.CreatedAt, p.UpdatedAt, p.Rev, p.Created = time.Time{}, time.Time{}, 0, 0
	before := p // start shows the object to be created: created_at is null (spec notifications.md section 2)
	if old != nil {
		return s.refused("create", &before, s.refuse(node.Exists, "A port with UUID %s already exists.", p.UUID))
	}
	p.CreatedAt = s.env.Now
	return Decision{
		Port: &p, Create: true, Reply: &p,
		Notices: []node.Notice{s.notice("create", node.Start, &before), s.notice("create", node.End, &p)},
	}, nil
}

// update replaces the changed fields, if the port and its node allow it.
func (s *step) update(old *Port, m UpdatePort) (Decision, error) {
	if m.Want.Rev != old.Rev {
		return Decision{}, s.refuse(node.Stale, "Port %s changed while the request was made: it is at revision %d, wanted %d. Read it and try again.", old.UUID, old.Rev, m.Want.Rev)
	}
	p := *old
	for _, f := range m.Changed {
		set, ok := setters[f]
		if !ok {
			return Decision{}, s.refuse(node.Invalid, "Cannot patch /%s of port %s: no such field that may be changed.", f, old.UUID)
		}
		set(&p, m.Want)
	}
	if p.Address != old.Address {
		mac, err := NormalizeMAC(p.Address)
		if err != nil {
			return Decision{}, s.refuse(node.Invalid, "%s", err)
		}
		p.Address = mac
	}
	if err := s.locked(); err != nil {
		return s.refused("update", &p, err)
	}
	if err := s.mayChange(old, &p); err != nil {
		return s.refused("update", &p, err)
	}
	before := p
	if !reflect.DeepEqual(*old, p) {
		p.UpdatedAt = s.env.Now
	}
	return Decision{
		Port: &p, Reply: &p,
		Notices: []node.Notice{s.notice("update", node.Start, &before), s.notice("update", node.End, &p)},
	}, nil
}

// delete removes a port that nothing uses.
func (s *step) delete(old *Port) (Decision, error) {
	if err := s.locked(); err != nil {
		return s.refused("delete", old, err)
	}
	if vif := attachedVIF(old); vif != "" && !s.n.Maintenance {
		return s.refused("delete", old, s.refuse(node.Conflict,
			"Cannot delete port %s of node %s: VIF %s is attached to it. Detach it or set maintenance first.", old.UUID, s.n.UUID, vif))
	}
	return Decision{
		Port: old, Delete: true,
		Notices: []node.Notice{s.notice("delete", node.Start, old), s.notice("delete", node.End, old)},
	}, nil
}

// wiring are the states in which a port's place in the network may change without maintenance.
var wiring = []node.State{node.Enroll, node.Inspecting, node.InspectWait, node.Manageable}

// mayChange holds the rules of a change against the node that the port hangs on (spec api-endpoints.md, Ports;
// conductor-rpc.md, update_port). Maintenance lifts all of them.
func (s *step) mayChange(old, p *Port) error {
	n := s.n
	if n.Maintenance {
		return nil
	}
	if old.Address != p.Address {
		if n.ProvisionState == node.Active || n.InstanceUUID != "" {
			return s.refuse(node.Conflict, "Cannot update address of port %s: node %s is in state %q with instance %q; wanted a node without instance, or maintenance.",
				old.UUID, n.UUID, n.ProvisionState, n.InstanceUUID)
		}
		if vif := attachedVIF(old); vif != "" {
			return s.refuse(node.Conflict, "Cannot update address of port %s of node %s: VIF %s is attached to it. Detach it or set maintenance first.", old.UUID, n.UUID, vif)
		}
	}
	var moved []string
	for field, same := range map[string]bool{
		"node_uuid":             old.NodeUUID == p.NodeUUID,
		"portgroup_uuid":        old.PortgroupUUID == p.PortgroupUUID,
		"pxe_enabled":           old.PXEEnabled == p.PXEEnabled,
		"local_link_connection": sameObject(old.LocalLinkConnection, p.LocalLinkConnection),
		"physical_network":      old.PhysicalNetwork == p.PhysicalNetwork,
	} {
		if !same {
			moved = append(moved, field)
		}
	}
	slices.Sort(moved)
	if len(moved) > 0 && !slices.Contains(wiring, n.ProvisionState) {
		return s.refuse(node.Conflict, "Port %s can not have %q changed while node %s is in state %q: wanted one of %q, or maintenance.", old.UUID, moved, n.UUID, n.ProvisionState, wiring)
	}
	return nil
}

// sameObject compares two JSON objects; a missing one is an empty one.
func sameObject(a, b map[string]any) bool {
	return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b)
}

// attachedVIF names the virtual interface that a tenant has on a port, "" = none.
func attachedVIF(p *Port) string {
	vif, _ := p.InternalInfo["tenant_vif_port_id"].(string)
	return vif
}

// locked refuses while an operation on the node is under way (S8).
func (s *step) locked() error {
	i := s.n.Intent
	if i == nil {
		return nil
	}
	return s.refuse(node.Locked, "Node %s is locked by host %s, please retry after the current operation is completed. It runs %q (phase %q), since %s.",
		s.n.UUID, i.Owner.Name, i.Verb, i.Phase, i.Since.UTC().Format(time.RFC3339))
}

// refused gives a refusal with the notices that Ironic sends for it: they show the port as it was wanted (N1).
func (s *step) refused(action string, p *Port, err error) (Decision, error) {
	return Decision{Notices: []node.Notice{s.notice(action, node.Start, p), s.notice(action, node.Failure, p)}}, err
}

func (s *step) notice(action string, st node.Status, p *Port) node.Notice {
	return node.Notice{Object: "port", Action: action, Status: st, API: true, At: s.env.Now, Node: s.n, Other: p, Request: s.env.Meta.RequestID}
}

func (s *step) refuse(k node.Kind, format string, args ...any) *node.Error {
	return &node.Error{Op: s.op, Node: s.n.UUID, Kind: k, Text: fmt.Sprintf(format, args...)}
}

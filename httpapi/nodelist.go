// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"slices"
	"strings"

	"ferrite/httpapi/wire"
	"ferrite/node"
)

// filter is one query argument of the node list: since when, and what it keeps.
type filter struct {
	since int
	parse func(r *request, value string) (func(*node.Node) bool, error)
}

// filters of GET /v1/nodes (spec api.md section 3).
var filters = map[string]filter{
	"chassis_uuid":         {1, chassisFilter},
	"instance_uuid":        {1, uuidFilter("instance_uuid", func(n *node.Node) string { return n.InstanceUUID })},
	"associated":           {1, boolFilter("associated", func(n *node.Node) bool { return n.InstanceUUID != "" })},
	"maintenance":          {1, boolFilter("maintenance", func(n *node.Node) bool { return n.Maintenance })},
	"provision_state":      {9, stateFilter},
	"driver":               {16, textFilter(func(n *node.Node) string { return n.Driver })},
	"resource_class":       {21, textFilter(func(n *node.Node) string { return n.ResourceClass })},
	"fault":                {42, faultFilter},
	"conductor_group":      {46, textFilter(func(n *node.Node) string { return n.ConductorGroup })},
	"conductor":            {49, conductorFilter},
	"owner":                {50, textFilter(func(n *node.Node) string { return n.PlacedOwner })},
	"description_contains": {51, containsFilter},
	"retired":              {1, boolFilter("retired", func(n *node.Node) bool { return n.Retired })},
	"lessee":               {65, textFilter(func(n *node.Node) string { return n.Lessee })},
	"project":              {65, projectFilter},
	"shard":                {82, shardFilter},
	"sharded":              {82, boolFilter("sharded", func(n *node.Node) bool { return n.Shard != "" })},
	"include_children":     {83, childrenFilter},
	"parent_node":          {83, textFilter(func(n *node.Node) string { return n.ParentNode })},
	"instance_name":        {104, textFilter(func(n *node.Node) string { return n.InstanceName })},
}

func textFilter(get func(*node.Node) string) func(*request, string) (func(*node.Node) bool, error) {
	return func(_ *request, want string) (func(*node.Node) bool, error) {
		return func(n *node.Node) bool { return get(n) == want }, nil
	}
}

func uuidFilter(name string, get func(*node.Node) string) func(*request, string) (func(*node.Node) bool, error) {
	return func(_ *request, want string) (func(*node.Node) bool, error) {
		if !wire.IsUUID(want) {
			return nil, invalid("Expected a UUID for %s but received %s.", name, want)
		}
		want = strings.ToLower(want)
		return func(n *node.Node) bool { return strings.ToLower(get(n)) == want }, nil
	}
}

// chassisFilter refuses a chassis that is not there, as Ironic does.
func chassisFilter(r *request, want string) (func(*node.Node) bool, error) {
	fits, err := uuidFilter("chassis_uuid", func(n *node.Node) string { return n.ChassisUUID })(r, want)
	if err == nil && r.s.cfg.Chassis != nil {
		_, err = r.findChassis(want)
	}
	return fits, err
}

func boolFilter(name string, get func(*node.Node) bool) func(*request, string) (func(*node.Node) bool, error) {
	return func(_ *request, value string) (func(*node.Node) bool, error) {
		want, err := wire.ParseBool(name, value)
		return func(n *node.Node) bool { return get(n) == want }, err
	}
}

func stateFilter(_ *request, value string) (func(*node.Node) bool, error) {
	if !node.StateKnown(node.State(value)) {
		return nil, invalid("Provision state \"%s\" is not valid", value)
	}
	return func(n *node.Node) bool { return n.ProvisionState == node.State(value) }, nil
}

func faultFilter(_ *request, value string) (func(*node.Node) bool, error) {
	known := []string{node.FaultPower, node.FaultClean, node.FaultRescueAbort, node.FaultService}
	if !slices.Contains(known, value) {
		return nil, invalid("Unrecognized fault value %q, wanted one of %q.", value, known)
	}
	return func(n *node.Node) bool { return n.Fault == value }, nil
}

func conductorFilter(r *request, value string) (func(*node.Node) bool, error) {
	return func(n *node.Node) bool { return r.s.cfg.Members.OwnerOf(n) == value }, nil
}

// containsFilter is SQL's LIKE %x%: in any case, % is any text and _ any character; a node without description has none
// that fits.
func containsFilter(_ *request, value string) (func(*node.Node) bool, error) {
	fits := like(value)
	return func(n *node.Node) bool { return n.Description != "" && fits(n.Description) }, nil
}

func projectFilter(_ *request, value string) (func(*node.Node) bool, error) {
	return func(n *node.Node) bool { return n.PlacedOwner == value || n.Lessee == value }, nil
}

func shardFilter(_ *request, value string) (func(*node.Node) bool, error) {
	shards := strings.Split(value, ",")
	return func(n *node.Node) bool { return n.Shard != "" && slices.Contains(shards, n.Shard) }, nil
}

// childrenFilter only checks its value; that child nodes are hidden without it is nodeFilters' matter.
func childrenFilter(_ *request, value string) (func(*node.Node) bool, error) {
	_, err := wire.ParseBool("include_children", value)
	return func(*node.Node) bool { return true }, err
}

// nodeFilters reads the query of a node list.
func (r *request) nodeFilters() ([]func(*node.Node) bool, error) {
	var keep []func(*node.Node) bool
	children := false
	for _, a := range r.query {
		f, ok := filters[a.key]
		if !ok {
			continue
		}
		if f.since > r.minor() {
			return nil, tooNew("filter "+a.key, f.since)
		}
		fn, err := f.parse(r, a.value)
		if err != nil {
			return nil, err
		}
		switch a.key {
		case "include_children":
			with, _ := wire.ParseBool(a.key, a.value)
			children = children || with
		case "parent_node":
			children = true
			keep = append(keep, fn)
		default:
			keep = append(keep, fn)
		}
	}
	if !children {
		keep = append(keep, func(n *node.Node) bool { return n.ParentNode == "" })
	}
	return keep, nil
}

// nodeListing is the list of nodes before its filters are known.
func (r *request) nodeListing() listing[node.Node] {
	return listing[node.Node]{
		table: wire.Nodes, envelope: "nodes", since: 8, changing: true, walk: r.s.cfg.Reader.Nodes, more: r.extensions, ask: (*request).askConfirmed,
		older: func(a, b *node.Node) int { return byCreation(a.Created, a.UUID, b.Created, b.UUID) },
		id:    func(n *node.Node) string { return n.UUID },
		find: func(marker string) (*node.Node, error) {
			if !wire.IsUUID(marker) {
				return nil, invalid("Expected a UUID but received %s.", marker)
			}
			n, ok := r.s.cfg.Reader.Node(strings.ToLower(marker))
			if !ok {
				return nil, refuse(node.NotFound, "Node %s could not be found.", marker)
			}
			return n, nil
		},
	}
}

func listNodes(r *request) error {
	return r.listNodes(false, append(slices.Clone(pageArgs), "fields", "detail"))
}

func listNodesDetail(r *request) error { return r.listNodes(true, pageArgs) }

func (r *request) listNodes(whole bool, known []string, more ...func(*node.Node) bool) error {
	known = slices.Clone(known)
	for name := range filters {
		known = append(known, name)
	}
	if err := r.allow(known...); err != nil {
		return err
	}
	keep, err := r.nodeFilters()
	if err != nil {
		return err
	}
	l := r.nodeListing()
	l.whole, l.keep = whole, append(keep, more...)
	_, l.noNext = r.arg("instance_uuid")
	return l.answer(r)
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"ferrite/httpapi/wire"
	"ferrite/inventory"
	"ferrite/node"
)

func createPort(r *request) error {
	if err := r.allow(); err != nil {
		return err
	}
	body, err := wire.DecodeObject(r.ctx.PostBody())
	if err != nil {
		return err
	}
	p, err := wire.NewPort(body, r.minor())
	if err != nil {
		return err
	}
	n, err := r.referenced(p.NodeUUID)
	if err != nil {
		return err
	}
	p.NodeUUID = n.UUID
	if p.UUID == "" {
		p.UUID = uuid.NewString()
	}
	if err := groupless(p); err != nil {
		return err
	}
	made, err := ask[*inventory.Port](r, n.UUID, inventory.CreatePort{Port: p})
	if err != nil {
		return err
	}
	r.location("/v1/ports/" + made.UUID)
	r.showPort(http.StatusCreated, made, wire.Ports.Detail(r.minor()))
	return nil
}

// groupless refuses a port group: there are none yet.
func groupless(p *inventory.Port) error {
	if p.PortgroupUUID != "" {
		return invalid("Portgroup %s could not be found.", p.PortgroupUUID)
	}
	return nil
}

func (r *request) showPort(status int, p *inventory.Port, fields []*wire.Field[inventory.Port]) {
	r.json(status, wire.Ports.Append(r.buffer(), &r.view, p, fields))
}

func showPort(r *request) error {
	if err := r.allow("fields"); err != nil {
		return err
	}
	names, err := r.fields(8)
	if err != nil {
		return err
	}
	p, err := r.thePort()
	if err != nil {
		return err
	}
	fields, err := chosen(wire.Ports, names, r.minor())
	if err != nil {
		return err
	}
	r.showPort(http.StatusOK, p, fields)
	return nil
}

func patchPort(r *request) error {
	if err := r.allow(); err != nil {
		return err
	}
	ops, err := wire.Ports.ParsePatch(r.ctx.PostBody(), r.minor())
	if err != nil {
		return err
	}
	done, err := patched(r, func() (*inventory.Port, error) {
		p, err := r.thePort()
		if err != nil {
			return nil, err
		}
		return r.updatePort(p, ops)
	})
	if err != nil {
		return err
	}
	r.showPort(http.StatusOK, done, wire.Ports.Detail(r.minor()))
	return nil
}

// updatePort applies ops to p and hands the result to the owner of the port's node.
func (r *request) updatePort(p *inventory.Port, ops []wire.Op) (*inventory.Port, error) {
	m, err := wire.PatchPort(p, ops)
	if err != nil {
		return nil, err
	}
	if m.Want.NodeUUID != p.NodeUUID {
		n, err := r.referenced(m.Want.NodeUUID)
		if err != nil {
			return nil, err
		}
		m.Want.NodeUUID = n.UUID
	}
	if err := groupless(m.Want); err != nil {
		return nil, err
	}
	return ask[*inventory.Port](r, p.NodeUUID, m)
}

func deletePort(r *request) error {
	if err := r.allow(); err != nil {
		return err
	}
	if !wire.IsUUID(r.param(0)) {
		return invalid("Expected a UUID but received %s.", r.param(0))
	}
	p, err := r.thePort()
	if err != nil {
		return err
	}
	if _, err := r.do(p.NodeUUID, inventory.DeletePort{UUID: p.UUID}); err != nil {
		return err
	}
	r.empty(http.StatusNoContent)
	return nil
}

// portListing is the list of ports before its filters are known.
func (r *request) portListing() listing[inventory.Port] {
	return listing[inventory.Port]{
		table: wire.Ports, envelope: "ports", since: 8, changing: true, walk: r.s.cfg.Reader.Ports,
		older: func(a, b *inventory.Port) int { return byCreation(a.Created, a.UUID, b.Created, b.UUID) },
		id:    func(p *inventory.Port) string { return p.UUID },
		find: func(marker string) (*inventory.Port, error) {
			if !wire.IsUUID(marker) {
				return nil, invalid("Expected a UUID but received %s.", marker)
			}
			p, ok := r.s.cfg.Reader.Port(strings.ToLower(marker))
			if !ok {
				return nil, refuse(node.NotFound, "Port %s could not be found.", marker)
			}
			return p, nil
		},
	}
}

// portFilters are the query arguments of the port list and the minors since which they exist.
var portFilters = map[string]int{
	"node": 1, "node_uuid": 1, "address": 1, "portgroup": 24, "shard": 82, "description_contains": 97, "conductor_groups": 99,
}

func listPorts(r *request) error {
	return r.listPorts(false, append(slices.Clone(pageArgs), "fields", "detail"))
}

func listPortsDetail(r *request) error { return r.listPorts(true, pageArgs) }

func (r *request) listPorts(whole bool, known []string) error {
	known = slices.Clone(known)
	for name := range portFilters {
		known = append(known, name)
	}
	if err := r.allow(known...); err != nil {
		return err
	}
	l := r.portListing()
	l.whole = whole
	places := 0
	for _, a := range r.query {
		since, ok := portFilters[a.key]
		if !ok {
			continue
		}
		if since > r.minor() {
			return tooNew("filter "+a.key, since)
		}
		if slices.Contains([]string{"node", "node_uuid", "portgroup", "shard"}, a.key) {
			places++
		}
		if err := r.portFilter(&l, a.key, a.value); err != nil {
			return err
		}
	}
	if places > 1 {
		return refuse(node.Forbidden, "Only one of node, portgroup and shard may be given: found %d.", places)
	}
	if address, ok := r.arg("address"); ok && places == 0 {
		r.portAt(&l, address)
	}
	return l.answer(r)
}

// portAt narrows a listing to the one port that can have an address, without a walk over all.
func (r *request) portAt(l *listing[inventory.Port], address string) {
	l.walk = func(after *inventory.Port, fn func(*inventory.Port) bool) {
		mac, _ := inventory.NormalizeMAC(address) // checked by the filter
		k, _ := r.s.cfg.Reader.Holder("mac/" + mac)
		if p, ok := r.s.cfg.Reader.Port(k.ID); ok && (after == nil || l.older(p, after) > 0) {
			fn(p)
		}
	}
}

// portFilter narrows a listing by one query argument.
func (r *request) portFilter(l *listing[inventory.Port], key, value string) error {
	keep := func(fn func(*inventory.Port) bool) { l.keep = append(l.keep, fn) }
	owner := func(p *inventory.Port) *node.Node {
		if n, ok := r.s.cfg.Reader.Node(p.NodeUUID); ok {
			return n
		}
		return &node.Node{}
	}
	switch key {
	case "node", "node_uuid":
		n, err := r.findNode(value)
		if err != nil {
			return err
		}
		r.portsOf(l, n)
	case "address":
		mac, err := inventory.NormalizeMAC(value)
		if err != nil {
			return invalid("%s", err)
		}
		keep(func(p *inventory.Port) bool { return p.Address == mac })
	case "portgroup":
		return refuse(node.NotFound, "Portgroup %s could not be found.", value)
	case "shard":
		shards := strings.Split(value, ",")
		keep(func(p *inventory.Port) bool { s := owner(p).Shard; return s != "" && slices.Contains(shards, s) })
	case "description_contains":
		fits := like(value)
		keep(func(p *inventory.Port) bool { return p.Description != "" && fits(p.Description) })
	case "conductor_groups":
		groups := strings.Split(strings.ToLower(value), ",")
		keep(func(p *inventory.Port) bool { return slices.Contains(groups, owner(p).ConductorGroup) })
	}
	return nil
}

// portsOf narrows a listing to one node's ports.
func (r *request) portsOf(l *listing[inventory.Port], n *node.Node) {
	l.walk = func(after *inventory.Port, fn func(*inventory.Port) bool) {
		for _, p := range r.s.cfg.Reader.PortsOf(n.UUID) {
			if after != nil && l.older(p, after) <= 0 {
				continue
			}
			if !fn(p) {
				return
			}
		}
	}
}

func listNodePorts(r *request) error {
	return r.nodePorts(false, append(slices.Clone(pageArgs), "fields", "detail"))
}

func listNodePortsDetail(r *request) error { return r.nodePorts(true, pageArgs) }

func (r *request) nodePorts(whole bool, known []string) error {
	if err := r.allow(known...); err != nil {
		return err
	}
	n, err := r.theNode()
	if err != nil {
		return err
	}
	l := r.portListing()
	l.whole = whole
	r.portsOf(&l, n)
	return l.answer(r)
}

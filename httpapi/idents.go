// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"net/http"
	"strings"

	"ferrite/httpapi/wire"
	"ferrite/inventory"
	"ferrite/node"
	"ferrite/persistence"
)

// theNode resolves the node in the request's path.
func (r *request) theNode() (*node.Node, error) { return r.served(r.findNode(r.param(0))) }

// served refuses a node that no conductor looks after where Ironic would ask its conductor, even if the record has the answer
// (spec power.md section 1 row 2).
func (r *request) served(n *node.Node, err error) (*node.Node, error) {
	if err == nil && r.route.asks {
		err = r.s.cfg.Members.Served(n)
	}
	return n, err
}

// findNode resolves a UUID or, from 1.5 on and below /v1/x always, a name. Below 1.91 a .json at the end of a request with a version number is
// left out first (spec api.md section 1).
func (r *request) findNode(ident string) (*node.Node, error) {
	if !wire.IsUUID(ident) && !wire.IsName(ident) {
		return nil, &routing{status: http.StatusBadRequest, text: "Expected UUID or name but received " + ident + "."}
	}
	if stem, ok := strings.CutSuffix(ident, ".json"); ok && r.version.Number && r.minor() < 91 {
		if n := r.lookupNode(stem); n != nil {
			return n, nil
		}
	}
	if n := r.lookupNode(ident); n != nil {
		return n, nil
	}
	return nil, refuse(node.NotFound, "Node %s could not be found.", ident)
}

func (r *request) lookupNode(ident string) *node.Node {
	uuid := strings.ToLower(ident)
	if !wire.IsUUID(ident) {
		if r.minor() < 5 && !r.ownPath() {
			return nil
		}
		k, ok := r.s.cfg.Reader.Holder("name/" + ident)
		if !ok || k.Kind != persistence.KindNode {
			return nil
		}
		uuid = k.ID
	}
	n, ok := r.s.cfg.Reader.Node(uuid)
	if !ok {
		return nil
	}
	r.node = n.UUID
	return n
}

// ownPath reports whether the path is one of our own (P6), which no microversion changes.
func (r *request) ownPath() bool { return r.route != nil && strings.HasPrefix(r.route.path, "/x/") }

// referenced resolves a node that a body names: one that is not there is 400, not 404.
func (r *request) referenced(ident string) (*node.Node, error) {
	if n := r.lookupNode(ident); n != nil {
		return n, nil
	}
	return nil, invalid("Node %s could not be found.", ident)
}

// thePort resolves the port in the request's path: a UUID or, from 1.88 on, a name.
func (r *request) thePort() (*inventory.Port, error) {
	ident := r.param(0)
	uuid := strings.ToLower(ident)
	switch {
	case wire.IsUUID(ident):
	case r.minor() < 88:
		return nil, invalid("Expected a UUID but received %s.", ident)
	case !wire.IsName(ident):
		return nil, invalid("Expected UUID or name but received %s.", ident)
	default:
		if k, ok := r.s.cfg.Reader.Holder("portname/" + ident); ok {
			uuid = k.ID
		}
	}
	p, ok := r.s.cfg.Reader.Port(uuid)
	if !ok {
		return nil, refuse(node.NotFound, "Port %s could not be found.", ident)
	}
	r.node = p.NodeUUID
	return p, nil
}

// missingIdent answers PATCH and DELETE of a whole collection.
func missingIdent(name string) func(*request) error {
	return func(*request) error { return invalid("Missing mandatory parameter: %s", name) }
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"slices"

	"ferrite/httpapi/wire"
	"ferrite/node"
)

// extended reports whether the client knows our extensions of Ironic's API.
func (r *request) extended() bool {
	return string(r.ctx.Request.Header.Peek(wire.HeaderExtensions)) == "1"
}

// nodeFields are the fields of a node that the request sees: all, or those that it names.
func (r *request) nodeFields(names []string) ([]*wire.Field[node.Node], error) {
	more, names := r.extensions(names)
	fields := wire.Nodes.Detail(r.minor())
	if names != nil {
		var err error
		if fields, err = wire.Nodes.Select(names, r.minor()); err != nil {
			return nil, err
		}
	}
	return slices.Concat(fields, more), nil
}

// extensions are the fields beyond Ironic's that the request wants, and the other names that it gave.
func (r *request) extensions(names []string) ([]*wire.Field[node.Node], []string) {
	if !r.extended() {
		return nil, names
	}
	return wire.Extensions(names)
}

// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"slices"

	"ferrite/node"
)

// HeaderExtensions asks for the fields of NodeExtensions by the value "1" (SAFETY P6): no other client sees them.
const HeaderExtensions = "Ferrite-Extensions"

// PowerConfirmedAt is when a node's power state was last confirmed by its BMC.
const PowerConfirmedAt = "power_confirmed_at"

// NodeExtensions are the fields that Ironic's nodes do not have. They cannot be written or sorted by.
var NodeExtensions = []*Field[node.Node]{
	{
		Name: PowerConfirmedAt, Type: "string or null",
		Append: func(b []byte, v *View, n *node.Node) []byte {
			if v.Confirmed == nil {
				return append(b, "null"...)
			}
			return AppendTime(b, v.Confirmed(n.UUID))
		},
	},
}

// Extensions are those of NodeExtensions that are asked for, and the other names: by nothing (nil) all of them.
func Extensions(names []string) (fields []*Field[node.Node], rest []string) {
	if names == nil {
		return NodeExtensions, nil
	}
	rest = []string{}
	for _, name := range names {
		if i := slices.IndexFunc(NodeExtensions, func(f *Field[node.Node]) bool { return f.Name == name }); i >= 0 {
			fields = append(fields, NodeExtensions[i])
		} else {
			rest = append(rest, name)
		}
	}
	return fields, rest
}

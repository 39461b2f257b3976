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

// What a node's sensors said when they were read last: the worst of it, when that was, and which are not ok. All are null when
// they were not read.
const (
	SensorHealth        = "sensor_health"
	SensorHealthAt      = "sensor_health_at"
	SensorHealthSensors = "sensor_health_sensors"
)

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
	health(SensorHealth, "string or null", func(b []byte, h *node.Health) []byte { return AppendString(b, h.State) }),
	health(SensorHealthAt, "string or null", func(b []byte, h *node.Health) []byte { return AppendTime(b, h.At) }),
	health(SensorHealthSensors, "array of strings or null", func(b []byte, h *node.Health) []byte { return AppendStrings(b, h.Sensors) }),
}

// health is a field of what a node's sensors said.
func health(name, kind string, fn func(b []byte, h *node.Health) []byte) *Field[node.Node] {
	return &Field[node.Node]{Name: name, Type: kind, Append: func(b []byte, v *View, n *node.Node) []byte {
		if v.Health != nil {
			if h := v.Health(n.UUID); h != nil {
				return fn(b, h)
			}
		}
		return append(b, "null"...)
	}}
}

// OfOwner reports whether the conductor that looks after a node is who knows a field, besides healthy = of its sensors.
func OfOwner(name string) (owner, healthy bool) {
	switch name {
	case PowerConfirmedAt:
		return true, false
	case SensorHealth, SensorHealthAt, SensorHealthSensors:
		return true, true
	default:
		return false, false
	}
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

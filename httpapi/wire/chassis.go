// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"time"

	"ferrite/inventory"
)

type chassis = inventory.Chassis

// Chassis is the table of a chassis' fields (spec api-endpoints.md, chassis).
var Chassis = newTable("chassis", nil,
	computedUUID("uuid", func(x *chassis) *string { return &x.UUID }).creatable().short(),
	moment("created_at", func(x *chassis) *time.Time { return &x.CreatedAt }),
	moment("updated_at", func(x *chassis) *time.Time { return &x.UpdatedAt }),
	text("description", 255, func(x *chassis) *string { return &x.Description }).editable().short(),
	object("extra", false, func(x *chassis) *map[string]any { return &x.Extra }).editable(),
	links("links", "chassis", "", func(x *chassis) string { return x.UUID }).short(),
	nested(links("nodes", "chassis", "/nodes", func(x *chassis) string { return x.UUID })),
)

// nested puts a list around a pair of links: what Ironic does with the nodes of a chassis, and clients have got used to.
func nested[T any](f Field[T]) Field[T] {
	pair := f.Append
	f.Type = "array[1] of array[2]"
	f.Append = func(b []byte, v *View, x *T) []byte { return append(pair(append(b, '['), v, x), ']') }
	return f
}

// NewChassis reads the body of POST /v1/chassis. The UUID is "" when the client chose none.
func NewChassis(body map[string]any, minor int) (*inventory.Chassis, error) {
	c := &inventory.Chassis{}
	return c, Chassis.Create(c, body, minor)
}

// PatchChassis turns the operations of a PATCH into the message to be stepped, on top of c.
func PatchChassis(c *inventory.Chassis, ops []Op) (inventory.UpdateChassis, error) {
	want := *c
	done, err := Chassis.Patch(&want, ops)
	return inventory.UpdateChassis{Want: &want, Changed: done.Changed}, err
}

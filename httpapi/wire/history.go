// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"time"
	"unicode/utf8"

	"ferrite/internal/jsontext"
	"ferrite/node"
)

// History is the table of a node's history entries. The short list cuts long events; the whole view does not.
var History = newTable("history", nil,
	plain("uuid", 0, func(x *node.Entry) *string { return &x.UUID }).since(78).short(),
	moment("created_at", func(x *node.Entry) *time.Time { return &x.CreatedAt }).since(78).short(),
	plain("severity", 0, func(x *node.Entry) *string { return &x.Severity }).since(78).short(),
	text("event_type", 0, func(x *node.Entry) *string { return &x.EventType }).since(78),
	text("event", 0, func(x *node.Entry) *string { return &x.Event }).since(78).short().unsorted(),
	text("conductor", 0, func(x *node.Entry) *string { return &x.Conductor }).since(78),
	text("user", 0, func(x *node.Entry) *string { return &x.User }).since(78),
	computed("project", "string or null", null[node.Entry]).since(113),
	text("state", 0, func(x *node.Entry) *node.State { return &x.State }).since(115),
	text("target_provision_state", 0, func(x *node.Entry) *node.State { return &x.TargetProvisionState }).since(115),
	computed("duration_seconds", "int or null", null[node.Entry]).since(115),
	computed("links", "array[1]", func(b []byte, v *View, x *node.Entry) []byte {
		b = append(append(append(b, `[{"href":"`...), v.base...), "/v1/nodes/"...)
		b = append(append(jsontext.AppendEscaped(b, x.Node), "/history/"...), x.UUID...)
		return append(b, `","rel":"self"}]`...)
	}).since(78).short(),
)

func null[T any](b []byte, _ *View, _ *T) []byte { return append(b, "null"...) }

// ShortEvent cuts the text of an event for the short list, as Ironic does: 251 bytes and dots beyond 255.
func ShortEvent(s string) string {
	if len(s) <= 255 {
		return s
	}
	cut := 251
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "..."
}

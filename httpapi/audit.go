// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"net/http"
	"strings"

	"ferrite/node"
)

// audit writes one line a change: who did what to which node, and how it ended. Bodies are left out: they may hold
// secrets.
func (s *Server) audit(r *request) {
	switch r.method() {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return
	}
	user := r.user
	if user == "" {
		user = "anonymous"
	}
	more, _ := r.ctx.UserValue(auditKey{}).([]any)
	s.cfg.Audit.Info("audit", append([]any{
		"user", user, "remote", r.ctx.RemoteAddr().String(), "method", r.method(), "path", r.path(),
		"node", r.node, "status", r.ctx.Response.StatusCode(), "request_id", r.id, "global_request_id", r.global,
	}, more...)...)
}

// asked is what a change asks for, for its audit line: words of the API, no values that a user wrote.
func asked(m node.Msg) []any {
	switch m := m.(type) {
	case node.SetPower:
		return []any{"action", "power", "target", string(m.Target)}
	case node.SetProvision:
		return []any{"action", "provision", "target", m.Verb}
	case node.SetMaintenance:
		return []any{"action", "maintenance", "on", m.On}
	case node.SetBootDevice:
		return []any{"action", "boot device", "device", m.Device, "persistent", m.Persistent}
	case node.CallVendor:
		return []any{"action", m.Method, "cold", m.Cold, "raw_bytes", len(m.Raw)}
	case node.Identify:
		return []any{"action", "identify", "for", m.Span.String()}
	case node.ClearEvents:
		return []any{"action", "clear events"}
	case node.UpdateNode:
		return []any{"action", "update", "fields", strings.Join(m.Changed, ",")}
	case node.Release: // it tells more itself
		return nil
	default:
		return []any{"action", m.MsgName()}
	}
}

// auditKey is where a request keeps what its audit line says besides.
type auditKey struct{}

// tell adds keys and values to the request's audit line. Nothing secret may be among them.
func (r *request) tell(args ...any) {
	more, _ := r.ctx.UserValue(auditKey{}).([]any)
	r.ctx.SetUserValue(auditKey{}, append(more, args...))
}

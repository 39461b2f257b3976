// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import "net/http"

// audit writes one line a change: who did what to which node, and how it ended. Arguments and bodies are left out: they
// may hold secrets.
func (s *Server) audit(r *request) {
	switch r.method() {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return
	}
	user := r.user
	if user == "" {
		user = "anonymous"
	}
	s.cfg.Audit.Info("audit", "user", user, "remote", r.ctx.RemoteAddr().String(), "method", r.method(), "path", r.path(),
		"node", r.node, "status", r.ctx.Response.StatusCode(), "request_id", r.id)
}
